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
use std::path::{Path, PathBuf};
use wares_catalog::tenancy::{KeyTerms, NewKey, actor};
use wares_model::{KeyId, Namespace, TenantId, TimeOrDay, Timestamp};
use wares_store::{self as store, DataDir, SqliteOptions, Store as _};

/// What a list of keys shows, and where it stands.
const COLUMNS: [(&str, &str); 10] = [
    ("id", "/id"),
    ("role", "/role"),
    ("tenant", "/tenant"),
    ("application", "/application"),
    ("namespace", "/namespace"),
    ("label", "/label"),
    ("created", "/created-at"),
    ("last used", "/last-used-at"),
    ("expires", "/expires-at"),
    ("revoked", "/revoked-at"),
];

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
        /// What or whom it is for: lists and histories name it by that
        #[arg(long)]
        label: Option<String>,
        /// From when on it is not valid any more, as 2027-01-01 [default: it is until it is revoked]
        #[arg(long, value_name = "TIME")]
        expires: Option<TimeOrDay>,
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
    /// Make an admin key when all are lost: on the host's own machine, in its data directory, while the host is stopped
    Recover {
        /// What or whom it is for
        #[arg(long, default_value = "recovered")]
        label: String,
        /// Revoke all other admin keys, because one may be in wrong hands
        #[arg(long)]
        revoke_others: bool,
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
            Self::Create { tenant, application, admin: _, reviewer, publisher, label, expires, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let (at, of) = match (tenant, publisher) {
                    (Some(tenant), _) => {
                        (format!("/v1/tenants/{tenant}/keys"), vec![("application", json!(application))])
                    }
                    (None, Some(namespace)) => {
                        ("/v1/keys".to_owned(), vec![("role", json!("publisher")), ("namespace", json!(namespace))])
                    }
                    (None, None) => {
                        let role = if reviewer { "reviewer" } else { "admin" };
                        ("/v1/keys".to_owned(), vec![("role", json!(role))])
                    }
                };
                let terms = [("label", json!(label)), ("expires-at", json!(expires.map(|at| at.to_string())))];
                let body = of.into_iter().chain(terms).map(|(name, value)| (name.to_owned(), value));
                let body = Value::Object(body.collect());
                let key: Value = client.send(Method::POST, &at, Body::Json(body)).await?.json()?;
                format.print(&key, |key| cell(key, "/key"))?;
            }
            Self::List { tenant, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let at = tenant.map_or_else(|| "/v1/keys".to_owned(), |tenant| format!("/v1/tenants/{tenant}/keys"));
                format.print(&client.list(&at).await?, |keys| {
                    let columns = COLUMNS.map(|(_, pointer)| pointer);
                    let rows = keys.iter().map(|key| columns.map(|pointer| cell(key, pointer)));
                    table(&COLUMNS.map(|(title, _)| title), rows, "no keys")
                })?;
            }
            Self::NewSigner { file } => output::text(&signer_file::create(&file)?.to_string())?,
            Self::Recover { label, revoke_others } => recover(&data_dir, label, revoke_others).await?,
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

/// Makes an admin key without any. Who may read and write the data directory may do this, because nothing of the shelf is kept
/// from them anyway.
async fn recover(data_dir: &Path, label: String, revoke_others: bool) -> anyhow::Result<()> {
    let there = data_dir.display();
    if !data_dir.join("wares.sqlite").is_file() {
        return Err(Exit::NotFound.error(format!("{there} is no host's data directory: name one with --data-dir")));
    }
    let held = DataDir::open(data_dir)?;
    let database = store::open_sqlite(&held, SqliteOptions::default()).await?;
    let key = NewKey::generate(store::Role::Admin, KeyTerms { label: Some(label), expires_at: None })?;
    database.insert_key((*key.record).clone()).await?;
    if revoke_others {
        for other in database.keys().await?.iter().filter(|other| other.role == store::Role::Admin) {
            if other.id != key.record.id && other.revoked_at.is_none() {
                database.revoke_key(other.id).await?;
                output::note(&format!("revoked {}", actor(other.id, other.label.as_deref())));
            }
        }
    }
    output::note("an admin key; it is shown this once, and valid when the host is started again:");
    output::text(&key.text)
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
