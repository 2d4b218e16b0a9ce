//! `wares grants`: what components may use of the world.

use super::Settings;
use super::components::{cell, number, path};
use crate::client::{Access, Body, Client, Role};
use crate::exit::Exit;
use crate::output::{Format, table};
use anyhow::Context as _;
use ipnet::IpNet;
use reqwest::Method;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::PathBuf;
use wares_model::grants::{BucketGrant, Credential, FilesAccess, FilesGrant, HttpGrant, HttpRule, Label};
use wares_model::{ComponentName, Grants as Granted};

/// Grants.
#[derive(Debug, clap::Subcommand)]
pub enum Grants {
    /// Show what a component asks for, is granted, and used
    Show {
        /// The component
        name: ComponentName,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Grant more; calls that begin from then on may use it
    Add(Change),
    /// Grant less; it holds for calls that begin from then on
    Remove(Change),
    /// Set all of it from a file of JSON, as `wares grants show --json` prints it under `grants`
    Set {
        /// The component
        name: ComponentName,
        /// The file
        file: PathBuf,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Show how a component's grants changed, newest first
    History {
        /// The component
        name: ComponentName,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
}

/// A change of a component's grants.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct Change {
    /// The component
    name: ComponentName,
    /// HTTP requests, as `https://api.example.cn` or `GET https://*.example.cn`
    #[arg(long, value_name = "RULE", group = "what")]
    http: Vec<HttpRule>,
    /// Private, loopback or metadata addresses that hosts of --http may be at, as 10.1.2.3 or 10.1.0.0/16
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, requires = "http")]
    address: Vec<IpNet>,
    /// What the host adds to requests of --http: 'authorization: Bearer NAME', with the name of a secret
    #[arg(long, value_name = "HEADER", value_parser = parse_credential, requires = "http")]
    credential: Option<Credential>,
    /// A key-value bucket, with an own part for each tenant
    #[arg(long, value_name = "BUCKET", group = "what")]
    keyvalue: Vec<Label>,
    /// The files of the tenant: read-only or read-write
    #[arg(long, value_name = "ACCESS", group = "what")]
    files: Option<FilesWord>,
    /// A secret of the component
    #[arg(long, value_name = "NAME", group = "what")]
    secret: Vec<Label>,
    /// Another component
    #[arg(long, value_name = "NAME", group = "what")]
    component: Vec<ComponentName>,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

/// What may be done with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FilesWord {
    /// They may be read
    ReadOnly,
    /// They may be read and changed
    ReadWrite,
}

