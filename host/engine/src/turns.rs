//! Turns on the processors for calls that compute for long, so that they do not stand between short work and its thread.
//!
//! An executor's threads take whatever is ready in order. With many long calls ready, everything else that the host does, a
//! connection's reading and writing included, would wait for all of them each time. So only as many of them are ready as
//! there are processors; the others wait here, in order. Short calls know nothing of it.
//!
//! A call that another one makes runs within that one's polls, and takes no turn of its own: the one that is held above is
//! for whatever of them computes, and nobody holds one while he waits.

use crate::meter::{Meter, Metered};
use std::future::Future;
use std::num::NonZeroUsize;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;

/// CPU time in nanoseconds from which on a call takes turns: several times what making an instance costs.
const LONG_CPU_NS: u64 = 200_000;
/// A call moves the usual time of its function by one part in so many towards its own.
const HABIT_WEIGHT: u64 = 8;

/// As many turns as there are processors.
pub(crate) struct Turns(Arc<Semaphore>);

impl Turns {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self(Arc::new(Semaphore::new(processors)))
    }

    /// Runs a call's work, in turns if it usually is long or turns out to be.
    pub(crate) fn take<'a, F>(&'a self, work: Metered<'a, F>, meter: &'a Meter, habit: &'a Habit) -> InTurn<'a, F> {
        InTurn { work, meter, habit, turns: self, waiting: None, turn: None }
    }
}

/// How much CPU time the calls of one function usually take.
#[derive(Debug, Default)]
pub(crate) struct Habit {
    cpu_ns: AtomicU64,
}

impl Habit {
    fn is_long(&self) -> bool {
        self.cpu_ns.load(Relaxed) >= LONG_CPU_NS
    }

    /// Calls that end at the same time may overwrite each other; the next one sets it right.
    fn learn(&self, cpu_ns: u64) {
        let usual = self.cpu_ns.load(Relaxed);
        self.cpu_ns.store((usual * (HABIT_WEIGHT - 1)).saturating_add(cpu_ns) / HABIT_WEIGHT, Relaxed);
    }
}

pub(crate) struct InTurn<'a, F> {
    work: Metered<'a, F>,
    meter: &'a Meter,
    habit: &'a Habit,
    turns: &'a Turns,
    waiting: Option<PollSemaphore>,
    turn: Option<OwnedSemaphorePermit>,
}

impl<F: Future> Future for InTurn<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let takes_turns = this.habit.is_long() || this.meter.cpu_ns_of_all() >= LONG_CPU_NS;
        if takes_turns && this.turn.is_none() {
            let waiting = this.waiting.get_or_insert_with(|| PollSemaphore::new(Arc::clone(&this.turns.0)));
            this.turn = ready!(waiting.poll_acquire(context));
            // Behind whatever is ready now, and behind what the sockets have.
            let _ = pin!(tokio::task::yield_now()).poll(context);
            return Poll::Pending;
        }
        let polled = Pin::new(&mut this.work).poll(context);
        this.turn = None;
        if polled.is_ready() {
            this.habit.learn(this.meter.cpu_ns_of_all());
        }
        polled
    }
}
