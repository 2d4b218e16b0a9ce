//! The database of one machine: SQLite in WAL mode, one writer and a few readers.

mod answers;
mod append;
mod checkpoint;
mod config;
mod copy;
mod damage;
mod deployments;
mod direct;
mod filter;
mod grants;
mod job_attempts;
mod job_removal;
mod jobs;
mod keyvalue;
mod ledger;
mod lifecycle;
mod logs;
mod providers;
mod reports;
mod rollouts;
mod schedules;
mod secrets;
mod shadows;
mod signers;
mod tenancy;
mod trust;
mod upkeep;
mod usage;
mod versions;
mod webhooks;

use crate::keyvalue::Gates;
use crate::rehearsal::is_rehearsal;
use crate::{
    CallQuery, CallsFound, DataDir, DatabaseCopy, Deployment, Inserted, KeyRecord, LedgerStore, LogQuery, NewRevision,
    NewVersion, RolloutEnd, RolloutRecord, ShadowCounts, Store, StoreError, TenantRecord, UsageQuery, UsageRow,
    VersionChange, VersionEvent, VersionRecord,
};
use append::{Appender, LedgerConnection};
use async_trait::async_trait;
use checkpoint::{Checkpointer, Folding};
use copy::Copying;
use direct::Direct;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::error::ErrorKind;
use sqlx::migrate::MigrateError;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Sqlite, SqliteConnection, SqlitePool};
use std::fmt::Display;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::fs::OpenOptions;
use wares_model::{CallId, ComponentName, KeyId, LedgerEntry, Timestamp, Version};

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// Connections that read: for what tenants and operators ask of the ledger ([`wares_model::limits::LEDGER_READS_MAX`] each), for
/// guests, and for what calls and jobs need before they run.
const READERS: u32 = 8;
/// Of those, how many read for guests at once. What guests change waits for its turn one by one, so that the ledger has at most
/// one of them before it.
const GUEST_READERS: usize = 2;
/// How long a statement waits for a lock that another process holds, a backup for instance.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the write-ahead log that stay on disk after it was emptied.
const JOURNAL_BYTES_KEPT: &str = "67108864";

pub use damage::damage;
pub(crate) use damage::{notice, notice_of_ledger};

/// How far a commit of the ledger, or of what guests keep, reaches before it is done. Changes of the shelf always reach the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SqliteSync {
    /// To the operating system: what is committed survives the end of the process.
    #[default]
    Normal,
    /// To the disk: what is committed survives a power failure too.
    Full,
}

/// How to open the database.
#[derive(Debug, Clone, Copy, Default)]
pub struct SqliteOptions {
    /// How far a commit reaches.
    pub sync: SqliteSync,
    /// How many bytes of logs are kept.
    pub logs: LogBounds,
}

/// How many bytes the logs of calls may have, text and marks. The oldest go first; the entries of their calls stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogBounds {
    /// Of all tenants together.
    pub bytes_max: u64,
    /// Of one tenant, the same for each.
    pub tenant_bytes_max: u64,
}

impl Default for LogBounds {
    fn default() -> Self {
        Self { bytes_max: u64::MAX, tenant_bytes_max: u64::MAX }
    }
}

/// A shelf in a SQLite database.
pub struct SqliteStore {
    /// One connection for everything but the ledger; [`SqliteStore::write`] takes it.
    writer: SqlitePool,
    readers: SqlitePool,
    ledger: LedgerConnection,
    /// Whose turn it is to write: the ledger's connection or the other one.
    turn: Arc<tokio::sync::Mutex<()>>,
    path: PathBuf,
    copying: Copying,
    gates: Gates,
    /// For what guests ask for.
    direct: Arc<Direct>,
    _checkpointer: Checkpointer,
}

