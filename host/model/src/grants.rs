//! What a component may use of the world: what its manifest asks for, what an operator grants, and what both allow.

mod host;
mod rule;

pub use host::{HttpHost, ParseHostError};
pub use rule::{HttpRule, HttpTarget, METHOD_BYTES_MAX, ParseHttpRuleError, is_method};

use crate::limits::{BUCKET_BYTES_MAX, BUCKET_KEYS_MAX, FILES_BYTES_MAX, FILES_MAX};
use crate::{ComponentName, InterfaceName};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Entries of one list of a manifest's asks or of an operator's grants.
pub const ENTRIES_MAX: usize = 256;
/// Bits that say that an IPv6 address is an IPv4 address in disguise (RFC 4291, 2.5.5.2).
const MAPPED_PREFIX_BITS: u8 = 96;
/// Bytes of a bucket's, a secret's or a store's name.
const LABEL_BYTES_MAX: usize = 64;

/// The name of a key-value bucket, of a secret, or of a key-value store: letters, digits, `-`, `_` and `.`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Label(Arc<str>);

impl Label {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that names no bucket, secret or store.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no name: write 1 to {LABEL_BYTES_MAX} letters, digits, `-`, `_` or `.`")]
pub struct ParseLabelError(String);

impl FromStr for Label {
    type Err = ParseLabelError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fits = (1..=LABEL_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if fits { Ok(Self(text.into())) } else { Err(ParseLabelError(text.chars().take(80).collect())) }
    }
}

impl TryFrom<String> for Label {
    type Error = ParseLabelError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0.as_ref().to_owned()
    }
}

/// What may be done with files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FilesAccess {
    /// They may be read.
    ReadOnly,
    /// They may be read and changed.
    ReadWrite,
}

impl fmt::Display for FilesAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReadOnly => "read-only",
            Self::ReadWrite => "read-write",
        })
    }
}

/// Table `[capabilities]` of a manifest: all that a component wants to use. Other components need no entry: its imports name
/// their interfaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Capabilities {
    /// Where it wants to send HTTP requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpRule>,
    /// Buckets of key-value pairs that it wants to open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keyvalue: Vec<Label>,
    /// What it wants to do with files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesAccess>,
    /// Secrets that it wants to read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Label>,
}

/// What an operator lets a component use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Grants {
    /// Where it may send HTTP requests.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpGrant>,
    /// Buckets that it may open.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keyvalue: Vec<BucketGrant>,
    /// What it may do with files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesGrant>,
    /// Secrets that it may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Label>,
    /// Components that it may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentName>,
}

/// Requests that are let out. Of several grants that allow a request the narrowest counts, wherever it stands: the first that
/// is not wider than another one of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct HttpGrant {
    /// Which.
    pub allow: HttpRule,
    /// Private, loopback, link-local and other special addresses that the host's name may resolve to. All others of these
    /// kinds are refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNet>,
    /// What the host adds to each request; the component never sees it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Credential>,
}

/// A header that the host adds to requests, with a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Credential {
    /// The header's name, as `authorization`.
    pub header: String,
    /// Text before the secret, as `Bearer `.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prefix: String,
    /// The secret of the component that is the rest.
    pub secret: Label,
}

impl Credential {
    fn check(&self) -> Result<(), GrantsError> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let (header, prefix) = (self.header.as_str(), self.prefix.as_str());
        let fault = if header.is_empty() || header.len() > LABEL_BYTES_MAX || !header.bytes().all(is_token) {
            "is no name of a header"
        } else if is_reserved_header(header) {
            "is a header that says how bytes travel"
        } else if prefix.len() > LABEL_BYTES_MAX || !prefix.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            "has a prefix that is no text for a header"
        } else {
            return Ok(());
        };
        let shown: String = header.chars().take(80).collect();
        Err(GrantsError(format!("the credential's header {shown:?} {fault}")))
    }
}

/// Whether a header says who is addressed or how bytes travel, and so is neither a component's nor an operator's to set.
pub fn is_reserved_header(name: &str) -> bool {
    const RESERVED: [&str; 9] = [
        "connection",
        "content-length",
        "host",
        "http2-settings",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let name = name.to_ascii_lowercase();
    RESERVED.contains(&name.as_str()) || name.starts_with("proxy-")
}

/// A bucket and how much it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BucketGrant {
    /// The bucket's name, as the component opens it.
    pub bucket: Label,
    /// Whose pairs the bucket holds.
    #[serde(default)]
    pub scope: BucketScope,
    /// The configured key-value store that it is in; none: the host's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<Label>,
    /// Bytes of keys and values in it, per tenant unless it is shared.
    #[serde(default = "bucket_bytes_max")]
    pub bytes_max: u64,
    /// Keys in it, per tenant unless it is shared.
    #[serde(default = "bucket_keys_max")]
    pub keys_max: u64,
}

