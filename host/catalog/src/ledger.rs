//! The ledger's writer: every admitted call gets exactly one entry, durable before its answer leaves.
//!
//! A call takes a [`Slot`] before it starts and gives it back with its entry. The writer commits whatever entries are waiting
//! as one transaction, and the next group forms while it commits and for a moment after, so that the cost per call falls as
//! load rises; a call that is alone waits for nothing but its own commit.
//! A call whose caller goes away still hands in its entry, because handing in needs no waiting.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use wares_model::LedgerEntry;
use wares_store::{LedgerStore, StoreError};

/// Entries in one transaction.
const GROUP_MAX: usize = 512;
/// A group whose calls are not alone is collected for as long as so many commits of its size take: each commit then serves
/// more calls, and no call waits noticeably longer.
const COLLECTING_COMMITS: u32 = 3;
/// The longest that a group is collected on purpose.
const COLLECTING_MAX: Duration = Duration::from_micros(500);
/// How often a ledger that failed is tried again, and how old what is known of one may be for whoever asks.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// How long whoever asks waits for a database that does not answer.
const PROBE_PATIENCE: Duration = Duration::from_secs(5);

struct Pending {
    entry: LedgerEntry,
    committed: oneshot::Sender<Result<(), LedgerError>>,
}

/// The entry could not be made durable.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the ledger cannot be written: {0}")]
pub struct LedgerError(Arc<str>);

/// The open end of the ledger. Dropping the last one lets the writer finish.
#[derive(Clone)]
pub struct Ledger {
    entries: mpsc::Sender<Pending>,
    state: Arc<State>,
}

/// What is known of whether the ledger can be written.
struct State {
    failing: AtomicBool,
    last: watch::Sender<Last>,
    /// Rings when somebody wants to know.
    asked: Notify,
}

/// How the last write went.
struct Last {
    /// None: nothing was written yet.
    at: Option<Instant>,
    error: Option<LedgerError>,
}

/// A place in the ledger for one call that is about to start.
pub struct Slot(mpsc::OwnedPermit<Pending>);

impl Ledger {
    /// Starts the writer. `slots_max` calls may be between admission and answer at once. The handle ends when every clone of
    /// the ledger is dropped and all that was handed in is committed.
    pub fn start(store: Arc<dyn LedgerStore>, slots_max: usize) -> (Self, JoinHandle<()>) {
        let (entries, waiting) = mpsc::channel(slots_max.max(1));
        let last = watch::Sender::new(Last { at: None, error: None });
        let state = Arc::new(State { failing: AtomicBool::new(false), last, asked: Notify::new() });
        // A thread of its own: the store may take it for as long as a commit needs, and calls never do.
        let (runtime, write) = (Handle::current(), write(store, waiting, Arc::clone(&state)));
        let writer = tokio::task::spawn_blocking(move || runtime.block_on(write));
        (Self { entries, state }, writer)
    }

    /// A place for one call. Waits while `slots_max` calls hold theirs.
    pub async fn slot(&self) -> Result<Slot, LedgerError> {
        let permit = self.entries.clone().reserve_owned().await;
        permit.map(Slot).map_err(|_| LedgerError("its writer has ended".into()))
    }

    /// Whether the ledger could not be written last time. Calls are refused until the writer finds it writable again.
    pub fn is_failing(&self) -> bool {
        self.state.failing.load(Ordering::Relaxed)
    }

    /// Whether entries can be written now. Where nothing was written for a moment, something is, so that the answer is true;
    /// however many ask, it is once in that time.
    pub async fn check(&self) -> Result<(), LedgerError> {
        let mut last = self.state.last.subscribe();
        if last.borrow_and_update().at.is_none_or(|at| at.elapsed() > PROBE_INTERVAL) {
            self.state.asked.notify_one();
            let answered = timeout(PROBE_PATIENCE, last.changed()).await;
            answered.map_err(|_| LedgerError("the database does not answer".into()))?.ok();
        }
        last.borrow().error.clone().map_or(Ok(()), Err)
    }
}

impl State {
    fn note(&self, result: &Result<(), LedgerError>) {
        self.failing.store(result.is_err(), Ordering::Relaxed);
        self.last.send_modify(|last| *last = Last { at: Some(Instant::now()), error: result.clone().err() });
    }

    /// Completes when a probe is wanted: by whoever asks, or because the ledger is failing.
    async fn probe_wanted(&self) {
        let again = async {
            match self.failing.load(Ordering::Relaxed) {
                true => tokio::time::sleep(PROBE_INTERVAL).await,
                false => pending().await,
            }
        };
        tokio::select! {
            () = self.asked.notified() => {}
            () = again => {}
        }
    }
}

impl Slot {
    /// Hands the entry in. The future tells when it is durable; the entry is written even if nobody waits for that.
    pub fn enter(self, entry: LedgerEntry) -> impl Future<Output = Result<(), LedgerError>> + Send {
        let (committed, result) = oneshot::channel();
        self.0.send(Pending { entry, committed });
        async { result.await.unwrap_or_else(|_| Err(LedgerError("its writer has ended".into()))) }
    }
}

async fn write(store: Arc<dyn LedgerStore>, mut waiting: mpsc::Receiver<Pending>, state: Arc<State>) {
    let mut group = Vec::with_capacity(GROUP_MAX);
    loop {
        tokio::select! {
            received = waiting.recv_many(&mut group, GROUP_MAX) => {
                if received == 0 {
                    return;
                }
                let began = Instant::now();
                state.note(&commit(store.as_ref(), &mut group).await);
                if received > 1 {
                    // The writer has a thread of its own.
                    std::thread::sleep((began.elapsed() * COLLECTING_COMMITS).min(COLLECTING_MAX));
                }
            }
            () = state.probe_wanted() => {
                let was_failing = state.failing.load(Ordering::Relaxed);
                let result = store.probe().await.map_err(failed);
                match (&result, was_failing) {
                    (Ok(()), true) => tracing::info!("the ledger can be written again"),
                    (Err(error), false) => tracing::error!(%error, "calls are refused until it can be"),
                    _ => {}
                }
                state.note(&result);
            }
        }
    }
}

/// Writes a group and tells its callers whether it is durable.
async fn commit(store: &dyn LedgerStore, group: &mut Vec<Pending>) -> Result<(), LedgerError> {
    let (entries, acknowledgements): (Vec<_>, Vec<_>) =
        group.drain(..).map(|pending| (pending.entry, pending.committed)).unzip();
    let result = store.append_entries(&entries).await.map_err(failed);
    if let Err(error) = &result {
        tracing::error!(%error, entries = entries.len(), "entries were not written; their calls are refused");
    }
    for acknowledgement in acknowledgements {
        // A caller that went away does not wait for the answer.
        let _ = acknowledgement.send(result.clone());
    }
    result
}

fn failed(error: StoreError) -> LedgerError {
    LedgerError(error.to_string().into())
}
