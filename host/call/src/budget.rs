//! Bytes that the host holds for requests: a budget for each tenant, and one for all of them together.
//!
//! Counted is what others make the host hold: bodies that are read, the values made of them, answers until the client has taken
//! them. Who asks for more than there is waits a little, and is refused then. A part of every budget is for small requests: large
//! ones that fill the rest do not keep them out.

use crate::Explanation;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use wares_model::ProblemCode;
use wares_model::limits::{HELD_WAIT_MS_MAX, REQUEST_BYTES_MIN};

/// Seconds after which a refused caller may try again.
const RETRY_AFTER_SECONDS: u64 = 1;

/// Some bytes, of which so many may be held.
#[derive(Debug)]
pub(crate) struct Room {
    bytes_max: u64,
    held: AtomicU64,
    /// Who waits for bytes to be given back.
    waiting: AtomicUsize,
    freed: Notify,
}

/// What one tenant may hold, as a part of what the host may.
#[derive(Debug)]
pub(crate) struct Budget {
    own: Room,
    /// None for what operators have for themselves.
    host: Option<Arc<Room>>,
}

/// Who sends requests with one key.
#[derive(Debug)]
pub struct Holder {
    pub(crate) budget: Arc<Budget>,
    /// Requests that are open.
    pub(crate) open: AtomicUsize,
    pub(crate) open_max: usize,
}

/// What one request holds, at least [`REQUEST_BYTES_MIN`]. It is given back when this is dropped.
#[derive(Debug)]
pub struct Held {
    holder: Arc<Holder>,
    /// Bytes that the request uses.
    used: AtomicU64,
    /// Of these, those that it uses until its answer is taken.
    kept: AtomicU64,
    /// Bytes that are taken from the budget for it: never less.
    taken: AtomicU64,
}

/// Why something may not be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// So many requests of the key are open.
    Key(usize),
    /// The tenant, or whoever else the key is of, holds as much as it may.
    Tenant(u64),
    /// All open requests of the host together hold so many bytes, which is as much as they may.
    Host(u64),
    /// It is more than there ever is for one request.
    Never(u64),
}

impl Room {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, held: AtomicU64::new(0), waiting: AtomicUsize::new(0), freed: Notify::new() }
    }

    /// What large requests may have of it.
    fn large_max(&self) -> u64 {
        self.bytes_max / 4 * 3
    }

    pub(crate) fn held(&self) -> u64 {
        self.held.load(Ordering::SeqCst)
    }

    fn take(&self, bytes: u64, most: u64) -> bool {
        let with = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= most);
        self.held.fetch_update(Ordering::SeqCst, Ordering::Relaxed, with).is_ok()
    }

    fn count(&self, bytes: u64) {
        self.held.fetch_add(bytes, Ordering::SeqCst);
    }

    fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::SeqCst);
        self.ring();
    }

    /// Tells one of those who wait to look again.
    fn ring(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.freed.notify_one();
        }
    }
}

impl Budget {
    pub(crate) fn new(bytes_max: u64, host: Option<Arc<Room>>) -> Self {
        Self { own: Room::new(bytes_max), host }
    }

    /// Takes so many bytes, or says whose room is full.
    fn take(&self, bytes: u64, most: impl Fn(&Room) -> u64) -> Result<(), (&Room, Full)> {
        if !self.own.take(bytes, most(&self.own)) {
            return Err((&self.own, Full::Tenant(self.own.bytes_max)));
        }
        match &self.host {
            Some(host) if !host.take(bytes, most(host)) => {
                self.own.give_back(bytes);
                Err((host, Full::Host(host.bytes_max)))
            }
            _ => Ok(()),
        }
    }