/// A transaction that may write, and its turn.
///
/// One that is not brought to its end, because something in it failed or the end itself did, takes its connection with it:
/// SQLite may have rolled it back or not, and only a new connection is known to be outside of any transaction. What is merely
/// refused is therefore rolled back by name.
struct Writing<'a> {
    connection: PoolConnection<Sqlite>,
    has_ended: bool,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Writing<'_> {
    async fn commit(self) -> Result<(), sqlx::Error> {
        self.end(if is_rehearsal() { "ROLLBACK" } else { "COMMIT" }).await
    }

    async fn rollback(self) -> Result<(), sqlx::Error> {
        self.end("ROLLBACK").await
    }

    async fn end(mut self, how: &'static str) -> Result<(), sqlx::Error> {
        sqlx::query(how).execute(&mut *self.connection).await?;
        self.has_ended = true;
        Ok(())
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            self.connection.close_on_drop();
        }
    }
}

impl Deref for Writing<'_> {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }
}

/// Opens the database of a data directory, creating it or bringing its schema up to date.
pub async fn open_sqlite(data_dir: &DataDir, options: SqliteOptions) -> Result<SqliteStore, StoreError> {
    let synchronous = match options.sync {
        SqliteSync::Normal => SqliteSynchronous::Normal,
        SqliteSync::Full => SqliteSynchronous::Full,
    };
    let path = data_dir.database();
    let was_cut_short = damage::was_cut_short(&path);
    create_private(&path).await.map_err(|error| StoreError::Open { path: path.clone(), source: error.into() })?;
    if let Some(folder) = path.parent() {
        copy::remove_leftovers(folder)
            .map_err(|error| StoreError::Open { path: path.clone(), source: error.into() })?;
    }
    let connect = SqliteConnectOptions::new()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(synchronous)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("journal_size_limit", JOURNAL_BYTES_KEPT)
        .pragma("wal_autocheckpoint", "0");
    // A connection to a file does not go stale; a new one would have to prepare its statements again.
    let pool = |size| {
        let options = SqlitePoolOptions::new().max_connections(size).test_before_acquire(false);
        let options = options.max_lifetime(None).idle_timeout(None);
        options.after_release(|connection, _| Box::pin(is_outside_transactions(connection)))
    };
    // A key that is revoked stays so whatever happens to the machine: changes are few, and always reach the disk.
    let writer = pool(1).connect_with(connect.clone().synchronous(SqliteSynchronous::Full)).await;
    let writer = writer.map_err(|source| StoreError::Open { path: path.clone(), source })?;
    MIGRATIONS.run(&writer).await.map_err(|error| match error {
        MigrateError::VersionMissing(step) => StoreError::TooNew(step),
        other => StoreError::Schema(other),
    })?;
    let readers = pool(READERS).connect_with(connect).await?;
    if was_cut_short {
        damage::look_for(path.clone());
    }
    let ledger = LedgerConnection::open(&path, options)?;
    let turn = Arc::default();
    let copying = Copying::default();
    let _checkpointer = Checkpointer::start(&path, Arc::clone(&turn), copying.clone(), Folding::DEFAULT)?;
    let gates = Gates::new(GUEST_READERS, 1);
    let direct = Arc::new(Direct::new(path.clone(), options.sync));
    Ok(SqliteStore { writer, readers, ledger, turn, path, copying, gates, direct, _checkpointer })
}

/// Whether a connection may be used again: one whose transaction could not be rolled back is of no more use.
async fn is_outside_transactions(connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
    if connection.is_in_transaction() {
        // A rollback may be under way; the connection answers when that is done.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Makes the file before SQLite does, so that nobody else may read it. SQLite gives its log and index the same mode.
async fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(path).await.map(drop)
}

impl SqliteStore {
    /// A transaction that holds the write lock from its start, so that what it reads cannot change before it commits.
    ///
    /// SQLite has one writer at a time: waiting for it here is fair and does not fail.
    async fn write(&self) -> Result<Writing<'_>, StoreError> {
        let _turn = self.turn.lock().await;
        let mut writing = Writing { connection: self.writer.acquire().await?, has_ended: false, _turn };
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *writing).await?;
        Ok(writing)
    }
}

