//! Tables `jobs`, `job_payloads` and `job_attempts`: queueing and reading.

use super::{SqliteStore, Writing, parse, parse_json, schedules, signed, to_json, unsigned, violates, webhooks};
use crate::{
    AttemptEnd, AttemptRecord, BegunJob, Due, JobBounds, JobCounts, JobDetail, JobQuery, JobRecord, JobRetention,
    JobStore, NewJob, QueuedJob, RecoveredJobs, ScheduleKey, ScheduleRecord, StoreError,
};
use async_trait::async_trait;
use sqlx::error::ErrorKind;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::time::Duration;
use wares_model::{CallId, JobId, JobState, TenantId, Timestamp};

#[async_trait]
impl JobStore for SqliteStore {
    async fn queue_job(&self, job: NewJob, bounds: JobBounds) -> Result<QueuedJob, StoreError> {
        let mut transaction = self.write().await?;
        let queued = queue(&mut transaction, job, bounds).await?;
        commit_if_new(transaction, &queued).await?;
        Ok(queued)
    }

    async fn job_of_key(
        &self,
        tenant: &TenantId,
        application: &str,
        key: &str,
    ) -> Result<Option<JobRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM jobs WHERE tenant = ? AND application = ? AND idempotency_key = ?")
            .bind(tenant.as_str())
            .bind(application)
            .bind(key)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(record).transpose()
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError> {
        let row = sqlx::query("SELECT * FROM jobs WHERE id = ?").bind(bytes(&id)).fetch_optional(&self.readers).await?;
        row.as_ref().map(record).transpose()
    }

    async fn job_detail(&self, id: JobId) -> Result<Option<JobDetail>, StoreError> {
        // One transaction, so that the parts are of one moment.
        let mut transaction = self.readers.begin().await?;
        let row = sqlx::query(
            "SELECT jobs.*, job_payloads.arguments, job_payloads.error,
                 CASE jobs.state WHEN 'succeeded' THEN job_payloads.result END AS result
             FROM jobs JOIN job_payloads ON job_payloads.job = jobs.id WHERE jobs.id = ?",
        )
        .bind(bytes(&id))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let attempts = sqlx::query("SELECT * FROM job_attempts WHERE job = ? ORDER BY number")
            .bind(bytes(&id))
            .fetch_all(&mut *transaction)
            .await?;
        Ok(Some(JobDetail {
            record: record(&row)?,
            arguments: row.try_get("arguments")?,
            result: row.try_get("result")?,
            error: row.try_get("error")?,
            attempts: attempts.iter().map(attempt).collect::<Result<_, _>>()?,
        }))
    }

    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRecord>, StoreError> {
        let JobQuery { tenant, application, state, before, limit } = query;
        // Only what is asked for, so that an index serves it.
        let mut sql = QueryBuilder::<Sqlite>::new("SELECT * FROM jobs WHERE TRUE");
        if let Some(tenant) = &tenant {
            sql.push(" AND tenant = ").push_bind(tenant.as_str());
        }
        if let Some(application) = application {
            sql.push(" AND (application = ").push_bind(application).push(" OR schedule IS NOT NULL)");
        }
        if let Some(state) = state {
            sql.push(" AND state = ").push_bind(state.as_str());
        }
        if let Some(before) = &before {
            sql.push(" AND id < ").push_bind(bytes(before));
        }
        sql.push(" ORDER BY id DESC LIMIT ").push_bind(limit);
        let rows = sql.build().fetch_all(&self.readers).await?;
        rows.iter().map(record).collect()
    }

    async fn begin_jobs(&self, now: Timestamp, slots: usize, tenant_max: usize) -> Result<Vec<BegunJob>, StoreError> {
        self.begin_due(now, slots, tenant_max).await
    }

    async fn end_attempt(&self, id: JobId, end: &AttemptEnd) -> Result<Option<JobRecord>, StoreError> {
        self.end_attempt_of(id, end).await
    }

    async fn recover_jobs(&self, now: Timestamp) -> Result<RecoveredJobs, StoreError> {
        self.recover(now).await
    }

