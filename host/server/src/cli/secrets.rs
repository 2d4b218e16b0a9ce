//! `wares secrets`: secrets of components. Values go in and never come out.

use super::Settings;
use super::components::{cell, number, path};
use crate::client::{Access, Body, Changing, Role, encode, query};
use crate::exit::Exit;
use crate::output::{self, Format, table};
use anyhow::{Context as _, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use wares_model::grants::Label;
use wares_model::limits::SECRET_BYTES_MAX;
use wares_model::{ComponentName, TenantId};
use zeroize::Zeroizing;

/// Secrets.
#[derive(Debug, clap::Subcommand)]
pub enum Secrets {
    /// Set a secret to what standard input or a file holds, without its last line end; the next call sees it
    Set {
        #[command(flatten)]
        place: Place,
        /// The file; without it, standard input is read
        #[arg(long)]
        file: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
    /// List a component's secrets, without their values
    List {
        /// The component
        name: ComponentName,
        /// Those set for one tenant
        #[arg(long)]
        tenant: Option<TenantId>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Remove a secret
    Remove {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        access: Changing,
    },
    /// Have the host read its keys again and bring all secrets under the first of them
    Rekey {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
}

/// Which secret.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The component
    name: ComponentName,
    /// The secret's name
    secret: Label,
    /// For this tenant and those below it; without it, for all
    #[arg(long)]
    tenant: Option<TenantId>,
}

impl Place {
    fn path(&self) -> String {
        let tenant = query([("tenant", self.tenant.as_ref().map(TenantId::to_string))]);
        format!("{}/secrets/{}?{tenant}", path(&self.name), encode(self.secret.as_str()))
    }
}

impl Secrets {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::Set { place, file, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let value = match &file {
                    None => read(std::io::stdin().lock()).context("standard input")?,
                    Some(path) => read_file(path)?,
                };
                let body = Body::Json(json!({"value": value.as_str()}));
                let set: Value = client.send(Method::PUT, &place.path(), body).await?.json()?;
                format
                    .print(&set, |set| format!("{} is at revision {}", cell(set, "/name"), cell(set, "/revision")))?;
            }
            Self::List { name, tenant, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let tenant = query([("tenant", tenant.map(|tenant| tenant.to_string()))]);
                format.print(&client.list(&format!("{}/secrets?{tenant}", path(&name))).await?, |secrets| {
                    let columns = ["/name", "/tenant", "/revision", "/at", "/actor", "/key"];
                    let rows = secrets.iter().map(|secret| columns.map(|pointer| cell(secret, pointer)));
                    table(&["name", "tenant", "revision", "at", "by", "encrypted with"], rows, "no secrets")
                })?;
            }
            Self::Remove { place, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                client.send(Method::DELETE, &place.path(), Body::None).await?;
                output::text(&format!("removed {}", place.secret))?;
            }
            Self::Rekey { format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let done: Value = client.send(Method::POST, "/v1/secrets/rekey", Body::None).await?.json()?;
                format.print(&done, |done| {
                    let unreadable = match number(done, "/unreadable") {
                        0 => String::new(),
                        count => format!("; {count} cannot be decrypted and were left as they are"),
                    };
                    format!(
                        "{} secrets are now encrypted with key {}{unreadable}",
                        cell(done, "/resealed"),
                        cell(done, "/key")
                    )
                })?;
            }
        }
        Ok(Exit::Ok)
    }
}

/// The secret that a file holds.
pub(super) fn read_file(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let file = File::open(path).map_err(anyhow::Error::from);
    file.and_then(read).with_context(|| path.display().to_string())
}

/// The secret that a file or a pipe holds.
fn read(source: impl Read) -> anyhow::Result<Zeroizing<String>> {
    let mut value = Zeroizing::new(String::new());
    source.take(SECRET_BYTES_MAX as u64 + 3).read_to_string(&mut value)?;
    let end = value.strip_suffix('\n').map(|text| text.strip_suffix('\r').unwrap_or(text)).map(str::len);
    if let Some(end) = end {
        value.truncate(end);
    }
    if value.is_empty() || value.len() > SECRET_BYTES_MAX {
        bail!("a secret must have 1 to {SECRET_BYTES_MAX} bytes");
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_end_is_not_part_of_a_secret() {
        for (text, secret) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n"), (" a b \n", " a b ")] {
            assert_eq!(read(text.as_bytes()).unwrap().as_str(), secret);
        }
        assert!(read("\n".as_bytes()).is_err());
        assert!(read("x".repeat(SECRET_BYTES_MAX + 1).as_bytes()).is_err());
        assert!(read(&b"\xff"[..]).is_err());
    }
}
