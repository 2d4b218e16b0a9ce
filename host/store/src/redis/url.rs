//! The address of a Redis server, with a password that is never shown.

use redis::IntoConnectionInfo as _;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A URL as `redis://:PASSWORD@HOST:PORT/DATABASE`; `rediss://` goes over TLS. What shows it hides the password.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedisUrl(String);

/// A text that is no address of a Redis server. It does not say which: there may be a password in it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("that is no address of a Redis server: write redis://HOST:PORT, or rediss://:PASSWORD@HOST:PORT ({0})")]
pub struct RedisUrlError(String);

impl RedisUrl {
    pub(super) fn secret(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for RedisUrl {
    type Error = RedisUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // Other schemes have other places for a password.
        if !["redis://", "rediss://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(RedisUrlError("another scheme".to_owned()));
        }
        match text.as_str().into_connection_info() {
            Ok(_) => Ok(Self(text)),
            Err(error) => Err(RedisUrlError(error.category().to_owned())),
        }
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.split_once("://"), self.0.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, place))) => write!(f, "{scheme}://***@{place}"),
            _ => f.write_str(&self.0),
        }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<RedisUrl> for String {
    fn from(url: RedisUrl) -> Self {
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let url = RedisUrl::try_from("redis://user:p@ss@cache.example:6379/2".to_owned());
        let url = url.unwrap_or_else(|_| RedisUrl("redis://user:p@ss@cache.example:6379/2".into()));
        assert_eq!(url.to_string(), "redis://***@cache.example:6379/2");
        assert_eq!(format!("{url:?}"), url.to_string());
        let plain = RedisUrl::try_from("redis://127.0.0.1:6379".to_owned()).unwrap();
        assert_eq!(plain.to_string(), "redis://127.0.0.1:6379");
        for other in ["http://:secret@x", "redis+unix:///run/redis?pass=secret", "unix:///run/redis?pass=secret"] {
            let error = RedisUrl::try_from(other.to_owned()).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
