//! A database that is damaged: noticed by whoever meets it, and known from then on until the host is started again.

use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// What was met. A process has one database.
static DAMAGE: OnceLock<String> = OnceLock::new();
/// SQLite's codes for it: SQLITE_CORRUPT and SQLITE_NOTADB.
const CODES: [i32; 2] = [11, 26];

/// What is known to be wrong with the database, if it is damaged.
pub fn damage() -> Option<&'static str> {
    DAMAGE.get().map(String::as_str)
}

fn found(what: &str) {
    let told = format!("the database is damaged ({what}): stop the host and restore a backup");
    if DAMAGE.set(told).is_ok() {
        tracing::error!(what, "the database is damaged: stop the host and restore a backup");
    }
}

/// Notices damage that a statement met.
pub(crate) fn notice(error: &sqlx::Error) {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<i32>().ok());
    // The lowest byte is the code, those above it say more.
    if code.is_some_and(|code| CODES.contains(&(code & 0xff))) {
        found(&error.to_string());
    }
}

/// The same of the ledger's connection.
pub(crate) fn notice_of_ledger(error: &rusqlite::Error) {
    if matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) {
        found(&error.to_string());
    }
}

/// Whether the process that had the database last did not close it: its write-ahead log is still there.
pub(super) fn was_cut_short(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    std::fs::metadata(log).is_ok_and(|log| log.len() > 0)
}

/// Reads all of the database, on a thread that nobody waits for: what a crash of the machine left behind is found before it is met.
pub(super) fn look_for(path: PathBuf) {
    let look = move || -> rusqlite::Result<()> {
        let connection = Connection::open_with_flags(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if said != "ok" {
            found(&said);
        }
        Ok(())
    };
    let looking = std::thread::Builder::new().name("check".to_owned()).spawn(move || {
        if let Err(error) = look() {
            notice_of_ledger(&error);
            tracing::warn!(%error, "the database could not be checked after it was cut short");
        }
    });
    if let Err(error) = looking {
        tracing::warn!(%error, "the database is not checked after it was cut short");
    }
}
