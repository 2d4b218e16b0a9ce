//! Tables `buckets` and `pairs`.

use super::{SqliteStore, Writing, signed, unsigned};
use crate::StoreError;
use crate::keyvalue::{BucketName, BucketQuota, Fill, Gates, KeyPage, KeyValueError, KeyValueStore, number};
use async_trait::async_trait;
use sqlx::{Row as _, SqliteConnection};
use wares_model::{ComponentName, TenantId};

/// Pairs that a wipe removes in one transaction: whoever else writes, the ledger too, waits for no more.
const WIPED_AT_ONCE: u64 = 500;

#[async_trait]
impl KeyValueStore for SqliteStore {
    fn gates(&self) -> &Gates {
        &self.gates
    }

    async fn get(
        &self,
        bucket: &BucketName,
        keys: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
        // One moment for all of them.
        let mut reading = self.readers.begin().await?;
        let Some(bucket) = find(&mut reading, bucket).await? else { return Ok(vec![None; keys.len()]) };
        let (mut values, mut bytes) = (Vec::with_capacity(keys.len()), 0);
        for key in keys {
            let value: Option<Vec<u8>> = sqlx::query_scalar("SELECT value FROM pairs WHERE bucket = ? AND key = ?")
                .bind(bucket.id)
                .bind(key.as_bytes())
                .fetch_optional(&mut *reading)
                .await?;
            bytes += value.as_ref().map_or(0, |value| value.len() as u64);
            if bytes > bytes_max {
                return Err(KeyValueError::TooLarge(bytes_max));
            }
            values.push(value);
        }
        Ok(values)
    }

    async fn exists(&self, bucket: &BucketName, key: &str) -> Result<bool, KeyValueError> {
        let found = sqlx::query(
            "SELECT 1 FROM pairs JOIN buckets ON buckets.id = pairs.bucket
             WHERE tenant = ? AND component = ? AND buckets.bucket = ? AND key = ?",
        );
        let found = bound(found, bucket).bind(key.as_bytes()).fetch_optional(&self.readers).await?;
        Ok(found.is_some())
    }

    async fn list(&self, bucket: &BucketName, after: u64, limit: u32) -> Result<KeyPage, KeyValueError> {
        let rows = sqlx::query(
            "SELECT place, key FROM pairs JOIN buckets ON buckets.id = pairs.bucket
             WHERE tenant = ? AND component = ? AND buckets.bucket = ? AND place > ? ORDER BY place LIMIT ?",
        );
        let rows = bound(rows, bucket).bind(signed(after)).bind(i64::from(limit) + 1).fetch_all(&self.readers).await?;
        let mut page = KeyPage::default();
        let mut last = None;
        for row in &rows {
            if page.keys.len() == limit as usize {
                page.next = last;
                break;
            }
            let key = String::from_utf8(row.try_get("key")?);
            page.keys.push(key.map_err(|_| StoreError::Corrupt("a key of a bucket".to_owned()))?);
            last = Some(unsigned(row.try_get("place")?));
        }
        Ok(page)
    }

    async fn set(
        &self,
        bucket: &BucketName,
        pairs: &[(String, Vec<u8>)],
        quota: BucketQuota,
    ) -> Result<(), KeyValueError> {
        let mut writing = self.write().await?;
        let mut bucket = find_or_make(&mut writing, bucket).await?;
        let before = bucket.fill;
        for (key, value) in pairs {
            bucket.put(&mut writing, key, value).await?;
        }
        bucket.commit_within(before, quota, writing).await
    }

    async fn delete(&self, bucket: &BucketName, keys: &[String]) -> Result<(), KeyValueError> {
        let mut writing = self.write().await?;
        let Some(mut bucket) = find(&mut writing, bucket).await? else { return Ok(writing.rollback().await?) };
        for key in keys {
            let bytes: Option<i64> =
                sqlx::query_scalar("DELETE FROM pairs WHERE bucket = ? AND key = ? RETURNING LENGTH(value)")
                    .bind(bucket.id)
                    .bind(key.as_bytes())
                    .fetch_optional(&mut *writing)
                    .await?;
            if let Some(bytes) = bytes {
                bucket.fill.remove(key.len(), unsigned(bytes));
            }
        }
        bucket.commit(writing).await
    }

