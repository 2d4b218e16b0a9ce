//! Jobs and schedules as they are stored, and the interface to them.

use crate::StoreError;
use async_trait::async_trait;
use std::time::Duration;
use wares_model::{CallId, ComponentName, Digest, JobId, JobState, Outcome, Retry, TenantId, Timestamp};

/// A job to queue.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// For which tenant.
    pub tenant: TenantId,
    /// From which of its systems.
    pub application: String,
    /// What is called, as it was named, as JSON.
    pub call: String,
    /// The digest of what is called and its arguments.
    pub fingerprint: Digest,
    /// How often it is tried.
    pub retry: Retry,
    /// When it was made.
    pub created_at: Timestamp,
    /// No attempt is made after this.
    pub deadline_at: Timestamp,
    /// The tenant's own name for it.
    pub idempotency_key: Option<String>,
    /// What made it, if it was a schedule.
    pub due: Option<Due>,
    /// The trace that its attempts continue, as W3C's header `traceparent` has it.
    pub traceparent: Option<String>,
    /// JSON of the arguments.
    pub arguments: Vec<u8>,
}

/// A schedule, and one of the times it was due at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The component whose schedule it is.
    pub component: ComponentName,
    /// The schedule's name.
    pub schedule: String,
    /// When it was due.
    pub at: Timestamp,
}

/// What is known of a job but what may be large: its arguments, its result and the component's own error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobRecord {
    /// Its id.
    pub id: JobId,
    /// For which tenant.
    pub tenant: TenantId,
    /// From which of its systems.
    pub application: String,
    /// What is called, as it was named, as JSON.
    pub call: String,
    /// The digest of what is called and its arguments.
    pub fingerprint: Digest,
    /// How often it is tried.
    pub retry: Retry,
    /// How far it is.
    pub state: JobState,
    /// Attempts that ended.
    pub attempts: u32,
    /// Attempts that were running when the host ended.
    pub interruptions: u32,
    /// How often it was refused since the last attempt.
    pub refusals: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is tried next, while it is queued.
    pub next_at: Timestamp,
    /// No attempt is made after this.
    pub deadline_at: Timestamp,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
    /// Whether somebody wants it ended.
    pub cancel_requested: bool,
    /// The tenant's own name for it.
    pub idempotency_key: Option<String>,
    /// What made it, if it was a schedule.
    pub due: Option<Due>,
    /// The trace that its attempts continue, as W3C's header `traceparent` has it.
    pub traceparent: Option<String>,
    /// Bytes of its arguments.
    pub arguments_bytes: u64,
    /// Bytes of its result, if it has one, kept or not.
    pub result_bytes: Option<u64>,
    /// What went wrong last, as JSON without the component's own error.
    pub problem: Option<String>,
}

/// One job with all that is kept of it.
#[derive(Debug, Clone)]
pub struct JobDetail {
    /// What lists say of it.
    pub record: JobRecord,
    /// JSON of the arguments.
    pub arguments: Vec<u8>,
    /// JSON of the result, once it succeeded.
    pub result: Option<Vec<u8>>,
    /// JSON of the component's own error that belongs to the problem.
    pub error: Option<String>,
    /// Its attempts, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// One attempt at a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRecord {
    /// The call that it was.
    pub call: CallId,
    /// When it was begun.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How: `ok`, a problem's code, `cancelled`, or `interrupted` if the host ended first.
    pub outcome: Option<String>,
}

/// How much of a tenant's jobs may wait or run at once.
#[derive(Debug, Clone, Copy)]
pub struct JobBounds {
    /// Jobs.
    pub jobs_max: u64,
    /// Bytes of their arguments.
    pub bytes_max: u64,
}

/// What came of queueing a job.
#[derive(Debug)]
pub enum QueuedJob {
    /// It is queued.
    New(JobRecord),
    /// There is one with its idempotency key, or for its due time.
    Known(JobRecord),
    /// As much as may wait for the tenant does.
    Full,
}

