//! Who may run now: slots per tenant, per version and for the whole host, and a bounded wait for them.

use crate::{CallError, Explanation, Prepared};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wares_catalog::ledger::Ledger;
use wares_model::ProblemCode;

/// Seconds after which a refused caller may try again.
const RETRY_AFTER_SECONDS: u64 = 1;
/// A queue that has not been empty for so long is one of overload, not of a burst.
const BURST_MAX: Duration = Duration::from_millis(100);
/// How long a call waits in a queue of overload. More waiting would make every answer late and no more of them.
const OVERLOAD_WAIT_MAX: Duration = Duration::from_millis(20);

/// How many calls the host takes.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Calls running at once.
    pub running_max: usize,
    /// Calls waiting for a slot.
    pub waiting_max: usize,
    /// How long one waits in a burst; when the queue does not become empty any more, calls wait much shorter.
    pub wait_max: Duration,
}

pub(crate) struct Admission {
    capacity: Capacity,
    host: Arc<Semaphore>,
    queue: Mutex<Queue>,
}

/// The calls that wait for a slot.
#[derive(Default)]
struct Queue {
    length: usize,
    /// Since when there has been one without a pause.
    busy_since: Option<Instant>,
}

/// What a running call holds; dropping it lets the next one in.
pub(crate) struct Permits {
    _tenant: OwnedSemaphorePermit,
    _version: OwnedSemaphorePermit,
    _host: OwnedSemaphorePermit,
}

/// A place in the queue for as long as a call waits.
struct Waiting<'a>(&'a Mutex<Queue>);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.length -= 1;
        if queue.length == 0 {
            queue.busy_since = None;
        }
    }
}

impl Admission {
    pub(crate) fn new(capacity: Capacity) -> Self {
        Self { capacity, host: Arc::new(Semaphore::new(capacity.running_max)), queue: Mutex::default() }
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
        let Some((_waiting, wait_max)) = self.join_queue() else {
            let detail = format!("{} calls are waiting already", self.capacity.waiting_max);
            return Err(refuse(Explanation::new(ProblemCode::Overloaded, detail)));
        };
        let deadline = Instant::now() + wait_max;
        let late =
            |code, what: &str| refuse(Explanation::new(code, format!("{what} had no free slot within {wait_max:?}")));
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

    /// A place in the queue, if there is one, and how long it is worth waiting there.
    fn join_queue(&self) -> Option<(Waiting<'_>, Duration)> {
        let mut queue = self.queue.lock();
        if queue.length >= self.capacity.waiting_max {
            return None;
        }
        queue.length += 1;
        let busy = queue.busy_since.get_or_insert_with(Instant::now).elapsed();
        let wait_max = if busy < BURST_MAX { Duration::MAX } else { OVERLOAD_WAIT_MAX };
        Some((Waiting(&self.queue), wait_max.min(self.capacity.wait_max)))
    }
}

async fn wait(slots: &Arc<Semaphore>, deadline: Instant) -> Option<OwnedSemaphorePermit> {
    tokio::time::timeout_at(deadline, Arc::clone(slots).acquire_owned()).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(waiting_max: usize) -> Admission {
        Admission::new(Capacity { running_max: 1, waiting_max, wait_max: Duration::from_secs(1) })
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_may_wait_and_an_overload_may_not() {
        let admission = admission(10);
        let (first, wait_max) = admission.join_queue().unwrap();
        assert_eq!(wait_max, Duration::from_secs(1));
        tokio::time::advance(BURST_MAX).await;
        let (second, wait_max) = admission.join_queue().unwrap();
        assert_eq!(wait_max, OVERLOAD_WAIT_MAX);
        drop(first);
        assert_eq!(admission.join_queue().unwrap().1, OVERLOAD_WAIT_MAX);
        drop(second);
        assert_eq!(admission.join_queue().unwrap().1, Duration::from_secs(1), "the queue was empty");
    }

    #[tokio::test]
    async fn the_queue_has_an_end() {
        let admission = admission(1);
        let place = admission.join_queue();
        assert!(place.is_some() && admission.join_queue().is_none());
        drop(place);
        assert!(admission.join_queue().is_some());
    }
}
