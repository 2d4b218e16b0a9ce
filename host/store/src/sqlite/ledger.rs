//! Reading and pruning the tables `entries`, `logs` and `shadows`.

use super::{SqliteStore, parse, parse_json, signed, unsigned};
use crate::{CallQuery, CallsFound, LogQuery, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use wares_model::{CallId, ComponentName, LedgerEntry, Outcome, ShadowOf, TenantId, Timestamp, Usage};

/// Entries that pruning removes in one transaction.
pub(super) const PRUNE_STEP: u64 = 500;
/// Logs, the newest, among which those of a tenant or a component are looked for.
const LOGS_SEARCHED_MAX: u32 = 20_000;
/// Calls that one search looks through.
pub(super) const CALLS_SEARCHED_MAX: u32 = 100_000;
/// Above every call's id.
const ID_END: [u8; 16] = [0xff; 16];
/// The largest time that a UUID version 7 can hold.
const ID_MILLISECONDS_MAX: i64 = (1 << 48) - 1;

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
        let CallQuery { tenant, component, outcome, before, limit } = query;
        let before = before.map_or(ID_END, |call| *call.as_bytes());
        // The oldest call that is looked at; none: all are.
        let last: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT call FROM entries WHERE call < ? ORDER BY call DESC LIMIT 1 OFFSET ?")
                .bind(before.as_slice())
                .bind(CALLS_SEARCHED_MAX - 1)
                .fetch_optional(&self.readers)
                .await?;
        let rows = sqlx::query(
            "SELECT entries.*, subjects.*, NULL AS logs, NULL AS marks, shadows.of_call, shadows.revision,
                    shadows.matches
             FROM entries CROSS JOIN subjects ON subjects.id = entries.subject
             LEFT JOIN shadows ON shadows.call = entries.call
             WHERE entries.call < ?1 AND entries.call >= ?2 AND (?3 IS NULL OR tenant = ?3)
               AND (?4 IS NULL OR subjects.component = ?4) AND (?5 IS NULL OR outcome = ?5)
             ORDER BY entries.call DESC LIMIT ?6",
        )
        .bind(before.as_slice())
        .bind(last.as_deref().unwrap_or_default())
        .bind(tenant.as_ref().map(TenantId::as_str))
        .bind(component.as_ref().map(ComponentName::as_str))
        .bind(outcome.map(Outcome::as_str))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        let entries = rows.iter().map(|row| read_entry(call_id(row)?, row)).collect::<Result<Vec<_>, _>>()?;
        let is_full = u32::try_from(entries.len()).is_ok_and(|count| count == limit);
        let next = match entries.last() {
            Some(entry) if is_full => Some(entry.call),
            _ => last.map(id_of).transpose()?,
        };
        Ok(CallsFound { entries, next })
    }

    pub(super) async fn logged(&self, query: LogQuery) -> Result<Vec<LedgerEntry>, StoreError> {
        let LogQuery { tenant, component, call, limit } = query;
        let rows = sqlx::query(
            "SELECT entries.*, subjects.*, found.text AS logs, found.marks, shadows.of_call, shadows.revision,
                    shadows.matches
             FROM (SELECT * FROM logs WHERE ?1 IS NULL OR call = ?1 ORDER BY call DESC LIMIT ?2) AS found
             CROSS JOIN entries ON entries.call = found.call JOIN subjects ON subjects.id = entries.subject
             LEFT JOIN shadows ON shadows.call = entries.call
             WHERE (?3 IS NULL OR tenant = ?3) AND (?4 IS NULL OR subjects.component = ?4)
             ORDER BY entries.call DESC LIMIT ?5",
        )
        .bind(call.as_ref().map(|call| call.as_bytes().to_vec()))
        .bind(LOGS_SEARCHED_MAX)
        .bind(tenant.as_ref().map(TenantId::as_str))
        .bind(component.as_ref().map(ComponentName::as_str))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(|row| read_entry(call_id(row)?, row)).collect()
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
