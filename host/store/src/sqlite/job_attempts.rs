//! Tables `jobs` and `job_attempts`: attempts at jobs, from their beginning to their end.
//!
//! The queries of the queue name their index: without statistics SQLite would take one that has every state's jobs.

use super::jobs::{bytes, find, job_id, record};
use super::{SqliteStore, Writing, parse, signed, unsigned, webhooks};
use crate::{AttemptEnd, BegunJob, EnteredAttempt, JobRecord, RecoveredJobs, StoreError, Then};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use wares_model::limits::JOB_ATTEMPTS_KEPT_MAX;
use wares_model::{CallId, JobId, JobState, Timestamp};

/// A tenant that has a job which is due.
struct Waiting {
    tenant: String,
    running: usize,
}

impl SqliteStore {
    pub(super) async fn begin_due(
        &self,
        now: Timestamp,
        slots: usize,
        tenant_max: usize,
    ) -> Result<Vec<BegunJob>, StoreError> {
        if slots == 0 {
            return Ok(Vec::new());
        }
        let waiting = self.waiting_tenants(now).await?;
        let waiting: Vec<_> = waiting.into_iter().filter(|tenant| tenant.running < tenant_max).collect();
        if waiting.is_empty() {
            return Ok(Vec::new());
        }
        let mut transaction = self.write().await?;
        let mut chosen = Vec::new();
        for tenant in &waiting {
            chosen.extend(oldest(&mut transaction, tenant, now, slots.min(tenant_max - tenant.running)).await?);
        }
        // Each tenant's first one before any tenant's second one.
        chosen.sort();
        let mut begun = Vec::new();
        for (_, _, id) in chosen.into_iter().take(slots) {
            begun.push(begin(&mut transaction, job_id(id)?, now).await?);
        }
        transaction.commit().await?;
        Ok(begun)
    }

