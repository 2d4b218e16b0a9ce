//! Values that operators set over those of manifests, as they are stored, and the interface to them.

use crate::StoreError;
use async_trait::async_trait;
use serde::Serialize;
use wares_model::config::ConfigScope;
use wares_model::{ComponentName, Timestamp};

/// A value that an operator set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConfigRecord {
    /// Whose.
    pub component: ComponentName,
    /// For which calls of it.
    #[serde(flatten)]
    pub scope: ConfigScope,
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
    /// Who set it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// Values set over those of manifests.
#[async_trait]
pub trait ConfigStore: Send + Sync + 'static {
    /// Sets a value.
    async fn put_config(&self, record: &ConfigRecord) -> Result<(), StoreError>;

    /// Removes a value; the answer is whether there was one.
    async fn remove_config(
        &self,
        component: &ComponentName,
        scope: &ConfigScope,
        key: &str,
    ) -> Result<bool, StoreError>;

    /// All values of one component, or of all.
    async fn config(&self, component: Option<&ComponentName>) -> Result<Vec<ConfigRecord>, StoreError>;
}
