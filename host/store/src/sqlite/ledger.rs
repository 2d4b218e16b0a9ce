//! Reading and pruning the tables `entries`, `logs` and `shadows`.

use super::filter::Conditions;
use super::{SqliteStore, parse, parse_json, signed, unsigned};
use crate::{CallFilter, CallQuery, CallsFound, LogQuery, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};
use std::time::Duration;
use wares_model::{CallId, ComponentName, LedgerEntry, Outcome, ShadowOf, TenantId, Timestamp, Usage};

/// Entries that pruning removes in one transaction.
pub(super) const PRUNE_STEP: u64 = 500;
/// Logs that one search looks through.
pub(super) const LOGS_SEARCHED_MAX: u32 = 20_000;
/// Calls that one search looks through.
pub(super) const CALLS_SEARCHED_MAX: u32 = 100_000;
/// Above every call's id.
const ID_END: [u8; 16] = [0xff; 16];
/// The largest time that a UUID version 7 can hold.
const ID_MILLISECONDS_MAX: i64 = (1 << 48) - 1;
/// A call's id is made before the call is admitted, at most so long before; and a clock may have been set meanwhile.
const ID_AHEAD_MAX: Duration = Duration::from_secs(3_600);

/// Between which ids the calls of a period are: `[first, before)`.
struct Ids {
    first: [u8; 16],
    before: [u8; 16],
}

impl Ids {
    fn of(from: Option<Timestamp>, to: Option<Timestamp>, before: Option<CallId>) -> Self {
        let first = from.map(|from| first_id(from.minus(ID_AHEAD_MAX)));
        let end = to.map_or(ID_END, |to| first_id(to.plus(ID_AHEAD_MAX)));
        let before = before.map_or(ID_END, |call| *call.as_bytes());
        Self { first: first.unwrap_or_default(), before: before.min(end) }
    }
}

/// The least id that can be made at a time: ids begin with the milliseconds since the epoch (UUID version 7).
fn first_id(time: Timestamp) -> [u8; 16] {
    let milliseconds = (time.as_micros() / 1_000).clamp(0, ID_MILLISECONDS_MAX) as u128;
    (milliseconds << 80).to_be_bytes()
}

/// The id after this one.
fn next_id(id: [u8; 16]) -> [u8; 16] {
    u128::from_be_bytes(id).saturating_add(1).to_be_bytes()
}

/// What a search found that read one row more than it shows; `last` is the oldest call that it looked at, if there are older ones.
fn found(rows: &[SqliteRow], limit: u32, last: Option<Vec<u8>>) -> Result<CallsFound, StoreError> {
    let mut entries = rows.iter().map(|row| read_entry(call_id(row)?, row)).collect::<Result<Vec<_>, _>>()?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if entries.len() <= limit {
        return Ok(CallsFound { entries, next: last.map(id_of).transpose()? });
    }
    entries.truncate(limit);
    let next = entries.last().map(|entry| entry.call);
    Ok(CallsFound { entries, next })
}

impl SqliteStore {
    pub(super) async fn entry(&self, id: CallId) -> Result<Option<LedgerEntry>, StoreError> {
        let row = sqlx::query(
            "SELECT entries.*, subjects.*, logs.text AS logs, logs.marks, shadows.of_call, shadows.revision,
                    shadows.matches
             FROM entries JOIN subjects ON subjects.id = entries.subject
             LEFT JOIN logs ON logs.call = entries.call LEFT JOIN shadows ON shadows.call = entries.call
             WHERE entries.call = ?",
        )
        .bind(id.as_bytes().as_slice())
        .fetch_optional(&self.readers)
        .await?;
        row.map(|row| read_entry(id, &row)).transpose()
    }