/// Which jobs to list.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// Those of one tenant.
    pub tenant: Option<TenantId>,
    /// Those that one of its applications made, and those that none did but a schedule.
    pub application: Option<String>,
    /// Those in one state.
    pub state: Option<JobState>,
    /// Those older than this one.
    pub before: Option<JobId>,
    /// How many at most.
    pub limit: u32,
}

/// A job whose next attempt is begun.
#[derive(Debug)]
pub struct BegunJob {
    /// It.
    pub record: JobRecord,
    /// JSON of the arguments.
    pub arguments: Vec<u8>,
    /// The call that the attempt is.
    pub call: CallId,
}

/// How an attempt ended.
#[derive(Debug)]
pub struct AttemptEnd {
    /// When.
    pub at: Timestamp,
    /// How; none if the call was never let in, which uses up no attempt.
    pub outcome: Option<String>,
    /// What went wrong, as JSON without the component's own error. If none is said, what went wrong before stays, unless the
    /// job succeeded.
    pub problem: Option<String>,
    /// JSON of the component's own error that belongs to the problem.
    pub error: Option<String>,
    /// What happens next.
    pub then: Then,
}

/// What happens to a job after an attempt.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    /// Another attempt, then.
    Again(Timestamp),
    /// Nothing more. The result of one that succeeded came with its call's entry ([`wares_model::JobAnswer`]).
    Finish {
        /// The state it ends in.
        state: JobState,
        /// Bytes of the result, if there is one, kept or not.
        result_bytes: Option<u64>,
    },
}

/// What became of the jobs that ran when the host ended.
#[derive(Debug)]
pub struct RecoveredJobs {
    /// How many are queued again, or ended because they were to be cancelled.
    pub interrupted: u64,
    /// Those whose call has its entry in the ledger. They are as they were until their attempt is ended.
    pub entered: Vec<EnteredAttempt>,
}

/// An attempt whose call ended, and whose end was not written.
#[derive(Debug)]
pub struct EnteredAttempt {
    /// Its job.
    pub record: JobRecord,
    /// How the call ended.
    pub outcome: Outcome,
    /// What the ledger says of a failure.
    pub detail: Option<String>,
    /// Bytes of its result or of the component's own error.
    pub bytes_out: u64,
}

/// Jobs that are not at their end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// Those that wait.
    pub queued: u64,
    /// Those that run.
    pub running: u64,
}

/// How long jobs are kept that came to their end.
#[derive(Debug, Clone, Copy)]
pub struct JobRetention {
    /// Those that succeeded or were cancelled.
    pub finished: Duration,
    /// Those that are dead.
    pub dead: Duration,
    /// Jobs of one tenant; the newest stay.
    pub jobs_max: u64,
    /// Bytes of their arguments and results, of one tenant; the newest stay.
    pub bytes_max: u64,
}

/// Names an enabled schedule.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScheduleKey {
    /// For which tenant.
    pub tenant: TenantId,
    /// Of which component.
    pub component: ComponentName,
    /// Its name in the component's manifest.
    pub name: String,
}

/// A schedule that is enabled for a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRecord {
    /// Which.
    pub key: ScheduleKey,
    /// Since when.
    pub enabled_at: Timestamp,
    /// By whom.
    pub enabled_by: String,
    /// What its due times were counted by last; empty if the version that is deployed has no such schedule.
    pub timing: String,
    /// Due times up to then are dealt with.
    pub handled_until: Timestamp,
    /// The last due time that a job was queued for.
    pub last_due_at: Option<Timestamp>,
    /// That job.
    pub last_job: Option<JobId>,
}