    /// Tenants with jobs that are due, found by steps from one tenant to the next in the index.
    async fn waiting_tenants(&self, now: Timestamp) -> Result<Vec<Waiting>, StoreError> {
        let rows = sqlx::query(
            "WITH RECURSIVE waiting (tenant) AS (
                 SELECT MIN(tenant) FROM jobs INDEXED BY jobs_queue WHERE state = 'queued'
                 UNION ALL
                 SELECT (SELECT MIN(jobs.tenant) FROM jobs INDEXED BY jobs_queue
                     WHERE state = 'queued' AND jobs.tenant > waiting.tenant)
                 FROM waiting WHERE waiting.tenant IS NOT NULL
             )
             SELECT tenant, (SELECT COUNT(*) FROM jobs INDEXED BY jobs_running
                 WHERE state = 'running' AND jobs.tenant = waiting.tenant) AS running
             FROM waiting
             WHERE tenant IS NOT NULL AND EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_queue
                 WHERE state = 'queued' AND jobs.tenant = waiting.tenant AND next_at <= ?)",
        )
        .bind(now.as_micros())
        .fetch_all(&self.readers)
        .await?;
        let waiting = |row: &SqliteRow| {
            let running: i64 = row.try_get("running")?;
            Ok(Waiting { tenant: row.try_get("tenant")?, running: usize::try_from(running).unwrap_or(usize::MAX) })
        };
        rows.iter().map(waiting).collect()
    }

    pub(super) async fn end_attempt_of(&self, id: JobId, end: &AttemptEnd) -> Result<Option<JobRecord>, StoreError> {
        let mut transaction = self.write().await?;
        let known = match find(&mut transaction, id).await? {
            Some(known) if known.state == JobState::Running => known,
            other => {
                transaction.rollback().await?;
                return Ok(other);
            }
        };
        let AttemptEnd { at, outcome, problem, error, then } = end;
        let was_attempt = outcome.is_some();
        close_attempt(&mut transaction, id, *at, outcome.as_deref()).await?;
        let (state, next_at, result_bytes) = match then {
            Then::Again(next_at) if !known.cancel_requested => (JobState::Queued, next_at, None),
            Then::Again(_) => (JobState::Cancelled, at, None),
            Then::Finish { state, result_bytes } => (*state, at, *result_bytes),
        };
        let succeeded = state == JobState::Succeeded;
        let is_new_problem = problem.is_some() || succeeded;
        write_payload(&mut transaction, id, succeeded, is_new_problem.then_some(error.as_deref())).await?;
        let problem_bytes = problem.as_ref().map_or(0, String::len) + error.as_ref().map_or(0, String::len);
        let row = sqlx::query(
            "UPDATE jobs SET state = ?2, attempts = attempts + ?3, refusals = CASE ?3 WHEN 0 THEN refusals + 1 ELSE 0 END,
                 next_at = ?4, finished_at = ?5, result_bytes = ?6,
                 problem = CASE WHEN ?7 THEN ?8 ELSE problem END,
                 kept_bytes = CASE WHEN ?7 THEN arguments_bytes + ?9
                     + COALESCE((SELECT LENGTH(result) FROM job_payloads WHERE job = ?1), 0) ELSE kept_bytes END
             WHERE id = ?1 RETURNING *",
        )
        .bind(bytes(&id))
        .bind(state.as_str())
        .bind(i64::from(was_attempt))
        .bind(next_at.as_micros())
        .bind(state.is_final().then_some(at.as_micros()))
        .bind(result_bytes.map(signed))
        .bind(is_new_problem)
        .bind(problem)
        .bind(signed(problem_bytes as u64))
        .fetch_one(&mut *transaction)
        .await?;
        if state.is_final() {
            webhooks::note_end(&mut transaction, id).await?;
        }
        transaction.commit().await?;
        record(&row).map(Some)
    }

    pub(super) async fn recover(&self, now: Timestamp) -> Result<RecoveredJobs, StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "UPDATE job_attempts SET ended_at = ?, outcome = 'interrupted'
             WHERE ended_at IS NULL AND job IN (SELECT id FROM jobs WHERE state = 'running') AND NOT EXISTS
                 (SELECT 1 FROM entries WHERE entries.call = job_attempts.call AND entries.outcome <> 'cancelled')",
        )
        .bind(now.as_micros())
        .execute(&mut *transaction)
        .await?;
        let interrupted: Vec<Vec<u8>> = sqlx::query_scalar(
            "UPDATE jobs SET interruptions = interruptions + 1, next_at = ?1,
                 state = CASE cancel_requested WHEN 0 THEN 'queued' ELSE 'cancelled' END,
                 finished_at = CASE cancel_requested WHEN 0 THEN NULL ELSE ?1 END
             WHERE state = 'running' AND NOT EXISTS
                 (SELECT 1 FROM job_attempts WHERE job_attempts.job = jobs.id AND ended_at IS NULL)
             RETURNING id",
        )
        .bind(now.as_micros())
        .fetch_all(&mut *transaction)
        .await?;
        for id in &interrupted {
            // Those that were to be cancelled have come to their end.
            webhooks::note_end(&mut transaction, job_id(id.clone())?).await?;
        }
        let entered = sqlx::query(
            "SELECT jobs.*, entries.outcome, entries.detail, entries.bytes_out FROM jobs
             JOIN job_attempts ON job_attempts.job = jobs.id AND job_attempts.ended_at IS NULL
             JOIN entries ON entries.call = job_attempts.call WHERE jobs.state = 'running'",
        )
        .fetch_all(&mut *transaction)
        .await?;
        let entered = entered.iter().map(entered_attempt).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok(RecoveredJobs { interrupted: interrupted.len() as u64, entered })
    }
}

fn entered_attempt(row: &SqliteRow) -> Result<EnteredAttempt, StoreError> {
    Ok(EnteredAttempt {
        record: record(row)?,
        outcome: parse("outcome", row.try_get("outcome")?)?,
        detail: row.try_get("detail")?,
        bytes_out: unsigned(row.try_get("bytes_out")?),
    })
}

