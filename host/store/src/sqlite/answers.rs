//! Tables `kept_answers` and `kept_sums`: answers of calls that were made under keys of their callers.
//!
//! They are written by the transaction that enters the call. Sums by tenant stand apart, so that nothing has to be counted, and
//! who is over the bound gives his oldest ones.

use super::{SqliteStore, parse, signed};
use crate::{AnswerStore, KeptCall, StoreError};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, params};
use sqlx::Row as _;
use wares_model::limits::KEPT_ANSWERS_BYTES_MAX;
use wares_model::{CallId, KeptAnswer, LedgerEntry, TenantId, Timestamp};

/// Bytes that an answer counts for beside its key and texts.
const ANSWER_BYTES_MIN: usize = 256;
/// Answers that one transaction removes, so that nobody who writes waits long.
const STEP_ANSWERS: i64 = 500;
/// Answers that are looked at for one step of making room.
const OLDEST_AT_ONCE: i64 = 16;

const FORGET: &str = "DELETE FROM kept_answers WHERE tenant = ? AND application = ? AND key = ? RETURNING bytes";
const KEEP: &str = "INSERT INTO kept_answers (tenant, application, key, fingerprint, call, kept_at, outcome, component,
    version, problem, json, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
const ADD: &str = "INSERT INTO kept_sums (tenant, bytes) VALUES (?, ?)
    ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes RETURNING bytes";
const OLDEST: &str = "SELECT rowid, bytes FROM kept_answers WHERE tenant = ? ORDER BY kept_at, rowid LIMIT ?";

/// Keeps the answer of a call that is being entered.
pub(super) fn keep(transaction: &Connection, entry: &LedgerEntry, kept: &KeptAnswer) -> Result<(), rusqlite::Error> {
    let KeptAnswer { key, fingerprint, problem, json } = kept;
    let (tenant, application) = (entry.tenant.as_str(), &*entry.application);
    let owner = params![tenant, application, key];
    let forgotten: Option<i64> = transaction.prepare_cached(FORGET)?.query_row(owner, |row| row.get(0)).optional()?;
    let bytes = signed((ANSWER_BYTES_MIN + key.len() + problem.as_ref().map_or(0, String::len) + json.len()) as u64);
    transaction.prepare_cached(KEEP)?.execute(params![
        tenant,
        application,
        key,
        fingerprint.to_string(),
        entry.call.as_bytes(),
        entry.started.as_micros(),
        entry.outcome.as_str(),
        entry.component.as_str(),
        entry.version.to_string(),
        problem,
        json,
        bytes,
    ])?;
    let sum = change_sum(transaction, tenant, bytes - forgotten.unwrap_or_default())?;
    make_room(transaction, tenant, sum - signed(KEPT_ANSWERS_BYTES_MAX))
}

/// Removes the oldest answers of a tenant until so many bytes of them are gone.
fn make_room(transaction: &Connection, tenant: &str, bytes: i64) -> Result<(), rusqlite::Error> {
    let mut removed = 0;
    while removed < bytes {
        let oldest: Vec<(i64, i64)> = {
            let mut statement = transaction.prepare_cached(OLDEST)?;
            let rows = statement.query_map(params![tenant, OLDEST_AT_ONCE], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect::<Result<_, _>>()?
        };
        if oldest.is_empty() {
            break;
        }
        for (row, size) in oldest {
            if removed < bytes {
                transaction.prepare_cached("DELETE FROM kept_answers WHERE rowid = ?")?.execute([row])?;
                removed += size;
            }
        }
    }
    if removed > 0 {
        change_sum(transaction, tenant, -removed)?;
    }
    Ok(())
}

fn change_sum(transaction: &Connection, tenant: &str, bytes: i64) -> Result<i64, rusqlite::Error> {
    transaction.prepare_cached(ADD)?.query_row(params![tenant, bytes], |row| row.get(0))
}

#[async_trait]
impl AnswerStore for SqliteStore {
    async fn kept_answer(
        &self,
        tenant: &TenantId,
        application: &str,
        key: &str,
        since: Timestamp,
    ) -> Result<Option<KeptCall>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM kept_answers WHERE tenant = ? AND application = ? AND key = ? AND kept_at >= ?")
                .bind(tenant.as_str())
                .bind(application)
                .bind(key)
                .bind(since.as_micros())
                .fetch_optional(&self.readers)
                .await?;
        let Some(row) = row else { return Ok(None) };
        let call: Vec<u8> = row.try_get("call")?;
        let call = call.try_into().map_err(|_| StoreError::Corrupt("the id of a kept answer's call".to_owned()))?;
        Ok(Some(KeptCall {
            call: CallId::from_bytes(call),
            fingerprint: parse("fingerprint", row.try_get("fingerprint")?)?,
            outcome: parse("outcome", row.try_get("outcome")?)?,
            component: parse("component", row.try_get("component")?)?,
            version: parse("version", row.try_get("version")?)?,
            problem: row.try_get("problem")?,
            json: row.try_get("json")?,
        }))
    }

    async fn prune_answers(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.remove_in_steps(|| async {
            let found = sqlx::query_as("SELECT rowid, tenant, bytes FROM kept_answers WHERE kept_at < ? LIMIT ?");
            found.bind(before.as_micros()).bind(STEP_ANSWERS).fetch_all(&self.readers).await
        })
        .await
    }

    async fn remove_answers_of(&self, tenant: &TenantId) -> Result<u64, StoreError> {
        self.remove_in_steps(|| async {
            let found = sqlx::query_as("SELECT rowid, tenant, bytes FROM kept_answers WHERE tenant = ? LIMIT ?");
            found.bind(tenant.as_str()).bind(STEP_ANSWERS).fetch_all(&self.readers).await
        })
        .await
    }
}

/// A kept answer's row, tenant and bytes.
type FoundAnswer = (i64, String, i64);

impl SqliteStore {
    /// Removes what is found, until nothing is.
    async fn remove_in_steps<F: Future<Output = Result<Vec<FoundAnswer>, sqlx::Error>> + Send>(
        &self,
        find: impl Fn() -> F + Send + Sync,
    ) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            match self.remove_answers(find().await?).await? {
                0 => return Ok(gone),
                step => gone += step,
            }
        }
    }

    /// Removes answers that were found, but for those that are others by now.
    async fn remove_answers(&self, found: Vec<FoundAnswer>) -> Result<u64, StoreError> {
        if found.is_empty() {
            return Ok(0);
        }
        let mut transaction = self.write().await?;
        for (row, tenant, bytes) in &found {
            let gone = sqlx::query("DELETE FROM kept_answers WHERE rowid = ? AND tenant = ? AND bytes = ?")
                .bind(row)
                .bind(tenant)
                .bind(bytes)
                .execute(&mut *transaction)
                .await?;
            if gone.rows_affected() > 0 {
                sqlx::query("UPDATE kept_sums SET bytes = bytes - ? WHERE tenant = ?")
                    .bind(bytes)
                    .bind(tenant)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await?;
        Ok(found.len() as u64)
    }
}
