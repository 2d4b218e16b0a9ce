//! Secrets that the operator sets, over `wares:secrets/store`. The manifest asks for each by name:
//! `[capabilities] secrets = ["token"]`.
//!
//! Natively there is no host; a test says what is set with [`testing::set_secrets`](crate::testing::set_secrets).

use std::fmt;

/// A secret. It shows itself only where [`Secret::reveal`] is written, in no `Debug` output and no error.
pub struct Secret(Held);

impl Secret {
    /// The value.
    pub fn reveal(&self) -> String {
        reveal(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Why there is no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretError {
    /// The manifest does not ask for it, or the operator did not grant it.
    NotGranted {
        /// Its name.
        name: String,
    },
    /// None is set under the name, neither for the calling tenant nor for all.
    NotSet {
        /// Its name.
        name: String,
    },
    /// The host cannot read it now.
    Unavailable {
        /// Its name.
        name: String,
        /// What the host says.
        message: String,
    },
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGranted { name } => write!(
                f,
                "secret {name:?} is not granted: ask for it under [capabilities] of wares.toml, and have the operator grant it"
            ),
            Self::NotSet { name } => write!(f, "secret {name:?} is not set: have the operator set it"),
            Self::Unavailable { name, message } => write!(f, "secret {name:?} cannot be read: {message}"),
        }
    }
}

impl std::error::Error for SecretError {}

/// The secret of this name as it is now.
pub fn get(name: &str) -> Result<Secret, SecretError> {
    read(name).map(Secret)
}

#[cfg(target_family = "wasm")]
use crate::bindings::wares::secrets::store::Secret as Held;
#[cfg(not(target_family = "wasm"))]
type Held = String;

#[cfg(target_family = "wasm")]
fn reveal(held: &Held) -> String {
    held.reveal()
}

#[cfg(target_family = "wasm")]
fn read(name: &str) -> Result<Held, SecretError> {
    use crate::bindings::wares::secrets::store::{Error, get};
    let name = name.to_owned();
    get(&name).map_err(|error| match error {
        Error::NotGranted => SecretError::NotGranted { name },
        Error::NotSet => SecretError::NotSet { name },
        Error::Unavailable(message) => SecretError::Unavailable { name, message },
    })
}

#[cfg(not(target_family = "wasm"))]
fn reveal(held: &Held) -> String {
    held.clone()
}

#[cfg(not(target_family = "wasm"))]
fn read(name: &str) -> Result<Held, SecretError> {
    crate::testing::secret_value(name).ok_or_else(|| SecretError::NotSet { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_only_when_told_to() {
        crate::testing::set_secrets([("token", "hush")]);
        let secret = get("token").unwrap();
        assert_eq!((secret.reveal().as_str(), format!("{secret:?}").as_str()), ("hush", "Secret(…)"));
        assert_eq!(get("none").unwrap_err(), SecretError::NotSet { name: "none".into() });
    }
}
