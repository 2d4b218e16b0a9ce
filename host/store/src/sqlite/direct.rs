//! Connections that are used in one go on the thread that asks, so that what a request takes is that thread's.
//!
//! sqlx runs statements on threads of its own, where nobody could tell for whom.

use super::{BUSY_TIMEOUT, JOURNAL_BYTES_KEPT, SqliteSync};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// Connections kept for the next request.
const KEPT_MAX: usize = 4;
/// Prepared statements kept by each.
const STATEMENTS_KEPT_MAX: usize = 32;

/// Opens a connection like those that sqlx has.
pub(super) fn open(path: &Path, sync: SqliteSync) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", if sync == SqliteSync::Full { "full" } else { "normal" })?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "journal_size_limit", JOURNAL_BYTES_KEPT)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

/// Connections for whoever asks: as many as there are requests at once.
pub(super) struct Direct {
    path: PathBuf,
    sync: SqliteSync,
    idle: Mutex<Vec<Connection>>,
}

impl Direct {
    pub(super) fn new(path: PathBuf, sync: SqliteSync) -> Self {
        Self { path, sync, idle: Mutex::default() }
    }

    /// Does something with a connection. One with which `is_sound` says that something went wrong is not used again.
    pub(super) fn with<T, E: From<rusqlite::Error>>(
        &self,
        is_sound: impl FnOnce(&E) -> bool,
        work: impl FnOnce(&mut Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let kept = self.idle.lock().pop();
        let mut connection = match kept {
            Some(connection) => connection,
            None => self.open()?,
        };
        let done = work(&mut connection);
        if done.as_ref().err().is_none_or(is_sound) && connection.is_autocommit() {
            let mut idle = self.idle.lock();
            if idle.len() < KEPT_MAX {
                idle.push(connection);
            }
        }
        done
    }

    fn open(&self) -> Result<Connection, rusqlite::Error> {
        let connection = open(&self.path, self.sync)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT_MAX);
        Ok(connection)
    }
}
