//! Table `jobs`: jobs that were kept for long enough, and those of a tenant whose data is to go.

use super::jobs::job_id;
use super::{SqliteStore, schedules, signed};
use crate::{JobRetention, StoreError};
use wares_model::{JobId, TenantId, Timestamp};

/// Jobs to remove that are looked for at a time.
const FOUND_MAX: u32 = 10_000;
/// Jobs that one transaction removes, and bytes that are kept of them: nobody who writes waits for more.
const STEP_JOBS_MAX: usize = 200;
const STEP_BYTES_MAX: i64 = 16 << 20;

/// A job to remove: its id, when it came to its end, and bytes that are kept of it.
type Outlived = (Vec<u8>, i64, i64);

impl SqliteStore {
    pub(super) async fn prune_finished(&self, now: Timestamp, retention: JobRetention) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let old = self.outlived(now, &retention).await?;
            gone += self.remove(&old).await?;
            if old.len() < FOUND_MAX as usize {
                return Ok(gone);
            }
        }
    }

    /// Jobs to remove. They are looked for by a reader, so that nobody who writes waits for it.
    async fn outlived(&self, now: Timestamp, retention: &JobRetention) -> Result<Vec<Outlived>, StoreError> {
        let JobRetention { finished, dead, jobs_max, bytes_max } = *retention;
        Ok(sqlx::query_as(
            "SELECT id, finished_at, kept_bytes FROM (
                 SELECT id, state, finished_at, kept_bytes,
                     ROW_NUMBER() OVER newest AS place, SUM(kept_bytes) OVER newest AS total
                 FROM jobs INDEXED BY jobs_finished WHERE finished_at IS NOT NULL
                 WINDOW newest AS (PARTITION BY tenant ORDER BY finished_at DESC, id DESC ROWS UNBOUNDED PRECEDING)
             )
             WHERE place > ?1 OR total > ?2 OR finished_at < CASE state WHEN 'dead' THEN ?3 ELSE ?4 END LIMIT ?5",
        )
        .bind(signed(jobs_max))
        .bind(signed(bytes_max))
        .bind(now.minus(dead).as_micros())
        .bind(now.minus(finished).as_micros())
        .bind(FOUND_MAX)
        .fetch_all(&self.readers)
        .await?)
    }

    pub(super) async fn remove_finished_of(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            let found: Vec<Outlived> = sqlx::query_as(
                "SELECT id, finished_at, kept_bytes FROM jobs INDEXED BY jobs_finished
                 WHERE tenant = ? AND finished_at IS NOT NULL LIMIT ?",
            )
            .bind(tenant.as_str())
            .bind(FOUND_MAX)
            .fetch_all(&self.readers)
            .await?;
            gone += self.remove(&found).await?;
            if found.len() < FOUND_MAX as usize {
                return Ok(gone);
            }
        }
    }

    pub(super) async fn end_all_of(&self, tenant: &TenantId, now: Timestamp) -> Result<Vec<JobId>, StoreError> {
        let mut transaction = self.write().await?;
        schedules::disable_all(&mut transaction, tenant).await?;
        sqlx::query(
            "UPDATE jobs SET cancel_requested = 1, state = 'cancelled', finished_at = ?2
             WHERE tenant = ?1 AND state = 'queued'",
        )
        .bind(tenant.as_str())
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?;
        let running: Vec<Vec<u8>> = sqlx::query_scalar(
            "UPDATE jobs SET cancel_requested = 1 WHERE tenant = ? AND state = 'running' RETURNING id",
        )
        .bind(tenant.as_str())
        .fetch_all(&mut *transaction)
        .await?;
        transaction.commit().await?;
        running.into_iter().map(job_id).collect()
    }

    async fn remove(&self, jobs: &[Outlived]) -> Result<u64, StoreError> {
        let (mut gone, mut left) = (0, jobs);
        while !left.is_empty() {
            let (step, rest) = left.split_at(step(left));
            let mut transaction = self.write().await?;
            for (id, finished_at, _) in step {
                // One that was replayed meanwhile stays.
                let removed =
                    sqlx::query("DELETE FROM jobs WHERE id = ? AND finished_at = ?").bind(id).bind(finished_at);
                gone += removed.execute(&mut *transaction).await?.rows_affected();
            }
            transaction.commit().await?;
            left = rest;
        }
        Ok(gone)
    }
}

/// How many of the jobs one transaction removes: one at least.
fn step(jobs: &[Outlived]) -> usize {
    let mut kept = 0_i64;
    let fits = jobs.iter().take(STEP_JOBS_MAX).take_while(|(_, _, bytes)| {
        kept = kept.saturating_add(*bytes);
        kept <= STEP_BYTES_MAX
    });
    fits.count().max(1).min(jobs.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_bounded_in_jobs_and_bytes() {
        let jobs = |count, bytes| vec![(Vec::new(), 0, bytes); count];
        assert_eq!(step(&jobs(1_000, 1)), STEP_JOBS_MAX);
        assert_eq!(step(&jobs(10, STEP_BYTES_MAX / 4)), 4);
        assert_eq!(step(&jobs(2, STEP_BYTES_MAX + 1)), 1);
        assert_eq!(step(&jobs(3, i64::MAX)), 1);
        assert_eq!(step(&[]), 0);
    }
}