/// Jobs and schedules.
#[async_trait]
pub trait JobStore: Send + Sync + 'static {
    /// Queues a job, unless one of the application has its idempotency key, or too much waits already.
    async fn queue_job(&self, job: NewJob, bounds: JobBounds) -> Result<QueuedJob, StoreError>;

    /// The job that one of a tenant's applications gave this idempotency key.
    async fn job_of_key(
        &self,
        tenant: &TenantId,
        application: &str,
        key: &str,
    ) -> Result<Option<JobRecord>, StoreError>;

    /// One job.
    async fn job(&self, id: JobId) -> Result<Option<JobRecord>, StoreError>;

    /// One job with all that is kept of it.
    async fn job_detail(&self, id: JobId) -> Result<Option<JobDetail>, StoreError>;

    /// Jobs, newest first.
    async fn jobs(&self, query: JobQuery) -> Result<Vec<JobRecord>, StoreError>;

    /// Begins attempts at jobs that are due: at most `slots`, for no tenant more than `tenant_max` at once, in turn among
    /// tenants and oldest first.
    async fn begin_jobs(&self, now: Timestamp, slots: usize, tenant_max: usize) -> Result<Vec<BegunJob>, StoreError>;

    /// Ends an attempt that was begun; the answer is the job then. A job that somebody wants ended is not tried again. One
    /// that does not run is left alone.
    async fn end_attempt(&self, id: JobId, end: &AttemptEnd) -> Result<Option<JobRecord>, StoreError>;

    /// Queues the jobs again that ran when the host ended, or ends those that were to be cancelled: those whose call has no
    /// entry in the ledger, or was cut off. The others are for the caller to end, by [`JobStore::end_attempt`].
    async fn recover_jobs(&self, now: Timestamp) -> Result<RecoveredJobs, StoreError>;

    /// When a queued job is due next, after a point of time.
    async fn next_job_at(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Cancels a job that waits, and notes for one that runs that it is to be; the answer is the job then.
    async fn cancel_job(&self, id: JobId, now: Timestamp) -> Result<Option<JobRecord>, StoreError>;

    /// Disables all schedules of a tenant, cancels its jobs that wait, and notes for those that run that they are to be
    /// cancelled. Returns the latter.
    async fn end_jobs_of(&self, tenant: &TenantId, now: Timestamp) -> Result<Vec<JobId>, StoreError>;

    /// Removes a tenant's jobs that came to their end, in small steps. Returns how many went.
    async fn remove_jobs_of(&self, tenant: &TenantId) -> Result<u64, StoreError>;

    /// Queues a job again that is dead or was cancelled, as if it were new; others are [`QueuedJob::Known`].
    async fn replay_job(&self, id: JobId, now: Timestamp, bounds: JobBounds) -> Result<Option<QueuedJob>, StoreError>;

    /// How many jobs wait and run.
    async fn count_jobs(&self) -> Result<JobCounts, StoreError>;

    /// Removes jobs that are kept for long enough, in small steps. Returns how many went.
    async fn prune_jobs(&self, now: Timestamp, retention: JobRetention) -> Result<u64, StoreError>;

    /// The schedules that are enabled, for one tenant or for all.
    async fn enabled_schedules(&self, tenant: Option<&TenantId>) -> Result<Vec<ScheduleRecord>, StoreError>;

    /// Enables a schedule; one that is enabled already stays as it is. A tenant that is not there is a
    /// [`StoreError::UnknownTenant`].
    async fn enable_schedule(&self, schedule: ScheduleRecord) -> Result<(), StoreError>;

    /// Disables a schedule. Returns whether it was enabled.
    async fn disable_schedule(&self, key: &ScheduleKey) -> Result<bool, StoreError>;

    /// Notes that due times are counted by something else from a point of time on.
    async fn retime_schedule(&self, key: &ScheduleKey, timing: &str, from: Timestamp) -> Result<(), StoreError>;

    /// Notes that due times up to a point are dealt with, and queues the job of the last of them, if there is to be one: both
    /// or neither. Nothing happens if that is noted already, the schedule is disabled, or the job is [`QueuedJob::Full`].
    async fn handle_due(
        &self,
        key: &ScheduleKey,
        until: Timestamp,
        job: Option<NewJob>,
        bounds: JobBounds,
    ) -> Result<Option<QueuedJob>, StoreError>;
}
