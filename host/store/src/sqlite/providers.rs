//! Table `providers`.

use super::{SqliteStore, parse, signed, unsigned};
use crate::{ChoicePlace, ProviderRecord, ProviderStore, StoreError};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use wares_model::{ComponentName, TenantId, Timestamp};

#[async_trait]
impl ProviderStore for SqliteStore {
    async fn choose_provider(&self, choice: ProviderRecord) -> Result<ProviderRecord, StoreError> {
        let mut transaction = self.write().await?;
        let revision: i64 = sqlx::query_scalar(
            "INSERT INTO providers (interface, tenant, revision, component, actor, reason, at)
             VALUES (?1, ?2, (SELECT COALESCE(MAX(revision), 0) + 1 FROM providers WHERE interface = ?1 AND tenant = ?2),
                     ?3, ?4, ?5, ?6)
             RETURNING revision",
        )
        .bind(&choice.interface)
        .bind(choice.tenant.as_ref().map_or("", TenantId::as_str))
        .bind(choice.component.as_ref().map(ComponentName::as_str))
        .bind(&choice.actor)
        .bind(&choice.reason)
        .bind(choice.at.as_micros())
        .fetch_one(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(ProviderRecord { revision: unsigned(revision), ..choice })
    }

    async fn providers(&self) -> Result<Vec<ProviderRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM providers AS p WHERE component IS NOT NULL AND revision =
             (SELECT MAX(revision) FROM providers WHERE interface = p.interface AND tenant = p.tenant)
             ORDER BY interface, tenant",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(record).collect()
    }

    async fn provider_history(
        &self,
        interface: &str,
        limit: u32,
        before: Option<ChoicePlace>,
    ) -> Result<Vec<ProviderRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM providers WHERE interface = ?1 AND (?2 IS NULL OR (at, revision, tenant) < (?2, ?3, ?4))
             ORDER BY at DESC, revision DESC, tenant DESC LIMIT ?5",
        )
        .bind(interface)
        .bind(before.as_ref().map(|before| before.at.as_micros()))
        .bind(before.as_ref().map(|before| signed(before.revision)))
        .bind(before.map(|before| before.tenant))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(record).collect()
    }
}

fn record(row: &SqliteRow) -> Result<ProviderRecord, StoreError> {
    let tenant: &str = row.try_get("tenant")?;
    let component: Option<&str> = row.try_get("component")?;
    Ok(ProviderRecord {
        interface: row.try_get("interface")?,
        tenant: (!tenant.is_empty()).then(|| parse("tenant", tenant)).transpose()?,
        revision: unsigned(row.try_get("revision")?),
        component: component.map(|component| parse("component", component)).transpose()?,
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        at: Timestamp::from_micros(row.try_get("at")?),
    })
}
