//! Values that operators set over those of manifests.

use crate::Catalog;
use crate::snapshot::Snapshot;
use std::sync::{Arc, LazyLock};
use wares_model::config::ConfigScope;
use wares_model::limits::{CONFIG_BYTES_MAX, CONFIG_VALUES_MAX};
use wares_model::{ComponentName, ConfigOverrides, TenantId, Timestamp};
use wares_store::{ConfigRecord, StoreError};

/// What is set for a component of which nothing was said: one and the same, so that it can be told by its address.
pub(crate) static NO_CONFIG: LazyLock<Arc<ConfigOverrides>> = LazyLock::new(Arc::default);

/// A value to set.
#[derive(Debug, Clone)]
pub struct ConfigRequest {
    /// For which component.
    pub component: ComponentName,
    /// For which calls of it.
    pub scope: ConfigScope,
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// Who asks.
    pub actor: String,
}

/// Why a value is not set or removed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The key is empty or has control characters.
    #[error("a key must have a character, and no control characters")]
    BadKey,
    /// There is no such tenant.
    #[error("there is no tenant {0}; `GET /v1/tenants` lists them")]
    NoTenant(TenantId),
    /// There would be too much of it.
    #[error("{0}")]
    TooLarge(String),
    /// Nothing is set there.
    #[error("{component} has no value for {key:?} set for {scope}")]
    NotSet {
        /// Of which component.
        component: ComponentName,
        /// For which calls.
        scope: ConfigScope,
        /// Which.
        key: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Snapshot {
    /// What is set for a component.
    pub(crate) fn config_of(&self, component: &ComponentName) -> Arc<ConfigOverrides> {
        Arc::clone(self.config.get(component).unwrap_or(&NO_CONFIG))
    }

    pub(crate) fn put_config(&mut self, record: ConfigRecord) {
        let ConfigRecord { component, scope, key, value, .. } = record;
        self.change_config(component, |config| config.set(scope, key, value));
    }

    fn change_config(&mut self, component: ComponentName, change: impl FnOnce(&mut ConfigOverrides)) {
        change(Arc::make_mut(self.config.entry(component.clone()).or_default()));
        let versions = self.component(&component).map(|entry| entry.versions.values().cloned().collect::<Vec<_>>());
        versions.into_iter().flatten().for_each(|version| self.put_version(version));
    }

    /// Checks that what any one call sees has a bound: a tenant's values count together with those above it.
    fn check_config(&self, config: &ConfigOverrides) -> Result<(), ConfigError> {
        if config.len() > CONFIG_VALUES_MAX {
            let detail = format!("a component may have {CONFIG_VALUES_MAX} values set over its manifest's");
            return Err(ConfigError::TooLarge(detail));
        }
        let of_version = |scope: &&ConfigScope| matches!(scope, ConfigScope::Version(_));
        let version = config.scopes().filter(of_version).map(|scope| config.bytes(scope)).max().unwrap_or_default();
        let line = |scope: &ConfigScope| match scope {
            ConfigScope::Tenant(tenant) => {
                let line = self.tenants.get(tenant).map(|tenant| tenant.line.iter());
                line.into_iter().flatten().map(|tenant| config.bytes(&ConfigScope::Tenant(tenant.clone()))).sum::<u64>()
            }
            _ => 0,
        };
        let tenant = config.scopes().map(line).max().unwrap_or_default();
        let most = config.bytes(&ConfigScope::Component) + version + tenant;
        if most > CONFIG_BYTES_MAX {
            let detail =
                format!("a call could see {most} bytes of set keys and values; at most {CONFIG_BYTES_MAX} are taken");
            return Err(ConfigError::TooLarge(detail));
        }
        Ok(())
    }
}

impl Catalog {
    /// Sets a value. Every call that begins from now on sees it.
    pub async fn set_config(&self, request: ConfigRequest) -> Result<ConfigRecord, ConfigError> {
        let ConfigRequest { component, scope, key, value, actor } = request;
        if key.is_empty() || key.chars().any(char::is_control) {
            return Err(ConfigError::BadKey);
        }
        let changing = self.change().await;
        {
            let snapshot = self.snapshot();
            if let ConfigScope::Tenant(tenant) = &scope
                && !snapshot.has_tenant(tenant)
            {
                return Err(ConfigError::NoTenant(tenant.clone()));
            }
            let mut config = ConfigOverrides::clone(&snapshot.config_of(&component));
            config.set(scope.clone(), key.clone(), value.clone());
            snapshot.check_config(&config)?;
        }
        let record = ConfigRecord { component, scope, key, value, actor, at: Timestamp::now() };
        self.store().put_config(&record).await?;
        self.publish_snapshot(&changing, |next| next.put_config(record.clone()));
        Ok(record)
    }

    /// Removes a value: what stands behind it counts again, for every call that begins from now on.
    pub async fn unset_config(
        &self,
        component: &ComponentName,
        scope: &ConfigScope,
        key: &str,
    ) -> Result<(), ConfigError> {
        let changing = self.change().await;
        if !self.store().remove_config(component, scope, key).await? {
            let (component, scope, key) = (component.clone(), scope.clone(), key.to_owned());
            return Err(ConfigError::NotSet { component, scope, key });
        }
        self.publish_snapshot(&changing, |next| {
            next.change_config(component.clone(), |config| config.unset(scope, key))
        });
        Ok(())
    }
}