    /// Takes what a large request needs, as soon as there is room for it.
    async fn wait_for(&self, bytes: u64) -> Result<(), Full> {
        let most = self.own.large_max();
        if bytes > most {
            return Err(Full::Never(most));
        }
        let deadline = Instant::now() + Duration::from_millis(HELD_WAIT_MS_MAX);
        while let Err((room, _)) = self.take(bytes, Room::large_max) {
            let _waiting = Waiting::at(room);
            // What was given back before it was known that this one waits has rung for nobody.
            let Err((_, full)) = self.take(bytes, Room::large_max) else { break };
            timeout_at(deadline, room.freed.notified()).await.map_err(|_| full)?;
        }
        // There may be room for the next one too.
        self.own.ring();
        self.host.iter().for_each(|host| host.ring());
        Ok(())
    }

    fn count(&self, bytes: u64) {
        self.own.count(bytes);
        self.host.iter().for_each(|host| host.count(bytes));
    }

    fn give_back(&self, bytes: u64) {
        self.own.give_back(bytes);
        self.host.iter().for_each(|host| host.give_back(bytes));
    }
}

/// Somebody who waits for a room.
struct Waiting<'a>(&'a Room);

impl<'a> Waiting<'a> {
    fn at(room: &'a Room) -> Self {
        room.waiting.fetch_add(1, Ordering::SeqCst);
        Self(room)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Holder {
    /// One more request, and what every request holds.
    pub fn begin(self: &Arc<Self>) -> Result<Held, Full> {
        let more = |open: usize| Some(open + 1).filter(|open| *open <= self.open_max);
        if self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_err() {
            return Err(Full::Key(self.open_max));
        }
        if let Err((_, full)) = self.budget.take(REQUEST_BYTES_MIN, |room| room.bytes_max) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(full);
        }
        let (used, kept, taken) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(REQUEST_BYTES_MIN));
        Ok(Held { holder: Arc::clone(self), used, kept, taken })
    }
}

