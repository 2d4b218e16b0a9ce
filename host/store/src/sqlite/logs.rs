//! How many bytes the logs of calls have, and room for new ones: tables `log_sizes` and `log_sums`, and what goes from `logs`.
//!
//! Sizes and sums are written by the transaction that writes or removes the logs, so that nothing has to be counted. Who is
//! over a bound pays for it: a transaction that adds logs removes as many bytes of the oldest ones, and twice that where a bound
//! was lowered, but never more, so that nobody waits long for it.

use super::{LogBounds, signed};
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use wares_model::{LedgerEntry, TenantId};

/// Bytes that a transaction may remove besides twice those that it adds.
const REMOVED_BYTES_MIN: i64 = 1 << 20;
/// Logs that are looked at for one step of removal.
const STEP_LOGS: i64 = 64;
/// Under this name stands the sum of all tenants.
const ALL: &str = "";

const SIZE: &str = "INSERT INTO log_sizes (tenant, call, bytes) VALUES (?, ?, ?)";
const ADD: &str = "INSERT INTO log_sums (tenant, bytes) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes RETURNING bytes";
const OLDEST_OF_TENANT: &str = "SELECT tenant, call, bytes FROM log_sizes WHERE tenant = ?1 ORDER BY call LIMIT ?2";
const OLDEST: &str = "SELECT log_sizes.tenant, log_sizes.call, log_sizes.bytes FROM logs
    CROSS JOIN entries ON entries.call = logs.call CROSS JOIN subjects ON subjects.id = entries.subject
    CROSS JOIN log_sizes ON log_sizes.tenant = subjects.tenant AND log_sizes.call = logs.call
    WHERE ?1 IS NOT NULL ORDER BY logs.call LIMIT ?2";

/// Bytes of logs that a transaction adds, by tenant.
pub(super) type Added = BTreeMap<TenantId, i64>;

/// Notes the size of an entry's log.
pub(super) fn add(
    transaction: &Connection,
    added: &mut Added,
    entry: &LedgerEntry,
    bytes: usize,
) -> Result<(), rusqlite::Error> {
    let bytes = signed(bytes as u64);
    transaction.prepare_cached(SIZE)?.execute(params![entry.tenant.as_str(), entry.call.as_bytes(), bytes])?;
    *added.entry(entry.tenant.clone()).or_default() += bytes;
    Ok(())
}

/// Brings the sums up to what was added, and removes the oldest logs of who is over a bound.
pub(super) fn make_room(transaction: &Connection, added: &Added, bounds: LogBounds) -> Result<(), rusqlite::Error> {
    if added.is_empty() {
        return Ok(());
    }
    let mut all = 0;
    for (tenant, bytes) in added {
        let sum = change_sum(transaction, tenant.as_str(), *bytes)?;
        let over = sum - signed(bounds.tenant_bytes_max);
        all += bytes - remove_oldest(transaction, OLDEST_OF_TENANT, tenant.as_str(), at_most(over, *bytes))?;
    }
    let sum = change_sum(transaction, ALL, all)?;
    let over = at_most(sum - signed(bounds.bytes_max), added.values().sum());
    let removed = remove_oldest(transaction, OLDEST, ALL, over)?;
    change_sum(transaction, ALL, -removed).map(drop)
}

/// Removes the oldest logs of all tenants, this many bytes at least while there are any. Returns how many went.
pub(super) fn remove_bytes(connection: &mut Connection, bytes: u64) -> Result<u64, rusqlite::Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let removed = remove_oldest(&transaction, OLDEST, ALL, signed(bytes))?;
    change_sum(&transaction, ALL, -removed)?;
    transaction.commit()?;
    Ok(super::unsigned(removed))
}

fn at_most(over: i64, added: i64) -> i64 {
    over.min(added.saturating_mul(2).max(REMOVED_BYTES_MIN))
}

fn change_sum(transaction: &Connection, tenant: &str, bytes: i64) -> Result<i64, rusqlite::Error> {
    transaction.prepare_cached(ADD)?.query_row(params![tenant, bytes], |row| row.get(0))
}

/// Removes the logs that the query finds until they had so many bytes, and brings the sums of their tenants down.
fn remove_oldest(transaction: &Connection, query: &str, tenant: &str, bytes: i64) -> Result<i64, rusqlite::Error> {
    let mut removed = 0;
    while removed < bytes {
        let found = {
            let mut statement = transaction.prepare_cached(query)?;
            let rows = statement.query_map(params![tenant, STEP_LOGS], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, i64>(2)?))
            })?;
            rows.collect::<Result<Vec<_>, _>>()?
        };
        if found.is_empty() {
            break;
        }
        for (tenant, call, size) in found {
            if removed >= bytes {
                break;
            }
            transaction.prepare_cached("DELETE FROM logs WHERE call = ?")?.execute([&call])?;
            let gone = params![tenant, call];
            transaction.prepare_cached("DELETE FROM log_sizes WHERE tenant = ? AND call = ?")?.execute(gone)?;
            change_sum(transaction, &tenant, -size)?;
            removed += size;
        }
    }
    Ok(removed)
}
