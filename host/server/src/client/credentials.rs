//! Which host a client command talks to, and with which key: flags, then `WARES_HOST` and `WARES_KEY`, then `client.toml`.

use super::{Client, ClientError};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use wares_store::open_key_file;

/// Name of the file in the data directory.
const FILE_NAME: &str = "client.toml";
/// Bytes of it, with room.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Where a host listens when nothing says otherwise.
const HOST_DEFAULT: &str = "http://127.0.0.1:8787";

/// Flags of every command that talks to a host.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Host")]
pub struct Access {
    /// URL of the host [default: what `wares demo` noted in the data directory, else http://127.0.0.1:8787]
    #[arg(long, env = "WARES_HOST", value_name = "URL", hide_env_values = true)]
    pub host: Option<String>,
    /// Key to send [default: what `wares demo` noted in the data directory]
    #[arg(long, env = "WARES_KEY", value_name = "KEY", hide_env_values = true)]
    pub key: Option<String>,
}

/// What `wares demo` notes for the commands that follow it. Holds keys: only its owner may read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ClientFile {
    /// URL of the host.
    pub host: String,
    /// Key for operators' work.
    pub admin_key: String,
    /// Key for calls.
    pub tenant_key: Option<String>,
}

/// Whose key a command needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// An operator's.
    Admin,
    /// A tenant's.
    Tenant,
}

impl Access {
    /// A client for the host with a key for this role.
    pub fn client(&self, data_dir: &Path, role: Role) -> anyhow::Result<Client> {
        let noted = ClientFile::read(data_dir)?;
        let (host, key) = self.choose(data_dir, noted, role)?;
        Ok(Client::new(&host, &key)?)
    }

    fn choose(&self, data_dir: &Path, noted: Option<ClientFile>, role: Role) -> Result<(String, String), ClientError> {
        let same_host = |noted: &ClientFile| match &self.host {
            None => true,
            Some(host) => host.trim_end_matches('/') == noted.host.trim_end_matches('/'),
        };
        let there = ClientFile::path(data_dir);
        // A key goes to the host that it was noted for and to no other.
        let (noted, why) = match noted {
            None => (None, format!("there is no key: {} does not exist", there.display())),
            Some(noted) if same_host(&noted) => (Some(noted), format!("{} has no key for calls", there.display())),
            Some(noted) => (None, format!("there is no key: those in {} are for {}", there.display(), noted.host)),
        };
        let noted_host = noted.as_ref().map(|noted| noted.host.clone());
        let noted_key = noted.and_then(|noted| match role {
            Role::Admin => Some(noted.admin_key),
            Role::Tenant => noted.tenant_key,
        });
        let key = self.key.clone().or(noted_key).ok_or(ClientError::NoKey { why })?;
        let host = self.host.clone().or(noted_host).unwrap_or_else(|| HOST_DEFAULT.to_owned());
        Ok((host, key))
    }
}

impl ClientFile {
    fn path(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE_NAME)
    }

    /// What is noted in this data directory.
    pub fn read(data_dir: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::path(data_dir);
        let mut text = String::new();
        let read = open_key_file(&path).and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
        toml::from_str(&text).map(Some).with_context(|| path.display().to_string())
    }

    /// Notes it, as a whole or not at all.
    pub fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
        let path = Self::path(data_dir);
        let new = path.with_extension("toml.new");
        let write = || -> anyhow::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(toml::to_string(self)?.as_bytes())?;
            file.sync_all()?;
            Ok(fs::rename(&new, &path)?)
        };
        write().with_context(|| format!("writing {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn noted() -> ClientFile {
        ClientFile { host: "http://h:1".into(), admin_key: "a".into(), tenant_key: Some("t".into()) }
    }

    #[test]
    fn flags_win_and_keys_go_to_their_own_host_only() {
        type Case = (Option<&'static str>, Option<&'static str>, bool, Role, Option<(&'static str, &'static str)>);
        let cases: [Case; 8] = [
            (None, None, true, Role::Admin, Some(("http://h:1", "a"))),
            (None, None, true, Role::Tenant, Some(("http://h:1", "t"))),
            (None, Some("k"), true, Role::Tenant, Some(("http://h:1", "k"))),
            (Some("http://h:1/"), None, true, Role::Admin, Some(("http://h:1/", "a"))),
            (Some("http://other"), None, true, Role::Admin, None),
            (Some("http://other"), Some("k"), true, Role::Admin, Some(("http://other", "k"))),
            (None, None, false, Role::Admin, None),
            (None, Some("k"), false, Role::Admin, Some((HOST_DEFAULT, "k"))),
        ];
        for (host, key, has_file, role, expected) in cases {
            let access = Access { host: host.map(str::to_owned), key: key.map(str::to_owned) };
            let chosen = access.choose(Path::new("d"), has_file.then(noted), role).ok();
            let expected = expected.map(|(host, key)| (host.to_owned(), key.to_owned()));
            assert_eq!(chosen, expected, "{host:?} {key:?} {has_file} {role:?}");
        }
    }

    #[test]
    fn the_file_round_trips_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(ClientFile::read(dir.path()).unwrap(), None);
        noted().write(dir.path()).unwrap();
        assert_eq!(ClientFile::read(dir.path()).unwrap(), Some(noted()));
        let mode = fs::metadata(ClientFile::path(dir.path())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