/// Whose pairs a bucket holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BucketScope {
    /// Each tenant has its own, for this component.
    #[default]
    Tenant,
    /// All tenants have one, for this component.
    Component,
    /// One for all components and tenants that are granted a shared bucket of this name.
    Shared,
}

/// What a component may do with the files of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FilesGrant {
    /// Whether it may change them.
    pub access: FilesAccess,
    /// Bytes of all files of one tenant.
    #[serde(default = "files_bytes_max")]
    pub bytes_max: u64,
    /// Files and directories of one tenant.
    #[serde(default = "files_max")]
    pub files_max: u64,
}

fn bucket_bytes_max() -> u64 {
    BUCKET_BYTES_MAX
}

fn bucket_keys_max() -> u64 {
    BUCKET_KEYS_MAX
}

fn files_bytes_max() -> u64 {
    FILES_BYTES_MAX
}

fn files_max() -> u64 {
    FILES_MAX
}

impl BucketGrant {
    /// A bucket per tenant in the host's own store, of the usual size.
    pub fn of(bucket: Label) -> Self {
        let (bytes_max, keys_max) = (BUCKET_BYTES_MAX, BUCKET_KEYS_MAX);
        Self { bucket, scope: BucketScope::default(), store: None, bytes_max, keys_max }
    }
}

impl FilesGrant {
    /// A directory of the usual size.
    pub fn of(access: FilesAccess) -> Self {
        Self { access, bytes_max: FILES_BYTES_MAX, files_max: FILES_MAX }
    }
}

/// Grants that contradict themselves or are too many.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct GrantsError(String);

impl Grants {
    /// Checks what the types do not say.
    pub fn check(&self) -> Result<(), GrantsError> {
        let lists = [
            ("http", self.http.len()),
            ("keyvalue", self.keyvalue.len()),
            ("secrets", self.secrets.len()),
            ("components", self.components.len()),
        ];
        if let Some((name, length)) = lists.into_iter().find(|(_, length)| *length > ENTRIES_MAX) {
            return Err(GrantsError(format!("{name} has {length} entries; at most {ENTRIES_MAX} are taken")));
        }
        for grant in &self.http {
            if grant.addresses.len() > ENTRIES_MAX {
                return Err(GrantsError(format!("{} has over {ENTRIES_MAX} addresses", grant.allow)));
            }
            if let Some(net) = grant.addresses.iter().find(|net| is_mapped(net)) {
                return Err(GrantsError(format!("{net}: write IPv4 addresses inside IPv6 as IPv4 addresses")));
            }
            grant.credential.as_ref().map_or(Ok(()), Credential::check)?;
        }
        let mut buckets = BTreeSet::new();
        if let Some(twice) = self.keyvalue.iter().find(|grant| !buckets.insert(&grant.bucket)) {
            return Err(GrantsError(format!("keyvalue names the bucket {} twice", twice.bucket)));
        }
        Ok(())
    }
}

/// Whether these are IPv4 addresses written as IPv6 ones. Addresses are compared as IPv4 then, and none would be in it.
fn is_mapped(net: &IpNet) -> bool {
    match net {
        IpNet::V4(_) => false,
        IpNet::V6(net) => net.prefix_len() >= MAPPED_PREFIX_BITS && net.addr().to_ipv4_mapped().is_some(),
    }
}

/// Something that a version asks for and is not granted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Missing {
    /// What, as `http https://api.example.cn`.
    pub capability: String,
    /// Flags of `wares grants add` that would grant it.
    pub flags: String,
}

/// What a version asks for, as far as that can be told from what it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Asked {
    /// By its manifest; none: it has no manifest, and whatever is granted will do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Capabilities>,
    /// Full names of the interfaces that it imports and by which nothing can be had without a grant. That it imports them does
    /// not say that it uses them: toolchains import what a program may never call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<String>,
    /// Interfaces that it imports and that other components provide.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceName>,
}

/// Interfaces, or packages of them, by which nothing can be had without a grant.
const NEED_GRANT: [&str; 4] = ["wasi:http/outgoing-handler", "wasi:http/client", "wasi:keyvalue/", "wares:secrets/"];

fn needs_grant(import: &str) -> bool {
    let name = import.split('@').next().unwrap_or(import);
    NEED_GRANT.iter().any(|prefix| if prefix.ends_with('/') { name.starts_with(prefix) } else { name == *prefix })
}

impl Asked {
    /// What a version with this manifest and these imports asks for.
    pub fn of(manifest: Option<&Capabilities>, imports: &[String]) -> Self {
        let interfaces = imports.iter().filter_map(|import| InterfaceName::of_shelf(import)).collect();
        let imports = imports.iter().filter(|import| needs_grant(import)).cloned().collect();
        Self { manifest: manifest.cloned(), imports, interfaces }
    }

