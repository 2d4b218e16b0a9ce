//! Names that people choose: components and tenants.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest namespace, component name or tenant id, in bytes. Each is the name of a folder, which has at most 255 bytes.
pub const LABEL_BYTES_MAX: usize = 200;
/// Bytes of a text in a message that says what is wrong with it.
const SHOWN_BYTES_MAX: usize = 80;

/// A component's name, `namespace:name`. Both parts are labels as the component model has them for packages.
///
/// It parses from `namespace:name` (as WIT and OCI tools write it) and from `namespace/name` (as URLs and people write it),
/// and prints as `namespace:name`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentName {
    text: Arc<str>,
    colon: usize,
}

impl ComponentName {
    /// The name made of these two labels.
    pub fn new(namespace: &str, name: &str) -> Result<Self, NameError> {
        check_label(namespace)?;
        check_label(name)?;
        Ok(Self { text: format!("{namespace}:{name}").into(), colon: namespace.len() })
    }

    /// Who publishes it.
    pub fn namespace(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// The part after the namespace.
    pub fn name(&self) -> &str {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }

    /// `namespace:name`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// `namespace/name`, as URLs write it.
    pub fn path(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ComponentName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once([':', '/']) {
            Some((namespace, name)) => Self::new(namespace, name),
            None => Err(NameError::NoNamespace(shorten(text))),
        }
    }
}

impl TryFrom<String> for ComponentName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ComponentName> for String {
    fn from(name: ComponentName) -> Self {
        name.text.as_ref().to_owned()
    }
}

/// An organisation that calls, named by the operator with a label (`futian-district`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TenantId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_label(text)?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for TenantId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TenantId> for String {
    fn from(id: TenantId) -> Self {
        id.0.as_ref().to_owned()
    }
}

/// Why a text is not a name.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum NameError {
    /// A component name without a namespace.
    #[error("component name {0:?} has no namespace: write it as namespace:name, for example benefit:match")]
    NoNamespace(String),
    /// A text that is no label, or too long.
    #[error(
        "name {0:?} is not kebab-case: write words of lower-case letters and digits, joined by single hyphens, the first one \
         starting with a letter, {LABEL_BYTES_MAX} characters at most"
    )]
    NotKebabCase(String),
}

/// A label of a package: a WIT label without capitals.
pub(crate) fn check_label(text: &str) -> Result<(), NameError> {
    let fits = text.len() <= LABEL_BYTES_MAX && is_label(text) && !text.contains(|c: char| c.is_ascii_uppercase());
    if fits { Ok(()) } else { Err(NameError::NotKebabCase(shorten(text))) }
}

/// Whether a text is a label of the component model: words in lower case and acronyms in upper case, joined by single hyphens,
/// of which the first one starts with a letter.
pub(crate) fn is_label(text: &str) -> bool {
    let fragment = |text: &str, is_letter: fn(&char) -> bool| text.chars().all(|c| is_letter(&c) || c.is_ascii_digit());
    let is_fragment = |text: &str| {
        !text.is_empty() && (fragment(text, char::is_ascii_lowercase) || fragment(text, char::is_ascii_uppercase))
    };
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.split('-').all(is_fragment)
}

fn shorten(text: &str) -> String {
    text.chars().take(SHOWN_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn component_names_parse_from_both_forms() {
        for text in ["benefit:match", "benefit/match"] {
            let name: ComponentName = text.parse().unwrap();
            assert_eq!((name.namespace(), name.name()), ("benefit", "match"));
            assert_eq!(name.to_string(), "benefit:match");
            assert_eq!(name.path(), "benefit/match");
        }
    }

    #[test]
    fn other_names_are_refused() {
        let long = format!("a:{}", "b".repeat(LABEL_BYTES_MAX + 1));
        for text in
            ["", "match", "a:b:c", "A:b", "a:B", "a:", ":b", "a:-b", "a:b--c", "a:1b", "a:b c", "a/../b", "a:é", &long]
        {
            assert!(text.parse::<ComponentName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn labels_are_those_of_the_component_model() {
        for text in ["a", "a1", "v-4", "http-2", "HTTP", "a-HTTP-2", "H2", "get-URL", "a-1b", "A-b"] {
            assert!(is_label(text), "{text:?}");
        }
        for text in ["", "-", "1", "1a", "a-", "-a", "a--b", "aB", "Ab", "a_b", "a.b", "é", "a-é", "a b"] {
            assert!(!is_label(text), "{text:?}");
        }
        assert!(format!("v-4:{}", "b".repeat(LABEL_BYTES_MAX)).parse::<ComponentName>().is_ok());
    }
}
