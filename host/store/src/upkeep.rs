//! What a host needs to know of its database beside the calls: how large it is, and by which time ages are judged.

use crate::{LogBounds, StoreError};
use async_trait::async_trait;
use wares_model::{TenantId, Timestamp};

/// How large a database is. Nothing is counted to find out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseSize {
    /// Bytes of all that is in it.
    pub bytes: u64,
    /// Bytes of the logs of calls.
    pub log_bytes: u64,
    /// The tenants with the largest logs, and their bytes, the largest first.
    pub largest: Vec<(TenantId, u64)>,
}

/// Upkeep of a database.
#[async_trait]
pub trait UpkeepStore: Send + Sync + 'static {
    /// The time by which ages were judged last, if they ever were.
    async fn judged_at(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Keeps that time.
    async fn set_judged_at(&self, at: Timestamp) -> Result<(), StoreError>;

    /// How large the database is, with so many of the tenants that have the largest logs.
    async fn size(&self, tenants: u32) -> Result<DatabaseSize, StoreError>;

    /// Keeps logs within these bounds from now on.
    fn set_log_bounds(&self, bounds: LogBounds);

    /// Removes the oldest logs of all tenants until so many bytes of them are gone, or all. Entries stay. It goes in small
    /// steps, and takes its thread as appending does. Returns the bytes that went.
    async fn remove_oldest_logs(&self, bytes: u64) -> Result<u64, StoreError>;
}
