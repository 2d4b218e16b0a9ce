//! Answers of calls that were made under keys of their callers, as they are read back.

use crate::StoreError;
use async_trait::async_trait;
use wares_model::{CallId, ComponentName, Digest, Outcome, TenantId, Timestamp, Version};

/// A call whose answer is kept. It was written with the call's entry ([`wares_model::KeptAnswer`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCall {
    /// The call.
    pub call: CallId,
    /// The digest of what was called and its arguments.
    pub fingerprint: Digest,
    /// How it ended.
    pub outcome: Outcome,
    /// What served it.
    pub component: ComponentName,
    /// In which version.
    pub version: Version,
    /// Why there is no result, as JSON.
    pub problem: Option<String>,
    /// JSON of the result.
    pub json: Vec<u8>,
}

/// Kept answers.
#[async_trait]
pub trait AnswerStore: Send + Sync + 'static {
    /// The call that one of a tenant's applications made under this key, no longer ago than this.
    async fn kept_answer(
        &self,
        tenant: &TenantId,
        application: &str,
        key: &str,
        since: Timestamp,
    ) -> Result<Option<KeptCall>, StoreError>;

    /// Removes answers of calls that were made before, in small steps. Returns how many went.
    async fn prune_answers(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Removes all answers of a tenant's calls, in small steps. Returns how many went.
    async fn remove_answers_of(&self, tenant: &TenantId) -> Result<u64, StoreError>;
}
