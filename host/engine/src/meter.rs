//! What a call uses: CPU time of whatever thread it runs on, and peak memory.

use rustix::time::{ClockId, clock_gettime};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};

/// Counts what one call uses. It can be read while the call runs and after it was dropped.
#[derive(Debug, Default)]
pub struct Meter {
    cpu_ns: AtomicU64,
    /// The thread's CPU clock when the poll that goes on now began. Used only by the thread that polls.
    poll_began_ns: AtomicU64,
    memory_peak_bytes: AtomicU64,
}

impl Meter {
    /// CPU time in microseconds, up to the last time the call gave its thread back.
    pub fn cpu_us(&self) -> u64 {
        self.cpu_ns() / 1_000
    }

    /// The largest sum of all linear memories at one time, in bytes.
    pub fn memory_peak_bytes(&self) -> u64 {
        self.memory_peak_bytes.load(Relaxed)
    }

    /// CPU time in nanoseconds, up to the same moment.
    pub(crate) fn cpu_ns(&self) -> u64 {
        self.cpu_ns.load(Relaxed)
    }

    /// CPU time in nanoseconds, the poll that goes on included. Call it only within that poll.
    pub(crate) fn cpu_ns_within_poll(&self) -> u64 {
        self.cpu_ns() + thread_cpu_ns().saturating_sub(self.poll_began_ns.load(Relaxed))
    }

    pub(crate) fn memory_in_use(&self, bytes: u64) {
        self.memory_peak_bytes.fetch_max(bytes, Relaxed);
    }

    fn measure<T>(&self, work: impl FnOnce() -> T) -> T {
        let began = thread_cpu_ns();
        self.poll_began_ns.store(began, Relaxed);
        let done = work();
        self.cpu_ns.fetch_add(thread_cpu_ns().saturating_sub(began), Relaxed);
        done
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

fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
