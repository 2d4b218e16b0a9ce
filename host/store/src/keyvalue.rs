//! Key-value pairs of components, and the interface to whatever keeps them.

use crate::StoreError;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::Semaphore;
use wares_model::grants::{BucketScope, Label};
use wares_model::{ComponentName, TenantId};

/// Names one bucket. Whoever is not part of the name has no part in the bucket.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BucketName {
    /// Whose pairs they are; none: all tenants'.
    pub tenant: Option<TenantId>,
    /// Which component's; none: all components' that may open a shared bucket of this name.
    pub component: Option<ComponentName>,
    /// The name that components open it by.
    pub bucket: Label,
}

impl BucketName {
    /// The bucket that a call for `tenant` to `component` opens.
    pub fn of(scope: BucketScope, bucket: Label, tenant: &TenantId, component: &ComponentName) -> Self {
        let (tenant, component) = match scope {
            BucketScope::Tenant => (Some(tenant.clone()), Some(component.clone())),
            BucketScope::Component => (None, Some(component.clone())),
            BucketScope::Shared => (None, None),
        };
        Self { tenant, component, bucket }
    }
}

/// How much a bucket may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketQuota {
    /// Bytes of all keys and values.
    pub bytes_max: u64,
    /// Keys.
    pub keys_max: u64,
}

/// A part of a bucket's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys, in the order they came.
    pub keys: Vec<String>,
    /// Where the next part begins; none: this is the last one.
    pub next: Option<u64>,
}

/// How many requests of guests a store serves at once. Whoever asks for one holds a permit from before it begins until it is
/// done, so that guests that wait hold nothing of the store.
#[derive(Debug, Clone)]
pub struct Gates {
    /// For requests that only read.
    pub reads: Arc<Semaphore>,
    /// For requests that change something.
    pub changes: Arc<Semaphore>,
}

impl Gates {
    pub(crate) fn new(reads_max: usize, changes_max: usize) -> Self {
        Self { reads: Arc::new(Semaphore::new(reads_max)), changes: Arc::new(Semaphore::new(changes_max)) }
    }
}

/// Pairs in buckets. Every change is made as a whole or not at all, whoever else changes the bucket, and only within the quota.
///
/// A bucket that nothing was ever set in is empty. A request may block the thread that makes it: it wants one that nothing else
/// waits for.
#[async_trait]
pub trait KeyValueStore: Send + Sync + 'static {
    /// What requests of guests pass.
    fn gates(&self) -> &Gates;

    /// CPU time in nanoseconds that one request takes where it cannot be measured: beside the thread that makes it.
    fn cpu_ns_elsewhere(&self) -> u64;

    /// The values of keys, in their order. More than `bytes_max` of them are [`KeyValueError::TooLarge`].
    async fn get(
        &self,
        bucket: &BucketName,
        keys: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Vec<u8>>>, KeyValueError>;

    /// Whether a key is there.
    async fn exists(&self, bucket: &BucketName, key: &str) -> Result<bool, KeyValueError>;

    /// At most `limit` keys that came after the place `after`; 0: from the first. A key that is there all the time is listed
    /// once.
    async fn list(&self, bucket: &BucketName, after: u64, limit: u32) -> Result<KeyPage, KeyValueError>;

    /// Sets pairs, all or none. A change that makes the bucket smaller is taken even if it stays over its quota.
    async fn set(
        &self,
        bucket: &BucketName,
        pairs: &[(String, Vec<u8>)],
        quota: BucketQuota,
    ) -> Result<(), KeyValueError>;

    /// Removes keys, all or none of those that are there.
    async fn delete(&self, bucket: &BucketName, keys: &[String]) -> Result<(), KeyValueError>;

    /// Adds to the number from 0 to 2^63 - 1 that a key holds as decimal text, 0 if it is not there, and returns the sum.
    async fn increment(
        &self,
        bucket: &BucketName,
        key: &str,
        delta: u64,
        quota: BucketQuota,
    ) -> Result<u64, KeyValueError>;

    /// How many pairs are in the buckets that are a tenant's alone.
    async fn count(&self, tenant: &TenantId) -> Result<u64, KeyValueError>;

    /// Removes all buckets that are a tenant's alone. Returns how many pairs went.
    async fn wipe(&self, tenant: &TenantId) -> Result<u64, KeyValueError>;
}

/// Why a key-value store did not do what it was asked. What [`Display`](std::fmt::Display) says is fit for a guest, unless
/// it is [`KeyValueError::Failed`].
#[derive(Debug, thiserror::Error)]
pub enum KeyValueError {
    /// The bucket would hold too many bytes.
    #[error("the bucket is full: it may hold {0} bytes of keys and values")]
    Bytes(u64),
    /// The bucket would hold too many keys.
    #[error("the bucket is full: it may hold {0} keys")]
    Keys(u64),
    /// The values asked for at once are too large.
    #[error("the values are larger than {0} bytes together: ask for fewer keys at once")]
    TooLarge(u64),
    /// The key holds something else than a number.
    #[error("the value is no number from 0 to 9223372036854775807 in decimal digits")]
    NotANumber,
    /// The sum has more than 63 bits.
    #[error("the sum would be more than 9223372036854775807")]
    Overflow,
    /// The store failed; what it said is for the host's log.
    #[error("the key-value store: {0}")]
    Failed(String),
}

impl KeyValueError {
    /// Whether it is a guest's doing, and the store is well.
    pub(crate) fn is_guests(&self) -> bool {
        !matches!(self, Self::Failed(_))
    }
}

impl From<StoreError> for KeyValueError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<sqlx::Error> for KeyValueError {
    fn from(error: sqlx::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<rusqlite::Error> for KeyValueError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::from(error).into()
    }
}

/// A bucket's counters, and what a change does to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Bytes of keys and values.
    pub(crate) bytes: u64,
    /// Keys.
    pub(crate) keys: u64,
}

impl Fill {
    /// Takes out a pair.
    pub(crate) fn remove(&mut self, key: usize, value: u64) {
        self.bytes = self.bytes.saturating_sub(value.saturating_add(key as u64));
        self.keys = self.keys.saturating_sub(1);
    }

    /// Puts in a pair.
    pub(crate) fn add(&mut self, key: usize, value: u64) {
        self.bytes = self.bytes.saturating_add(value.saturating_add(key as u64));
        self.keys = self.keys.saturating_add(1);
    }

    /// Whether a bucket that was at `before` may be filled so far.
    pub(crate) fn check(self, before: Self, quota: BucketQuota) -> Result<(), KeyValueError> {
        if self.bytes > quota.bytes_max.max(before.bytes) {
            return Err(KeyValueError::Bytes(quota.bytes_max));
        }
        if self.keys > quota.keys_max.max(before.keys) {
            return Err(KeyValueError::Keys(quota.keys_max));
        }
        Ok(())
    }
}

/// The number that decimal text means, if it is written as such a number always is.
pub(crate) fn number(text: &[u8]) -> Option<i64> {
    let text = str::from_utf8(text).ok()?;
    let number: i64 = text.parse().ok()?;
    (number >= 0 && number.to_string() == text).then_some(number)
}
