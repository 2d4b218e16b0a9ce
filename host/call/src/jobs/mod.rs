//! Jobs: calls that are made later, and again if they fail. The queue is in the store, and one worker takes from it.
//!
//! A job that was accepted is never lost: it is durable before it is answered for, and one that runs when the host ends is run
//! again at the next start, unless its call has its entry in the ledger: the result comes with that. So a call that was cut
//! off may be made more than once, and no call is billed twice. Every attempt is an ordinary call: resolved by the deployment
//! of its moment, within the same slots and limits, with one ledger entry. An attempt that is not let in uses up nothing.

mod attempt;
mod backoff;
mod recovery;
mod schedules;
mod viewer;
mod watchers;
mod webhooks;
mod wipe;
mod worker;

pub(crate) use attempt::Attempt;
pub use schedules::{ScheduleError, ScheduleView};
pub use viewer::Viewer;

use crate::{CallError, Calls, Explanation, Found, IdempotencyKey, Request, error, once, telemetry};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wares_catalog::Target;
use wares_catalog::rehearsal::is_rehearsal;
use wares_catalog::tenancy::TenantEntry;
use wares_engine::TraceParent;
use wares_model::{CallId, Digest, JobId, JobState, ProblemCode, Retry, Timestamp};
use wares_store::{Due, JobBounds, JobDetail, JobQuery, JobRecord, JobRetention, NewJob, QueuedJob, Store, StoreError};
use watchers::Watchers;

/// What an operator sets for jobs.
#[derive(Debug, Clone, Copy)]
pub struct JobPolicy {
    /// Attempts running at once on the host, beside the calls that somebody waits for.
    pub concurrency_max: usize,
    /// Of these, for one tenant.
    pub tenant_concurrency_max: usize,
    /// How much may wait for one tenant.
    pub waiting: JobBounds,
    /// Attempts at one job; a manifest that asks for more gets this many.
    pub attempts_max: u32,
    /// Seconds until no further attempt is made; a manifest that asks for more gets this many.
    pub deadline_seconds_max: u64,
    /// Bytes of a job's arguments.
    pub arguments_bytes_max: u64,
    /// Bytes of a result that is kept.
    pub result_bytes_max: u64,
    /// How long jobs are kept.
    pub retention: JobRetention,
}

/// The queue of jobs. Clones share everything.
#[derive(Clone)]
pub struct Jobs(Arc<Inner>);

struct Inner {
    calls: Calls,
    policy: ArcSwap<JobPolicy>,
    /// Rings when something was queued.
    queued: Notify,
    /// Rings when a schedule was enabled.
    enabled: Notify,
    /// Rings when an attempt has ended and that is written, or a job has without one.
    ended: Notify,
    /// Who waits for the end of which job.
    watchers: Watchers,
    /// Attempts that are being made; cancelling one ends it.
    running: Mutex<HashMap<JobId, CancellationToken>>,
    closing: CancellationToken,
}

/// What a job calls, as it was named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Named {
    /// The component or the interface.
    pub target: Target,
    /// The interface of a component; none for a function of the world itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The function.
    pub function: String,
}