    async fn next_job_at(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<i64> = sqlx::query_scalar(
            "SELECT MIN(next_at) FROM jobs INDEXED BY jobs_next WHERE state = 'queued' AND next_at > ?",
        )
        .bind(after.as_micros())
        .fetch_one(&self.readers)
        .await?;
        Ok(next.map(Timestamp::from_micros))
    }

    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<Option<JobRecord>, StoreError> {
        let mut transaction = self.write().await?;
        let row = sqlx::query(
            "UPDATE jobs SET cancel_requested = 1, state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END,
                 finished_at = CASE state WHEN 'queued' THEN ?2 ELSE finished_at END
             WHERE id = ?1 AND state IN ('queued', 'running') RETURNING *",
        )
        .bind(bytes(&id))
        .bind(now.as_micros())
        .fetch_optional(&mut *transaction)
        .await?;
        if row.is_some() {
            webhooks::note_end(&mut transaction, id).await?;
        }
        transaction.commit().await?;
        match row {
            Some(row) => record(&row).map(Some),
            None => self.job(id).await,
        }
    }

    async fn end_jobs_of(&self, tenant: &TenantId, now: Timestamp) -> Result<Vec<JobId>, StoreError> {
        self.end_all_of(tenant, now).await
    }

    async fn remove_jobs_of(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        self.remove_finished_of(tenant).await
    }

    async fn replay_job(&self, id: JobId, now: Timestamp, bounds: JobBounds) -> Result<Option<QueuedJob>, StoreError> {
        let mut transaction = self.write().await?;
        let known = match find(&mut transaction, id).await? {
            Some(known) if matches!(known.state, JobState::Dead | JobState::Cancelled) => known,
            other => {
                transaction.rollback().await?;
                return Ok(other.map(QueuedJob::Known));
            }
        };
        if is_full(&mut transaction, &known.tenant, known.arguments_bytes, bounds).await? {
            transaction.rollback().await?;
            return Ok(Some(QueuedJob::Full));
        }
        let deadline = now.plus(Duration::from_secs(known.retry.deadline_seconds_max));
        let row = sqlx::query(
            "UPDATE jobs SET state = 'queued', attempts = 0, interruptions = 0, refusals = 0, next_at = ?2,
                 deadline_at = ?3, finished_at = NULL, cancel_requested = 0, problem = NULL,
                 kept_bytes = arguments_bytes
             WHERE id = ?1 RETURNING *",
        )
        .bind(bytes(&id))
        .bind(now.as_micros())
        .bind(deadline.as_micros())
        .fetch_one(&mut *transaction)
        .await?;
        sqlx::query("UPDATE job_payloads SET result = NULL, error = NULL WHERE job = ?")
            .bind(bytes(&id))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(Some(QueuedJob::New(record(&row)?)))
    }

    async fn count_jobs(&self) -> Result<JobCounts, StoreError> {
        let (queued, running): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT COUNT(*) FROM jobs WHERE state = 'queued'),
                 (SELECT COUNT(*) FROM jobs WHERE state = 'running')",
        )
        .fetch_one(&self.readers)
        .await?;
        Ok(JobCounts { queued: unsigned(queued), running: unsigned(running) })
    }

    async fn prune_jobs(&self, now: Timestamp, retention: JobRetention) -> Result<u64, StoreError> {
        self.prune_finished(now, retention).await
    }

    async fn enabled_schedules(&self, tenant: Option<&TenantId>) -> Result<Vec<ScheduleRecord>, StoreError> {
        self.schedule_rows(tenant).await
    }

    async fn enable_schedule(&self, schedule: ScheduleRecord) -> Result<(), StoreError> {
        self.insert_schedule_row(schedule).await
    }

    async fn disable_schedule(&self, key: &ScheduleKey) -> Result<bool, StoreError> {
        self.delete_schedule_row(key).await
    }

    async fn retime_schedule(&self, key: &ScheduleKey, timing: &str, from: Timestamp) -> Result<(), StoreError> {
        self.set_timing(key, timing, from).await
    }

    async fn handle_due(
        &self,
        key: &ScheduleKey,
        until: Timestamp,
        job: Option<NewJob>,
        bounds: JobBounds,
    ) -> Result<Option<QueuedJob>, StoreError> {
        let mut transaction = self.write().await?;
        if !schedules::advance(&mut transaction, key, until).await? {
            transaction.rollback().await?;
            return Ok(None);
        }
        let queued = match job {
            None => None,
            Some(job) => Some(queue(&mut transaction, job, bounds).await?),
        };
        match &queued {
            // The due time is not dealt with: it waits for room.
            Some(QueuedJob::Full) => transaction.rollback().await?,
            Some(QueuedJob::New(job)) => {
                schedules::note_job(&mut transaction, key, job).await?;
                transaction.commit().await?;
            }
            Some(QueuedJob::Known(_)) | None => transaction.commit().await?,
        }
        Ok(queued)
    }
}

