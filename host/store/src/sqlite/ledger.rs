//! Tables `subjects`, `entries`, `logs` and the writing of `aggregates`.

use super::{SqliteStore, parse, signed, unsigned, violates};
use crate::StoreError;
use sqlx::error::ErrorKind;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Sqlite, SqliteConnection};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use wares_model::{CallId, LedgerEntry, Outcome, Timestamp, Usage};

/// Lengths of the buckets that aggregates are kept by, in microseconds: minute, hour, day.
pub(super) const UNITS_US: [i64; 3] = [MINUTE_US, HOUR_US, DAY_US];
pub(super) const MINUTE_US: i64 = 60_000_000;
pub(super) const HOUR_US: i64 = 60 * MINUTE_US;
pub(super) const DAY_US: i64 = 24 * HOUR_US;

/// Rows per statement. A few fixed sizes, so that each statement is prepared once and kept; 3 is the sums of one call alone.
/// Larger statements were not measurably faster (`benches/append.rs`).
const ROWS_PER_STATEMENT: [usize; 4] = [64, 16, 3, 1];
/// Entries that pruning removes in one transaction.
pub(super) const PRUNE_STEP: u64 = 500;
/// The largest time that a UUID version 7 can hold.
const ID_MILLISECONDS_MAX: i64 = (1 << 48) - 1;
/// Subjects remembered; beyond it the memory starts again, so that it has a bound.
const SUBJECTS_MAX: usize = 100_000;

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// What many entries have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Subject {
    tenant: wares_model::TenantId,
    application: Arc<str>,
    component: wares_model::ComponentName,
    version: wares_model::Version,
    interface: Arc<str>,
    function: Arc<str>,
}

/// Ids of subjects that are in the table.
#[derive(Default)]
pub(super) struct Subjects(Mutex<HashMap<Subject, i64>>);

/// One bucket's sums.
#[derive(Default)]
struct Sums {
    calls: i64,
    cpu_us: i64,
    wall_us: i64,
    bytes_in: i64,
    bytes_out: i64,
    memory_peak_bytes: i64,
}

impl SqliteStore {
    pub(super) async fn append(&self, entries: &[LedgerEntry]) -> Result<(), StoreError> {
        let mut calls = HashSet::with_capacity(entries.len());
        let mut new: Vec<_> = entries.iter().filter(|entry| calls.insert(entry.call)).collect();
        while !new.is_empty() {
            match self.append_new(&new).await {
                // Nothing was written. That some are there is rare, so that only now it is worth looking which.
                Err(StoreError::Database(error)) if violates(&error, ErrorKind::UniqueViolation) => {
                    let before = new.len();
                    self.retain_unknown(&mut new).await?;
                    if new.len() == before {
                        return Err(error.into());
                    }
                }
                done => return done,
            }
        }
        Ok(())
    }

    /// Leaves only entries of calls that are not entered yet.
    async fn retain_unknown(&self, entries: &mut Vec<&LedgerEntry>) -> Result<(), StoreError> {
        let mut unknown = Vec::with_capacity(entries.len());
        for entry in &*entries {
            let query = sqlx::query("SELECT 1 FROM entries WHERE call = ?").bind(entry.call.as_bytes().as_slice());
            if query.fetch_optional(&self.readers).await?.is_none() {
                unknown.push(*entry);
            }
        }
        *entries = unknown;
        Ok(())
    }

