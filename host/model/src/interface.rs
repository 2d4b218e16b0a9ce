//! Full names of interfaces, and which of them other components provide.

use crate::limits::INTERFACE_NAME_BYTES_MAX;
use crate::name::is_label;
use crate::{ComponentName, Version, VersionReq};
use semver::{Comparator, Op};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Namespaces whose interfaces a host gives, or nobody does.
const OF_HOSTS: [&str; 2] = ["wasi", "wares"];

/// An interface's full name: `namespace:package/interface`, with the package's version after an `@` if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InterfaceName {
    /// The package.
    pub package: ComponentName,
    /// The interface in it.
    pub interface: Arc<str>,
    /// The package's version.
    pub version: Option<Version>,
}

/// A text that names no interface.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} names no interface: write namespace:package/interface, with @1.2.3 after it for a version")]
pub struct ParseInterfaceNameError(String);

/// The full name of an interface without its version.
pub fn unversioned(full: &str) -> &str {
    split(full).0
}

/// A full name of an interface, and the version after it.
pub fn split(full: &str) -> (&str, Option<&str>) {
    full.split_once('@').map_or((full, None), |(name, version)| (name, Some(version)))
}

impl InterfaceName {
    /// The interface that an import names, if it is one that other components may provide.
    pub fn of_shelf(import: &str) -> Option<Self> {
        let name: Self = import.parse().ok()?;
        (!OF_HOSTS.contains(&name.package.namespace())).then_some(name)
    }

    /// The name without its version.
    pub fn unversioned(&self) -> String {
        format!("{}/{}", self.package, self.interface)
    }

    /// Which versions of the interface serve one who imports this one: the same or a later one on its line.
    pub fn requirement(&self) -> Option<VersionReq> {
        let Version { major, minor, patch, pre, .. } = self.version.clone()?;
        let op = if pre.is_empty() { Op::Caret } else { Op::Exact };
        Some(VersionReq { comparators: vec![Comparator { op, major, minor: Some(minor), patch: Some(patch), pre }] })
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.package, self.interface)?;
        self.version.iter().try_for_each(|version| write!(f, "@{version}"))
    }
}

impl FromStr for InterfaceName {
    type Err = ParseInterfaceNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (name, version) = split(text);
            let (package, interface) = name.split_once('/')?;
            let (namespace, package) = package.split_once(':')?;
            (text.len() <= INTERFACE_NAME_BYTES_MAX && is_label(interface)).then_some(())?;
            let version = version.map(Version::from_str).transpose().ok()?;
            Some(Self { package: ComponentName::new(namespace, package).ok()?, interface: interface.into(), version })
        };
        parse().ok_or_else(|| ParseInterfaceNameError(text.chars().take(80).collect()))
    }
}

impl TryFrom<String> for InterfaceName {
    type Error = ParseInterfaceNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<InterfaceName> for String {
    fn from(name: InterfaceName) -> Self {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_of_other_components_are_told_from_all_others() {
        for (import, of_shelf) in [
            ("acme:tax/rates@1.2.0", true),
            ("acme:tax/rates", true),
            ("acme:two/HTTP@1.0.0", true),
            ("acme:three/http-2@1.0.0", true),
            ("acme:v-4/plain@1.0.0", true),
            (&format!("acme:long/{}", "a".repeat(200)), true),
            ("acme:Tax/rates", false),
            ("acme:tax/Rates", false),
            ("wasi:http/types@0.2.6", false),
            ("wares:secrets/store@1.0.0", false),
            ("do-something", false),
            ("acme:tax", false),
            ("acme:tax/rates@one", false),
            ("acme:tax/rates/more", false),
            ("wasi_snapshot_preview1", false),
        ] {
            let name = InterfaceName::of_shelf(import);
            assert_eq!(name.map(|name| name.to_string()), of_shelf.then(|| import.to_owned()), "{import}");
        }
    }

    #[test]
    fn an_import_is_served_by_the_same_or_a_later_version_on_its_line() {
        for (import, version, serves) in [
            ("1.2.0", "1.2.0", true),
            ("1.2.0", "1.9.0", true),
            ("1.2.0", "1.1.9", false),
            ("1.2.0", "2.0.0", false),
            ("0.2.1", "0.2.4", true),
            ("0.2.1", "0.3.0", false),
            ("1.0.0-rc.1", "1.0.0-rc.1", true),
            ("1.0.0-rc.1", "1.0.0", false),
        ] {
            let name: InterfaceName = format!("a:b/c@{import}").parse().unwrap();
            let matches = name.requirement().unwrap().matches(&version.parse().unwrap());
            assert_eq!(matches, serves, "{import} {version}");
        }
    }
}