/// A tenant's oldest jobs that are due, each with its place among those that run: place, time, id.
async fn oldest(
    connection: &mut SqliteConnection,
    tenant: &Waiting,
    now: Timestamp,
    most: usize,
) -> Result<Vec<(usize, i64, Vec<u8>)>, StoreError> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT next_at, id FROM jobs INDEXED BY jobs_queue
         WHERE state = 'queued' AND tenant = ? AND next_at <= ? ORDER BY next_at, id LIMIT ?",
    )
    .bind(&tenant.tenant)
    .bind(now.as_micros())
    .bind(signed(most as u64))
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().zip(tenant.running..).map(|((next_at, id), place)| (place, next_at, id)).collect())
}

/// Begins an attempt at a queued job.
async fn begin(transaction: &mut Writing<'_>, id: JobId, now: Timestamp) -> Result<BegunJob, StoreError> {
    let row = sqlx::query("UPDATE jobs SET state = 'running' WHERE id = ? RETURNING *")
        .bind(bytes(&id))
        .fetch_one(&mut **transaction)
        .await?;
    let arguments = sqlx::query_scalar("SELECT arguments FROM job_payloads WHERE job = ?")
        .bind(bytes(&id))
        .fetch_one(&mut **transaction)
        .await?;
    let last: Option<i64> = sqlx::query_scalar("SELECT MAX(number) FROM job_attempts WHERE job = ?")
        .bind(bytes(&id))
        .fetch_one(&mut **transaction)
        .await?;
    let (number, call) = (last.unwrap_or_default() + 1, CallId::generate());
    sqlx::query("INSERT INTO job_attempts (job, number, call, started_at) VALUES (?, ?, ?, ?)")
        .bind(bytes(&id))
        .bind(number)
        .bind(call.as_bytes().as_slice())
        .bind(now.as_micros())
        .execute(&mut **transaction)
        .await?;
    sqlx::query("DELETE FROM job_attempts WHERE job = ? AND number <= ?")
        .bind(bytes(&id))
        .bind(number - i64::from(JOB_ATTEMPTS_KEPT_MAX))
        .execute(&mut **transaction)
        .await?;
    Ok(BegunJob { record: record(&row)?, arguments, call })
}

/// Forgets the result of a job that did not succeed, and notes the component's own error, if there is news of that. The
/// arguments stand in the same row, so that it is written only where something changes.
async fn write_payload(
    connection: &mut SqliteConnection,
    id: JobId,
    succeeded: bool,
    error: Option<Option<&str>>,
) -> Result<(), StoreError> {
    if !succeeded {
        sqlx::query("UPDATE job_payloads SET result = NULL WHERE job = ? AND result IS NOT NULL")
            .bind(bytes(&id))
            .execute(&mut *connection)
            .await?;
    }
    if let Some(error) = error {
        sqlx::query("UPDATE job_payloads SET error = ?2 WHERE job = ?1 AND error IS NOT ?2")
            .bind(bytes(&id))
            .bind(error.map(str::to_owned))
            .execute(connection)
            .await?;
    }
    Ok(())
}

/// Notes how the attempt that is being made ended; one that was never let in leaves no trace.
async fn close_attempt(
    connection: &mut SqliteConnection,
    id: JobId,
    at: Timestamp,
    outcome: Option<&str>,
) -> Result<(), StoreError> {
    let closing = match outcome {
        None => sqlx::query("DELETE FROM job_attempts WHERE job = ? AND ended_at IS NULL").bind(bytes(&id)),
        Some(outcome) => {
            sqlx::query("UPDATE job_attempts SET ended_at = ?2, outcome = ?3 WHERE job = ?1 AND ended_at IS NULL")
                .bind(bytes(&id))
                .bind(at.as_micros())
                .bind(outcome.to_owned())
        }
    };
    closing.execute(connection).await?;
    Ok(())
}
