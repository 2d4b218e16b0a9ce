//! Table `config`.

use super::{SqliteStore, parse};
use crate::{ConfigRecord, ConfigStore, StoreError};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use wares_model::config::ConfigScope;
use wares_model::{ComponentName, Timestamp};

fn columns(scope: &ConfigScope) -> (&'static str, String) {
    match scope {
        ConfigScope::Component => ("component", String::new()),
        ConfigScope::Version(version) => ("version", version.to_string()),
        ConfigScope::Tenant(tenant) => ("tenant", tenant.to_string()),
    }
}

#[async_trait]
impl ConfigStore for SqliteStore {
    async fn put_config(&self, record: &ConfigRecord) -> Result<(), StoreError> {
        let (scope, part) = columns(&record.scope);
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT OR REPLACE INTO config (component, scope, part, key, value, actor, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(record.component.as_str())
        .bind(scope)
        .bind(part)
        .bind(&record.key)
        .bind(&record.value)
        .bind(&record.actor)
        .bind(record.at.as_micros())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn remove_config(
        &self,
        component: &ComponentName,
        scope: &ConfigScope,
        key: &str,
    ) -> Result<bool, StoreError> {
        let (scope, part) = columns(scope);
        let mut transaction = self.write().await?;
        let removed = sqlx::query("DELETE FROM config WHERE component = ? AND scope = ? AND part = ? AND key = ?")
            .bind(component.as_str())
            .bind(scope)
            .bind(part)
            .bind(key)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    async fn config(&self, component: Option<&ComponentName>) -> Result<Vec<ConfigRecord>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM config WHERE ?1 IS NULL OR component = ?1 ORDER BY component, key, scope, part")
                .bind(component.map(ComponentName::as_str))
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(record).collect()
    }
}

fn record(row: &SqliteRow) -> Result<ConfigRecord, StoreError> {
    let part = row.try_get("part")?;
    let scope = match row.try_get("scope")? {
        "component" => ConfigScope::Component,
        "version" => ConfigScope::Version(parse("version", part)?),
        "tenant" => ConfigScope::Tenant(parse("tenant", part)?),
        other => return Err(StoreError::Corrupt(format!("scope of config: {other:?}"))),
    };
    Ok(ConfigRecord {
        component: parse("component", row.try_get("component")?)?,
        scope,
        key: row.try_get("key")?,
        value: row.try_get("value")?,
        actor: row.try_get("actor")?,
        at: Timestamp::from_micros(row.try_get("at")?),
    })
}
