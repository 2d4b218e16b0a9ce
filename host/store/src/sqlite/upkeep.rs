//! Table `upkeep`, and how large the database is.

use super::{SqliteStore, logs, unsigned};
use crate::{DatabaseSize, LogBounds, StoreError, UpkeepStore};
use async_trait::async_trait;
use wares_model::Timestamp;

/// Bytes of logs that one transaction removes.
const STEP_BYTES: u64 = 4 << 20;

#[async_trait]
impl UpkeepStore for SqliteStore {
    async fn judged_at(&self) -> Result<Option<Timestamp>, StoreError> {
        let judged: Option<i64> =
            sqlx::query_scalar("SELECT judged_at FROM upkeep WHERE id = 1").fetch_one(&self.readers).await?;
        Ok(judged.map(Timestamp::from_micros))
    }

    async fn set_judged_at(&self, at: Timestamp) -> Result<(), StoreError> {
        let mut writing = self.write().await?;
        sqlx::query("UPDATE upkeep SET judged_at = ? WHERE id = 1").bind(at.as_micros()).execute(&mut *writing).await?;
        Ok(writing.commit().await?)
    }

    async fn size(&self, tenants: u32) -> Result<DatabaseSize, StoreError> {
        let (pages, free, page_bytes): (i64, i64, i64) = sqlx::query_as(
            "SELECT page_count, freelist_count, page_size
             FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()",
        )
        .fetch_one(&self.readers)
        .await?;
        let sums: Vec<(String, i64)> = sqlx::query_as("SELECT tenant, bytes FROM log_sums ORDER BY bytes DESC LIMIT ?")
            .bind(i64::from(tenants) + 1)
            .fetch_all(&self.readers)
            .await?;
        let (all, tenants): (Vec<_>, Vec<_>) = sums.into_iter().partition(|(tenant, _)| tenant.is_empty());
        Ok(DatabaseSize {
            bytes: unsigned((pages - free).saturating_mul(page_bytes)),
            log_bytes: all.first().map_or(0, |(_, bytes)| unsigned(*bytes)),
            largest: tenants
                .into_iter()
                .map(|(tenant, bytes)| Ok((super::parse("tenant", &tenant)?, unsigned(bytes))))
                .collect::<Result<_, StoreError>>()?,
        })
    }

    fn set_log_bounds(&self, bounds: LogBounds) {
        self.ledger.set_log_bounds(bounds);
    }

    async fn remove_oldest_logs(&self, bytes: u64) -> Result<u64, StoreError> {
        let mut removed = 0;
        while removed < bytes {
            // In small steps, between which entries are appended.
            let step = (bytes - removed).min(STEP_BYTES);
            let _turn = self.turn.lock().await;
            let gone = self.ledger.with(|appender| Ok(logs::remove_bytes(&mut appender.connection, step)?))?;
            if gone == 0 {
                break;
            }
            removed += gone;
        }
        Ok(removed)
    }
}
