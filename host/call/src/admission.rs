//! Who may run now: slots per tenant, per version and for the whole host, and a bounded wait for them.

use crate::{CallError, Explanation, Prepared};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use wares_catalog::Catalog;
use wares_catalog::ledger::Ledger;
use wares_catalog::slots::{Late, Slot, Slots};
use wares_catalog::snapshot::{Live, VersionEntry};
use wares_model::limits::COMPONENT_CALL_DEPTH_MAX;
use wares_model::{CallId, ProblemCode};

/// Seconds after which a refused caller may try again.
const RETRY_AFTER_SECONDS: u64 = 1;

/// How a call waits for its slots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// In the queues: somebody waits for its answer, and it counts among those who wait.
    Caller,
    /// Beside them, for as long as a call may wait: nobody waits for an attempt at a job, and only so many are made at once,
    /// so that a backlog of jobs is no overload.
    Job,
}

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
    host: Slots,
    /// Of the host's calls, those that may call components.
    composed: Slots,
    /// Places for calls that wait, whatever they wait for.
    waiting: Semaphore,
}

/// What a running call holds; dropping it lets the next one in.
pub(crate) struct Permits {
    _tenant: Slot,
    _version: Slot,
    _composed: Option<Slot>,
    _host: Slot,
}

impl Admission {
    pub(crate) fn new(capacity: Capacity) -> Self {
        let waiting = Semaphore::new(capacity.waiting_max.min(Semaphore::MAX_PERMITS));
        let [host, composed] = [capacity.running_max, capacity.composed_max].map(Slots::new);
        Self { capacity, host, composed, waiting }
    }

    /// Lets the call in when tenant, version and host have a free slot, in this order, and the ledger can be written. The host's
    /// comes last: nothing is waited for with it in hand.
    pub(crate) async fn admit(
        &self,
        prepared: &Prepared,
        ledger: &Ledger,
        patience: Patience,
    ) -> Result<Permits, CallError> {
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
        let place = (patience == Patience::Caller).then(|| self.place());
        if let Some(None) = place {
            let detail = format!("{} calls are waiting already", self.capacity.waiting_max);
            return Err(refuse(Explanation::new(ProblemCode::Overloaded, detail)));
        }
        let wait_max = self.capacity.wait_max;
        let deadline = Instant::now() + wait_max;
        let queue = async |slots: &Slots, code, what: &str| {
            let slot = match patience {
                Patience::Caller => slots.queue(deadline).await,
                Patience::Job => slots.wait(deadline).await.ok_or(Late::After(wait_max)),
            };
            slot.map_err(|late| refuse(Explanation::new(code, too_late(late, what))))
        };
        Ok(Permits {
            _tenant: queue(tenant, ProblemCode::RateLimited, "the tenant").await?,
            _version: queue(version, ProblemCode::Overloaded, "the version").await?,
            _composed: match composed {
                None => None,
                Some(composed) => {
                    let what = "the host, for a call that may call components,";
                    Some(queue(composed, ProblemCode::Overloaded, what).await?)
                }
            },
            _host: queue(&self.host, ProblemCode::Overloaded, "the host").await?,
        })
    }

    /// Whether nobody waits and most slots of the host are free.
    pub(crate) fn is_at_rest(&self) -> bool {
        let nobody_waits = self.waiting.available_permits() >= self.capacity.waiting_max.min(Semaphore::MAX_PERMITS);
        nobody_waits && self.host.free() > self.capacity.running_max / 2
    }

    /// Waits for a slot of the version, for a call that another one makes: it has its place in all else with that one.
    pub(crate) async fn admit_below(
        &self,
        call: CallId,
        version: &VersionEntry,
        wait_max: Duration,
    ) -> Result<Slot, CallError> {
        let wait_max = wait_max.min(self.capacity.wait_max);
        version.slots.wait(Instant::now() + wait_max).await.ok_or_else(|| {
            let detail = too_late(Late::After(wait_max), &format!("{version:?}"));
            CallError::new(call, Explanation::new(ProblemCode::Overloaded, detail))
        })
    }

    /// The version, ready to run. A call waits for that as for a slot; the load goes on without it.
    pub(crate) async fn loaded(
        &self,
        catalog: &Arc<Catalog>,
        call: CallId,
        version: &Arc<VersionEntry>,
    ) -> Result<Arc<Live>, CallError> {
        match catalog.live_within(version, self.capacity.wait_max).await {
            Some(live) => live.map_err(|error| CallError::load(call, &error)),
            None => {
                let explanation =
                    Explanation::new(ProblemCode::Overloaded, format!("{version:?} is still being loaded"));
                Err(CallError::new(call, explanation.retry_after(RETRY_AFTER_SECONDS)))
            }
        }
    }

    /// A place for a call that waits, if there is one.
    fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.waiting.try_acquire().ok()
    }

    fn at_once(&self, tenant: &Slots, version: &Slots, composed: Option<&Slots>) -> Option<Permits> {
        let _composed = match composed {
            None => None,
            Some(composed) => Some(composed.take()?),
        };
        Some(Permits { _composed, _tenant: tenant.take()?, _version: version.take()?, _host: self.host.take()? })
    }
}

/// Why a call is refused, for people.
fn too_late(late: Late, what: &str) -> String {
    match late {
        Late::After(waited) => format!("{what} had no free slot within {waited:?}"),
        Late::Stale => {
            format!("more calls come in than {what} can take; this one waited too long to be let in")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_has_an_end() {
        let admission = Admission::new(Capacity {
            running_max: 1,
            waiting_max: 1,
            wait_max: Duration::from_secs(1),
            shadows_max: 0,
            composed_max: 1,
        });
        assert!(admission.is_at_rest());
        let place = admission.place();
        assert!(place.is_some() && admission.place().is_none() && !admission.is_at_rest());
        drop(place);
        assert!(admission.is_at_rest() && admission.place().is_some());
    }
}
