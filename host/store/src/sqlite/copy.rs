//! A copy of the database as of one moment, and whether a file is a database of ours.

use super::{MIGRATIONS, SqliteStore};
use crate::{DatabaseCopy, StoreError};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use wares_model::Digest;

/// How the names of copies begin.
const PREFIX: &str = "backup-";

/// Copies under way. While there are any, the write-ahead log is folded back only as far as they let it, and nobody waits for
/// them.
#[derive(Clone, Default)]
pub(super) struct Copying(Arc<AtomicU32>);

/// One copy under way.
struct UnderWay(Copying);

impl Copying {
    pub(super) fn is_under_way(&self) -> bool {
        self.0.load(Ordering::Acquire) > 0
    }

    fn begin(&self) -> UnderWay {
        self.0.fetch_add(1, Ordering::AcqRel);
        UnderWay(self.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl SqliteStore {
    pub(super) async fn copy(&self) -> Result<DatabaseCopy, StoreError> {
        let (path, under_way) = (self.path.clone(), self.copying.begin());
        let copied = tokio::task::spawn_blocking(move || {
            let _under_way = under_way;
            copy(&path)
        });
        copied.await.map_err(|error| StoreError::Copy(error.to_string()))?
    }
}

fn copy(path: &Path) -> Result<DatabaseCopy, StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Copy(error.to_string());
    let folder = path.parent().unwrap_or(Path::new("."));
    // Readable by its owner only; SQLite writes into a file that is empty.
    let file = tempfile::Builder::new().prefix(PREFIX).tempfile_in(folder).map_err(|error| failed(&error))?;
    let target = file.path().to_str().ok_or_else(|| failed(&"the path of the data directory is not UTF-8"))?;
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.busy_timeout(super::BUSY_TIMEOUT)?;
    // One read transaction: what is committed meanwhile is not in it, and waits for nothing.
    connection.execute("VACUUM INTO ?1", [target])?;
    let copy = Connection::open_with_flags(file.path(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let artifacts = artifacts(&copy)?;
    Ok(DatabaseCopy { file, artifacts })
}

/// The artifacts that a database names, with their bytes, by digest.
fn artifacts(connection: &Connection) -> Result<Vec<(Digest, u64)>, StoreError> {
    let mut statement = connection.prepare("SELECT DISTINCT digest, size_bytes FROM versions ORDER BY digest")?;
    let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
    rows.map(|row| {
        let (digest, bytes) = row?;
        Ok((super::parse("digest", &digest)?, super::unsigned(bytes)))
    })
    .collect()
}

/// Removes what copies left behind that were cut short.
pub(super) fn remove_leftovers(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Why a file is not taken as a database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// A newer program made it.
    #[error("its schema has step {0}, which this program does not know")]
    TooNew(i64),
    /// It has parts that no database of ours has.
    #[error("it has the {kind} {name:?}, which no version of wares makes")]
    Foreign {
        /// What kind of part.
        kind: String,
        /// Its name.
        name: String,
    },
    /// It is damaged.
    #[error("{0}")]
    Unsound(String),
    /// What it holds cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is no database, or a damaged one.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// Checks a database that came from anywhere, without running anything that it holds. The answer is the artifacts it names.
pub(crate) fn check_database(path: &Path) -> Result<Vec<Digest>, CheckError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.execute_batch("PRAGMA cell_size_check = ON")?;
    let foreign = "SELECT type, name FROM sqlite_schema WHERE type NOT IN ('table', 'index') OR sql LIKE 'CREATE VIRTUAL%' LIMIT 1";
    let foreign = connection.query_row(foreign, [], |row| Ok((row.get(0)?, row.get(1)?)));
    match foreign {
        Ok((kind, name)) => return Err(CheckError::Foreign { kind, name }),
        Err(rusqlite::Error::QueryReturnedNoRows) => {}
        Err(error) => return Err(error.into()),
    }
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        return Err(CheckError::Unsound(said));
    }
    let step: i64 = connection.query_row("SELECT MAX(version) FROM _sqlx_migrations", [], |row| row.get(0))?;
    if MIGRATIONS.iter().all(|migration| migration.version < step) {
        return Err(CheckError::TooNew(step));
    }
    Ok(artifacts(&connection)?.into_iter().map(|(digest, _)| digest).collect())
}
