//! The end of all that is to be called for a tenant, before what is kept for it goes.

use super::{Inner, Jobs};
use std::time::Duration;
use wares_catalog::TenancyError;
use wares_catalog::rehearsal::is_rehearsal;
use wares_catalog::wipe::Wiped;
use wares_model::{TenantId, Timestamp};
use wares_store::StoreError;

/// The longest wait for attempts that were cancelled to have ended.
const ENDING_MAX: Duration = Duration::from_secs(10);

impl Jobs {
    /// Disables a tenant's schedules, cancels its jobs and removes them with their arguments and results, the answers that
    /// are kept under keys of its applications, and then all that components keep for the tenant: see [`wares_catalog::Catalog::wipe_tenant`]. What is called later until then may keep
    /// something anew: revoke the tenant's keys first.
    pub async fn wipe_tenant(&self, tenant: &TenantId) -> Result<Wiped, TenancyError> {
        let inner = &self.0;
        if is_rehearsal() {
            return inner.calls.catalog.wipe_tenant(tenant).await;
        }
        match tokio::time::timeout(ENDING_MAX, inner.end_all_of(tenant)).await {
            Ok(ended) => ended?,
            Err(_) => tracing::warn!(%tenant, "some jobs of the tenant have not ended yet; they are cancelled"),
        }
        inner.store().remove_jobs_of(tenant).await?;
        inner.store().remove_answers_of(tenant).await?;
        inner.calls.catalog.wipe_tenant(tenant).await
    }
}

impl Inner {
    /// Returns when no job of the tenant waits or runs any more.
    async fn end_all_of(&self, tenant: &TenantId) -> Result<(), StoreError> {
        loop {
            // Made first, so that no attempt ends unseen between the look and the wait.
            let ended = self.ended.notified();
            let running = self.store().end_jobs_of(tenant, Timestamp::now()).await?;
            if running.is_empty() {
                return Ok(());
            }
            {
                let attempts = self.running.lock();
                running.iter().filter_map(|id| attempts.get(id)).for_each(|attempt| attempt.cancel());
            }
            ended.await;
        }
    }
}
