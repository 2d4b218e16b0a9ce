//! Secrets as they are stored, sealed, and the interface to them.

use crate::{SecretPlace, StoreError};
use async_trait::async_trait;
use serde::Serialize;
use std::fmt;
use wares_model::grants::Label;
use wares_model::{ComponentName, TenantId, Timestamp};

/// A sealed value in its place.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// What it stands for.
    pub place: SecretPlace,
    /// The id of the key that it is sealed with.
    pub key: String,
    /// The number that its sealing used once.
    pub nonce: Vec<u8>,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecret").field("place", &self.place).field("key", &self.key).finish_non_exhaustive()
    }
}

/// What may be told of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SecretRecord {
    /// Whose.
    pub component: ComponentName,
    /// Its name.
    pub name: Label,
    /// For which tenant and those below it; none: for all.
    pub tenant: Option<TenantId>,
    /// Counts its values, from 1.
    pub revision: u64,
    /// The id of the key that it is sealed with.
    pub key: String,
    /// Who set it.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// Sealed secrets.
#[async_trait]
pub trait SecretStore: Send + Sync + 'static {
    /// Puts a value in its place. Its revision must follow the one that is there (the first is 1), else this is a
    /// [`StoreError::RevisionConflict`].
    async fn put_secret(&self, secret: SealedSecret, actor: &str) -> Result<SecretRecord, StoreError>;

    /// Removes a value; the answer is whether there was one.
    async fn remove_secret(
        &self,
        component: &ComponentName,
        name: &Label,
        tenant: Option<&TenantId>,
    ) -> Result<bool, StoreError>;

    /// What is known of a component's secrets, by name and tenant.
    async fn secrets(&self, component: &ComponentName) -> Result<Vec<SecretRecord>, StoreError>;

    /// The value that stands for the first of these tenants, in order, that has one, or else the one for all.
    async fn sealed_secret(
        &self,
        component: &ComponentName,
        name: &Label,
        line: &[TenantId],
    ) -> Result<Option<SealedSecret>, StoreError>;

    /// Values behind this place, in a fixed order.
    async fn sealed_secrets(&self, after: Option<&SecretPlace>, limit: u32) -> Result<Vec<SealedSecret>, StoreError>;

    /// Replaces values by what they are under another key, those of them that have the same revision still.
    async fn reseal_secrets(&self, secrets: &[SealedSecret]) -> Result<(), StoreError>;
}