impl Grants {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::Show { name, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                format.print(&client.get::<Value>(&grants_path(&name)).await?, for_people)?;
            }
            Self::Add(change) => change.make(&access_of(&change, &data_dir)?, Change::add).await?,
            Self::Remove(change) => change.make(&access_of(&change, &data_dir)?, Change::remove).await?,
            Self::Set { name, file, reason, format, access } => {
                let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
                let grants: Granted = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
                let client = access.client(&data_dir, Role::Admin)?;
                let body = Body::Json(json!({"grants": grants, "reason": reason}));
                let set: Value = client.send(Method::PUT, &grants_path(&name), body).await?.json()?;
                format.print(&set, for_people)?;
            }
            Self::History { name, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let states = client.list(&format!("{}/history", grants_path(&name))).await?;
                format.print(&states, |states| {
                    let columns = ["/revision", "/at", "/actor", "/grants", "/reason"];
                    let rows = states.iter().map(|state| columns.map(|pointer| cell(state, pointer)));
                    table(&["revision", "at", "by", "grants", "reason"], rows, "nothing was ever granted")
                })?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn access_of(change: &Change, data_dir: &std::path::Path) -> anyhow::Result<Client> {
    change.access.client(data_dir, Role::Admin)
}

fn grants_path(name: &ComponentName) -> String {
    format!("{}/grants", path(name))
}

impl Change {
    /// Reads the grants, changes them, and sets them if nobody else did meanwhile.
    async fn make(&self, client: &Client, change: impl Fn(&Self, &mut Granted)) -> anyhow::Result<()> {
        let at = grants_path(&self.name);
        let now: Value = client.get(&at).await?;
        let mut grants: Granted = serde_json::from_value(now.get("grants").cloned().unwrap_or_default())?;
        change(self, &mut grants);
        let body = Body::Json(json!({"grants": grants, "reason": self.reason}));
        let set: Value = client.send_if(Method::PUT, &at, body, Some(number(&now, "/revision"))).await?.json()?;
        self.format.print(&set, for_people)
    }

    fn add(&self, grants: &mut Granted) {
        for rule in &self.http {
            if !grants.http.iter().any(|grant| grant.allow == *rule) {
                grants.http.push(HttpGrant { allow: rule.clone(), addresses: Vec::new(), credential: None });
            }
        }
        for grant in grants.http.iter_mut().filter(|grant| self.http.contains(&grant.allow)) {
            extend(&mut grant.addresses, &self.address);
            grant.credential = self.credential.clone().or(grant.credential.take());
        }
        for bucket in &self.keyvalue {
            if !grants.keyvalue.iter().any(|grant| grant.bucket == *bucket) {
                grants.keyvalue.push(BucketGrant::of(bucket.clone()));
            }
        }
        if let Some(access) = self.files.map(FilesWord::access) {
            grants.files = Some(match grants.files {
                Some(grant) => FilesGrant { access, ..grant },
                None => FilesGrant::of(access),
            });
        }
        extend(&mut grants.secrets, &self.secret);
        extend(&mut grants.components, &self.component);
    }

    fn remove(&self, grants: &mut Granted) {
        // With addresses or a credential these alone go, and the requests stay allowed.
        if self.address.is_empty() && self.credential.is_none() {
            grants.http.retain(|grant| !self.http.contains(&grant.allow));
        }
        for grant in grants.http.iter_mut().filter(|grant| self.http.contains(&grant.allow)) {
            grant.addresses.retain(|address| !self.address.contains(address));
            grant.credential =
                grant.credential.take().filter(|credential| self.credential.as_ref() != Some(credential));
        }
        grants.keyvalue.retain(|grant| !self.keyvalue.contains(&grant.bucket));
        grants.files = match (grants.files, self.files) {
            (Some(grant), Some(FilesWord::ReadWrite)) => Some(FilesGrant { access: FilesAccess::ReadOnly, ..grant }),
            (_, Some(FilesWord::ReadOnly)) => None,
            (files, _) => files,
        };
        grants.secrets.retain(|secret| !self.secret.contains(secret));
        grants.components.retain(|component| !self.component.contains(component));
    }
}

impl FilesWord {
    fn access(self) -> FilesAccess {
        match self {
            Self::ReadOnly => FilesAccess::ReadOnly,
            Self::ReadWrite => FilesAccess::ReadWrite,
        }
    }
}

/// A net, or a single address.
fn parse_address(text: &str) -> Result<IpNet, String> {
    let single = |_| text.parse().map(|address: IpAddr| IpNet::from(address));
    let parsed = text.parse().or_else(single);
    parsed.map_err(|_| format!("{text:?} is no address: write one as 10.1.2.3, or a net as 10.1.0.0/16"))
}

/// `header: prefix NAME`, where the prefix may be missing.
fn parse_credential(text: &str) -> Result<Credential, String> {
    let usage =
        || format!("{text:?} is no header with a secret: write 'authorization: Bearer NAME' or 'x-api-key: NAME'");
    let (header, value) = text.split_once(':').ok_or_else(usage)?;
    let value = value.trim();
    let (prefix, secret) = value.split_at(value.rfind(' ').map_or(0, |at| at + 1));
    let secret = secret.parse().map_err(|_| usage())?;
    Ok(Credential { header: header.trim().to_owned(), prefix: prefix.to_owned(), secret })
}

fn extend<T: Clone + PartialEq>(list: &mut Vec<T>, more: &[T]) {
    for one in more {
        if !list.contains(one) {
            list.push(one.clone());
        }
    }
}

/// Asked, granted and used, one line each.
pub(super) fn for_people(shown: &Value) -> String {
    let mut lines = vec![format!("{}, grants at revision {}", cell(shown, "/component"), cell(shown, "/revision"))];
    lines.push("granted:".to_owned());
    lines.extend(granted(shown.get("grants").unwrap_or(&Value::Null)));
    for (version, asked) in shown.get("versions").and_then(Value::as_object).into_iter().flatten() {
        lines.push(format!("{version} asks for:"));
        lines.extend(asks(asked));
    }
    let lacking = shown.get("lacking").and_then(Value::as_array).into_iter().flatten();
    lines.extend(lacking.filter_map(Value::as_str).map(|lacking| format!("WARNING: {lacking}")));
    lines.push(format!("used by the last {} calls that used anything:", cell(shown, "/used/of-calls")));
    let used = shown.pointer("/used/items").and_then(Value::as_array).into_iter().flatten();
    lines.extend(used.map(|one| format!("  {} ({} calls)", cell(one, "/what"), cell(one, "/calls"))));
    lines.join("\n")
}

/// What a version asks for, by its manifest or by what it imports.
pub(super) fn asks(asked: &Value) -> Vec<String> {
    let manifest = granted(asked.get("manifest").unwrap_or(&Value::Null));
    let lines = match manifest.is_empty() {
        true => {
            let imports = asked.get("imports").and_then(Value::as_array).into_iter().flatten();
            imports.filter_map(Value::as_str).map(|import| format!("  {import}")).collect()
        }
        false => manifest,
    };
    let others = asked.get("interfaces").and_then(Value::as_array).into_iter().flatten();
    let others = others.filter_map(Value::as_str).map(|interface| format!("  {interface} of another component"));
    let lines: Vec<_> = lines.into_iter().chain(others).collect();
    let missing = asked.get("missing").and_then(Value::as_array).into_iter().flatten();
    lines.into_iter().chain(missing.map(|one| format!("  not granted: {}", cell(one, "/capability")))).collect()
}

/// Lists of a manifest's asks or of grants, an entry per line.
pub(super) fn granted(capabilities: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (capability, entries) in capabilities.as_object().into_iter().flatten() {
        match entries {
            Value::Array(entries) => {
                lines.extend(entries.iter().map(|entry| format!("  {capability} {}", entry_text(entry))))
            }
            entry => lines.push(format!("  {capability} {}", entry_text(entry))),
        }
    }
    lines
}

/// An entry: its name, then what differs from the usual.
fn entry_text(entry: &Value) -> String {
    let Some(fields) = entry.as_object() else {
        return entry.as_str().map_or_else(|| entry.to_string(), str::to_owned);
    };
    let (mut name, mut rest) = (String::new(), Vec::new());
    for (key, value) in fields {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match key.as_str() {
            "allow" | "bucket" | "access" => name = text,
            _ => rest.push(format!("{key} {text}")),
        }
    }
    if rest.is_empty() { name } else { format!("{name} ({})", rest.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_header_with_the_name_of_a_secret() {
        for (text, header, prefix, secret) in [
            ("authorization: Bearer bank", "authorization", "Bearer ", "bank"),
            ("x-api-key:bank", "x-api-key", "", "bank"),
        ] {
            let credential = parse_credential(text).unwrap();
            let parts = (credential.header.as_str(), credential.prefix.as_str(), credential.secret.as_str());
            assert_eq!(parts, (header, prefix, secret), "{text}");
        }
        assert!(parse_credential("bank").is_err());
    }

    #[test]
    fn people_see_what_is_asked_granted_and_used() {
        let shown = json!({
            "component": "a:b", "revision": 2,
            "grants": {"http": [{"allow": "https://a.cn"}], "files": {"access": "read-only", "bytes-max": 1, "files-max": 2}},
            "versions": {"1.0.0": {
                "manifest": {"http": ["https://a.cn"], "secrets": ["token"]},
                "missing": [{"capability": "secret token", "flags": "--secret token"}],
            }},
            "lacking": ["a:b@1.0.0 asks for more"],
            "used": {"of-calls": 3, "items": [{"what": "http GET https://a.cn", "calls": 2}]},
        });
        insta::assert_snapshot!(for_people(&shown), @r"
        a:b, grants at revision 2
        granted:
          http https://a.cn
          files read-only (bytes-max 1, files-max 2)
        1.0.0 asks for:
          http https://a.cn
          secrets token
          not granted: secret token
        WARNING: a:b@1.0.0 asks for more
        used by the last 3 calls that used anything:
          http GET https://a.cn (2 calls)
        ");
    }
}
