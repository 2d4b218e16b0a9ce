//! Table `grants`.

use super::{SqliteStore, parse, parse_json, signed, to_json, unsigned};
use crate::{GrantStore, GrantsRecord, NewGrants, StoreError};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use std::sync::Arc;
use wares_model::{ComponentName, Timestamp};

#[async_trait]
impl GrantStore for SqliteStore {
    async fn set_grants(&self, new: NewGrants) -> Result<GrantsRecord, StoreError> {
        let NewGrants { component, grants, actor, reason, expected } = new;
        let mut transaction = self.write().await?;
        let current: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(revision), 0) FROM grants WHERE component = ?")
            .bind(component.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        let current = unsigned(current);
        if expected.is_some_and(|expected| expected != current) {
            return Err(StoreError::RevisionConflict { current });
        }
        let (revision, at) = (current + 1, Timestamp::now());
        sqlx::query("INSERT INTO grants (component, revision, grants, actor, reason, at) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(component.as_str())
            .bind(signed(revision))
            .bind(to_json("grants", &*grants)?)
            .bind(&actor)
            .bind(&reason)
            .bind(at.as_micros())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(GrantsRecord { component, revision, grants, actor, reason, at })
    }

    async fn grants(&self) -> Result<Vec<GrantsRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM grants AS g
             WHERE revision = (SELECT MAX(revision) FROM grants WHERE component = g.component) ORDER BY component",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(record).collect()
    }

    async fn grants_history(
        &self,
        component: &ComponentName,
        limit: u32,
        before: Option<u64>,
    ) -> Result<Vec<GrantsRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM grants WHERE component = ?1 AND (?2 IS NULL OR revision < ?2)
             ORDER BY revision DESC LIMIT ?3",
        )
        .bind(component.as_str())
        .bind(before.map(signed))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(record).collect()
    }
}

fn record(row: &SqliteRow) -> Result<GrantsRecord, StoreError> {
    Ok(GrantsRecord {
        component: parse("component", row.try_get("component")?)?,
        revision: unsigned(row.try_get("revision")?),
        grants: Arc::new(parse_json("grants", row.try_get("grants")?)?),
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        at: Timestamp::from_micros(row.try_get("at")?),
    })
}
