//! Takes jobs from the queue as they become due. One worker for the host: what it takes, nobody else does.

use super::Inner;
use crate::telemetry;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wares_model::{JobId, Timestamp};
use wares_store::{AttemptEnd, BegunJob, JobRecord, StoreError};

/// The longest sleep: the clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(60);
/// The pause after the store has failed.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How often the queue is counted.
const COUNT_INTERVAL: Duration = Duration::from_secs(5);
/// How often jobs that are kept for long enough are removed.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);

/// Works until the queue is closed, then waits for what runs; after `drain` that is cut off, and run again at the next start.
pub(super) async fn run(inner: &Arc<Inner>, drain: Duration) {
    let mut attempts = JoinSet::new();
    while !inner.closing.is_cancelled() {
        let sleep = begin_due(inner, &mut attempts).await.unwrap_or_else(|error| {
            tracing::error!(%error, "jobs cannot be taken from the queue");
            STORE_PAUSE
        });
        tokio::select! {
            () = inner.closing.cancelled() => {}
            () = inner.queued.notified() => {}
            Some(_) = attempts.join_next() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
    let all = async { while attempts.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, all).await.is_err() {
        tracing::warn!("some jobs did not end in time and were cut off; they are run again at the next start");
        attempts.shutdown().await;
    }
}

/// Begins what is due and fits, and says how long nothing more will be due.
async fn begin_due(inner: &Arc<Inner>, attempts: &mut JoinSet<()>) -> Result<Duration, StoreError> {
    let (now, policy) = (Timestamp::now(), inner.policy());
    let slots = policy.concurrency_max.saturating_sub(attempts.len());
    for begun in inner.store().begin_jobs(now, slots, policy.tenant_concurrency_max).await? {
        let inner = Arc::clone(inner);
        attempts.spawn(inner.work(begun));
    }
    // What is due and found no slot is begun when an attempt ends.
    let next = inner.store().next_job_at(now).await?;
    Ok(next.map_or(SLEEP_MAX, |next| next.since(Timestamp::now()).min(SLEEP_MAX)))
}

impl Inner {
    /// Makes an attempt and writes down how it ended.
    async fn work(self: Arc<Self>, begun: BegunJob) {
        let id = begun.record.id;
        let running = Running::enter(&self, id);
        // Whoever cancelled it before it was entered has noted so; whoever does from now on finds it.
        if matches!(self.store().job(id).await, Ok(Some(JobRecord { cancel_requested: true, .. }))) {
            running.cancelled.cancel();
        }
        let record = begun.record.clone();
        let (inner, cancelled) = (Arc::clone(&self), running.cancelled.clone());
        // In a task of its own, so that a panic is an attempt that failed.
        let attempt = tokio::spawn(async move { inner.attempt(&begun, &cancelled).await });
        let end = AbortOnDropHandle::new(attempt).await;
        let end = end.unwrap_or_else(|panic| self.failed_in_host(&record, &panic));
        // Once its end is written the job may run again, and has a handle of its own then.
        drop(running);
        self.write_end(id, end).await;
        self.tell_end(id);
    }

    async fn prune(&self) -> Result<u64, StoreError> {
        let now = self.calls.catalog.judged_now().await?;
        self.store().prune_jobs(now, self.policy().retention).await
    }

    /// Writes the end of an attempt, however long the store needs to be written again. A host that ends before does it at its
    /// next start.
    async fn write_end(&self, id: JobId, end: AttemptEnd) {
        loop {
            match self.store().end_attempt(id, &end).await {
                Ok(Some(record)) if record.state.is_final() => return telemetry::job_ended(record.state),
                Ok(_) => return,
                Err(error) => tracing::error!(%error, job = %id, "the end of an attempt could not be written yet"),
            }
            tokio::time::sleep(STORE_PAUSE).await;
        }
    }
}

/// An attempt that can be cancelled for as long as this is held.
struct Running<'a> {
    inner: &'a Inner,
    id: JobId,
    cancelled: CancellationToken,
}

impl<'a> Running<'a> {
    fn enter(inner: &'a Inner, id: JobId) -> Self {
        let cancelled = CancellationToken::new();
        inner.running.lock().insert(id, cancelled.clone());
        Self { inner, id, cancelled }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.inner.running.lock().remove(&self.id);
    }
}

/// Counts the queue for the metrics, and removes what is kept for long enough, until the queue is closed.
pub(super) async fn keep_up(inner: &Inner) {
    tokio::select! {
        () = inner.closing.cancelled() => {}
        () = count_and_prune(inner) => {}
    }
}

async fn count_and_prune(inner: &Inner) {
    let (mut counting, mut pruning) = (tokio::time::interval(COUNT_INTERVAL), tokio::time::interval(PRUNE_INTERVAL));
    loop {
        tokio::select! {
            _ = counting.tick() => match inner.store().count_jobs().await {
                Ok(counts) => telemetry::jobs(counts),
                Err(error) => tracing::warn!(%error, "the jobs could not be counted"),
            },
            _ = pruning.tick() => match inner.prune().await {
                Ok(0) => {}
                Ok(jobs) => tracing::info!(jobs, "removed jobs that were kept for long enough"),
                Err(error) => tracing::warn!(%error, "old jobs could not be removed"),
            },
        }
    }
}
