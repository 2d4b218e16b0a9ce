//! Which component provides an interface, as it is stored, and the interface to it.

use crate::StoreError;
use async_trait::async_trait;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;
use wares_model::{ComponentName, TenantId, Timestamp};

/// A choice of a provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProviderRecord {
    /// The interface, `namespace:package/interface` without a version.
    pub interface: String,
    /// For which tenant, and those below it without a choice of their own; none: for all.
    pub tenant: Option<TenantId>,
    /// Counts the choices for the interface and the tenant, from 1 on; nothing for one that is about to be made.
    pub revision: u64,
    /// Who provides it; none: the choice was taken back.
    pub component: Option<ComponentName>,
    /// Who chose.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Where a choice stands in the history of its interface: its time, its revision, and its tenant, empty for all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoicePlace {
    /// When it was made.
    pub at: Timestamp,
    /// Its revision.
    pub revision: u64,
    /// Its tenant, or nothing.
    pub tenant: String,
}

impl ChoicePlace {
    /// That of a choice.
    pub fn of(choice: &ProviderRecord) -> Self {
        let tenant = choice.tenant.as_ref().map(TenantId::to_string).unwrap_or_default();
        Self { at: choice.at, revision: choice.revision, tenant }
    }
}

impl fmt::Display for ChoicePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.at.as_micros(), self.revision, self.tenant)
    }
}

/// A text that is no place in a history.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("no place in a history")]
pub struct ParseChoicePlaceError;

impl FromStr for ChoicePlace {
    type Err = ParseChoicePlaceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (at, rest) = text.split_once(' ')?;
            let (revision, tenant) = rest.split_once(' ')?;
            let at = Timestamp::from_micros(at.parse().ok()?);
            Some(Self { at, revision: revision.parse().ok()?, tenant: tenant.to_owned() })
        };
        read().ok_or(ParseChoicePlaceError)
    }
}

/// Choices of providers and their history.
#[async_trait]
pub trait ProviderStore: Send + Sync + 'static {
    /// Adds a choice, and returns it with its revision; it replaces the one before it for the same interface and tenant.
    async fn choose_provider(&self, choice: ProviderRecord) -> Result<ProviderRecord, StoreError>;

    /// The choices that stand, by interface and tenant.
    async fn providers(&self) -> Result<Vec<ProviderRecord>, StoreError>;

    /// Choices that were made for an interface, newest first; with `before`, those that come after that one in this order.
    async fn provider_history(
        &self,
        interface: &str,
        limit: u32,
        before: Option<ChoicePlace>,
    ) -> Result<Vec<ProviderRecord>, StoreError>;
}
