//! Who may run now: slots per tenant, per version and for the whole host, and a bounded wait for them.

use crate::{CallError, Explanation, Prepared};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wares_catalog::ledger::Ledger;
use wares_model::ProblemCode;

/// Seconds after which a refused caller may try again.
const RETRY_AFTER_SECONDS: u64 = 1;

/// How many calls the host takes.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Calls running at once.
    pub running_max: usize,
    /// Calls waiting for a slot.
    pub waiting_max: usize,
    /// How long one waits.
    pub wait_max: Duration,
}

pub(crate) struct Admission {
    capacity: Capacity,
    host: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// What a running call holds; dropping it lets the next one in.
pub(crate) struct Permits {
    _tenant: OwnedSemaphorePermit,
    _version: OwnedSemaphorePermit,
    _host: OwnedSemaphorePermit,
}

/// Counts a waiting call for as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self { capacity, host: Arc::new(Semaphore::new(capacity.running_max)), waiting: AtomicUsize::new(0) }
    }

    /// Lets the call in when tenant, version and host have a free slot, in this order, and the ledger can be written.
    pub(crate) async fn admit(&self, prepared: &Prepared, ledger: &Ledger) -> Result<Permits, CallError> {
        let refuse =
            |explanation: Explanation| CallError::new(prepared.call, explanation.retry_after(RETRY_AFTER_SECONDS));
        if ledger.is_failing() {
            let detail = "the ledger cannot be written now, and calls are not served uncounted".to_owned();
            return Err(refuse(Explanation::new(ProblemCode::LedgerUnavailable, detail)));
        }
        let (tenant, version) = (&prepared.tenant.slots, &prepared.version.slots);
        if let Some(permits) = self.at_once(tenant, version) {
            return Ok(permits);
        }
        let Some(_waiting) = self.join_queue() else {
            let detail = format!("{} calls are waiting already", self.capacity.waiting_max);
            return Err(refuse(Explanation::new(ProblemCode::Overloaded, detail)));
        };
        let deadline = Instant::now() + self.capacity.wait_max;
        let late = |code, what: &str| {
            refuse(Explanation::new(code, format!("{what} had no free slot within {:?}", self.capacity.wait_max)))
        };
        Ok(Permits {
            _tenant: wait(tenant, deadline).await.ok_or_else(|| late(ProblemCode::RateLimited, "the tenant"))?,
            _version: wait(version, deadline).await.ok_or_else(|| late(ProblemCode::Overloaded, "the version"))?,
            _host: wait(&self.host, deadline).await.ok_or_else(|| late(ProblemCode::Overloaded, "the host"))?,
        })
    }

    fn at_once(&self, tenant: &Arc<Semaphore>, version: &Arc<Semaphore>) -> Option<Permits> {
        Some(Permits {
            _tenant: Arc::clone(tenant).try_acquire_owned().ok()?,
            _version: Arc::clone(version).try_acquire_owned().ok()?,
            _host: Arc::clone(&self.host).try_acquire_owned().ok()?,
        })
    }

    fn join_queue(&self) -> Option<Waiting<'_>> {
        let waiting = Waiting(&self.waiting);
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        (before < self.capacity.waiting_max).then_some(waiting)
    }
}

async fn wait(slots: &Arc<Semaphore>, deadline: Instant) -> Option<OwnedSemaphorePermit> {
    tokio::time::timeout_at(deadline, Arc::clone(slots).acquire_owned()).await.ok()?.ok()
}
