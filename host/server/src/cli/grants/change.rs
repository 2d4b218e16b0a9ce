//! `wares grants add` and `remove`: a change of what is granted, from flags.

use super::grants_path;
use crate::cli::components::{number, path};
use crate::client::{Body, Changing, Client, Role};
use crate::output::{self, Format};
use ipnet::IpNet;
use reqwest::Method;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::Path;
use wares_model::grants::{BucketGrant, BucketScope, Credential, FilesAccess, FilesGrant, HttpGrant, HttpRule, Label};
use wares_model::{ComponentName, Grants as Granted};

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
    /// What the host adds to requests of --http: 'authorization: Bearer NAME', where NAME is what `wares secrets set` calls the
    /// secret. The secret itself does not belong here: grants are kept and shown openly
    #[arg(long, value_name = "HEADER", value_parser = parse_credential, requires = "http")]
    credential: Option<Credential>,
    /// A key-value bucket
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
    access: Changing,
}

/// More grants, and how much of each.
#[derive(Debug, clap::Args)]
pub struct Addition {
    #[command(flatten)]
    change: Change,
    /// Whose pairs the buckets of --keyvalue hold [default: tenant, or as it is]
    #[arg(long, requires = "keyvalue")]
    scope: Option<ScopeWord>,
    /// The store under [keyvalue.stores] that they are in [default: the host's own database, or as it is]
    #[arg(long, requires = "keyvalue")]
    store: Option<Label>,
    /// Bytes of keys and values in each, for each tenant where tenants have their own [default: the host's, or as it is]
    #[arg(long, value_name = "BYTES", requires = "keyvalue")]
    bytes_max: Option<u64>,
    /// Keys in each, for each tenant where tenants have their own [default: the host's, or as it is]
    #[arg(long, value_name = "KEYS", requires = "keyvalue")]
    keys_max: Option<u64>,
    /// Bytes of all files of one tenant [default: the host's, or as it is]
    #[arg(long, value_name = "BYTES", requires = "files")]
    files_bytes_max: Option<u64>,
    /// Files and directories of one tenant [default: the host's, or as it is]
    #[arg(long, value_name = "FILES", requires = "files")]
    files_max: Option<u64>,
}

/// What may be done with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FilesWord {
    /// They may be read
    ReadOnly,
    /// They may be read and changed
    ReadWrite,
}

/// Whose pairs a bucket holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ScopeWord {
    /// Each tenant has its own
    Tenant,
    /// All tenants have one
    Component,
    /// All components that are granted a shared bucket of this name have one
    Shared,
}

impl Addition {
    /// Grants it, and warns of a credential that names no secret.
    pub(super) async fn make(&self, data_dir: &Path) -> anyhow::Result<()> {
        let client = self.change.access.client(data_dir, Role::Admin)?;
        self.change.make(&client, |grants| self.add(grants)).await?;
        let Some(credential) = &self.change.credential else { return Ok(()) };
        let (name, secret) = (&self.change.name, credential.secret.as_str());
        let secrets = client.list(&format!("{}/secrets", path(name))).await?;
        if !secrets.iter().any(|known| known.get("name").and_then(Value::as_str) == Some(secret)) {
            output::note(&format!(
                "warning: {name} has no secret named {secret}: set it with `wares secrets set {name} {secret}`. If this is the \
                 secret itself, have it changed where it is from, since grants and their history show it to every operator"
            ));
        }
        Ok(())
    }

    fn add(&self, grants: &mut Granted) {
        let change = &self.change;
        for rule in &change.http {
            if !grants.http.iter().any(|grant| grant.allow == *rule) {
                grants.http.push(HttpGrant { allow: rule.clone(), addresses: Vec::new(), credential: None });
            }
        }
        for grant in grants.http.iter_mut().filter(|grant| change.http.contains(&grant.allow)) {
            extend(&mut grant.addresses, &change.address);
            grant.credential = change.credential.clone().or(grant.credential.take());
        }
        for bucket in &change.keyvalue {
            if !grants.keyvalue.iter().any(|grant| grant.bucket == *bucket) {
                grants.keyvalue.push(BucketGrant::of(bucket.clone()));
            }
        }
        for grant in grants.keyvalue.iter_mut().filter(|grant| change.keyvalue.contains(&grant.bucket)) {
            grant.scope = self.scope.map_or(grant.scope, ScopeWord::scope);
            grant.store = self.store.clone().or(grant.store.take());
            grant.bytes_max = self.bytes_max.unwrap_or(grant.bytes_max);
            grant.keys_max = self.keys_max.unwrap_or(grant.keys_max);
        }
        if let Some(access) = change.files.map(FilesWord::access) {
            let grant = grants.files.unwrap_or(FilesGrant::of(access));
            let bytes_max = self.files_bytes_max.unwrap_or(grant.bytes_max);
            let files_max = self.files_max.unwrap_or(grant.files_max);
            grants.files = Some(FilesGrant { access, bytes_max, files_max });
        }
        extend(&mut grants.secrets, &change.secret);
        extend(&mut grants.components, &change.component);
    }
}

impl Change {
    /// Takes it away.
    pub(super) async fn take_away(&self, data_dir: &Path) -> anyhow::Result<()> {
        self.make(&self.access.client(data_dir, Role::Admin)?, |grants| self.remove(grants)).await
    }

    /// Reads the grants, changes them, and sets them if nobody else did meanwhile.
    async fn make(&self, client: &Client, change: impl FnOnce(&mut Granted)) -> anyhow::Result<()> {
        let at = grants_path(&self.name);
        let now: Value = client.get(&at).await?;
        let mut grants: Granted = serde_json::from_value(now.get("grants").cloned().unwrap_or_default())?;
        change(&mut grants);
        let body = Body::Json(json!({"grants": grants, "reason": self.reason}));
        let set: Value = client.send_if(Method::PUT, &at, body, Some(number(&now, "/revision"))).await?.json()?;
        self.format.print(&set, super::for_people)
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

impl ScopeWord {
    fn scope(self) -> BucketScope {
        match self {
            Self::Tenant => BucketScope::Tenant,
            Self::Component => BucketScope::Component,
            Self::Shared => BucketScope::Shared,
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
}