    pub(super) async fn found_calls(&self, query: CallQuery) -> Result<CallsFound, StoreError> {
        let CallQuery { of, from, to, before, limit } = query;
        let ids = Ids::of(from, to, before);
        // Those that ended badly have an index of their own; only they are looked through, then.
        let failed = of.outcome.filter(|outcome| *outcome != Outcome::Ok);
        let (table, among) = match failed {
            Some(_) => ("entries INDEXED BY entries_failed", " AND outcome <> 'ok'"),
            None => ("entries", ""),
        };
        let last = self.search_end(&ids, table, among, failed).await?;
        let conditions = Conditions::of(&of);
        let sql = format!(
            "SELECT entries.*, subjects.*, NULL AS logs, NULL AS marks, shadows.of_call, shadows.revision,
                    shadows.matches
             FROM {table} CROSS JOIN subjects ON subjects.id = entries.subject
             LEFT JOIN shadows ON shadows.call = entries.call
             WHERE entries.call < ? AND entries.call >= ? AND started >= ? AND started < ?{among}{}
             ORDER BY entries.call DESC LIMIT ?",
            conditions.sql(),
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(ids.before.to_vec())
            .bind(last.clone().unwrap_or_else(|| ids.first.to_vec()))
            .bind(from.map_or(i64::MIN, Timestamp::as_micros))
            .bind(to.map_or(i64::MAX, Timestamp::as_micros));
        let rows = conditions.bind(rows).bind(i64::from(limit) + 1).fetch_all(&self.readers).await?;
        found(&rows, limit, last)
    }

    /// The oldest call that one search looks at; none: it looks at all.
    async fn search_end(
        &self,
        ids: &Ids,
        table: &str,
        among: &str,
        failed: Option<Outcome>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let conditions = Conditions::of(&CallFilter { outcome: failed, ..CallFilter::default() });
        let sql = format!(
            "SELECT call FROM {table} WHERE call < ? AND call >= ?{among}{} ORDER BY call DESC LIMIT 1 OFFSET ?",
            conditions.sql(),
        );
        let row = sqlx::query(AssertSqlSafe(sql)).bind(ids.before.to_vec()).bind(ids.first.to_vec());
        let row = conditions.bind(row).bind(CALLS_SEARCHED_MAX - 1).fetch_optional(&self.readers).await?;
        Ok(row.map(|row| row.try_get("call")).transpose()?)
    }

    pub(super) async fn logged(&self, query: LogQuery) -> Result<CallsFound, StoreError> {
        let LogQuery { tenant, component, call, before, limit } = query;
        let before = before.map_or(ID_END, |call| *call.as_bytes());
        let last: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT call FROM logs WHERE call < ? ORDER BY call DESC LIMIT 1 OFFSET ?")
                .bind(before.as_slice())
                .bind(LOGS_SEARCHED_MAX - 1)
                .fetch_optional(&self.readers)
                .await?;
        // A call that is named is found wherever it is.
        let last = last.filter(|_| call.is_none());
        let rows = sqlx::query(
            "SELECT entries.*, subjects.*, logs.text AS logs, logs.marks, shadows.of_call, shadows.revision,
                    shadows.matches
             FROM logs CROSS JOIN entries ON entries.call = logs.call CROSS JOIN subjects ON subjects.id = entries.subject
             LEFT JOIN shadows ON shadows.call = entries.call
             WHERE logs.call < ?1 AND logs.call >= ?2 AND (?3 IS NULL OR subjects.tenant = ?3)
                 AND (?4 IS NULL OR subjects.component = ?4)
             ORDER BY logs.call DESC LIMIT ?5",
        )
        .bind(call.map_or(before, |call| next_id(*call.as_bytes())).to_vec())
        .bind(call.map(|call| call.as_bytes().to_vec()).or_else(|| last.clone()).unwrap_or_default())
        .bind(tenant.as_ref().map(TenantId::as_str))
        .bind(component.as_ref().map(ComponentName::as_str))
        .bind(i64::from(limit) + 1)
        .fetch_all(&self.readers)
        .await?;
        found(&rows, limit, last)
    }

    pub(super) async fn prune(&self, before: Timestamp) -> Result<u64, StoreError> {
        let first_kept = first_id(before);
        let mut gone = 0;
        loop {
            let step = self.prune_step(&first_kept).await?;
            gone += step;
            if step < PRUNE_STEP {
                return Ok(gone);
            }
        }
    }

    /// Removes the oldest entries and what belongs to them, [`PRUNE_STEP`] at most, so that appending never waits long.
    async fn prune_step(&self, first_kept: &[u8]) -> Result<u64, StoreError> {
        let mut transaction = self.write().await?;
        let next: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT call FROM entries WHERE call < ? ORDER BY call LIMIT 1 OFFSET ?")
                .bind(first_kept)
                .bind(signed(PRUNE_STEP))
                .fetch_optional(&mut *transaction)
                .await?;
        let end = next.as_deref().unwrap_or(first_kept);
        forget_sizes(&mut transaction, end).await?;
        sqlx::query("DELETE FROM logs WHERE call < ?").bind(end).execute(&mut *transaction).await?;
        sqlx::query("DELETE FROM shadows WHERE call < ?").bind(end).execute(&mut *transaction).await?;
        let gone = sqlx::query("DELETE FROM entries WHERE call < ?").bind(end).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(gone.rows_affected())
    }
}

/// Takes the logs of the calls before `end`, which still have their entries, out of the sizes and sums.
async fn forget_sizes(connection: &mut SqliteConnection, end: &[u8]) -> Result<(), sqlx::Error> {
    let gone: Vec<(String, i64)> = sqlx::query_as(
        "SELECT subjects.tenant, SUM(bytes) FROM entries CROSS JOIN subjects ON subjects.id = entries.subject
         CROSS JOIN log_sizes ON log_sizes.tenant = subjects.tenant AND log_sizes.call = entries.call
         WHERE entries.call < ? GROUP BY subjects.tenant",
    )
    .bind(end)
    .fetch_all(&mut *connection)
    .await?;
    for (tenant, bytes) in gone {
        sqlx::query("UPDATE log_sums SET bytes = bytes - ?1 WHERE tenant IN (?2, '')")
            .bind(bytes)
            .bind(&tenant)
            .execute(&mut *connection)
            .await?;
        sqlx::query("DELETE FROM log_sizes WHERE tenant = ? AND call < ?")
            .bind(&tenant)
            .bind(end)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

fn call_id(row: &SqliteRow) -> Result<CallId, StoreError> {
    id_of(row.try_get("call")?)
}

fn id_of(bytes: Vec<u8>) -> Result<CallId, StoreError> {
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt("a call's id".to_owned()))?;
    Ok(CallId::from_bytes(bytes))
}

fn read_entry(call: CallId, row: &SqliteRow) -> Result<LedgerEntry, StoreError> {
    let other_call = |column: &str| -> Result<Option<CallId>, StoreError> {
        let bytes: Option<Vec<u8>> = row.try_get(column)?;
        let call = bytes.map(|bytes| bytes.try_into().map(CallId::from_bytes)).transpose();
        call.map_err(|_| StoreError::Corrupt(format!("a call's id in {column}")))
    };
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
        parent: other_call("parent")?,
        logs: row.try_get("logs")?,
        log_marks: match row.try_get("marks")? {
            None => Vec::new(),
            Some(marks) => parse_json("marks of a log", marks)?,
        },
        shadow: match other_call("of_call")? {
            None => None,
            Some(call) => Some(ShadowOf { call, revision: number("revision")?, matches: row.try_get("matches")? }),
        },
        request_id: row.try_get::<Option<&str>, _>("request_id")?.map(Into::into),
        answer: None,
        kept: None,
    })
}
