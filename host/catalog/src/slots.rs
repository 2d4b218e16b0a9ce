//! Slots of one scarce thing, a tenant, a version or the host, and the wait for one.
//!
//! A burst may wait. When more comes in than goes out, waiting makes every answer late and no more of them, so that then nobody
//! waits long. That is judged for each thing by itself: calls that wait for one are no reason to refuse those that do not need
//! it.

use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A wait that callers hardly notice. In a queue of overload no call waits longer. Like the next figure it is what CoDel found
/// to suit queues (RFC 8289, 4.3: a tenth of the interval).
const SHORT_WAIT: Duration = Duration::from_millis(10);
/// When every call has waited longer than [`SHORT_WAIT`] for so long, it is no burst: more comes in than goes out. CoDel's
/// interval (RFC 8289, 4.2).
const BURST_MAX: Duration = Duration::from_millis(100);
/// An overload is over when no call has waited long for this time; a moment's pause does not end it.
const CALM_MIN: Duration = Duration::from_secs(1);

/// Slots of one thing. Whoever holds a [`Slot`] has one of them.
pub struct Slots {
    free: Arc<Semaphore>,
    most: Mutex<usize>,
    queue: Mutex<Queue>,
}

/// A slot; dropping it lets the next call in.
pub type Slot = OwnedSemaphorePermit;

/// Why a slot is not had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// None was free within this time.
    After(Duration),
    /// It came too late: what seemed a burst proved to be an overload.
    Stale,
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

/// A place in the queue for as long as a call waits.
struct Waiting<'a> {
    queue: &'a Mutex<Queue>,
    since: Instant,
}

impl Slots {
    /// So many.
    pub fn new(most: usize) -> Self {
        let most = most.min(Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(most)), most: Mutex::new(most), queue: Mutex::default() }
    }

    /// So many from now on. Of those that are taken, those that are too many go when they come back.
    pub fn resize(&self, most: usize) {
        let most = most.min(Semaphore::MAX_PERMITS);
        let before = std::mem::replace(&mut *self.most.lock(), most);
        self.free.add_permits(most.saturating_sub(before));
        let too_many = before.saturating_sub(most);
        let taken = u32::try_from(too_many - self.free.forget_permits(too_many)).unwrap_or(u32::MAX);
        if taken > 0 {
            let free = Arc::clone(&self.free);
            tokio::spawn(async move {
                if let Ok(slots) = free.acquire_many(taken).await {
                    slots.forget();
                }
            });
        }
    }

    /// How many are free.
    pub fn free(&self) -> usize {
        self.free.available_permits()
    }

    /// A slot, if one is free now.
    pub fn take(&self) -> Option<Slot> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// A slot, as soon as one is free until the deadline. The wait says nothing about the thing's load: it is for those who may
    /// wait, and few.
    pub async fn wait(&self, deadline: Instant) -> Option<Slot> {
        tokio::time::timeout_at(deadline, Arc::clone(&self.free).acquire_owned()).await.ok()?.ok()
    }

    /// A slot, as soon as one is free until the deadline; under overload there is not much of a wait.
    pub async fn queue(&self, deadline: Instant) -> Result<Slot, Late> {
        if let Some(slot) = self.take() {
            return Ok(slot);
        }
        let (waiting, wait_max) = self.join();
        let deadline = waiting.since.checked_add(wait_max).map_or(deadline, |short| short.min(deadline));
        let slot = self.wait(deadline).await.ok_or_else(|| Late::After(deadline - waiting.since))?;
        if waiting.is_stale() { Err(Late::Stale) } else { Ok(slot) }
    }

    /// A place in the queue, and how long it is worth waiting there.
    fn join(&self) -> (Waiting<'_>, Duration) {
        let mut queue = self.queue.lock();
        queue.length += 1;
        let wait_max = if queue.is_overload() { SHORT_WAIT } else { Duration::MAX };
        (Waiting { queue: &self.queue, since: Instant::now() }, wait_max)
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_may_wait_and_an_overload_may_not() {
        const LONG: Duration = Duration::MAX;
        let slots = Slots::new(1);
        let (last, wait_max) = slots.join();
        assert_eq!(wait_max, LONG);
        // A standing queue in which nobody waits long is no overload.
        for _ in 0..100 {
            let (short, wait_max) = slots.join();
            assert_eq!(wait_max, LONG);
            tokio::time::advance(SHORT_WAIT / 2).await;
            drop(short);
        }
        let late = || async {
            let (late, _) = slots.join();
            tokio::time::advance(SHORT_WAIT).await;
            drop(late);
        };
        late().await;
        assert_eq!(slots.join().1, LONG, "one late call makes no overload, and this one was short");
        late().await;
        let (late, _) = slots.join();
        tokio::time::advance(BURST_MAX).await;
        drop(late);
        assert_eq!(slots.join().1, SHORT_WAIT);
        assert_eq!(slots.join().1, SHORT_WAIT, "a short wait ends no overload");
        assert!(last.is_stale(), "it joined before the overload and would be answered late");
        assert!(!slots.join().0.is_stale());
        drop(last);
        assert_eq!(slots.join().1, SHORT_WAIT, "that nobody waits for a moment ends no overload");
        tokio::time::advance(CALM_MIN).await;
        assert_eq!(slots.join().1, LONG, "it was calm");
    }

    #[tokio::test]
    async fn there_can_be_more_slots_or_fewer_while_some_are_taken() {
        let slots = Slots::new(2);
        let taken = [slots.take(), slots.take()];
        slots.resize(4);
        let more = [slots.take(), slots.take()];
        assert!(more.iter().all(Option::is_some) && slots.take().is_none());
        slots.resize(1);
        drop(more);
        tokio::task::yield_now().await;
        drop(taken);
        tokio::task::yield_now().await;
        assert!(slots.take().is_some_and(|_one| slots.take().is_none()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_short_of_slots_makes_no_other_short_of_them() {
        let (short, other) = (Slots::new(1), Slots::new(1));
        let (held, taken) = (short.take(), other.take());
        assert!(held.is_some() && taken.is_some());
        let second = || Instant::now() + Duration::from_secs(1);
        let late = Late::After(Duration::from_secs(1));
        // In a queue that somebody always waits in, as long as there is more to wait for.
        let (_standing, _) = short.join();
        assert_eq!(short.queue(second()).await.map(drop), Err(late));
        tokio::time::advance(BURST_MAX).await;
        assert_eq!(short.queue(second()).await.map(drop), Err(Late::After(SHORT_WAIT)), "it is overloaded");
        assert_eq!(other.queue(second()).await.map(drop), Err(late), "and the other one is not");
        drop(taken);
        assert!(other.queue(second()).await.is_ok());
    }
}
