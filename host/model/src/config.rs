//! Named values of a component: those of its manifest, and those that an operator sets over them.

use crate::{TenantId, Version};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Values by key.
pub type ConfigValues = BTreeMap<String, String>;

/// For which calls of a component a value stands. Of several values under one key the one counts that is furthest down here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case", into = "ScopeFields")]
pub enum ConfigScope {
    /// All of them.
    Component,
    /// Those that this version serves.
    Version(Version),
    /// Those of this tenant, and of the tenants below it that have no value of their own.
    Tenant(TenantId),
}

/// A scope as an answer writes it: with the version or the tenant, or with neither.
#[derive(Serialize)]
struct ScopeFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<Version>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
}

impl From<ConfigScope> for ScopeFields {
    fn from(scope: ConfigScope) -> Self {
        match scope {
            ConfigScope::Component => Self { version: None, tenant: None },
            ConfigScope::Version(version) => Self { version: Some(version), tenant: None },
            ConfigScope::Tenant(tenant) => Self { version: None, tenant: Some(tenant) },
        }
    }
}

impl fmt::Display for ConfigScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component => f.write_str("the component"),
            Self::Version(version) => write!(f, "version {version}"),
            Self::Tenant(tenant) => write!(f, "tenant {tenant}"),
        }
    }
}

/// All that an operator set for one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigOverrides(BTreeMap<ConfigScope, ConfigValues>);

impl ConfigOverrides {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many values are set.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Sets a value.
    pub fn set(&mut self, scope: ConfigScope, key: String, value: String) {
        self.0.entry(scope).or_default().insert(key, value);
    }

    /// Removes a value.
    pub fn unset(&mut self, scope: &ConfigScope, key: &str) {
        if let Some(values) = self.0.get_mut(scope) {
            values.remove(key);
            if values.is_empty() {
                self.0.remove(scope);
            }
        }
    }

    /// Bytes of the keys and values of one scope.
    pub fn bytes(&self, scope: &ConfigScope) -> u64 {
        self.0.get(scope).map_or(0, bytes)
    }

    /// The scopes that have values.
    pub fn scopes(&self) -> impl Iterator<Item = &ConfigScope> {
        self.0.keys()
    }

    /// What a call sees: the manifest's values under those for the component, the version, and the tenants of `line`, which
    /// begins with the call's tenant and goes up.
    pub fn over(&self, manifest: &ConfigValues, version: &Version, line: &[TenantId]) -> ConfigValues {
        let mut seen = manifest.clone();
        let tenants = line.iter().rev().map(|tenant| ConfigScope::Tenant(tenant.clone()));
        for scope in [ConfigScope::Component, ConfigScope::Version(version.clone())].into_iter().chain(tenants) {
            let values = self.0.get(&scope).into_iter().flatten();
            seen.extend(values.map(|(key, value)| (key.clone(), value.clone())));
        }
        seen
    }
}

/// Bytes of keys and values.
pub fn bytes(values: &ConfigValues) -> u64 {
    values.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_value_counts() {
        let tenant = |name: &str| ConfigScope::Tenant(name.parse().unwrap());
        let version = |number: &str| ConfigScope::Version(number.parse().unwrap());
        let mut set = ConfigOverrides::default();
        let mut put = |scope, value: &str| set.set(scope, "rate".into(), value.into());
        let (of, seen) = (Version::new(1, 0, 0), ["street", "district", "city"].map(|name| name.parse().unwrap()));
        let rate =
            |set: &ConfigOverrides| set.over(&[("rate".into(), "manifest".into())].into(), &of, &seen)["rate"].clone();
        put(tenant("elsewhere"), "elsewhere");
        put(version("2.0.0"), "2.0.0");
        assert_eq!(rate(&set), "manifest");
        for scope in [ConfigScope::Component, version("1.0.0"), tenant("city"), tenant("district"), tenant("street")] {
            let name = scope.to_string();
            set.set(scope, "rate".into(), name.clone());
            assert_eq!(rate(&set), name);
        }
        set.unset(&tenant("street"), "rate");
        assert_eq!(rate(&set), "tenant district");
        assert_eq!((set.len(), set.bytes(&tenant("street"))), (6, 0));
    }
}
