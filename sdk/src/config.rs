//! Values that the manifest ships and the operator may change, over `wasi:config/store`.
//!
//! Natively there is no host; a test says what is set with [`testing::set_config`](crate::testing::set_config).

use std::fmt;
use std::str::FromStr;

/// The value under the key; `None` when none is set.
///
/// # Panics
/// When the host fails to read its configuration: the call ends as a trap rather than with wrong defaults.
/// [`parse`] returns that as an error.
pub fn get(key: &str) -> Option<String> {
    match read(key) {
        Ok(value) => value,
        Err(message) => panic!("configuration {key:?} cannot be read: {message}"),
    }
}

/// All keys with their values.
///
/// # Panics
/// As [`get`].
pub fn all() -> Vec<(String, String)> {
    match read_all() {
        Ok(values) => values,
        Err(message) => panic!("the configuration cannot be read: {message}"),
    }
}

/// The value under the key as a number, a bool or whatever parses from text.
pub fn parse<T>(key: &str) -> Result<T, ConfigError>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    parse_if_set(key)?.ok_or_else(|| ConfigError::Missing { key: key.to_owned() })
}

/// Like [`parse`]; when nothing is set under the key, the default.
pub fn parse_or<T>(key: &str, default: T) -> Result<T, ConfigError>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    Ok(parse_if_set(key)?.unwrap_or(default))
}

fn parse_if_set<T>(key: &str) -> Result<Option<T>, ConfigError>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    let value = read(key).map_err(|message| ConfigError::Unreadable { key: key.to_owned(), message })?;
    let parse = |value: String| {
        value.parse().map_err(|error: T::Err| ConfigError::Invalid {
            key: key.to_owned(),
            message: error.to_string(),
            value,
        })
    };
    value.map(parse).transpose()
}

/// Why there is no value of the wanted type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigError {
    /// Nothing is set under the key.
    Missing {
        /// The key.
        key: String,
    },
    /// What is set does not parse.
    Invalid {
        /// The key.
        key: String,
        /// The text that is set.
        value: String,
        /// What is wrong with it.
        message: String,
    },
    /// The host cannot read its configuration.
    Unreadable {
        /// The key.
        key: String,
        /// What the host says.
        message: String,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { key } => {
                write!(f, "configuration {key:?} is not set: give it a value under [config] of wares.toml")
            }
            Self::Invalid { key, value, message } => write!(f, "configuration {key:?} is {value:?}: {message}"),
            Self::Unreadable { key, message } => write!(f, "configuration {key:?} cannot be read: {message}"),
        }
    }
}

impl std::error::Error for ConfigError {}

#[cfg(target_family = "wasm")]
fn read(key: &str) -> Result<Option<String>, String> {
    use crate::bindings::wasi::config::store::{Error, get};
    get(key).map_err(|(Error::Upstream(message) | Error::Io(message))| message)
}

#[cfg(target_family = "wasm")]
fn read_all() -> Result<Vec<(String, String)>, String> {
    use crate::bindings::wasi::config::store::{Error, get_all};
    get_all().map_err(|(Error::Upstream(message) | Error::Io(message))| message)
}

#[cfg(not(target_family = "wasm"))]
fn read_all() -> Result<Vec<(String, String)>, String> {
    Ok(crate::testing::config_values())
}

#[cfg(not(target_family = "wasm"))]
fn read(key: &str) -> Result<Option<String>, String> {
    Ok(crate::testing::config_value(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_parse_or_say_what_is_wrong() {
        crate::testing::set_config([("rate", "7"), ("city", "Shenzhen")]);
        assert_eq!(get("city").as_deref(), Some("Shenzhen"));
        assert_eq!(get("none"), None);
        assert_eq!(all(), [("city".into(), "Shenzhen".into()), ("rate".into(), "7".into())]);
        assert_eq!(parse("rate"), Ok(7));
        assert_eq!(parse_or("none", 3), Ok(3));
        assert_eq!(parse::<u8>("none"), Err(ConfigError::Missing { key: "none".into() }));
        let error = parse_or::<u8>("city", 3).unwrap_err().to_string();
        assert_eq!(error, "configuration \"city\" is \"Shenzhen\": invalid digit found in string");
    }
}
