//! Folding the write-ahead log back into the database, beside the writers.
//!
//! SQLite would do it within some commit, which then waits for the disk, and every call with it.

use super::copy::Copying;
use crate::StoreError;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;
use tokio::sync::Mutex;

/// When the log is folded back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folding {
    /// Time between two looks at it.
    pub(super) interval: Duration,
    /// Pages in it with which writers wait until it can start again from its beginning, so that it does not grow on and on
    /// under load. Then only what came in the last moment is left to fold.
    pub(super) pages_max: i64,
}

impl Folding {
    pub(super) const DEFAULT: Self = Self { interval: Duration::from_millis(500), pages_max: 16_384 };
}

/// A running thread that folds; it ends when this is dropped.
pub(super) struct Checkpointer {
    _stop: Sender<()>,
}

impl Checkpointer {
    /// Starts it on a connection of its own. `turn` is whose turn it is to write.
    pub(super) fn start(
        path: &Path,
        turn: Arc<Mutex<()>>,
        copying: Copying,
        folding: Folding,
    ) -> Result<Self, StoreError> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(super::BUSY_TIMEOUT)?;
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("wares-checkpoint".to_owned());
        let started = thread.spawn(move || run(&connection, &turn, &copying, folding, &stopped));
        started.map_err(|error| StoreError::Open { path: path.to_owned(), source: error.into() })?;
        Ok(Self { _stop: stop })
    }
}

fn run(connection: &Connection, turn: &Mutex<()>, copying: &Copying, folding: Folding, stopped: &Receiver<()>) {
    while stopped.recv_timeout(folding.interval) == Err(RecvTimeoutError::Timeout) {
        if let Err(error) = fold(connection, turn, copying, folding.pages_max) {
            tracing::warn!(%error, "the write-ahead log could not be folded back; it is tried again");
        }
    }
}

fn fold(connection: &Connection, turn: &Mutex<()>, copying: &Copying, pages_max: i64) -> Result<(), rusqlite::Error> {
    let pages = checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)")?;
    // A copy reads for long: writers would wait for its end.
    if pages > pages_max && !copying.is_under_way() {
        let _turn = turn.blocking_lock();
        checkpoint(connection, "PRAGMA wal_checkpoint(RESTART)")?;
    }
    Ok(())
}

/// Returns how many pages the log has.
fn checkpoint(connection: &Connection, pragma: &str) -> Result<i64, rusqlite::Error> {
    connection.query_row(pragma, [], |row| row.get(1))
}
