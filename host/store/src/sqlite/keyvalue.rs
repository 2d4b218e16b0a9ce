//! Tables `buckets` and `pairs`.

use super::{SqliteStore, signed, unsigned};
use crate::StoreError;
use crate::keyvalue::{BucketName, BucketQuota, Fill, Gates, KeyPage, KeyValueError, KeyValueStore, number};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};
use std::sync::Arc;
use wares_model::{ComponentName, TenantId};

/// Pairs that a wipe removes in one transaction: whoever else writes, the ledger too, waits for no more.
const WIPED_AT_ONCE: u64 = 500;

#[async_trait]
impl KeyValueStore for SqliteStore {
    fn gates(&self) -> &Gates {
        &self.gates
    }

    fn cpu_ns_elsewhere(&self) -> u64 {
        0
    }

    async fn get(
        &self,
        bucket: &BucketName,
        keys: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
        self.reading(|connection| {
            // One moment for all of them.
            let reading = connection.transaction()?;
            let Some(bucket) = BucketRow::find(&reading, bucket)? else { return Ok(vec![None; keys.len()]) };
            let mut statement = reading.prepare_cached("SELECT value FROM pairs WHERE bucket = ? AND key = ?")?;
            let (mut values, mut bytes) = (Vec::with_capacity(keys.len()), 0);
            for key in keys {
                let found = statement.query_row(params![bucket.id, key.as_bytes()], |row| row.get(0));
                let value: Option<Vec<u8>> = found.optional()?;
                bytes += value.as_ref().map_or(0, |value| value.len() as u64);
                if bytes > bytes_max {
                    return Err(KeyValueError::TooLarge(bytes_max));
                }
                values.push(value);
            }
            Ok(values)
        })
    }

    async fn exists(&self, bucket: &BucketName, key: &str) -> Result<bool, KeyValueError> {
        self.reading(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT 1 FROM pairs JOIN buckets ON buckets.id = pairs.bucket
                 WHERE tenant = ? AND component = ? AND buckets.bucket = ? AND key = ?",
            )?;
            let [tenant, component, name] = columns(bucket);
            Ok(statement.exists(params![tenant, component, name, key.as_bytes()])?)
        })
    }

    async fn list(&self, bucket: &BucketName, after: u64, limit: u32) -> Result<KeyPage, KeyValueError> {
        self.reading(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT place, key FROM pairs JOIN buckets ON buckets.id = pairs.bucket
                 WHERE tenant = ? AND component = ? AND buckets.bucket = ? AND place > ? ORDER BY place LIMIT ?",
            )?;
            let [tenant, component, name] = columns(bucket);
            let mut rows =
                statement.query(params![tenant, component, name, signed(after), i64::from(limit).saturating_add(1)])?;
            let mut page = KeyPage::default();
            let mut last = None;
            while let Some(row) = rows.next()? {
                if page.keys.len() == limit as usize {
                    page.next = last;
                    break;
                }
                let key = String::from_utf8(row.get("key")?);
                page.keys.push(key.map_err(|_| StoreError::Corrupt("a key of a bucket".to_owned()))?);
                last = Some(unsigned(row.get("place")?));
            }
            Ok(page)
        })
    }

    async fn set(
        &self,
        bucket: &BucketName,
        pairs: &[(String, Vec<u8>)],
        quota: BucketQuota,
    ) -> Result<(), KeyValueError> {
        self.changing(|writing| {
            let mut bucket = BucketRow::find_or_make(&writing, bucket)?;
            let before = bucket.fill;
            for (key, value) in pairs {
                bucket.put(&writing, key, value)?;
            }
            bucket.fill.check(before, quota)?;
            bucket.commit(writing)
        })
        .await
    }

    async fn delete(&self, bucket: &BucketName, keys: &[String]) -> Result<(), KeyValueError> {
        self.changing(|writing| {
            let Some(mut bucket) = BucketRow::find(&writing, bucket)? else { return Ok(()) };
            for key in keys {
                let mut statement =
                    writing.prepare_cached("DELETE FROM pairs WHERE bucket = ? AND key = ? RETURNING LENGTH(value)")?;
                let gone = statement.query_row(params![bucket.id, key.as_bytes()], |row| row.get(0));
                if let Some(bytes) = gone.optional()? {
                    bucket.fill.remove(key.len(), unsigned(bytes));
                }
            }
            bucket.commit(writing)
        })
        .await
    }

    async fn increment(
        &self,
        bucket: &BucketName,
        key: &str,
        delta: u64,
        quota: BucketQuota,
    ) -> Result<u64, KeyValueError> {
        self.changing(|writing| {
            let mut bucket = BucketRow::find_or_make(&writing, bucket)?;
            let before = bucket.fill;
            let value = bucket.beginning(&writing, key)?;
            let value = value.map_or(Some(0), |value| number(&value)).ok_or(KeyValueError::NotANumber)?;
            let delta = i64::try_from(delta).map_err(|_| KeyValueError::Overflow)?;
            let sum = value.checked_add(delta).ok_or(KeyValueError::Overflow)?;
            bucket.put(&writing, key, sum.to_string().as_bytes())?;
            bucket.fill.check(before, quota)?;
            bucket.commit(writing)?;
            Ok(unsigned(sum))
        })
        .await
    }

    async fn count(&self, tenant: &TenantId) -> Result<u64, KeyValueError> {
        let keys: i64 = sqlx::query_scalar("SELECT COALESCE(SUM(keys), 0) FROM buckets WHERE tenant = ?")
            .bind(tenant.as_str())
            .fetch_one(&self.readers)
            .await?;
        Ok(unsigned(keys))
    }

    async fn wipe(&self, tenant: &TenantId) -> Result<u64, KeyValueError> {
        let buckets: Vec<i64> = sqlx::query_scalar("SELECT id FROM buckets WHERE tenant = ?")
            .bind(tenant.as_str())
            .fetch_all(&self.readers)
            .await?;
        let mut removed = 0;
        for bucket in buckets {
            loop {
                let pairs = self.wipe_part(bucket).await?;
                removed += pairs;
                if pairs < WIPED_AT_ONCE {
                    break;
                }
            }
        }
        Ok(removed)
    }
}