    /// Appends entries, each of another call. One that is there already is a unique violation, and nothing is written.
    async fn append_new(&self, entries: &[&LedgerEntry]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let mut fresh = HashMap::new();
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            rows.push((*entry, self.subject(&mut transaction, entry, &mut fresh).await?));
        }
        insert(&mut transaction, &rows, &ENTRIES, bind_entry).await?;
        let logs = entries.iter().filter_map(|entry| Some((entry.call, entry.logs.as_deref()?)));
        let logs: Vec<_> = logs.filter(|(_, text)| !text.is_empty()).collect();
        insert(&mut transaction, &logs, &LOGS, |query, (call, text)| {
            query.bind(call.as_bytes().as_slice()).bind(*text)
        })
        .await?;
        let sums: Vec<_> = sum(&rows).into_iter().collect();
        insert(&mut transaction, &sums, &AGGREGATES, |query, (key, sums)| bind_sums(query, *key, sums)).await?;
        transaction.commit().await?;
        // Only now: ids from a transaction that failed would point to nothing.
        self.subjects.remember(fresh);
        Ok(())
    }

    async fn subject(
        &self,
        connection: &mut SqliteConnection,
        entry: &LedgerEntry,
        fresh: &mut HashMap<Subject, i64>,
    ) -> Result<i64, StoreError> {
        let subject = Subject::of(entry);
        if let Some(id) = self.subjects.get(&subject).or_else(|| fresh.get(&subject).copied()) {
            return Ok(id);
        }
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO subjects (tenant, application, component, version, interface, function) VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET function = excluded.function RETURNING id",
        )
        .bind(subject.tenant.as_str())
        .bind(subject.application.as_ref())
        .bind(subject.component.as_str())
        .bind(subject.version.to_string())
        .bind(subject.interface.as_ref())
        .bind(subject.function.as_ref())
        .fetch_one(connection)
        .await?;
        fresh.insert(subject, id);
        Ok(id)
    }

    pub(super) async fn entry(&self, id: CallId) -> Result<Option<LedgerEntry>, StoreError> {
        let row = sqlx::query(
            "SELECT entries.*, subjects.*, logs.text AS logs FROM entries
             JOIN subjects ON subjects.id = entries.subject LEFT JOIN logs ON logs.call = entries.call
             WHERE entries.call = ?",
        )
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&self.readers)
        .await?;
        row.map(|row| read_entry(id, &row)).transpose()
    }

    pub(super) async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        // Call ids begin with the time they were made (UUID version 7), so that the primary key finds old ones.
        let milliseconds = (before.as_micros() / 1_000).clamp(0, ID_MILLISECONDS_MAX);
        let first_kept: Vec<u8> = milliseconds.to_be_bytes().into_iter().skip(2).collect();
        let mut gone = 0;
        loop {
            let step = self.prune_step(&first_kept).await?;
            gone += step;
            if step < PRUNE_STEP {
                return Ok(gone);
            }
        }
    }

    /// Removes the oldest entries and their logs, [`PRUNE_STEP`] at most, so that appending never waits long.
    async fn prune_step(&self, first_kept: &[u8]) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        let next: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT call FROM entries WHERE call < ? ORDER BY call LIMIT 1 OFFSET ?")
                .bind(first_kept)
                .bind(signed(PRUNE_STEP))
                .fetch_optional(&mut *transaction)
                .await?;
        let end = next.as_deref().unwrap_or(first_kept);
        sqlx::query("DELETE FROM logs WHERE call < ?").bind(end).execute(&mut *transaction).await?;
        let gone = sqlx::query("DELETE FROM entries WHERE call < ?").bind(end).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(gone.rows_affected())
    }
}

impl Subject {
    fn of(entry: &LedgerEntry) -> Self {
        Self {
            tenant: entry.tenant.clone(),
            application: Arc::clone(&entry.application),
            component: entry.component.clone(),
            version: entry.version.clone(),
            interface: Arc::clone(&entry.interface),
            function: Arc::clone(&entry.function),
        }
    }
}

impl Subjects {
    fn get(&self, subject: &Subject) -> Option<i64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(subject).copied()
    }

    fn remember(&self, fresh: HashMap<Subject, i64>) {
        if fresh.is_empty() {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() + fresh.len() > SUBJECTS_MAX {
            known.clear();
        }
        known.extend(fresh);
    }
}

/// An INSERT of several rows.
struct Insert {
    head: &'static str,
    columns: usize,
    tail: &'static str,
}

const ENTRIES: Insert = Insert {
    head: "INSERT INTO entries (call, subject, outcome, started, cpu_us, wall_us, memory_peak_bytes, bytes_in, bytes_out, parent, detail) VALUES ",
    columns: 11,
    tail: "",
};
const LOGS: Insert = Insert { head: "INSERT INTO logs (call, text) VALUES ", columns: 2, tail: "" };
/// Sums stop at the largest integer: beyond it SQLite would go on in floating point, and nothing could read them any more.
const AGGREGATES: Insert = Insert {
    head: "INSERT INTO aggregates (unit_us, bucket, subject, outcome, calls, cpu_us, wall_us, bytes_in, bytes_out, memory_peak_bytes) VALUES ",
    columns: 10,
    tail: " ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,
        cpu_us = MIN(cpu_us, 9223372036854775807 - excluded.cpu_us) + excluded.cpu_us,
        wall_us = MIN(wall_us, 9223372036854775807 - excluded.wall_us) + excluded.wall_us,
        bytes_in = MIN(bytes_in, 9223372036854775807 - excluded.bytes_in) + excluded.bytes_in,
        bytes_out = MIN(bytes_out, 9223372036854775807 - excluded.bytes_out) + excluded.bytes_out,
        memory_peak_bytes = MAX(memory_peak_bytes, excluded.memory_peak_bytes)",
};

