//! Table `secrets`.

use super::{SqliteStore, parse, signed, to_json, unsigned};
use crate::{SealedSecret, SecretPlace, SecretRecord, SecretStore, StoreError};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use wares_model::grants::Label;
use wares_model::{ComponentName, TenantId, Timestamp};

/// How the table writes "for all tenants".
const ALL: &str = "";

fn column(tenant: Option<&TenantId>) -> &str {
    tenant.map_or(ALL, TenantId::as_str)
}

#[async_trait]
impl SecretStore for SqliteStore {
    async fn put_secret(&self, secret: SealedSecret, actor: &str) -> Result<SecretRecord, StoreError> {
        let SealedSecret { place, key, nonce, sealed } = secret;
        let SecretPlace { component, name, tenant, revision } = place;
        let mut transaction = self.write().await?;
        let current: Option<i64> =
            sqlx::query_scalar("SELECT revision FROM secrets WHERE component = ? AND name = ? AND tenant = ?")
                .bind(component.as_str())
                .bind(name.as_str())
                .bind(column(tenant.as_ref()))
                .fetch_optional(&mut *transaction)
                .await?;
        let current = current.map(unsigned).unwrap_or_default();
        if current.checked_add(1) != Some(revision) {
            return Err(StoreError::RevisionConflict { current });
        }
        let at = Timestamp::now();
        sqlx::query(
            "INSERT OR REPLACE INTO secrets (component, name, tenant, revision, key, nonce, sealed, actor, at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(component.as_str())
        .bind(name.as_str())
        .bind(column(tenant.as_ref()))
        .bind(signed(revision))
        .bind(&key)
        .bind(nonce)
        .bind(sealed)
        .bind(actor)
        .bind(at.as_micros())
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(SecretRecord { component, name, tenant, revision, key, actor: actor.to_owned(), at })
    }

    async fn remove_secret(
        &self,
        component: &ComponentName,
        name: &Label,
        tenant: Option<&TenantId>,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let removed = sqlx::query("DELETE FROM secrets WHERE component = ? AND name = ? AND tenant = ?")
            .bind(component.as_str())
            .bind(name.as_str())
            .bind(column(tenant))
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected() > 0)
    }

    async fn secrets(&self, component: &ComponentName) -> Result<Vec<SecretRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM secrets WHERE component = ? ORDER BY name, tenant")
            .bind(component.as_str())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(record).collect()
    }

    async fn sealed_secret(
        &self,
        component: &ComponentName,
        name: &Label,
        line: &[TenantId],
    ) -> Result<Option<SealedSecret>, StoreError> {
        let places: Vec<_> = line.iter().map(TenantId::as_str).chain([ALL]).collect();
        let row = sqlx::query(
            "SELECT secrets.* FROM json_each(?) AS place
             CROSS JOIN secrets ON component = ? AND name = ? AND tenant = place.value ORDER BY place.key LIMIT 1",
        )
        .bind(to_json("places", &places)?)
        .bind(component.as_str())
        .bind(name.as_str())
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(sealed).transpose()
    }

    async fn sealed_secrets(&self, after: Option<&SecretPlace>, limit: u32) -> Result<Vec<SealedSecret>, StoreError> {
        let (component, name, tenant) = match after {
            None => ("", "", ""),
            Some(place) => (place.component.as_str(), place.name.as_str(), column(place.tenant.as_ref())),
        };
        let rows = sqlx::query(
            "SELECT * FROM secrets WHERE (component, name, tenant) > (?, ?, ?)
             ORDER BY component, name, tenant LIMIT ?",
        )
        .bind(component)
        .bind(name)
        .bind(tenant)
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(sealed).collect()
    }

    async fn reseal_secrets(&self, secrets: &[SealedSecret]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        for SealedSecret { place, key, nonce, sealed } in secrets {
            sqlx::query(
                "UPDATE secrets SET key = ?, nonce = ?, sealed = ?
                 WHERE component = ? AND name = ? AND tenant = ? AND revision = ?",
            )
            .bind(key)
            .bind(nonce)
            .bind(sealed)
            .bind(place.component.as_str())
            .bind(place.name.as_str())
            .bind(column(place.tenant.as_ref()))
            .bind(signed(place.revision))
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

fn tenant(row: &SqliteRow) -> Result<Option<TenantId>, StoreError> {
    match row.try_get("tenant")? {
        ALL => Ok(None),
        tenant => parse("tenant", tenant).map(Some),
    }
}

fn record(row: &SqliteRow) -> Result<SecretRecord, StoreError> {
    Ok(SecretRecord {
        component: parse("component", row.try_get("component")?)?,
        name: parse("name", row.try_get("name")?)?,
        tenant: tenant(row)?,
        revision: unsigned(row.try_get("revision")?),
        key: row.try_get("key")?,
        actor: row.try_get("actor")?,
        at: Timestamp::from_micros(row.try_get("at")?),
    })
}

fn sealed(row: &SqliteRow) -> Result<SealedSecret, StoreError> {
    let SecretRecord { component, name, tenant, revision, key, .. } = record(row)?;
    let place = SecretPlace { component, name, tenant, revision };
    Ok(SealedSecret { place, key, nonce: row.try_get("nonce")?, sealed: row.try_get("sealed")? })
}