    /// What its manifest asks for and is not granted.
    pub fn missing(&self, grants: &Grants) -> Vec<Missing> {
        self.manifest.as_ref().map(|asked| asked.missing(grants)).unwrap_or_default()
    }
}

impl Capabilities {
    /// The key of what it asks for that lasts beyond the call, or is seen outside of it.
    pub fn effect(&self) -> Option<&'static str> {
        let writes = self.files == Some(FilesAccess::ReadWrite);
        [(!self.http.is_empty(), "http"), (!self.keyvalue.is_empty(), "keyvalue"), (writes, "files")]
            .into_iter()
            .find_map(|(asked, key)| asked.then_some(key))
    }

    fn missing(&self, grants: &Grants) -> Vec<Missing> {
        let missing = |capability: String, flags: String| Missing { capability, flags };
        let http = self.http.iter().filter(|rule| !grants.http.iter().any(|grant| grant.allow.covers(rule)));
        let mut all: Vec<_> = http.map(|rule| missing(format!("http {rule}"), format!("--http '{rule}'"))).collect();
        let buckets = self.keyvalue.iter().filter(|name| grants.bucket(name).is_none());
        all.extend(buckets.map(|name| missing(format!("keyvalue {name}"), format!("--keyvalue {name}"))));
        if let Some(access) = self.files.filter(|asked| grants.files.is_none_or(|grant| grant.access < *asked)) {
            all.push(missing(format!("files {access}"), format!("--files {access}")));
        }
        let secrets = self.secrets.iter().filter(|name| !grants.secrets.contains(name));
        all.extend(secrets.map(|name| missing(format!("secret {name}"), format!("--secret {name}"))));
        all
    }
}

impl Grants {
    fn bucket(&self, name: &Label) -> Option<&BucketGrant> {
        self.keyvalue.iter().find(|grant| grant.bucket == *name)
    }
}

/// What both a version's asks and its component's grants allow: what its calls may use.
#[derive(Debug, Clone, Default)]
pub struct Granted {
    asked: Option<Capabilities>,
    grants: Arc<Grants>,
}

impl Granted {
    /// What a version that asks for this is allowed by these grants.
    pub fn new(asked: &Asked, grants: Arc<Grants>) -> Self {
        Self { asked: asked.manifest.clone(), grants }
    }

    /// All that the component is granted, asked for or not.
    pub fn grants(&self) -> &Grants {
        &self.grants
    }

    /// What the manifest asks for; none: there is no manifest, and whatever is granted will do.
    pub fn asked(&self) -> Option<&Capabilities> {
        self.asked.as_ref()
    }

    /// The grant by which a request may go out, if it may.
    pub fn http(&self, target: &HttpTarget<'_>) -> Option<&HttpGrant> {
        let asked = self.asked.as_ref().is_none_or(|asked| asked.http.iter().any(|rule| rule.allows(target)));
        let allowing = || self.grants.http.iter().filter(|grant| asked && grant.allow.allows(target));
        allowing().find(|grant| !allowing().any(|other| grant.allow.is_wider_than(&other.allow)))
    }

    /// The bucket of this name, if it may be opened.
    pub fn bucket(&self, name: &str) -> Option<&BucketGrant> {
        let asked = self.asked.as_ref().is_none_or(|asked| asked.keyvalue.iter().any(|bucket| bucket.as_str() == name));
        self.grants.keyvalue.iter().find(|grant| asked && grant.bucket.as_str() == name)
    }

    /// What may be done with files, if anything.
    pub fn files(&self) -> Option<FilesGrant> {
        let grant = self.grants.files?;
        match &self.asked {
            None => Some(grant),
            Some(asked) => Some(FilesGrant { access: grant.access.min(asked.files?), ..grant }),
        }
    }

    /// The secret of this name, if it may be read.
    pub fn secret(&self, name: &str) -> Option<&Label> {
        let asked = self.asked.as_ref().is_none_or(|asked| asked.secrets.iter().any(|secret| secret.as_str() == name));
        self.grants.secrets.iter().find(|secret| asked && secret.as_str() == name)
    }

