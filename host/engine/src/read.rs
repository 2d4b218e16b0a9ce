//! Reads what others hand in, in processes that are bounded in memory, CPU time, stack and wall time.
//!
//! No byte of a component is looked at in this process. What comes back is one bounded line of JSON of a known shape. A worker
//! may read several components of one namespace in a row: one that has read a small component is kept for a while. It never
//! reads those of two, and after any fault or refusal there is a new one.

use crate::order::{Answer, Work};
use crate::process::{Fault, Reading, WorkerCommand, cores};
use crate::queue::{Bounds, Lane, Overloaded, Queue};
use parking_lot::Mutex;
use std::time::{Duration, Instant};
use wares_model::limits::{READ_CPU_SECONDS_MAX, READ_MEMORY_BYTES_MAX, READ_WALL_SECONDS_MAX, WAITING_COMPONENTS_MAX};
use wares_typed::{Changes, CompareError, DescribeError, Description};

/// Workers that read at once for others than operators; two at least, so that nobody has them all.
const READING_MIN: usize = 2;
/// How long a worker without an order is kept.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Workers without an order.
const IDLE_COUNT_MAX: usize = 8;
/// Orders that one worker carries out.
const ORDERS_MAX: u32 = 256;
/// Bytes of an order after which its worker is kept: what a larger one left behind would count against the next.
const KEPT_BYTES_MAX: usize = 1 << 20;

/// Why there is no answer about what was handed in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// It is not a component, or malformed.
    #[error(transparent)]
    Describe(#[from] DescribeError),
    /// It cannot be compared.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// It took too long.
    #[error(
        "reading the component took more than {READ_CPU_SECONDS_MAX} s: give it fewer types, functions, imports and \
         nested components"
    )]
    TooSlow,
    /// It took too much memory.
    #[error(
        "reading the component took more than {} MiB: give it fewer types, functions, imports and nested components",
        READ_MEMORY_BYTES_MAX >> 20
    )]
    TooBig,
    /// It took too much stack.
    #[error("the component nests deeper than can be read: write its types and components less deep in each other")]
    TooDeep,
    /// What reads it crashed.
    #[error("what reads components crashed on this one ({0}); the host is unharmed: build it with other tools")]
    Crashed(String),
    /// Too many components wait to be read.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// This host failed.
    #[error("the host could not read the component: {0}")]
    Host(String),
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Invalid(message) | Fault::Crashed(message) => Self::Crashed(message),
            Fault::TooSlow => Self::TooSlow,
            Fault::TooBig => Self::TooBig,
            Fault::TooDeep => Self::TooDeep,
            Fault::Host(message) => Self::Host(message),
        }
    }
}

/// Reads components, a few at once.
#[derive(Debug)]
pub struct Reader {
    worker: WorkerCommand,
    queue: Queue,
    idle: Mutex<Vec<Idle>>,
}

/// A worker that awaits its next order.
#[derive(Debug)]
struct Idle {
    lane: Lane,
    process: Reading,
    orders: u32,
    since: Instant,
}

impl Reader {
    /// A reader with workers of this program.
    pub fn new(worker: WorkerCommand) -> Self {
        let running_max = cores().max(READING_MIN);
        let queue = Queue::new(Bounds {
            running_max,
            operators_max: 1,
            lane_running_max: running_max - 1,
            lane_waiting_max: WAITING_COMPONENTS_MAX,
        });
        Self { worker, queue, idle: Mutex::default() }
    }

    /// Validates a component and describes it. Who waits no longer ends the work.
    pub async fn describe(&self, lane: &Lane, wasm: &[u8]) -> Result<Description, ReadError> {
        match self.order(lane, Work::Describe, &[wasm]).await? {
            Answer::Described(description) => Ok(*description),
            Answer::Refused(error) => Err(error.into()),
            Answer::Compared(_) | Answer::Incomparable(_) => Err(strange()),
        }
    }

    /// Compares the WIT of two components, as [`Description::wit`] has it.
    pub async fn compare(&self, lane: &Lane, earlier: &str, later: &str) -> Result<Changes, ReadError> {
        let work = Work::Compare { earlier_bytes: earlier.len() as u64 };
        match self.order(lane, work, &[earlier.as_bytes(), later.as_bytes()]).await? {
            Answer::Compared(changes) => Ok(changes),
            Answer::Incomparable(error) => Err(error.into()),
            Answer::Described(_) | Answer::Refused(_) => Err(strange()),
        }
    }

    /// Ends workers that have been without an order for too long. To be called now and then.
    pub(crate) fn sweep(&self) {
        self.idle.lock().retain(|idle| idle.since.elapsed() < IDLE_MAX);
    }

    async fn order(&self, lane: &Lane, work: Work, parts: &[&[u8]]) -> Result<Answer, ReadError> {
        let _turn = self.queue.turn(lane).await?;
        let (mut process, orders) = match self.take_idle(lane) {
            Some(Idle { process, orders, .. }) => (process, orders),
            None => (Reading::start(&self.worker)?, 0),
        };
        let asked = tokio::time::timeout(Duration::from_secs(READ_WALL_SECONDS_MAX), process.ask(work, parts)).await;
        // A worker that is dropped is killed.
        let line = asked.map_err(|_| ReadError::TooSlow)??;
        let parsed = tokio::task::spawn_blocking(move || serde_json::from_slice(&line)).await;
        let parsed = parsed.map_err(|error| ReadError::Host(format!("reading an answer: {error}")))?;
        let answer = parsed.map_err(|error| ReadError::Crashed(format!("its answer is none: {error}")))?;
        let is_well = matches!(answer, Answer::Described(_) | Answer::Compared(_));
        if is_well && parts.iter().map(|part| part.len()).sum::<usize>() <= KEPT_BYTES_MAX {
            self.keep(Idle { lane: lane.clone(), process, orders: orders + 1, since: Instant::now() });
        }
        Ok(answer)
    }

    fn take_idle(&self, lane: &Lane) -> Option<Idle> {
        let mut idle = self.idle.lock();
        let at = idle.iter().rposition(|idle| idle.lane == *lane)?;
        Some(idle.swap_remove(at))
    }

    /// Keeps a worker for further components of the same namespace, if it is known that they are.
    fn keep(&self, worker: Idle) {
        let mut idle = self.idle.lock();
        if worker.lane.namespace().is_some() && worker.orders < ORDERS_MAX && idle.len() < IDLE_COUNT_MAX {
            idle.push(worker);
        }
    }
}

fn strange() -> ReadError {
    ReadError::Crashed("it answered something else".to_owned())
}
