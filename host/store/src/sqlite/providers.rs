//! Table `providers`.

use super::{SqliteStore, parse};
use crate::{ProviderRecord, ProviderStore, StoreError};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use wares_model::{ComponentName, TenantId, Timestamp};

#[async_trait]
impl ProviderStore for SqliteStore {
    async fn choose_provider(&self, choice: ProviderRecord) -> Result<(), StoreError> {
        let ProviderRecord { interface, tenant, component, actor, reason, at } = choice;
        let tenant = tenant.as_ref().map_or("", TenantId::as_str);
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO providers (interface, tenant, revision, component, actor, reason, at)
             VALUES (?1, ?2, (SELECT COALESCE(MAX(revision), 0) + 1 FROM providers WHERE interface = ?1 AND tenant = ?2),
                     ?3, ?4, ?5, ?6)",
        )
        .bind(&interface)
        .bind(tenant)
        .bind(component.as_ref().map(ComponentName::as_str))
        .bind(&actor)
        .bind(&reason)
        .bind(at.as_micros())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
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
        before: Option<Timestamp>,
    ) -> Result<Vec<ProviderRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM providers WHERE interface = ?1 AND (?2 IS NULL OR at < ?2)
             ORDER BY at DESC, revision DESC LIMIT ?3",
        )
        .bind(interface)
        .bind(before.map(Timestamp::as_micros))
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
        component: component.map(|component| parse("component", component)).transpose()?,
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        at: Timestamp::from_micros(row.try_get("at")?),
    })
}