impl SqliteStore {
    fn reading<T>(&self, work: impl FnOnce(&mut Connection) -> Result<T, KeyValueError>) -> Result<T, KeyValueError> {
        self.direct.with(KeyValueError::is_guests, work)
    }

    /// Changes something when it is this one's turn to write, all of it or nothing.
    async fn changing<T>(
        &self,
        work: impl FnOnce(Transaction<'_>) -> Result<T, KeyValueError>,
    ) -> Result<T, KeyValueError> {
        let _turn = self.turn.lock().await;
        self.direct.with(KeyValueError::is_guests, |connection| {
            // What it reads cannot change before it commits.
            work(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
        })
    }

    /// Removes some of a bucket's pairs, and the bucket with the last of them. Returns how many pairs went.
    pub(super) async fn wipe_part(&self, bucket: i64) -> Result<u64, KeyValueError> {
        let (turn, direct) = (Arc::clone(&self.turn).lock_owned().await, Arc::clone(&self.direct));
        let wiping = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            direct.with(KeyValueError::is_guests, |connection| wipe_part(connection, bucket))
        });
        wiping.await.map_err(|error| KeyValueError::Failed(error.to_string()))?
    }
}

fn wipe_part(connection: &mut Connection, bucket: i64) -> Result<u64, KeyValueError> {
    let writing = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (mut pairs, mut bytes) = (0, 0);
    {
        let mut statement = writing.prepare_cached(
            "DELETE FROM pairs WHERE id IN (SELECT id FROM pairs WHERE bucket = ? LIMIT ?)
             RETURNING LENGTH(key) + LENGTH(value)",
        )?;
        let mut gone = statement.query(params![bucket, signed(WIPED_AT_ONCE)])?;
        while let Some(row) = gone.next()? {
            pairs += 1;
            bytes += row.get::<_, i64>(0)?;
        }
    }
    match pairs < WIPED_AT_ONCE {
        true => writing.execute("DELETE FROM buckets WHERE id = ?", params![bucket])?,
        false => writing.execute(
            "UPDATE buckets SET bytes = bytes - ?2, keys = keys - ?3 WHERE id = ?1",
            params![bucket, bytes, signed(pairs)],
        )?,
    };
    writing.commit()?;
    Ok(pairs)
}

