//! Turns at work that is bounded in number: lane after lane, however many wait in one of them.
//!
//! A lane holds at most [`Bounds::lane_running_max`] turns, which is fewer than there are: there is always one that some lane
//! alone cannot keep. Some are for operators only.

use parking_lot::Mutex;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use tokio::sync::oneshot;
use wares_model::Namespace;

/// On whose behalf a component is read or compiled: who waits in one line, and whose bytes one worker may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lane {
    /// A publisher of this namespace.
    Publisher(Namespace),
    /// An operator, with a component of this namespace if it is known before it is read.
    Operator(Option<Namespace>),
    /// Calls of a version of this namespace that is on the shelf.
    Load(Namespace),
}

impl Lane {
    /// The only namespace whose components are in the lane, if there is one.
    pub(crate) fn namespace(&self) -> Option<&Namespace> {
        match self {
            Self::Publisher(namespace) | Self::Load(namespace) => Some(namespace),
            Self::Operator(namespace) => namespace.as_ref(),
        }
    }

    /// Calls that wait are bounded where they are taken, and one of them loads for all.
    fn is_bounded(&self) -> bool {
        !matches!(self, Self::Load(_))
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publisher(namespace) => write!(f, "the publishers of {namespace}"),
            Self::Operator(_) => f.write_str("operators"),
            Self::Load(namespace) => write!(f, "versions of {namespace}"),
        }
    }
}

/// Too many wait in a lane.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} components of {lane} wait to be read or compiled already: publish fewer at once, or again later")]
pub struct Overloaded {
    lane: String,
    waiting: usize,
}

/// How much may run and wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Turns at once, those for operators left out.
    pub(crate) running_max: usize,
    /// Turns more for operators.
    pub(crate) operators_max: usize,
    /// Turns of one lane at once.
    pub(crate) lane_running_max: usize,
    /// Who waits in one lane.
    pub(crate) lane_waiting_max: usize,
}

/// Who runs and who waits.
#[derive(Debug)]
pub(crate) struct Queue(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bounds: Bounds,
    lines: Mutex<Lines>,
}

#[derive(Debug, Default)]
struct Lines {
    running: usize,
    /// Those with somebody in them; the first was served longest ago.
    lines: VecDeque<Line>,
}

#[derive(Debug)]
struct Line {
    lane: Lane,
    running: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// A turn, until this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    queue: Arc<Inner>,
    lane: Lane,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Inner { bounds, lines: Mutex::default() }))
    }

    /// Waits for a turn. Who stops waiting has left.
    pub(crate) async fn turn(&self, lane: &Lane) -> Result<Turn, Overloaded> {
        let (sender, receiver) = oneshot::channel();
        self.0.lines.lock().join(lane, sender, self.0.bounds.lane_waiting_max)?;
        self.0.serve();
        let turn = receiver.await;
        // The sender is in a line of the queue, which is there.
        turn.map_err(|_| Overloaded { lane: lane.to_string(), waiting: 0 })
    }
}

impl Inner {
    /// Gives out the turns that are free.
    fn serve(self: &Arc<Self>) {
        // One at a time and outside of the lock: a turn that nobody takes is dropped, which comes back here.
        loop {
            let next = self.lines.lock().next(&self.bounds);
            let Some((lane, sender)) = next else { return };
            let _ = sender.send(Turn { queue: Arc::clone(self), lane });
        }
    }
}

impl Lines {
    fn join(&mut self, lane: &Lane, sender: oneshot::Sender<Turn>, waiting_max: usize) -> Result<(), Overloaded> {
        let Some(line) = self.lines.iter_mut().find(|line| line.lane == *lane) else {
            self.lines.push_back(Line { lane: lane.clone(), running: 0, waiting: VecDeque::from([sender]) });
            return Ok(());
        };
        line.waiting.retain(|waiting| !waiting.is_closed());
        if lane.is_bounded() && line.waiting.len() >= waiting_max {
            return Err(Overloaded { lane: lane.to_string(), waiting: line.waiting.len() });
        }
        line.waiting.push_back(sender);
        Ok(())
    }

