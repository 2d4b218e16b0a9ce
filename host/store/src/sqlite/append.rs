//! Writing the ledger: one connection of its own, used in one go per batch.
//!
//! Every call passes here, so that there is no thread and no future between a batch and its database: a batch takes the
//! thread that hands it in for as long as SQLite needs, tens of microseconds and more the more entries there are.

use super::logs::{self, Added};
use super::{LogBounds, SqliteOptions, answers, direct, signed, to_json};
use crate::StoreError;
use parking_lot::Mutex;
use rusqlite::{Connection, ToSql, TransactionBehavior, params};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use wares_model::{JobAnswer, LedgerEntry, Outcome, ShadowOf, Timestamp, Usage};

/// Lengths of the buckets that aggregates are kept by, in microseconds: minute, hour, day.
const UNITS_US: [i64; 3] = [MINUTE_US, HOUR_US, DAY_US];
pub(super) const MINUTE_US: i64 = 60_000_000;
pub(super) const HOUR_US: i64 = 60 * MINUTE_US;
pub(super) use wares_model::time::DAY_US;

/// Subjects remembered; beyond it the memory starts again, so that it has a bound.
const SUBJECTS_MAX: usize = 100_000;

const SUBJECT: &str = "INSERT INTO subjects (tenant, application, component, version, interface, function)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET function = excluded.function RETURNING id";
const ENTRIES: &str =
    "INSERT INTO entries (call, subject, outcome, started, cpu_us, wall_us, memory_peak_bytes, bytes_in,
    bytes_out, parent, detail, request_id) VALUES ";
const ENTRY_VALUES: &str = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
/// Entries that one statement writes, because running a statement costs something besides its rows.
const ENTRIES_AT_ONCE: usize = 16;
const LOG: &str = "INSERT INTO logs (call, text, marks) VALUES (?, ?, ?)";
/// A job's result, if the call is the attempt at the job that is being made.
const ANSWER: &str = "UPDATE job_payloads SET result = ?3 WHERE job = ?1 AND EXISTS
    (SELECT 1 FROM job_attempts WHERE job = ?1 AND call = ?2 AND ended_at IS NULL)";
const SHADOW: &str = "INSERT INTO shadows (call, of_call, component, revision, matches) VALUES (?, ?, ?, ?, ?)";
/// Sums stop at the largest integer: beyond it SQLite would go on in floating point, and nothing could read them any more.
const AGGREGATE: &str = "INSERT INTO aggregates (unit_us, bucket, subject, outcome, calls, cpu_us, wall_us, bytes_in,
    bytes_out, memory_peak_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET calls = calls + excluded.calls,
        cpu_us = MIN(cpu_us, 9223372036854775807 - excluded.cpu_us) + excluded.cpu_us,
        wall_us = MIN(wall_us, 9223372036854775807 - excluded.wall_us) + excluded.wall_us,
        bytes_in = MIN(bytes_in, 9223372036854775807 - excluded.bytes_in) + excluded.bytes_in,
        bytes_out = MIN(bytes_out, 9223372036854775807 - excluded.bytes_out) + excluded.bytes_out,
        memory_peak_bytes = MAX(memory_peak_bytes, excluded.memory_peak_bytes)";

/// Finds out whether the database can be written.
const PROBE: &str = "UPDATE upkeep SET probed_at = ? WHERE id = 1";

/// The ledger's own connection. One in which anything failed is closed, and the next use has a new one: what a failure leaves
/// behind in it is nobody's concern then.
pub(super) struct LedgerConnection {
    path: PathBuf,
    options: Mutex<SqliteOptions>,
    open: Mutex<Option<Appender>>,
}

impl LedgerConnection {
    pub(super) fn open(path: &Path, options: SqliteOptions) -> Result<Self, StoreError> {
        let open = Mutex::new(Some(Appender::open(path, options)?));
        Ok(Self { path: path.to_owned(), options: Mutex::new(options), open })
    }

    pub(super) fn set_log_bounds(&self, bounds: LogBounds) {
        self.options.lock().logs = bounds;
        if let Some(appender) = self.open.lock().as_mut() {
            appender.options.logs = bounds;
        }
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Appender) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let mut open = self.open.lock();
        let mut appender = match open.take() {
            Some(appender) => appender,
            None => Appender::open(&self.path, *self.options.lock())?,
        };
        let done = work(&mut appender)?;
        *open = Some(appender);
        Ok(done)
    }
}

