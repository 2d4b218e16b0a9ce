//! Who may run now: slots per tenant, per version and for the whole host, and a bounded wait for them.

use crate::{CallError, Explanation, Prepared};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use wares_catalog::ledger::Ledger;
use wares_model::ProblemCode;
use wares_model::limits::COMPONENT_CALL_DEPTH_MAX;

/// Seconds after which a refused caller may try again.
const RETRY_AFTER_SECONDS: u64 = 1;
/// A wait that callers hardly notice. In a queue of overload no call waits longer: that would make every answer late, and no
/// more of them. Like the next figure it is what CoDel found to suit queues (RFC 8289, 4.3: a tenth of the interval).
const SHORT_WAIT: Duration = Duration::from_millis(10);
/// When every call has waited longer than [`SHORT_WAIT`] for so long, it is no burst: more comes in than goes out. CoDel's
/// interval (RFC 8289, 4.2).
const BURST_MAX: Duration = Duration::from_millis(100);
/// An overload is over when no call has waited long for this time; a moment's pause does not end it.
const CALM_MIN: Duration = Duration::from_secs(1);

/// How many calls the host takes.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Calls running at once.
    pub running_max: usize,
    /// Calls waiting for a slot.
    pub waiting_max: usize,
    /// How long one waits in a burst; under overload calls wait much shorter.
    pub wait_max: Duration,
    /// Calls made a second time in another version, running at once beside the others.
    pub shadows_max: usize,
    /// Calls running at once that may call components.
    pub composed_max: usize,
}

impl Capacity {
    /// Instances that calls of components need beside those of the calls that came from outside.
    pub fn instances_below(&self) -> usize {
        self.composed_max.saturating_mul(COMPONENT_CALL_DEPTH_MAX)
    }
}

pub(crate) struct Admission {
    capacity: Capacity,
    host: Arc<Semaphore>,
    /// Of the host's calls, those that may call components.
    composed: Arc<Semaphore>,
    queue: Mutex<Queue>,
}

/// The calls that wait for a slot.
#[derive(Default)]
struct Queue {
    length: usize,
    /// Since when every call that left it had waited long.
    late_since: Option<Instant>,
    /// When the last call left it that had waited long.
    last_late: Option<Instant>,
}

impl Queue {
    /// Whether more comes in than goes out.
    fn is_overload(&self) -> bool {
        let lasts = |since: Option<Instant>, least: Duration| since.is_some_and(|since| since.elapsed() >= least);
        lasts(self.late_since, BURST_MAX) && !lasts(self.last_late, CALM_MIN)
    }

    fn leave(&mut self, waited: Duration) {
        self.length -= 1;
        if waited >= SHORT_WAIT {
            let now = Instant::now();
            // After a calm it is a new burst.
            if self.last_late.is_none_or(|last| now - last >= CALM_MIN) {
                self.late_since = None;
            }
            self.late_since.get_or_insert(now);
            self.last_late = Some(now);
        }
        if !self.is_overload() && (waited < SHORT_WAIT || self.length == 0) {
            self.late_since = None;
        }
    }
}

/// What a running call holds; dropping it lets the next one in.
pub(crate) struct Permits {
    _tenant: OwnedSemaphorePermit,
    _version: OwnedSemaphorePermit,
    _host: OwnedSemaphorePermit,
    _composed: Option<OwnedSemaphorePermit>,
}

/// A place in the queue for as long as a call waits.
struct Waiting<'a> {
    queue: &'a Mutex<Queue>,
    since: Instant,
}

impl Waiting<'_> {
    /// Whether its turn comes too late: it joined what seemed a burst and proved to be an overload.
    fn is_stale(&self) -> bool {
        self.since.elapsed() > SHORT_WAIT && self.queue.lock().is_overload()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waited = self.since.elapsed();
        self.queue.lock().leave(waited);
    }
}

