//! Webhooks and what they are still to be told, as they are stored.

use crate::StoreError;
use async_trait::async_trait;
use wares_model::{JobId, JobState, TenantId, Timestamp, WebhookTarget};

/// Where one of a tenant's applications is told of the end of its jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRecord {
    /// The tenant.
    pub tenant: TenantId,
    /// Its application.
    pub application: String,
    /// Where.
    pub target: WebhookTarget,
    /// Since when.
    pub set_at: Timestamp,
    /// By whom.
    pub actor: String,
}

/// A webhook, and how it gets on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookStanding {
    /// It.
    pub record: WebhookRecord,
    /// What it is still to be told.
    pub waiting: u64,
    /// Why it was not told last, of what waits.
    pub problem: Option<String>,
}

/// The end of a job that a webhook is to be told of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookDelivery {
    /// Its id; the same one, however often it is tried.
    pub id: [u8; 16],
    /// The webhook.
    pub webhook: WebhookRecord,
    /// The job.
    pub job: JobId,
    /// How the job ended.
    pub state: JobState,
    /// When.
    pub ended_at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
}

/// Webhooks. The end of a job whose application has one is noted by the transaction that ends the job, for as many as may wait.
#[async_trait]
pub trait WebhookStore: Send + Sync + 'static {
    /// Sets an application's webhook. A tenant that is not there is a [`StoreError::UnknownTenant`].
    async fn put_webhook(&self, record: WebhookRecord) -> Result<(), StoreError>;

    /// A tenant's webhooks, by application.
    async fn webhooks(&self, tenant: &TenantId) -> Result<Vec<WebhookStanding>, StoreError>;

    /// Removes a webhook and what it was to be told. Returns whether there was one.
    async fn remove_webhook(&self, tenant: &TenantId, application: &str) -> Result<bool, StoreError>;

    /// What is due: of each webhook the oldest, and so many at most.
    async fn due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<WebhookDelivery>, StoreError>;

    /// When something is due next, after a point of time.
    async fn next_delivery_at(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// The webhook was told, or is not told any more.
    async fn end_delivery(&self, id: [u8; 16]) -> Result<(), StoreError>;

    /// It was not told, and is tried again then.
    async fn defer_delivery(&self, id: [u8; 16], until: Timestamp, problem: &str) -> Result<(), StoreError>;
}