    /// Whether this component may be called.
    pub fn component(&self, name: &ComponentName) -> bool {
        self.grants.components.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capabilities(text: &str) -> Capabilities {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn what_is_missing_comes_with_the_flags_that_grant_it() {
        let manifest = capabilities(
            "http = ['https://api.example.cn', 'https://*.gov.cn']\nkeyvalue = ['rates']\nfiles = 'read-write'\nsecrets = ['token']",
        );
        let asked = Asked::of(Some(&manifest), &[]);
        let grants: Grants = serde_json::from_str(
            r#"{"http": [{"allow": "https://*.example.cn"}], "files": {"access": "read-only"}, "secrets": ["token"]}"#,
        )
        .unwrap();
        let missing = asked.missing(&grants);
        let flags: Vec<_> = missing.iter().map(|one| one.flags.as_str()).collect();
        assert_eq!(flags, ["--http 'https://*.gov.cn'", "--keyvalue rates", "--files read-write"]);
        let granted = Granted::new(&asked, Arc::new(grants));
        assert_eq!(granted.files().map(|files| files.access), Some(FilesAccess::ReadOnly));
        assert!(granted.secret("token").is_some() && granted.secret("other").is_none());
        assert!(granted.bucket("rates").is_none());
    }

    #[test]
    fn what_is_imported_is_not_what_is_asked_for() {
        let imports = ["wasi:http/outgoing-handler@0.2.6".to_owned(), "wasi:cli/stdout@0.2.6".to_owned()];
        for manifest in [None, Some(&Capabilities::default())] {
            let asked = Asked::of(manifest, &imports);
            assert_eq!(asked.imports, ["wasi:http/outgoing-handler@0.2.6"]);
            assert_eq!(asked.missing(&Grants::default()), []);
        }
    }

    #[test]
    fn only_what_is_asked_and_granted_is_allowed() {
        let asked = Asked::of(Some(&capabilities("http = ['GET https://a.cn']")), &[]);
        let grants: Grants =
            serde_json::from_str(r#"{"http": [{"allow": "https://a.cn"}, {"allow": "https://b.cn"}]}"#).unwrap();
        let granted = Granted::new(&asked, Arc::new(grants));
        let target = |method, host| HttpTarget { scheme: "https", host, port: 443, method };
        assert!(granted.http(&target("GET", "a.cn")).is_some());
        assert!(granted.http(&target("POST", "a.cn")).is_none());
        assert!(granted.http(&target("GET", "b.cn")).is_none());
    }

    #[test]
    fn the_narrowest_grant_counts_wherever_it_stands() {
        let rules = [
            "https://*.a.cn",
            "https://*.b.a.cn",
            "GET,PUT https://c.b.a.cn:*",
            "PUT,GET https://c.b.a.cn:*",
            "https://c.b.a.cn",
        ];
        let http: Vec<_> = rules.iter().map(|rule| serde_json::json!({"allow": rule})).collect();
        let grants: Grants = serde_json::from_value(serde_json::json!({"http": http})).unwrap();
        let granted = Granted::new(&Asked::default(), Arc::new(grants));
        for (method, host, port, at) in [
            ("GET", "x.a.cn", 443, Some(0)),
            ("GET", "x.b.a.cn", 443, Some(1)),
            ("POST", "c.b.a.cn", 443, Some(4)),
            // Neither of the last three is wider than another one of them.
            ("GET", "c.b.a.cn", 443, Some(2)),
            ("GET", "c.b.a.cn", 444, Some(2)),
            ("POST", "c.b.a.cn", 444, None),
        ] {
            let found = granted.http(&HttpTarget { scheme: "https", host, port, method });
            let expected = at.map(|at: usize| rules[at].parse::<HttpRule>().unwrap());
            assert_eq!(found.map(|grant| &grant.allow), expected.as_ref(), "{method} {host}:{port}");
        }
    }

    #[test]
    fn addresses_are_written_so_that_they_can_match() {
        let check = |net: &str| {
            let grants = serde_json::json!({"http": [{"allow": "http://a.cn", "addresses": [net]}]});
            serde_json::from_value::<Grants>(grants).unwrap().check()
        };
        for net in ["10.0.0.0/8", "fd00::/8", "::/0", "::1/128"] {
            assert_eq!(check(net), Ok(()), "{net}");
        }
        for net in ["::ffff:10.0.0.0/104", "::ffff:10.0.0.1/128", "::ffff:0:0/96"] {
            assert!(check(net).is_err(), "{net}");
        }
    }

    #[test]
    fn a_credential_is_one_header_that_may_be_set() {
        let check = |header: &str, prefix: &str| {
            let credential = serde_json::json!({"header": header, "prefix": prefix, "secret": "token"});
            let grants = serde_json::json!({"http": [{"allow": "https://a.cn", "credential": credential}]});
            serde_json::from_value::<Grants>(grants).unwrap().check()
        };
        assert_eq!(check("Authorization", "Bearer "), Ok(()));
        for (header, prefix) in
            [("Host", ""), ("", ""), ("x y", ""), ("a\r\nb", ""), ("transfer-encoding", ""), ("x-key", "a\r\nb: ")]
        {
            assert!(check(header, prefix).is_err(), "{header:?} {prefix:?}");
        }
    }

    #[test]
    fn a_bucket_is_granted_once() {
        let twice: Grants =
            serde_json::from_str(r#"{"keyvalue": [{"bucket": "a"}, {"bucket": "a", "scope": "shared"}]}"#).unwrap();
        assert!(twice.check().unwrap_err().to_string().contains("twice"));
    }
}
