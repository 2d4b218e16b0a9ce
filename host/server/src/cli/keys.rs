//! `wares keys`: who may do what.

use super::Settings;
use super::components::cell;
use super::sure::Sure;
use crate::client::{Access, Body, Changing, Role};
use crate::exit::Exit;
use crate::output::{self, Format, table};
use crate::signer_file;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use wares_model::{KeyId, Namespace, TenantId, Timestamp};

/// Keys.
#[derive(Debug, clap::Subcommand)]
pub enum Keys {
    /// Make a key; it is shown this once
    #[command(group(clap::ArgGroup::new("role").required(true)))]
    Create {
        /// For calls by this tenant
        #[arg(long, group = "role")]
        tenant: Option<TenantId>,
        /// Which of the tenant's systems uses it
        #[arg(long, value_name = "NAME", default_value = "default", requires = "tenant")]
        application: String,
        /// For operators' work
        #[arg(long, group = "role")]
        admin: bool,
        /// For decisions on submissions
        #[arg(long, group = "role")]
        reviewer: bool,
        /// For publishing into this namespace
        #[arg(long, group = "role", value_name = "NAMESPACE")]
        publisher: Option<Namespace>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
    /// List keys, without their texts
    List {
        /// Those of one tenant
        #[arg(long)]
        tenant: Option<TenantId>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Make a key that signs versions: the private half into a file, the public half printed
    NewSigner {
        /// The file, which must not be there yet
        file: PathBuf,
    },
    /// Make a key invalid, from the next request on
    Revoke {
        /// The key's id, as `wares keys list` shows it
        id: KeyId,
        #[command(flatten)]
        sure: Sure,
        #[command(flatten)]
        access: Changing,
    },
}

impl Keys {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::Create { tenant, application, admin: _, reviewer, publisher, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let (at, body) = match (tenant, publisher) {
                    (Some(tenant), _) => (format!("/v1/tenants/{tenant}/keys"), json!({"application": application})),
                    (None, Some(namespace)) => {
                        ("/v1/keys".to_owned(), json!({"role": "publisher", "namespace": namespace}))
                    }
                    (None, None) => {
                        ("/v1/keys".to_owned(), json!({"role": if reviewer { "reviewer" } else { "admin" }}))
                    }
                };
                let key: Value = client.send(Method::POST, &at, Body::Json(body)).await?.json()?;
                format.print(&key, |key| cell(key, "/key"))?;
            }
            Self::List { tenant, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let at = tenant.map_or_else(|| "/v1/keys".to_owned(), |tenant| format!("/v1/tenants/{tenant}/keys"));
                format.print(&client.list(&at).await?, |keys| {
                    let columns =
                        ["/id", "/role", "/tenant", "/application", "/namespace", "/created-at", "/revoked-at"];
                    let rows = keys.iter().map(|key| columns.map(|pointer| cell(key, pointer)));
                    let head = ["id", "role", "tenant", "application", "namespace", "created", "revoked"];
                    table(&head, rows, "no keys")
                })?;
            }
            Self::NewSigner { file } => output::text(&signer_file::create(&file)?.to_string())?,
            Self::Revoke { id, sure, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                if !access.is_dry_run() && is_last_admin(&client.list("/v1/keys").await?, id) {
                    sure.confirm(&format!(
                        "{id} is the last admin key: only `wares keys recover`, on the host itself, makes another"
                    ))?;
                }
                client.send(Method::DELETE, &format!("/v1/keys/{id}"), Body::None).await?;
                output::text(&format!("revoked {id}"))?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// Whether no other admin key is valid.
fn is_last_admin(keys: &[Value], id: KeyId) -> bool {
    let now = Timestamp::now();
    let is_over = |key: &Value| {
        let time = |pointer: &str| key.pointer(pointer)?.as_str()?.parse::<Timestamp>().ok();
        time("/revoked-at").is_some() || time("/expires-at").is_some_and(|at| at <= now)
    };
    let mut admins = keys.iter().filter(|key| cell(key, "/role") == "admin" && !is_over(key));
    admins.next().is_some_and(|key| cell(key, "/id") == id.to_string()) && admins.next().is_none()
}
