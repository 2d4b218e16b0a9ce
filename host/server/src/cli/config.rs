//! `wares config`: values that operators set over those of manifests.

use super::Settings;
use super::components::{cell, path};
use crate::client::{Access, Body, Changing, Role, encode, query};
use crate::exit::Exit;
use crate::output::{self, Format, table};
use reqwest::Method;
use serde_json::{Value, json};
use wares_model::{ComponentName, TenantId, Version};

/// Configuration of components.
#[derive(Debug, clap::Subcommand)]
pub enum Config {
    /// Set a value; calls that begin from then on see it
    Set {
        #[command(flatten)]
        place: Place,
        /// The value
        value: String,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
    /// List the values set for a component
    List {
        /// The component
        name: ComponentName,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Remove a value, so that what stands behind it counts again
    Unset {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        access: Changing,
    },
}

/// Which value. A tenant's counts before a version's, that before the component's, that before the manifest's.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("scope"))]
pub struct Place {
    /// The component
    name: ComponentName,
    /// The key
    #[arg(id = "config-key", value_name = "KEY")]
    key: String,
    /// For calls of this version
    #[arg(long = "for-version", value_name = "VERSION", group = "scope")]
    version: Option<Version>,
    /// For calls of this tenant and those below it
    #[arg(long, group = "scope")]
    tenant: Option<TenantId>,
}

impl Place {
    fn path(&self) -> String {
        let version = self.version.as_ref().map(Version::to_string);
        let scope = query([("version", version), ("tenant", self.tenant.as_ref().map(TenantId::to_string))]);
        format!("{}/config/{}?{scope}", path(&self.name), encode(&self.key))
    }
}

impl Config {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::Set { place, value, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let body = Body::Json(json!({"value": value}));
                let set: Value = client.send(Method::PUT, &place.path(), body).await?.json()?;
                format.print(&set, |set| format!("{} = {}", cell(set, "/key"), cell(set, "/value")))?;
            }
            Self::List { name, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                format.print(&client.list(&format!("{}/config", path(&name))).await?, |values| {
                    let columns = ["/key", "/version", "/tenant", "/value", "/at", "/actor"];
                    let rows = values.iter().map(|value| columns.map(|pointer| cell(value, pointer)));
                    table(&["key", "version", "tenant", "value", "at", "by"], rows, "nothing is set")
                })?;
            }
            Self::Unset { place, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                client.send(Method::DELETE, &place.path(), Body::None).await?;
                output::text(&format!("unset {}", place.key))?;
            }
        }
        Ok(Exit::Ok)
    }
}