/// A bucket's row, as the transaction that read it will leave it.
struct BucketRow {
    id: i64,
    fill: Fill,
    places: i64,
}

impl BucketRow {
    fn find(connection: &Connection, name: &BucketName) -> Result<Option<Self>, rusqlite::Error> {
        let mut statement = connection.prepare_cached(
            "SELECT id, bytes, keys, places FROM buckets WHERE tenant = ? AND component = ? AND bucket = ?",
        )?;
        let row = statement.query_row(columns(name), |row| {
            let fill = Fill { bytes: unsigned(row.get("bytes")?), keys: unsigned(row.get("keys")?) };
            Ok(Self { id: row.get("id")?, fill, places: row.get("places")? })
        });
        row.optional()
    }

    fn find_or_make(writing: &Connection, name: &BucketName) -> Result<Self, rusqlite::Error> {
        if let Some(row) = Self::find(writing, name)? {
            return Ok(row);
        }
        let mut made = writing.prepare_cached("INSERT INTO buckets (tenant, component, bucket) VALUES (?, ?, ?)")?;
        Ok(Self { id: made.insert(columns(name))?, fill: Fill::default(), places: 0 })
    }

    /// What a key's value begins with: one that may be large is not read to find that it is no number.
    fn beginning(&self, writing: &Connection, key: &str) -> Result<Option<Vec<u8>>, rusqlite::Error> {
        let mut statement =
            writing.prepare_cached("SELECT SUBSTR(value, 1, 32) FROM pairs WHERE bucket = ? AND key = ?")?;
        statement.query_row(params![self.id, key.as_bytes()], |row| row.get(0)).optional()
    }

    /// Sets a pair. A key keeps its place.
    fn put(&mut self, writing: &Connection, key: &str, value: &[u8]) -> Result<(), rusqlite::Error> {
        let mut old = writing.prepare_cached("SELECT LENGTH(value) FROM pairs WHERE bucket = ? AND key = ?")?;
        let old: Option<i64> = old.query_row(params![self.id, key.as_bytes()], |row| row.get(0)).optional()?;
        self.fill.add(key.len(), value.len() as u64);
        match old {
            Some(old) => {
                self.fill.remove(key.len(), unsigned(old));
                let mut change = writing.prepare_cached("UPDATE pairs SET value = ? WHERE bucket = ? AND key = ?")?;
                change.execute(params![value, self.id, key.as_bytes()])?;
            }
            None => {
                self.places += 1;
                let mut insert =
                    writing.prepare_cached("INSERT INTO pairs (bucket, key, value, place) VALUES (?, ?, ?, ?)")?;
                insert.execute(params![self.id, key.as_bytes(), value, self.places])?;
            }
        }
        Ok(())
    }

    fn commit(self, writing: Transaction<'_>) -> Result<(), KeyValueError> {
        let Self { id, fill: Fill { bytes, keys }, places } = self;
        writing.prepare_cached("UPDATE buckets SET bytes = ?, keys = ?, places = ? WHERE id = ?")?.execute(params![
            signed(bytes),
            signed(keys),
            places,
            id
        ])?;
        Ok(writing.commit()?)
    }
}

/// A bucket's tenant, component and name, as the table has them.
fn columns(BucketName { tenant, component, bucket }: &BucketName) -> [&str; 3] {
    let component = component.as_ref().map_or("", ComponentName::as_str);
    [tenant.as_ref().map_or("", TenantId::as_str), component, bucket.as_str()]
}