/// The connection that appends.
pub(super) struct Appender {
    pub(super) connection: Connection,
    options: SqliteOptions,
    /// Ids of subjects that are in the table.
    subjects: HashMap<Subject, i64>,
}

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

static ONE_ENTRY: LazyLock<String> = LazyLock::new(|| entries_statement(1));
static MANY_ENTRIES: LazyLock<String> = LazyLock::new(|| entries_statement(ENTRIES_AT_ONCE));

fn entries_statement(rows: usize) -> String {
    format!("{ENTRIES}{} ON CONFLICT DO NOTHING", [ENTRY_VALUES].repeat(rows).join(", "))
}

/// What became of a batch.
enum Written {
    /// It is in the ledger.
    All,
    /// Nothing was written: some of it is there already.
    SomeKnown,
}

/// Unit, bucket, subject and outcome.
type SumKey = (i64, i64, i64, Outcome);

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

impl Appender {
    fn open(path: &Path, options: SqliteOptions) -> Result<Self, rusqlite::Error> {
        Ok(Self { connection: direct::open(path, options.sync)?, options, subjects: HashMap::new() })
    }

    /// Writes something small, as an entry would be.
    pub(super) fn probe(&mut self) -> Result<(), StoreError> {
        self.connection.prepare_cached(PROBE)?.execute([Timestamp::now().as_micros()])?;
        Ok(())
    }

    /// Writes entries, their logs, their sums, the results of jobs and answers to be kept, all or nothing. Of a call that is entered already nothing
    /// is written.
    pub(super) fn append(&mut self, entries: &[LedgerEntry]) -> Result<(), StoreError> {
        match self.write(entries, ENTRIES_AT_ONCE)? {
            Written::All => Ok(()),
            // Only one at a time do they tell which of them is entered already.
            Written::SomeKnown => self.write(entries, 1).map(drop),
        }
    }

    fn write(&mut self, entries: &[LedgerEntry], at_once: usize) -> Result<Written, StoreError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut fresh = HashMap::new();
        let mut sums = HashMap::<SumKey, Sums>::new();
        let mut added = Added::default();
        let mut subjects = Vec::with_capacity(entries.len());
        for (at, entry) in entries.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|before| Some((entries.get(before)?, *subjects.get(before)?)));
            subjects.push(match before {
                Some((before, subject)) if have_same_subject(before, entry) => subject,
                _ => subject_id(&transaction, entry, &self.subjects, &mut fresh)?,
            });
        }
        let mut at = 0;
        while at < entries.len() {
            let rows = if entries.len() - at >= at_once { at_once } else { 1 };
            let some = entries.iter().zip(&subjects).skip(at).take(rows);
            let inserted = insert(&transaction, some.clone(), rows)?;
            if inserted == rows {
                for (entry, subject) in some {
                    if let Some(text) = entry.logs.as_deref().filter(|text| !text.is_empty()) {
                        let marks = to_json("marks", &entry.log_marks)?;
                        transaction.prepare_cached(LOG)?.execute(params![entry.call.as_bytes(), text, marks])?;
                        logs::add(&transaction, &mut added, entry, text.len() + marks.len())?;
                    }
                    if let Some(JobAnswer { job, json }) = &entry.answer {
                        let answer = params![job.as_bytes(), entry.call.as_bytes(), json];
                        transaction.prepare_cached(ANSWER)?.execute(answer)?;
                    }
                    if let Some(kept) = &entry.kept {
                        answers::keep(&transaction, entry, kept)?;
                    }
                    match &entry.shadow {
                        None => add(&mut sums, entry, *subject),
                        // Sums are what is billed: a call that only repeats another one is in none of them.
                        Some(shadow) => insert_shadow(&transaction, entry, shadow)?,
                    }
                }
            } else if rows > 1 {
                return Ok(Written::SomeKnown);
            }
            at += rows;
        }
        write_sums(&transaction, &sums)?;
        logs::make_room(&transaction, &added, self.options.logs)?;
        transaction.commit()?;
        // Only now: ids from a transaction that failed would point to nothing.
        if self.subjects.len() + fresh.len() > SUBJECTS_MAX {
            self.subjects.clear();
        }
        self.subjects.extend(fresh);
        Ok(Written::All)
    }
}