#[async_trait]
impl LedgerStore for SqliteStore {
    async fn append_entries(&self, entries: &[LedgerEntry]) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        self.ledger.with(|appender| appender.append(entries))
    }

    async fn probe(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        self.ledger.with(Appender::probe)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn insert_version(&self, new: NewVersion) -> Result<Inserted, StoreError> {
        self.insert_version_row(new).await
    }

    async fn launch_version(&self, new: NewVersion, revision: NewRevision) -> Result<Deployment, StoreError> {
        self.launch(new, revision).await
    }

    async fn versions(&self) -> Result<Vec<VersionRecord>, StoreError> {
        self.version_rows().await
    }

    async fn version_detail(&self, component: &ComponentName, version: &Version) -> Result<Option<String>, StoreError> {
        self.version_detail_text(component, version).await
    }

    async fn change_versions(
        &self,
        change: VersionChange,
    ) -> Result<(Vec<VersionRecord>, Vec<Deployment>), StoreError> {
        self.apply_change(change).await
    }

    async fn version_events(
        &self,
        component: &ComponentName,
        version: &Version,
    ) -> Result<Vec<VersionEvent>, StoreError> {
        self.version_event_rows(component, version).await
    }

    async fn set_deployment(&self, new: NewRevision) -> Result<Deployment, StoreError> {
        self.insert_revision(new).await
    }

    async fn deployments(&self) -> Result<Vec<Deployment>, StoreError> {
        self.current_deployments().await
    }

    async fn deployment_history(
        &self,
        component: &ComponentName,
        limit: u32,
        before: Option<u64>,
    ) -> Result<Vec<Deployment>, StoreError> {
        self.revisions(component, limit, before).await
    }

    async fn running_rollouts(&self) -> Result<Vec<RolloutRecord>, StoreError> {
        self.running_rollout_rows().await
    }

    async fn latest_rollout(&self, component: &ComponentName) -> Result<Option<RolloutRecord>, StoreError> {
        self.latest_rollout_row(component).await
    }

    async fn end_rollout(&self, end: RolloutEnd) -> Result<RolloutRecord, StoreError> {
        self.end_rollout_row(end).await
    }

    async fn shadow_counts(
        &self,
        component: &ComponentName,
        revision: u64,
        sample_max: u32,
    ) -> Result<ShadowCounts, StoreError> {
        self.count_shadows(component, revision, sample_max).await
    }

    async fn insert_tenant(&self, tenant: TenantRecord) -> Result<(), StoreError> {
        self.insert_tenant_row(tenant).await
    }

    async fn tenants(&self) -> Result<Vec<TenantRecord>, StoreError> {
        self.tenant_rows().await
    }

    async fn insert_key(&self, key: KeyRecord) -> Result<(), StoreError> {
        self.insert_key_row(key).await
    }

    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError> {
        self.key_rows().await
    }

    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        self.write_key_uses(uses).await
    }

    async fn revoke_key(&self, id: KeyId) -> Result<bool, StoreError> {
        self.revoke_key_row(id).await
    }

    async fn call(&self, id: CallId) -> Result<Option<LedgerEntry>, StoreError> {
        self.entry(id).await
    }

    async fn calls(&self, query: CallQuery) -> Result<CallsFound, StoreError> {
        self.found_calls(query).await
    }

    async fn logged_calls(&self, query: LogQuery) -> Result<CallsFound, StoreError> {
        self.logged(query).await
    }

    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, StoreError> {
        self.sum_usage(query).await
    }

    async fn copy_database(&self) -> Result<DatabaseCopy, StoreError> {
        self.copy().await
    }

    async fn prune_entries(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.prune(before).await
    }
}

/// Reads a text column that this program wrote.
fn parse<T: FromStr<Err: Display>>(what: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|error| StoreError::Corrupt(format!("{what}: {error}")))
}

/// Reads a JSON column that this program wrote.
fn parse_json<T: DeserializeOwned>(what: &str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Corrupt(format!("{what}: {error}")))
}

/// Writes a JSON column.
fn to_json<T: Serialize>(what: &str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Corrupt(format!("{what}: {error}")))
}

/// Whether a statement failed because of a constraint of this kind.
fn violates(error: &sqlx::Error, kind: ErrorKind) -> bool {
    error.as_database_error().is_some_and(|error| error.kind() == kind)
}

/// SQLite's integers are signed; what does not fit is beyond all bounds of the host anyway.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or_default()
}

pub(crate) use copy::{CheckError, check_database};

#[cfg(test)]
mod tests;
