//! What a call uses: CPU time of whatever thread it runs on, and of others that work for it, and peak memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use wares_capabilities::{CpuAccount, thread_cpu_ns};

/// Counts what one call uses. It can be read while the call runs and after it was dropped.
///
/// A call that another one makes runs within that one's polls. What it uses is counted by its own meter alone, and set aside
/// by the meters above: so the figures of all calls add up, and a call still knows what it and the calls below used together.
#[derive(Debug)]
pub struct Meter {
    cpu_ns: AtomicU64,
    /// CPU time of the calls that this one made, and of those that they made.
    below_ns: AtomicU64,
    /// The thread's CPU clock when the poll that goes on now began, moved on by what calls below used since. Used only by the
    /// thread that polls.
    poll_began_ns: AtomicU64,
    memory_peak_bytes: AtomicU64,
    /// Memory that the host holds for the call beside that.
    host_bytes: AtomicU64,
    /// The call that made this one, and the CPU time that it had left then.
    above: Option<(Arc<Meter>, u64)>,
}

impl Default for Meter {
    fn default() -> Self {
        let (cpu_ns, below_ns, poll_began_ns, memory_peak_bytes, host_bytes) = Default::default();
        Self { cpu_ns, below_ns, poll_began_ns, memory_peak_bytes, host_bytes, above: None }
    }
}

impl Meter {
    /// A meter of a call that is made within another one, which has so many nanoseconds of CPU time left.
    pub fn below(above: &Arc<Self>, left_ns: u64) -> Self {
        Self { above: Some((Arc::clone(above), left_ns)), ..Self::default() }
    }

    /// Whether another call made this one.
    pub(crate) fn is_below(&self) -> bool {
        self.above.is_some()
    }

    /// The CPU time in nanoseconds that the call and those below it may have, if its own limits allow so much.
    pub fn cpu_ns_max(&self, cpu_ms_max: u64) -> u64 {
        let left = self.above.as_ref().map_or(u64::MAX, |(_, left_ns)| *left_ns);
        cpu_ms_max.saturating_mul(1_000_000).min(left)
    }

    /// What is left of that now. Call it only within the call's polls.
    pub fn cpu_ns_left(&self, cpu_ms_max: u64) -> u64 {
        self.cpu_ns_max(cpu_ms_max).saturating_sub(self.cpu_ns_within_poll())
    }

    /// CPU time in microseconds, that of other threads included, up to the last time the call gave its thread back.
    pub fn cpu_us(&self) -> u64 {
        self.cpu_ns() / 1_000
    }

    /// The largest sum of all linear memories at one time, in bytes, with what the host held for the call.
    pub fn memory_peak_bytes(&self) -> u64 {
        self.memory_peak_bytes.load(Relaxed).saturating_add(self.host_bytes.load(Relaxed))
    }

    /// The host holds so much for the call while it runs.
    pub fn held_by_host(&self, bytes: u64) {
        self.host_bytes.store(bytes, Relaxed);
    }

    /// CPU time in nanoseconds, up to the same moment.
    fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Relaxed)
    }

    /// The same with the calls below.
    pub(crate) fn cpu_ns_of_all(&self) -> u64 {
        self.cpu_ns() + self.below_ns.load(Relaxed)
    }

    /// The same, the poll that goes on included. Call it only within that poll.
    pub(crate) fn cpu_ns_within_poll(&self) -> u64 {
        self.cpu_ns_of_all() + thread_cpu_ns().saturating_sub(self.poll_began_ns.load(Relaxed))
    }

    pub(crate) fn memory_in_use(&self, bytes: u64) {
        self.memory_peak_bytes.fetch_max(bytes, Relaxed);
    }

    fn measure<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = thread_cpu_ns();
        self.poll_began_ns.store(began, Relaxed);
        let done = work();
        let ended = thread_cpu_ns();
        self.cpu_ns.fetch_add(ended.saturating_sub(self.poll_began_ns.load(Relaxed)), Relaxed);
        if let Some((above, _)) = &self.above {
            above.set_aside(ended.saturating_sub(began));
        }
        done
    }

    /// Takes what a call below used out of the poll that goes on.
    fn set_aside(&self, ns: u64) {
        self.poll_began_ns.fetch_add(ns, Relaxed);
        self.below_ns.fetch_add(ns, Relaxed);
    }
}

impl CpuAccount for Meter {
    fn charge(&self, ns: u64) {
        self.cpu_ns.fetch_add(ns, Relaxed);
        let mut above = &self.above;
        while let Some((meter, _)) = above {
            meter.below_ns.fetch_add(ns, Relaxed);
            above = &meter.above;
        }
    }
}

/// A future whose polls, and whose drop when it is cancelled, are measured.
pub(crate) struct Metered<'a, F> {
    work: Option<Pin<Box<F>>>,
    meter: &'a Meter,
}

impl<'a, F> Metered<'a, F> {
    pub(crate) fn new(work: F, meter: &'a Meter) -> Self {
        Self { work: Some(Box::pin(work)), meter }
    }
}

impl<F: Future> Future for Metered<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.meter.measure(|| {
            let Some(work) = &mut this.work else { return Poll::Pending };
            let polled = work.as_mut().poll(context);
            if polled.is_ready() {
                this.work = None;
            }
            polled
        })
    }
}

impl<F> Drop for Metered<'_, F> {
    fn drop(&mut self) {
        // Taking a sandbox down is part of what a call costs.
        if let Some(work) = self.work.take() {
            self.meter.measure(|| drop(work));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn(ns: u64) {
        let until = thread_cpu_ns() + ns;
        while thread_cpu_ns() < until {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn what_a_call_below_uses_is_counted_once_and_taken_from_what_is_left() {
        const MS: u64 = 1_000_000;
        let root = Arc::new(Meter::default());
        root.measure(|| {
            burn(2 * MS);
            let left = root.cpu_ns_left(10);
            assert!((7 * MS..=8 * MS).contains(&left), "{left}");
            let below = Arc::new(Meter::below(&root, left));
            below.measure(|| {
                burn(3 * MS);
                let deepest = Arc::new(Meter::below(&below, below.cpu_ns_left(1_000)));
                deepest.measure(|| burn(MS));
                assert!((MS..2 * MS).contains(&deepest.cpu_ns()));
                assert!((3 * MS..=4 * MS).contains(&below.cpu_ns_left(1_000)));
                // As if another thread had worked for it.
                deepest.charge(MS);
                assert!((2 * MS..3 * MS).contains(&deepest.cpu_ns()));
                assert!((2 * MS..=3 * MS).contains(&below.cpu_ns_left(1_000)));
            });
            assert!((3 * MS..4 * MS).contains(&below.cpu_ns()), "{below:?}");
            assert!(root.cpu_ns_left(10) <= 3 * MS);
        });
        assert!((2 * MS..4 * MS).contains(&root.cpu_ns()), "{root:?}");
        assert!((7 * MS..10 * MS).contains(&root.cpu_ns_of_all()), "{root:?}");
    }
}