async fn commit_if_new(transaction: Writing<'_>, queued: &QueuedJob) -> Result<(), StoreError> {
    match queued {
        QueuedJob::New(_) => Ok(transaction.commit().await?),
        QueuedJob::Known(_) | QueuedJob::Full => Ok(transaction.rollback().await?),
    }
}

/// Queues a job; the transaction is the caller's.
async fn queue(connection: &mut SqliteConnection, job: NewJob, bounds: JobBounds) -> Result<QueuedJob, StoreError> {
    if let Some(known) = find_like(connection, &job).await? {
        return Ok(QueuedJob::Known(known));
    }
    if is_full(connection, &job.tenant, job.arguments.len() as u64, bounds).await? {
        return Ok(QueuedJob::Full);
    }
    let due = job.due.as_ref();
    let row = sqlx::query(
        "INSERT INTO jobs (id, tenant, application, call, fingerprint, retry, state, attempts, interruptions, refusals,
             created_at, next_at, deadline_at, cancel_requested, idempotency_key, component, schedule, due_at,
             arguments_bytes, kept_bytes, traceparent)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'queued', 0, 0, 0, ?7, ?7, ?8, 0, ?9, ?10, ?11, ?12, ?13, ?13, ?14)
         RETURNING *",
    )
    .bind(bytes(&job.id))
    .bind(job.tenant.as_str())
    .bind(&job.application)
    .bind(&job.call)
    .bind(job.fingerprint.to_string())
    .bind(to_json("retry", &job.retry)?)
    .bind(job.created_at.as_micros())
    .bind(job.deadline_at.as_micros())
    .bind(&job.idempotency_key)
    .bind(due.map(|due| due.component.as_str().to_owned()))
    .bind(due.map(|due| due.schedule.clone()))
    .bind(due.map(|due| due.at.as_micros()))
    .bind(signed(job.arguments.len() as u64))
    .bind(&job.traceparent)
    .fetch_one(&mut *connection)
    .await;
    let row = match row {
        Ok(row) => row,
        Err(error) if violates(&error, ErrorKind::ForeignKeyViolation) => {
            return Err(StoreError::UnknownTenant(job.tenant));
        }
        Err(error) => return Err(error.into()),
    };
    sqlx::query("INSERT INTO job_payloads (job, arguments) VALUES (?, ?)")
        .bind(bytes(&job.id))
        .bind(&job.arguments)
        .execute(connection)
        .await?;
    Ok(QueuedJob::New(record(&row)?))
}

/// The job with the same idempotency key, or for the same due time.
async fn find_like(connection: &mut SqliteConnection, job: &NewJob) -> Result<Option<JobRecord>, StoreError> {
    let query = match (&job.idempotency_key, &job.due) {
        (Some(key), _) => {
            sqlx::query("SELECT * FROM jobs WHERE tenant = ? AND application = ? AND idempotency_key = ?")
                .bind(job.tenant.as_str())
                .bind(job.application.clone())
                .bind(key.clone())
        }
        (None, Some(due)) => {
            sqlx::query("SELECT * FROM jobs WHERE tenant = ? AND component = ? AND schedule = ? AND due_at = ?")
                .bind(job.tenant.as_str())
                .bind(due.component.as_str())
                .bind(due.schedule.clone())
                .bind(due.at.as_micros())
        }
        (None, None) => return Ok(None),
    };
    query.fetch_optional(connection).await?.as_ref().map(record).transpose()
}