impl Insert {
    fn statement(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns].join(", "));
        format!("{}{}{}", self.head, vec![row.as_str(); rows].join(", "), self.tail)
    }
}

async fn insert<'r, T>(
    connection: &mut SqliteConnection,
    mut rows: &'r [T],
    insert: &Insert,
    bind: impl for<'q> Fn(Query<'q>, &'r T) -> Query<'q>,
) -> Result<(), StoreError> {
    for size in ROWS_PER_STATEMENT {
        if rows.len() < size {
            continue;
        }
        let statement = insert.statement(size);
        while let Some((now, later)) = rows.split_at_checked(size) {
            // Only placeholders are put together here; every value is bound.
            let query = sqlx::query(AssertSqlSafe(statement.clone()));
            now.iter().fold(query, &bind).execute(&mut *connection).await?;
            rows = later;
        }
    }
    Ok(())
}

fn bind_entry<'q>(query: Query<'q>, (entry, subject): &(&LedgerEntry, i64)) -> Query<'q> {
    let Usage { cpu_us, wall_us, memory_peak_bytes, bytes_in, bytes_out } = entry.usage;
    query
        .bind(entry.call.as_bytes().to_vec())
        .bind(*subject)
        .bind(entry.outcome.as_str())
        .bind(entry.started.as_micros())
        .bind(signed(cpu_us))
        .bind(signed(wall_us))
        .bind(signed(memory_peak_bytes))
        .bind(signed(bytes_in))
        .bind(signed(bytes_out))
        .bind(entry.parent.map(|parent| parent.as_bytes().to_vec()))
        .bind(entry.detail.clone())
}

/// Unit, bucket, subject and outcome.
type SumKey = (i64, i64, i64, Outcome);

fn sum(rows: &[(&LedgerEntry, i64)]) -> HashMap<SumKey, Sums> {
    let mut sums = HashMap::<SumKey, Sums>::new();
    for (entry, subject) in rows {
        let started = entry.started.as_micros();
        for unit in UNITS_US {
            let sums = sums.entry((unit, started - started.rem_euclid(unit), *subject, entry.outcome)).or_default();
            let usage = entry.usage;
            sums.calls += 1;
            sums.cpu_us = sums.cpu_us.saturating_add(signed(usage.cpu_us));
            sums.wall_us = sums.wall_us.saturating_add(signed(usage.wall_us));
            sums.bytes_in = sums.bytes_in.saturating_add(signed(usage.bytes_in));
            sums.bytes_out = sums.bytes_out.saturating_add(signed(usage.bytes_out));
            sums.memory_peak_bytes = sums.memory_peak_bytes.max(signed(usage.memory_peak_bytes));
        }
    }
    sums
}

fn bind_sums<'q>(query: Query<'q>, (unit, bucket, subject, outcome): SumKey, sums: &Sums) -> Query<'q> {
    query
        .bind(unit)
        .bind(bucket)
        .bind(subject)
        .bind(outcome.as_str())
        .bind(sums.calls)
        .bind(sums.cpu_us)
        .bind(sums.wall_us)
        .bind(sums.bytes_in)
        .bind(sums.bytes_out)
        .bind(sums.memory_peak_bytes)
}

fn read_entry(call: CallId, row: &SqliteRow) -> Result<LedgerEntry, StoreError> {
    let parent: Option<Vec<u8>> = row.try_get("parent")?;
    let parent = parent.map(|bytes| bytes.try_into().map(CallId::from_bytes)).transpose();
    let number = |column: &str| row.try_get(column).map(unsigned);
    let text = |column: &str| row.try_get::<&str, _>(column);
    Ok(LedgerEntry {
        call,
        tenant: parse("tenant", text("tenant")?)?,
        application: text("application")?.into(),
        component: parse("component", text("component")?)?,
        version: parse("version", text("version")?)?,
        interface: text("interface")?.into(),
        function: text("function")?.into(),
        outcome: parse("outcome", text("outcome")?)?,
        detail: row.try_get("detail")?,
        started: Timestamp::from_micros(row.try_get("started")?),
        usage: Usage {
            cpu_us: number("cpu_us")?,
            wall_us: number("wall_us")?,
            memory_peak_bytes: number("memory_peak_bytes")?,
            bytes_in: number("bytes_in")?,
            bytes_out: number("bytes_out")?,
        },
        parent: parent.map_err(|_| StoreError::Corrupt("a parent call's id".to_owned()))?,
        logs: row.try_get("logs")?,
    })
}