impl Held {
    /// So many bytes more, as soon as there is room for them.
    pub async fn grow(&self, bytes: u64) -> Result<(), Full> {
        match self.missing(bytes) {
            0 => {}
            missing => {
                self.budget().wait_for(missing).await?;
                self.taken.fetch_add(missing, Ordering::Relaxed);
            }
        }
        self.used.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// The same if there is room for them now.
    pub(crate) fn grow_now(&self, bytes: u64) -> bool {
        let missing = self.missing(bytes);
        let grows = missing == 0 || self.budget().take(missing, Room::large_max).is_ok();
        if grows {
            self.taken.fetch_add(missing, Ordering::Relaxed);
            self.used.fetch_add(bytes, Ordering::Relaxed);
        }
        grows
    }

    /// So many bytes more, for as long as the request is open.
    pub async fn keep(&self, bytes: u64) -> Result<(), Full> {
        self.grow(bytes).await?;
        self.kept.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// So many bytes less.
    pub fn shrink(&self, bytes: u64) {
        let used = self.used.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        self.give_back_all_but(used);
    }

    /// Takes room for an answer of so many bytes that changes nothing. If there is none now, it is better not given.
    pub fn make_room_for(&self, bytes: u64) -> Result<(), Full> {
        match self.grow_now(bytes) {
            true => Ok(()),
            false => Err(Full::Tenant(self.budget().own.bytes_max)),
        }
    }

    /// The request is answered: what is held from now on is the answer, of so many bytes. That is there already, and counts even
    /// where there is no room for it; nothing more is let in then.
    pub fn answered(&self, bytes: u64) {
        let used = self.kept.load(Ordering::Relaxed).saturating_add(bytes);
        self.used.store(used, Ordering::Relaxed);
        match self.missing(0) {
            0 => self.give_back_all_but(used),
            missing => {
                self.budget().count(missing);
                self.taken.fetch_add(missing, Ordering::Relaxed);
            }
        }
    }

    fn budget(&self) -> &Budget {
        &self.holder.budget
    }

    /// What is not taken yet of so many bytes more.
    fn missing(&self, bytes: u64) -> u64 {
        let used = self.used.load(Ordering::Relaxed).saturating_add(bytes);
        used.saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    fn give_back_all_but(&self, used: u64) {
        let keep = used.max(REQUEST_BYTES_MIN);
        let taken = self.taken.load(Ordering::Relaxed);
        if taken > keep {
            self.taken.store(keep, Ordering::Relaxed);
            self.budget().give_back(taken - keep);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let taken = *self.taken.get_mut();
        self.budget().give_back(taken);
        self.holder.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl From<Full> for Explanation {
    fn from(full: Full) -> Self {
        let (code, detail) = match full {
            Full::Key(most) => (
                ProblemCode::RateLimited,
                format!("{most} requests with this key are open already; take their answers"),
            ),
            Full::Tenant(most) => (
                ProblemCode::RateLimited,
                format!(
                    "open requests hold the {most} bytes that they may hold for this key's owner; take their answers"
                ),
            ),
            Full::Host(_) => {
                (ProblemCode::Overloaded, "open requests hold as much memory as the host has for them".to_owned())
            }
            Full::Never(most) => {
                let detail = format!("the host would hold more than {most} bytes for this request: send less at once");
                return Self::new(ProblemCode::TooLarge, detail);
            }
        };
        Self::new(code, detail).retry_after(RETRY_AFTER_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    const MIB: u64 = 1 << 20;

    fn holder(budget: &Arc<Budget>, open_max: usize) -> Arc<Holder> {
        Arc::new(Holder { budget: Arc::clone(budget), open: AtomicUsize::new(0), open_max })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_bounded_waited_for_and_given_back() {
        let host = Arc::new(Room::new(6 * MIB));
        let [one, other] = [4, 4].map(|most| Arc::new(Budget::new(most * MIB, Some(Arc::clone(&host)))));
        let (key, neighbour) = (holder(&one, 10), holder(&other, 10));
        let large = key.begin().unwrap();
        large.grow(2 * MIB).await.unwrap();
        assert_eq!((one.own.held(), host.held()), (2 * MIB, 2 * MIB));

        let second = key.begin().unwrap();
        assert_eq!(second.grow(4 * MIB).await, Err(Full::Never(3 * MIB)));
        assert_eq!(second.grow(2 * MIB).await, Err(Full::Tenant(4 * MIB)), "a quarter is for small requests");
        let beside = neighbour.begin().unwrap();
        beside.grow(2 * MIB).await.unwrap();
        assert_eq!(beside.grow(MIB).await, Err(Full::Host(6 * MIB)), "so of what all have together");
        neighbour.begin().unwrap();

        let mut waiting = Box::pin(second.grow(MIB));
        assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        large.shrink(MIB);
        waiting.await.unwrap();
        drop((large, second, beside));
        assert_eq!((one.own.held(), other.own.held(), host.held()), (0, 0, 0));
    }

    #[tokio::test]
    async fn a_small_request_takes_its_share_once() {
        let budget = Arc::new(Budget::new(MIB, None));
        let key = holder(&budget, 2);
        let small = key.begin().unwrap();
        small.grow(100).await.unwrap();
        small.grow(1_000).await.unwrap();
        small.answered(50);
        assert_eq!(budget.own.held(), REQUEST_BYTES_MIN);
        let second = key.begin().unwrap();
        assert_eq!(key.begin().map(drop), Err(Full::Key(2)));
        drop(second);
        key.begin().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_counts_though_there_is_no_room_for_it() {
        let budget = Arc::new(Budget::new(MIB, None));
        let key = holder(&budget, 10);
        let request = key.begin().unwrap();
        request.grow(MIB / 2).await.unwrap();
        request.keep(MIB / 8).await.unwrap();
        request.answered(2 * MIB);
        assert_eq!(budget.own.held(), 2 * MIB + MIB / 8);
        assert_eq!(key.begin().map(drop), Err(Full::Tenant(MIB)), "nothing more is let in");
        drop(request);
        assert_eq!(budget.own.held(), 0);
    }
}