/// Why a job was not queued, or not changed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The call would be refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The idempotency key was given to another call.
    #[error(
        "the Idempotency-Key belongs to job {0}, which is another call, or one with other arguments; choose another key"
    )]
    OtherCall(JobId),
    /// The arguments are too large to be kept.
    #[error("the arguments of a job have at most {0} bytes here")]
    TooLarge(u64),
    /// Too much of the tenant's waits.
    #[error("the tenant's jobs that wait are {jobs} or have {bytes} bytes of arguments, as much as may wait here", jobs = .0.jobs_max, bytes = .0.bytes_max)]
    Full(JobBounds),
    /// There is no such job, or it is somebody else's.
    #[error("there is no job {0}")]
    NoJob(JobId),
    /// The job is in a state in which that cannot be done to it.
    #[error("job {id} is {state}: {hint}")]
    State {
        /// The job.
        id: JobId,
        /// The state it is in.
        state: JobState,
        /// What can be done.
        hint: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Jobs {
    /// Starts the worker and the schedules. The handle ends once the queue was closed and what runs has ended, or was cut off
    /// after `drain`.
    pub async fn start(calls: Calls, policy: JobPolicy, drain: Duration) -> Result<(Self, JoinHandle<()>), StoreError> {
        let inner = Arc::new(Inner {
            calls,
            policy: ArcSwap::from_pointee(policy),
            queued: Notify::new(),
            enabled: Notify::new(),
            ended: Notify::new(),
            watchers: Watchers::default(),
            running: Mutex::default(),
            closing: CancellationToken::new(),
        });
        let started = Timestamp::now();
        inner.recover(started).await?;
        let worker = tokio::spawn({
            let inner = Arc::clone(&inner);
            async move {
                tokio::join!(
                    worker::run(&inner, drain),
                    schedules::run(&inner, started),
                    webhooks::run(&inner),
                    worker::keep_up(&inner),
                );
            }
        });
        Ok((Self(inner), worker))
    }

    /// Goes by another policy from now on.
    pub fn set_policy(&self, policy: JobPolicy) {
        self.0.policy.store(Arc::new(policy));
        self.0.queued.notify_one();
    }

    /// Begins no attempt from now on.
    pub fn close(&self) {
        self.0.closing.cancel();
    }

    /// The most that the arguments of a job may have, in bytes.
    pub fn arguments_bytes_max(&self) -> u64 {
        self.0.policy().arguments_bytes_max
    }

    /// Queues a call, once it is known that something serves it and that its arguments fit. With a key that was used before
    /// for the same call, the answer is the job of that time.
    pub async fn queue(
        &self,
        request: Request,
        key: Option<IdempotencyKey>,
        arguments: &[u8],
    ) -> Result<JobRecord, JobError> {
        let policy = self.0.policy();
        if arguments.len() as u64 > policy.arguments_bytes_max {
            return Err(JobError::TooLarge(policy.arguments_bytes_max));
        }
        let job = self.0.new_job(&request, key, arguments, Retry::default())?;
        if let Some(key) = &job.idempotency_key
            && let Some(known) = self.0.store().job_of_key(&job.tenant, &job.application, key).await?
        {
            return same_call(known, &job.fingerprint);
        }
        let retry = self.0.check(request, arguments).await?;
        let job = self.0.with_retry(job, retry);
        let fingerprint = job.fingerprint;
        match self.0.store().queue_job(job, policy.waiting).await? {
            QueuedJob::New(record) => {
                self.0.queued.notify_one();
                Ok(record)
            }
            QueuedJob::Known(known) => same_call(known, &fingerprint),
            QueuedJob::Full => {
                telemetry::job_refused();
                Err(JobError::Full(policy.waiting))
            }
        }
    }

    /// Jobs, newest first.
    pub async fn list(&self, query: JobQuery) -> Result<Vec<JobRecord>, JobError> {
        Ok(self.0.store().jobs(query).await?)
    }

    /// One job with all that is kept of it, if whoever asks may see it.
    pub async fn show(&self, id: JobId, viewer: &Viewer) -> Result<JobDetail, JobError> {
        let found = self.0.store().job_detail(id).await?;
        found.filter(|job| viewer.sees(&job.record)).ok_or(JobError::NoJob(id))
    }

    /// The same when the job has come to its end, or so much time has passed, or the queue is closed.
    pub async fn show_at_end(&self, id: JobId, viewer: &Viewer, patience: Duration) -> Result<JobDetail, JobError> {
        let wait = async {
            let watcher = self.0.watchers.watch(id);
            loop {
                // Made first, so that no end comes unseen between the look and the wait.
                let mut changed = std::pin::pin!(watcher.changed());
                changed.as_mut().enable();
                if self.look(id, viewer).await?.state.is_final() {
                    return Ok::<_, JobError>(());
                }
                changed.await;
            }
        };
        tokio::select! {
            waited = wait => waited?,
            () = tokio::time::sleep(patience) => {}
            () = self.0.closing.cancelled() => {}
        }
        self.show(id, viewer).await
    }

    /// Ends a job that is not at its end. One that runs ends a moment later.
    pub async fn cancel(&self, id: JobId, viewer: &Viewer) -> Result<JobRecord, JobError> {
        self.look(id, viewer).await?;
        let record = self.0.store().cancel_job(id, Timestamp::now()).await?.ok_or(JobError::NoJob(id))?;
        match record.state {
            JobState::Running => {
                if let Some(attempt) = self.0.running.lock().get(&id).filter(|_| !is_rehearsal()) {
                    attempt.cancel();
                }
                Ok(record)
            }
            JobState::Cancelled => {
                self.0.tell_end(id);
                Ok(record)
            }
            state => Err(JobError::State { id, state, hint: "only one that is queued or running is cancelled" }),
        }
    }

    /// Queues a job again that is dead or was cancelled.
    pub async fn replay(&self, id: JobId, viewer: &Viewer) -> Result<JobRecord, JobError> {
        self.look(id, viewer).await?;
        let waiting = self.0.policy().waiting;
        match self.0.store().replay_job(id, Timestamp::now(), waiting).await?.ok_or(JobError::NoJob(id))? {
            QueuedJob::New(record) => {
                self.0.queued.notify_one();
                Ok(record)
            }
            QueuedJob::Known(JobRecord { state, .. }) => {
                Err(JobError::State { id, state, hint: "only one that is dead or cancelled is replayed" })
            }
            QueuedJob::Full => Err(JobError::Full(waiting)),
        }
    }

    /// The job, if whoever asks may see it.
    async fn look(&self, id: JobId, viewer: &Viewer) -> Result<JobRecord, JobError> {
        let found = self.0.store().job(id).await?;
        found.filter(|job| viewer.sees(job)).ok_or(JobError::NoJob(id))
    }
}

impl Inner {
    /// A job may have come to its end, and that is written.
    fn tell_end(&self, id: JobId) {
        self.watchers.tell(id);
        self.ended.notify_waiters();
    }

    fn policy(&self) -> JobPolicy {
        **self.policy.load()
    }

    fn store(&self) -> &dyn Store {
        self.calls.catalog.store()
    }

    /// Finds out whether something serves the call and its arguments fit, and how often it is to be tried. No call is made, and
    /// none has a trace for it.
    async fn check(&self, request: Request, arguments: &[u8]) -> Result<Retry, JobError> {
        let (calls, call) = (&self.calls, CallId::generate());
        let standing = calls.catalog.snapshot().standing(&request.target, &request.tenant.record.id);
        let found = calls.found(call, request, standing, error::names_of_function).await;
        let Found { version, live, interface, function, .. } = found.inspect_err(telemetry::refused)?;
        let bytes_max = version.limits.body_bytes_max;
        if arguments.len() as u64 > bytes_max {
            return Err(JobError::TooLarge(bytes_max));
        }
        let interface = Some(&*interface).filter(|interface| !interface.is_empty());
        let (_, function) = error::find_function(&live.description, interface, &function)
            .map_err(|explanation| CallError::new(call, explanation).of(&version))?;
        wares_typed::read_arguments(&live.description, function, arguments)
            .map_err(|error| CallError::bad_arguments(call, error).of(&version))?;
        Ok(version.summary.retry)
    }

    fn new_job(
        &self,
        request: &Request,
        key: Option<IdempotencyKey>,
        arguments: &[u8],
        retry: Retry,
    ) -> Result<NewJob, JobError> {
        let Request { tenant, application, trace, .. } = request;
        let call = Named::from(request).to_json()?;
        let created_at = Timestamp::now();
        let job = NewJob {
            id: JobId::generate(),
            tenant: tenant.record.id.clone(),
            application: application.to_string(),
            fingerprint: once::fingerprint(&call, arguments),
            call,
            retry,
            created_at,
            deadline_at: created_at,
            idempotency_key: key.map(IdempotencyKey::into_string),
            due: None,
            traceparent: trace.traceparent(),
            arguments: arguments.to_vec(),
        };
        Ok(self.with_retry(job, retry))
    }

    /// The job, tried as often as a manifest asks and the operator allows.
    fn with_retry(&self, job: NewJob, asked: Retry) -> NewJob {
        let policy = self.policy();
        let retry = Retry {
            attempts_max: asked.attempts_max.min(policy.attempts_max),
            deadline_seconds_max: asked.deadline_seconds_max.min(policy.deadline_seconds_max),
            ..asked
        };
        let deadline_at = job.created_at.plus(Duration::from_secs(retry.deadline_seconds_max));
        NewJob { retry, deadline_at, ..job }
    }

    /// The call of a due time as a job.
    fn due_job(&self, request: &Request, arguments: &[u8], retry: Retry, due: Due) -> Result<NewJob, JobError> {
        Ok(NewJob { due: Some(due), ..self.new_job(request, None, arguments, retry)? })
    }

    /// What a job calls, for whom.
    fn request(&self, job: &JobRecord) -> Result<Request, Box<Explanation>> {
        let named = Named::of(job).map_err(|error| Box::new(Explanation::host_of_job(job.id, &error)))?;
        let tenant: Option<Arc<TenantEntry>> = self.calls.catalog.snapshot().tenant(&job.tenant).cloned();
        let tenant = tenant.ok_or_else(|| {
            Box::new(Explanation::new(ProblemCode::NotFound, format!("there is no tenant {}", job.tenant)))
        })?;
        let Named { target, interface, function } = named;
        let application = job.application.as_str().into();
        let trace =
            job.traceparent.as_deref().map_or(TraceParent::None, |parent| TraceParent::of_headers(parent, None));
        Ok(Request { tenant, application, target, interface, function, trace, request_id: None })
    }
}

impl From<&Request> for Named {
    fn from(request: &Request) -> Self {
        let Request { target, interface, function, .. } = request;
        Self { target: target.clone(), interface: interface.clone(), function: function.clone() }
    }
}

impl Named {
    /// What a job calls.
    pub fn of(job: &JobRecord) -> Result<Self, StoreError> {
        serde_json::from_str(&job.call)
            .map_err(|error| StoreError::Corrupt(format!("the call of job {}: {error}", job.id)))
    }

    pub(crate) fn to_json(&self) -> Result<String, StoreError> {
        serde_json::to_string(self).map_err(|error| StoreError::Corrupt(format!("a job's call: {error}")))
    }
}

/// The job that is there already, if it is of the same call.
fn same_call(known: JobRecord, fingerprint: &Digest) -> Result<JobRecord, JobError> {
    if known.fingerprint == *fingerprint { Ok(known) } else { Err(JobError::OtherCall(known.id)) }
}