/// Inserts `rows` entries with one statement, and returns how many of them were not entered before.
fn insert<'a>(
    connection: &Connection,
    entries: impl Iterator<Item = (&'a LedgerEntry, &'a i64)>,
    rows: usize,
) -> Result<usize, rusqlite::Error> {
    let statement = if rows == 1 { &*ONE_ENTRY } else { &*MANY_ENTRIES };
    let mut statement = connection.prepare_cached(statement)?;
    let mut place = 1..;
    for (entry, subject) in entries {
        let Usage { cpu_us, wall_us, memory_peak_bytes, bytes_in, bytes_out } = entry.usage;
        let values: &[&dyn ToSql] = params![
            entry.call.as_bytes(),
            subject,
            entry.outcome.as_str(),
            entry.started.as_micros(),
            signed(cpu_us),
            signed(wall_us),
            signed(memory_peak_bytes),
            signed(bytes_in),
            signed(bytes_out),
            entry.parent.as_ref().map(|parent| parent.as_bytes()),
            entry.detail.as_deref(),
            entry.request_id.as_deref(),
        ];
        for (value, place) in values.iter().zip(&mut place) {
            statement.raw_bind_parameter(place, value)?;
        }
    }
    statement.raw_execute()
}

fn write_sums(connection: &Connection, sums: &HashMap<SumKey, Sums>) -> Result<(), rusqlite::Error> {
    let mut upsert = connection.prepare_cached(AGGREGATE)?;
    for ((unit, bucket, subject, outcome), sums) in sums {
        let Sums { calls, cpu_us, wall_us, bytes_in, bytes_out, memory_peak_bytes } = sums;
        let key = params![unit, bucket, subject, outcome.as_str()];
        let values = params![calls, cpu_us, wall_us, bytes_in, bytes_out, memory_peak_bytes];
        upsert.execute(rusqlite::params_from_iter(key.iter().chain(values)))?;
    }
    Ok(())
}

fn have_same_subject(a: &LedgerEntry, b: &LedgerEntry) -> bool {
    a.function == b.function
        && a.tenant == b.tenant
        && a.application == b.application
        && a.component == b.component
        && a.version == b.version
        && a.interface == b.interface
}

fn subject_id(
    connection: &Connection,
    entry: &LedgerEntry,
    known: &HashMap<Subject, i64>,
    fresh: &mut HashMap<Subject, i64>,
) -> Result<i64, rusqlite::Error> {
    let subject = Subject {
        tenant: entry.tenant.clone(),
        application: Arc::clone(&entry.application),
        component: entry.component.clone(),
        version: entry.version.clone(),
        interface: Arc::clone(&entry.interface),
        function: Arc::clone(&entry.function),
    };
    if let Some(id) = known.get(&subject).or_else(|| fresh.get(&subject)) {
        return Ok(*id);
    }
    let id = connection.prepare_cached(SUBJECT)?.query_row(
        params![
            subject.tenant.as_str(),
            &*subject.application,
            subject.component.as_str(),
            subject.version.to_string(),
            &*subject.interface,
            &*subject.function,
        ],
        |row| row.get(0),
    )?;
    fresh.insert(subject, id);
    Ok(id)
}

fn insert_shadow(connection: &Connection, entry: &LedgerEntry, shadow: &ShadowOf) -> Result<(), rusqlite::Error> {
    let ShadowOf { call, revision, matches } = shadow;
    let component = entry.component.as_str();
    let row = params![entry.call.as_bytes(), call.as_bytes(), component, signed(*revision), matches];
    connection.prepare_cached(SHADOW)?.execute(row).map(drop)
}

fn add(sums: &mut HashMap<SumKey, Sums>, entry: &LedgerEntry, subject: i64) {
    let started = entry.started.as_micros();
    for unit in UNITS_US {
        let sums = sums.entry((unit, started - started.rem_euclid(unit), subject, entry.outcome)).or_default();
        let usage = entry.usage;
        sums.calls += 1;
        sums.cpu_us = sums.cpu_us.saturating_add(signed(usage.cpu_us));
        sums.wall_us = sums.wall_us.saturating_add(signed(usage.wall_us));
        sums.bytes_in = sums.bytes_in.saturating_add(signed(usage.bytes_in));
        sums.bytes_out = sums.bytes_out.saturating_add(signed(usage.bytes_out));
        sums.memory_peak_bytes = sums.memory_peak_bytes.max(signed(usage.memory_peak_bytes));
    }
}
