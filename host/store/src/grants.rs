//! What components are granted, as it is stored, and the interface to it.

use crate::StoreError;
use async_trait::async_trait;
use serde::Serialize;
use std::sync::Arc;
use wares_model::{ComponentName, Grants, Timestamp};

/// One state of a component's grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GrantsRecord {
    /// Whose.
    pub component: ComponentName,
    /// Counts the states, from 1.
    pub revision: u64,
    /// All that is granted.
    pub grants: Arc<Grants>,
    /// Who set it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// A new state of a component's grants.
#[derive(Debug, Clone)]
pub struct NewGrants {
    /// Whose.
    pub component: ComponentName,
    /// All that is granted from now on.
    pub grants: Arc<Grants>,
    /// Who sets it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The revision that it builds on; 0 for none.
    pub expected: Option<u64>,
}

/// Grants and their history.
#[async_trait]
pub trait GrantStore: Send + Sync + 'static {
    /// Adds a state. Another revision than expected is a [`StoreError::RevisionConflict`].
    async fn set_grants(&self, new: NewGrants) -> Result<GrantsRecord, StoreError>;

    /// The current grants of every component that ever had some, by component.
    async fn grants(&self) -> Result<Vec<GrantsRecord>, StoreError>;

    /// States of one component's grants below `before`, newest first.
    async fn grants_history(
        &self,
        component: &ComponentName,
        limit: u32,
        before: Option<u64>,
    ) -> Result<Vec<GrantsRecord>, StoreError>;
}
