//! Table `deployments`.

use super::{SqliteStore, parse, parse_json, rollouts, signed, to_json, unsigned};
use crate::{Deployment, NewRevision, RolloutChange, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use wares_model::{ComponentName, Timestamp, Version};

impl SqliteStore {
    pub(super) async fn insert_revision(&self, new: NewRevision) -> Result<Deployment, StoreError> {
        let mut transaction = self.write().await?;
        let deployment = add_revision(&mut transaction, new).await?;
        transaction.commit().await?;
        Ok(deployment)
    }

    pub(super) async fn current_deployments(&self) -> Result<Vec<Deployment>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM deployments
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
            "SELECT * FROM deployments WHERE component = ? AND revision < ? ORDER BY revision DESC LIMIT ?",
        )
        .bind(component.as_str())
        .bind(before.map_or(i64::MAX, signed))
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(deployment).collect()
    }
}

/// Adds a revision, what it means to a rollout and to its versions; the transaction is the caller's.
pub(super) async fn add_revision(
    connection: &mut SqliteConnection,
    new: NewRevision,
) -> Result<Deployment, StoreError> {
    let NewRevision {
        component,
        traffic,
        stickiness,
        places,
        shadow,
        actor,
        reason,
        expected,
        rollout,
        evidence,
        rejects,
    } = new;
    let current: Option<i64> = sqlx::query_scalar("SELECT MAX(revision) FROM deployments WHERE component = ?")
        .bind(component.as_str())
        .fetch_one(&mut *connection)
        .await?;
    let current = unsigned(current.unwrap_or_default());
    if expected.is_some_and(|expected| expected != current) {
        return Err(StoreError::RevisionConflict { current });
    }
    let revision = current + 1;
    let of_rollout = match &rollout {
        RolloutChange::Supersede => None,
        RolloutChange::Start { .. } => Some(revision),
        RolloutChange::Step { id, .. } | RolloutChange::End { id, .. } => Some(*id),
    };
    let (at, rollout_change, rollout) = (Timestamp::now(), rollout, of_rollout);
    let deployment = Deployment {
        component,
        revision,
        traffic,
        stickiness,
        places,
        shadow,
        at,
        actor,
        reason,
        rollout,
        evidence,
        rejects,
    };
    insert(&mut *connection, &deployment).await?;
    for version in deployment.traffic.keys() {
        note_deployment(&mut *connection, &deployment, version).await?;
    }
    rollouts::change(&mut *connection, &deployment, rollout_change).await?;
    Ok(deployment)
}

async fn insert(connection: &mut SqliteConnection, deployment: &Deployment) -> Result<(), StoreError> {
    let shadow = deployment.shadow.as_ref().map(|shadow| to_json("shadow", shadow)).transpose()?;
    let evidence = deployment.evidence.as_ref().map(|evidence| to_json("evidence", evidence)).transpose()?;
    let rejects = (!deployment.rejects.is_empty()).then(|| to_json("rejects", &deployment.rejects)).transpose()?;
    sqlx::query(
        "INSERT INTO deployments
         (component, revision, traffic, stickiness, places, shadow, at, actor, reason, rollout, evidence, rejects)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(deployment.component.as_str())
    .bind(signed(deployment.revision))
    .bind(to_json("traffic", &deployment.traffic)?)
    .bind(deployment.stickiness.as_str())
    .bind(&deployment.places)
    .bind(shadow)
    .bind(deployment.at.as_micros())
    .bind(&deployment.actor)
    .bind(&deployment.reason)
    .bind(deployment.rollout.map(signed))
    .bind(evidence)
    .bind(rejects)
    .execute(connection)
    .await?;
    Ok(())
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
    let shadow: Option<&str> = row.try_get("shadow")?;
    let evidence: Option<&str> = row.try_get("evidence")?;
    let rejects: Option<&str> = row.try_get("rejects")?;
    Ok(Deployment {
        component: parse("component", row.try_get("component")?)?,
        revision: unsigned(row.try_get("revision")?),
        traffic: parse_json("traffic", row.try_get("traffic")?)?,
        stickiness: parse("stickiness", row.try_get("stickiness")?)?,
        places: row.try_get("places")?,
        shadow: shadow.map(|text| parse_json("shadow", text)).transpose()?,
        at: Timestamp::from_micros(row.try_get("at")?),
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        rollout: row.try_get::<Option<i64>, _>("rollout")?.map(unsigned),
        evidence: evidence.map(|text| parse_json("evidence", text)).transpose()?,
        rejects: rejects.map(|text| parse_json("rejects", text)).transpose()?.unwrap_or_default(),
    })
}