    async fn increment(
        &self,
        bucket: &BucketName,
        key: &str,
        delta: u64,
        quota: BucketQuota,
    ) -> Result<u64, KeyValueError> {
        let mut writing = self.write().await?;
        let mut bucket = find_or_make(&mut writing, bucket).await?;
        let before = bucket.fill;
        // A value that may be large is not read to find that it is no number.
        let value: Option<Vec<u8>> =
            sqlx::query_scalar("SELECT SUBSTR(value, 1, 32) FROM pairs WHERE bucket = ? AND key = ?")
                .bind(bucket.id)
                .bind(key.as_bytes())
                .fetch_optional(&mut *writing)
                .await?;
        let sum = match sum(value.as_deref(), delta) {
            Ok(sum) => sum,
            Err(refused) => {
                writing.rollback().await?;
                return Err(refused);
            }
        };
        bucket.put(&mut writing, key, sum.to_string().as_bytes()).await?;
        bucket.commit_within(before, quota, writing).await?;
        Ok(unsigned(sum))
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
    /// Removes some of a bucket's pairs, and the bucket with the last of them. Returns how many pairs went.
    pub(super) async fn wipe_part(&self, bucket: i64) -> Result<u64, KeyValueError> {
        let mut writing = self.write().await?;
        let gone: Vec<(i64, i64)> = sqlx::query_as(
            "DELETE FROM pairs WHERE id IN (SELECT id FROM pairs WHERE bucket = ? LIMIT ?)
             RETURNING LENGTH(key), LENGTH(value)",
        )
        .bind(bucket)
        .bind(signed(WIPED_AT_ONCE))
        .fetch_all(&mut *writing)
        .await?;
        let pairs = gone.len() as u64;
        let changed = match pairs < WIPED_AT_ONCE {
            true => sqlx::query("DELETE FROM buckets WHERE id = ?1"),
            false => sqlx::query("UPDATE buckets SET bytes = bytes - ?2, keys = keys - ?3 WHERE id = ?1"),
        };
        let bytes: i64 = gone.iter().map(|(key, value)| key + value).sum();
        changed.bind(bucket).bind(bytes).bind(signed(pairs)).execute(&mut *writing).await?;
        writing.commit().await?;
        Ok(pairs)
    }
}

/// A bucket's row, as the transaction that read it will leave it.
struct BucketRow {
    id: i64,
    fill: Fill,
    places: i64,
}

impl BucketRow {
    /// Sets a pair. A key keeps its place.
    async fn put(&mut self, writing: &mut SqliteConnection, key: &str, value: &[u8]) -> Result<(), sqlx::Error> {
        let old: Option<i64> = sqlx::query_scalar("SELECT LENGTH(value) FROM pairs WHERE bucket = ? AND key = ?")
            .bind(self.id)
            .bind(key.as_bytes())
            .fetch_optional(&mut *writing)
            .await?;
        self.fill.add(key.len(), value.len() as u64);
        let changed = match old {
            Some(old) => {
                self.fill.remove(key.len(), unsigned(old));
                sqlx::query("UPDATE pairs SET value = ?3 WHERE bucket = ?1 AND key = ?2")
            }
            None => {
                self.places += 1;
                sqlx::query("INSERT INTO pairs (bucket, key, value, place) VALUES (?1, ?2, ?3, ?4)")
            }
        };
        changed.bind(self.id).bind(key.as_bytes()).bind(value).bind(self.places).execute(writing).await?;
        Ok(())
    }

    /// Commits if the bucket is within its quota, of which it had so much before.
    async fn commit_within(self, before: Fill, quota: BucketQuota, writing: Writing<'_>) -> Result<(), KeyValueError> {
        match self.fill.check(before, quota) {
            Ok(()) => self.commit(writing).await,
            Err(refused) => {
                writing.rollback().await?;
                Err(refused)
            }
        }
    }

    async fn commit(self, mut writing: Writing<'_>) -> Result<(), KeyValueError> {
        sqlx::query("UPDATE buckets SET bytes = ?, keys = ?, places = ? WHERE id = ?")
            .bind(signed(self.fill.bytes))
            .bind(signed(self.fill.keys))
            .bind(self.places)
            .bind(self.id)
            .execute(&mut *writing)
            .await?;
        Ok(writing.commit().await?)
    }
}

/// What a value becomes; none counts as 0.
fn sum(value: Option<&[u8]>, delta: u64) -> Result<i64, KeyValueError> {
    let value = value.map_or(Some(0), number).ok_or(KeyValueError::NotANumber)?;
    let delta = i64::try_from(delta).map_err(|_| KeyValueError::Overflow)?;
    value.checked_add(delta).ok_or(KeyValueError::Overflow)
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// Binds a bucket's tenant, component and name.
fn bound<'q>(query: Query<'q>, BucketName { tenant, component, bucket }: &'q BucketName) -> Query<'q> {
    let tenant = tenant.as_ref().map_or("", TenantId::as_str);
    query.bind(tenant).bind(component.as_ref().map_or("", ComponentName::as_str)).bind(bucket.as_str())
}

async fn find(connection: &mut SqliteConnection, name: &BucketName) -> Result<Option<BucketRow>, sqlx::Error> {
    let row =
        sqlx::query("SELECT id, bytes, keys, places FROM buckets WHERE tenant = ? AND component = ? AND bucket = ?");
    let row = bound(row, name).fetch_optional(connection).await?;
    row.map(|row| {
        let fill = Fill { bytes: unsigned(row.try_get("bytes")?), keys: unsigned(row.try_get("keys")?) };
        Ok(BucketRow { id: row.try_get("id")?, fill, places: row.try_get("places")? })
    })
    .transpose()
}

async fn find_or_make(writing: &mut SqliteConnection, name: &BucketName) -> Result<BucketRow, KeyValueError> {
    if let Some(row) = find(writing, name).await? {
        return Ok(row);
    }
    let made = sqlx::query("INSERT INTO buckets (tenant, component, bucket) VALUES (?, ?, ?)");
    let id = bound(made, name).execute(writing).await?.last_insert_rowid();
    Ok(BucketRow { id, fill: Fill::default(), places: 0 })
}
