//! What becomes of the jobs that ran when the host ended.

use super::{Inner, attempt};
use crate::telemetry;
use wares_model::Timestamp;
use wares_store::StoreError;

impl Inner {
    /// Queues the jobs again that ran when the host ended, but for those whose call has its entry in the ledger: they end as it
    /// says, so that no call is made and billed twice.
    pub(super) async fn recover(&self, now: Timestamp) -> Result<(), StoreError> {
        let recovered = self.store().recover_jobs(now).await?;
        for entered in &recovered.entered {
            let end = attempt::end_of_entered(&self.policy(), entered);
            let job = self.store().end_attempt(entered.record.id, &end).await?;
            job.filter(|job| job.state.is_final()).iter().for_each(|job| telemetry::job_ended(job.state));
        }
        let (interrupted, ended) = (recovered.interrupted, recovered.entered.len());
        if interrupted > 0 || ended > 0 {
            tracing::info!(
                interrupted,
                ended,
                "jobs ran when the host ended; those whose call has its entry are not run again"
            );
        }
        Ok(())
    }
}