    /// Who has the next turn, if one is free for somebody who waits.
    fn next(&mut self, bounds: &Bounds) -> Option<(Lane, oneshot::Sender<Turn>)> {
        for line in &mut self.lines {
            line.waiting.retain(|waiting| !waiting.is_closed());
        }
        self.lines.retain(|line| line.running > 0 || !line.waiting.is_empty());
        let running = self.running;
        let at = self.lines.iter().position(|line| {
            let more = if matches!(line.lane, Lane::Operator(_)) { bounds.operators_max } else { 0 };
            !line.waiting.is_empty() && line.running < bounds.lane_running_max && running < bounds.running_max + more
        })?;
        let mut line = self.lines.remove(at)?;
        let sender = line.waiting.pop_front()?;
        let lane = line.lane.clone();
        line.running += 1;
        self.running += 1;
        self.lines.push_back(line);
        Some((lane, sender))
    }

    fn end(&mut self, lane: &Lane) {
        self.running = self.running.saturating_sub(1);
        if let Some(line) = self.lines.iter_mut().find(|line| line.lane == *lane) {
            line.running = line.running.saturating_sub(1);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.queue.lines.lock().end(&self.lane);
        self.queue.serve();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};

    const BOUNDS: Bounds = Bounds { running_max: 2, operators_max: 1, lane_running_max: 1, lane_waiting_max: 2 };

    fn publisher(namespace: &str) -> Lane {
        Lane::Publisher(namespace.parse().unwrap())
    }

    /// The turn, if it is there by now.
    fn now<F: Future<Output = Result<Turn, Overloaded>>>(turn: Pin<&mut F>) -> Option<Turn> {
        match turn.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(turn) => Some(turn.unwrap()),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_lane_leaves_turns_to_others_and_all_to_operators() {
        let queue = Queue::new(BOUNDS);
        let [a, b, c, operator] = [publisher("a"), publisher("b"), publisher("c"), Lane::Operator(None)];
        let first = now(pin!(queue.turn(&a))).unwrap();
        let mut second = pin!(queue.turn(&a));
        assert!(now(second.as_mut()).is_none(), "a lane had both turns");
        let other = now(pin!(queue.turn(&b))).unwrap();
        let mut third = pin!(queue.turn(&c));
        assert!(now(third.as_mut()).is_none());
        let _operators = now(pin!(queue.turn(&operator))).unwrap();
        drop(other);
        // The operator's is one of them now.
        assert!(now(third.as_mut()).is_none());
        drop(first);
        assert!(now(second.as_mut()).is_some(), "who had waited longest");
        assert!(now(third.as_mut()).is_some());
    }

    #[test]
    fn lanes_take_turns_however_many_wait_in_one() {
        let queue = Queue::new(Bounds { running_max: 1, lane_waiting_max: 8, ..BOUNDS });
        let [a, b] = [publisher("a"), publisher("b")];
        let running = now(pin!(queue.turn(&a))).unwrap();
        let mut many: Vec<_> = (0..4).map(|_| Box::pin(queue.turn(&a))).collect();
        assert!(many.iter_mut().all(|turn| now(turn.as_mut()).is_none()));
        let mut one = pin!(queue.turn(&b));
        assert!(now(one.as_mut()).is_none());
        drop(running);
        let turn = many.iter_mut().find_map(|turn| now(turn.as_mut())).unwrap();
        assert!(now(one.as_mut()).is_none());
        drop(turn);
        assert!(now(one.as_mut()).is_some(), "it waited behind all of another lane");
    }

    #[test]
    fn who_left_is_passed_over_and_counts_no_more() {
        let queue = Queue::new(BOUNDS);
        let a = publisher("a");
        let running = now(pin!(queue.turn(&a))).unwrap();
        let mut left: Vec<_> = (0..2).map(|_| Box::pin(queue.turn(&a))).collect();
        assert!(left.iter_mut().all(|turn| now(turn.as_mut()).is_none()));
        let refused = pin!(queue.turn(&a)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(refused, Poll::Ready(Err(Overloaded { waiting: 2, .. }))), "{refused:?}");
        left.clear();
        let mut stays = pin!(queue.turn(&a));
        assert!(now(stays.as_mut()).is_none());
        drop(running);
        assert!(now(stays.as_mut()).is_some());
        assert_eq!(queue.0.lines.lock().lines.len(), 0);
    }
}
