//! Table `deployments`.

use super::{SqliteStore, parse, signed, unsigned};
use crate::{Deployment, NewRevision, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use wares_model::{ComponentName, Timestamp, Version};

impl SqliteStore {
    pub(super) async fn insert_revision(&self, new: NewRevision) -> Result<Deployment, StoreError> {
        let NewRevision { component, traffic, actor, reason, expected } = new;
        let mut transaction = self.write().await?;
        let current: Option<i64> = sqlx::query_scalar("SELECT MAX(revision) FROM deployments WHERE component = ?")
            .bind(component.as_str())
            .fetch_one(&mut *transaction)
            .await?;
        let current = unsigned(current.unwrap_or_default());
        if expected.is_some_and(|expected| expected != current) {
            return Err(StoreError::RevisionConflict { current });
        }
        let deployment = Deployment { component, revision: current + 1, traffic, at: Timestamp::now(), actor, reason };
        let traffic = serde_json::to_string(&deployment.traffic)
            .map_err(|error| StoreError::Corrupt(format!("traffic: {error}")))?;
        sqlx::query(
            "INSERT INTO deployments (component, revision, traffic, at, actor, reason) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(deployment.component.as_str())
        .bind(signed(deployment.revision))
        .bind(traffic)
        .bind(deployment.at.as_micros())
        .bind(&deployment.actor)
        .bind(&deployment.reason)
        .execute(&mut *transaction)
        .await?;
        for version in deployment.traffic.keys() {
            note_deployment(&mut transaction, &deployment, version).await?;
        }
        transaction.commit().await?;
        Ok(deployment)
    }

    pub(super) async fn current_deployments(&self) -> Result<Vec<Deployment>, StoreError> {
        let rows = sqlx::query(
            "SELECT component, revision, traffic, at, actor, reason FROM deployments
             WHERE (component, revision) IN (SELECT component, MAX(revision) FROM deployments GROUP BY component)
             ORDER BY component",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(deployment).collect()
    }

    pub(super) async fn revisions(
        &self,
        component: &ComponentName,
        limit: u32,
        before: Option<u64>,
    ) -> Result<Vec<Deployment>, StoreError> {
        let rows = sqlx::query(
            "SELECT component, revision, traffic, at, actor, reason FROM deployments
             WHERE component = ? AND revision < ? ORDER BY revision DESC LIMIT ?",
        )
        .bind(component.as_str())
        .bind(before.map_or(i64::MAX, signed))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(deployment).collect()
    }
}

/// Notes the first deployment at a version. A row that is not first stays unwritten, because its detail is large.
async fn note_deployment(
    connection: &mut SqliteConnection,
    deployment: &Deployment,
    version: &Version,
) -> Result<(), StoreError> {
    let component = &deployment.component;
    let noted =
        sqlx::query("UPDATE versions SET deployed_at = ? WHERE component = ? AND version = ? AND deployed_at IS NULL")
            .bind(deployment.at.as_micros())
            .bind(component.as_str())
            .bind(version.to_string())
            .execute(&mut *connection)
            .await?;
    if noted.rows_affected() > 0 {
        return Ok(());
    }
    let known = sqlx::query("SELECT 1 FROM versions WHERE component = ? AND version = ?")
        .bind(component.as_str())
        .bind(version.to_string())
        .fetch_optional(connection)
        .await?;
    match known {
        Some(_) => Ok(()),
        None => Err(StoreError::UnknownVersion { component: component.clone(), version: version.clone() }),
    }
}

fn deployment(row: &SqliteRow) -> Result<Deployment, StoreError> {
    Ok(Deployment {
        component: parse("component", row.try_get("component")?)?,
        revision: unsigned(row.try_get("revision")?),
        traffic: serde_json::from_str(row.try_get("traffic")?)
            .map_err(|error| StoreError::Corrupt(format!("traffic: {error}")))?,
        at: Timestamp::from_micros(row.try_get("at")?),
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
    })
}