async fn is_full(
    connection: &mut SqliteConnection,
    tenant: &TenantId,
    more_bytes: u64,
    bounds: JobBounds,
) -> Result<bool, StoreError> {
    let (jobs, bytes): (i64, i64) = sqlx::query_as(
        "SELECT COUNT(*), COALESCE(SUM(arguments_bytes), 0) FROM jobs INDEXED BY jobs_of_state
         WHERE tenant = ? AND state IN ('queued', 'running')",
    )
    .bind(tenant.as_str())
    .fetch_one(connection)
    .await?;
    Ok(unsigned(jobs) >= bounds.jobs_max || unsigned(bytes).saturating_add(more_bytes) > bounds.bytes_max)
}

/// The job of this id; the transaction is the caller's.
pub(super) async fn find(connection: &mut SqliteConnection, id: JobId) -> Result<Option<JobRecord>, StoreError> {
    let row = sqlx::query("SELECT * FROM jobs WHERE id = ?").bind(bytes(&id)).fetch_optional(connection).await?;
    row.as_ref().map(record).transpose()
}

pub(super) fn bytes(id: &JobId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

pub(super) fn job_id(bytes: Vec<u8>) -> Result<JobId, StoreError> {
    bytes.try_into().map(JobId::from_bytes).map_err(|_| StoreError::Corrupt("a job's id".to_owned()))
}

pub(super) fn record(row: &SqliteRow) -> Result<JobRecord, StoreError> {
    let time = |column: &str| row.try_get(column).map(Timestamp::from_micros);
    let time_if_any =
        |column: &str| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros));
    let count = |column: &str| row.try_get::<u32, _>(column);
    let due = match (row.try_get::<Option<&str>, _>("component")?, row.try_get("schedule")?, time_if_any("due_at")?) {
        (Some(component), Some(schedule), Some(at)) => {
            Some(Due { component: parse("component", component)?, schedule, at })
        }
        _ => None,
    };
    Ok(JobRecord {
        id: job_id(row.try_get("id")?)?,
        tenant: parse("tenant", row.try_get("tenant")?)?,
        application: row.try_get("application")?,
        call: row.try_get("call")?,
        fingerprint: parse("fingerprint", row.try_get("fingerprint")?)?,
        retry: parse_json("retry", row.try_get("retry")?)?,
        state: parse("state", row.try_get("state")?)?,
        attempts: count("attempts")?,
        interruptions: count("interruptions")?,
        refusals: count("refusals")?,
        created_at: time("created_at")?,
        next_at: time("next_at")?,
        deadline_at: time("deadline_at")?,
        finished_at: time_if_any("finished_at")?,
        cancel_requested: row.try_get("cancel_requested")?,
        idempotency_key: row.try_get("idempotency_key")?,
        due,
        traceparent: row.try_get("traceparent")?,
        arguments_bytes: unsigned(row.try_get("arguments_bytes")?),
        result_bytes: row.try_get::<Option<i64>, _>("result_bytes")?.map(unsigned),
        problem: row.try_get("problem")?,
    })
}

fn attempt(row: &SqliteRow) -> Result<AttemptRecord, StoreError> {
    let call: Vec<u8> = row.try_get("call")?;
    let call = call.try_into().map(CallId::from_bytes);
    Ok(AttemptRecord {
        call: call.map_err(|_| StoreError::Corrupt("a call's id in an attempt".to_owned()))?,
        started_at: Timestamp::from_micros(row.try_get("started_at")?),
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(Timestamp::from_micros),
        outcome: row.try_get("outcome")?,
    })
}