impl Admission {
    pub(crate) fn new(capacity: Capacity) -> Self {
        let [host, composed] = [capacity.running_max, capacity.composed_max].map(|most| Arc::new(Semaphore::new(most)));
        Self { capacity, host, composed, queue: Mutex::default() }
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
        let composed = prepared.caller.as_ref().map(|_| &self.composed);
        if let Some(permits) = self.at_once(tenant, version, composed) {
            return Ok(permits);
        }
        let Some((waiting, wait_max)) = self.join_queue() else {
            let detail = format!("{} calls are waiting already", self.capacity.waiting_max);
            return Err(refuse(Explanation::new(ProblemCode::Overloaded, detail)));
        };
        let deadline = Instant::now() + wait_max;
        let late =
            |code, what: &str| refuse(Explanation::new(code, format!("{what} had no free slot within {wait_max:?}")));
        let permits = Permits {
            _tenant: wait(tenant, deadline).await.ok_or_else(|| late(ProblemCode::RateLimited, "the tenant"))?,
            _version: wait(version, deadline).await.ok_or_else(|| late(ProblemCode::Overloaded, "the version"))?,
            _host: wait(&self.host, deadline).await.ok_or_else(|| late(ProblemCode::Overloaded, "the host"))?,
            _composed: match composed {
                None => None,
                Some(composed) => {
                    let what = "the host, for a call that may call components,";
                    let permit = wait(composed, deadline).await;
                    Some(permit.ok_or_else(|| late(ProblemCode::Overloaded, what))?)
                }
            },
        };
        if waiting.is_stale() {
            let detail = "more calls come in than can be served; this one waited too long to be let in".to_owned();
            return Err(refuse(Explanation::new(ProblemCode::Overloaded, detail)));
        }
        Ok(permits)
    }

    /// Whether nobody waits and most slots of the host are free.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.host.available_permits() > self.capacity.running_max / 2 && self.queue.lock().length == 0
    }

    /// Waits for a slot of the version, for a call that another one makes: it has its place in all else with that one.
    pub(crate) async fn admit_below(
        &self,
        prepared: &Prepared,
        wait_max: Duration,
    ) -> Result<OwnedSemaphorePermit, CallError> {
        let wait_max = wait_max.min(self.capacity.wait_max);
        wait(&prepared.version.slots, Instant::now() + wait_max).await.ok_or_else(|| {
            let detail = format!("{:?} had no free slot within {wait_max:?}", prepared.version);
            CallError::new(prepared.call, Explanation::new(ProblemCode::Overloaded, detail))
        })
    }

    fn at_once(
        &self,
        tenant: &Arc<Semaphore>,
        version: &Arc<Semaphore>,
        composed: Option<&Arc<Semaphore>>,
    ) -> Option<Permits> {
        let _composed = match composed {
            None => None,
            Some(composed) => Some(Arc::clone(composed).try_acquire_owned().ok()?),
        };
        Some(Permits {
            _composed,
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
        let wait_max = if queue.is_overload() { SHORT_WAIT } else { Duration::MAX };
        Some((Waiting { queue: &self.queue, since: Instant::now() }, wait_max.min(self.capacity.wait_max)))
    }
}

async fn wait(slots: &Arc<Semaphore>, deadline: Instant) -> Option<OwnedSemaphorePermit> {
    tokio::time::timeout_at(deadline, Arc::clone(slots).acquire_owned()).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(waiting_max: usize) -> Admission {
        Admission::new(Capacity {
            running_max: 1,
            waiting_max,
            wait_max: Duration::from_secs(1),
            shadows_max: 0,
            composed_max: 1,
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_may_wait_and_an_overload_may_not() {
        const LONG: Duration = Duration::from_secs(1);
        let admission = admission(10);
        let join = || admission.join_queue().unwrap();
        let (last, wait_max) = join();
        assert_eq!(wait_max, LONG);
        // A standing queue in which nobody waits long is no overload.
        for _ in 0..100 {
            let (short, wait_max) = join();
            assert_eq!(wait_max, LONG);
            tokio::time::advance(SHORT_WAIT / 2).await;
            drop(short);
        }
        let late = || async {
            let (late, _) = join();
            tokio::time::advance(SHORT_WAIT).await;
            drop(late);
        };
        late().await;
        assert_eq!(join().1, LONG, "one late call makes no overload, and this one was short");
        late().await;
        let (late, _) = join();
        tokio::time::advance(BURST_MAX).await;
        drop(late);
        assert_eq!(join().1, SHORT_WAIT);
        assert_eq!(join().1, SHORT_WAIT, "a short wait ends no overload");
        assert!(last.is_stale(), "it joined before the overload and would be answered late");
        assert!(!join().0.is_stale());
        drop(last);
        assert_eq!(join().1, SHORT_WAIT, "that nobody waits for a moment ends no overload");
        tokio::time::advance(CALM_MIN).await;
        assert_eq!(join().1, LONG, "it was calm");
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
