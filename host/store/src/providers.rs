//! Which component provides an interface, as it is stored, and the interface to it.

use crate::StoreError;
use async_trait::async_trait;
use serde::Serialize;
use wares_model::{ComponentName, TenantId, Timestamp};

/// A choice of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProviderRecord {
    /// The interface, `namespace:package/interface` without a version.
    pub interface: String,
    /// For which tenant, and those below it without a choice of their own; none: for all.
    pub tenant: Option<TenantId>,
    /// Who provides it; none: the choice was taken back.
    pub component: Option<ComponentName>,
    /// Who chose.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Choices of providers and their history.
#[async_trait]
pub trait ProviderStore: Send + Sync + 'static {
    /// Adds a choice; it replaces the one before it for the same interface and tenant.
    async fn choose_provider(&self, choice: ProviderRecord) -> Result<(), StoreError>;

    /// The choices that stand, by interface and tenant.
    async fn providers(&self) -> Result<Vec<ProviderRecord>, StoreError>;

    /// Choices that were made for an interface, newest first; with `before`, those made before that time only.
    async fn provider_history(
        &self,
        interface: &str,
        limit: u32,
        before: Option<Timestamp>,
    ) -> Result<Vec<ProviderRecord>, StoreError>;
}
