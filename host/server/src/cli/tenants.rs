//! `wares tenants`: who calls.

use super::Settings;
use super::components::cell;
use super::sure::Sure;
use crate::client::{Access, Body, Changing, Role, encode};
use crate::exit::Exit;
use crate::output::{Format, table};
use reqwest::Method;
use serde_json::{Value, json};
use wares_model::{SignerKey, TenantId};

/// Tenants.
#[derive(Debug, clap::Subcommand)]
pub enum Tenants {
    /// Add a tenant
    Create {
        /// Its id, as futian-district
        id: TenantId,
        /// Its name for people [default: the id]
        #[arg(long)]
        name: Option<String>,
        /// The tenant above it
        #[arg(long, value_name = "TENANT")]
        parent: Option<TenantId>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
    /// Have a tenant report for its own shelf what copies of components were used there
    Reporter {
        /// The tenant
        id: TenantId,
        /// The public key that its reports are signed with, as `wares keys new-signer` printed it
        #[arg(id = "signer-key", value_name = "KEY")]
        key: SignerKey,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
    /// End and remove a tenant's jobs, disable its schedules, and remove what components keep for it: its files and key-value
    /// pairs. The tenant, its keys and its calls in the ledger stay, and so does what components share between tenants
    Wipe {
        /// The tenant
        id: TenantId,
        #[command(flatten)]
        sure: Sure,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
    /// List tenants
    List {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
}

impl Tenants {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::Create { id, name, parent, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let body = Body::Json(json!({"id": id, "name": name, "parent": parent}));
                let tenant: Value = client.send(Method::POST, "/v1/tenants", body).await?.json()?;
                format.print(&tenant, |tenant| {
                    let id = cell(tenant, "/id");
                    format!("added {id}; a key for it: wares keys create --tenant {id}")
                })?;
            }
            Self::Reporter { id, key, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let at = format!("/v1/tenants/{}/reporter", encode(id.as_str()));
                let set: Value = client.send(Method::PUT, &at, Body::Json(json!({"key": key}))).await?.json()?;
                format.print(&set, |set| format!("{} reports with {}", cell(set, "/tenant"), cell(set, "/key")))?;
            }
            Self::Wipe { id, sure, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let at = format!("/v1/tenants/{}/data", encode(id.as_str()));
                if !access.is_dry_run() {
                    let plan = client.clone().rehearsing().send(Method::DELETE, &at, Body::None).await?;
                    let pairs = cell(&plan.json()?, "/pairs");
                    sure.confirm(&format!("all jobs, all files and {pairs} key-value pairs of {id} go, for good"))?;
                }
                let wiped: Value = client.send(Method::DELETE, &at, Body::None).await?.json()?;
                format.print(&wiped, |wiped| {
                    format!("removed all jobs, all files and {} key-value pairs of {id}", cell(wiped, "/pairs"))
                })?;
            }
            Self::List { format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                format.print(&client.list("/v1/tenants").await?, |tenants| {
                    let columns = ["/id", "/name", "/parent", "/created-at"];
                    let rows = tenants.iter().map(|tenant| columns.map(|pointer| cell(tenant, pointer)));
                    table(&["id", "name", "parent", "created"], rows, "no tenants yet: wares tenants create ID")
                })?;
            }
        }
        Ok(Exit::Ok)
    }
}
