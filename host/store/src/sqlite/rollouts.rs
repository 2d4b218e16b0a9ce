//! Table `rollouts`.

use super::{SqliteStore, parse, parse_json, signed, to_json, unsigned};
use crate::{Deployment, RolloutChange, RolloutEnd, RolloutRecord, StoreError};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use wares_model::{ComponentName, Evidence, RolloutPlan, RolloutState, Timestamp, Version};

const ROW: &str = "SELECT * FROM rollouts WHERE component = ? ORDER BY id DESC LIMIT 1";

impl SqliteStore {
    pub(super) async fn running_rollout_rows(&self) -> Result<Vec<RolloutRecord>, StoreError> {
        let rows = sqlx::query("SELECT * FROM rollouts WHERE state = ? ORDER BY component")
            .bind(RolloutState::Running.as_str())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(record).collect()
    }

    pub(super) async fn latest_rollout_row(
        &self,
        component: &ComponentName,
    ) -> Result<Option<RolloutRecord>, StoreError> {
        let row = sqlx::query(ROW).bind(component.as_str()).fetch_optional(&self.readers).await?;
        row.as_ref().map(record).transpose()
    }

    pub(super) async fn end_rollout_row(&self, end: RolloutEnd) -> Result<RolloutRecord, StoreError> {
        let RolloutEnd { component, id, state, note, evidence } = end;
        let mut transaction = self.write().await?;
        finish(&mut transaction, &component, id, state, note.as_deref(), evidence.as_ref(), Timestamp::now()).await?;
        let row = sqlx::query(ROW).bind(component.as_str()).fetch_one(&mut *transaction).await?;
        let record = record(&row)?;
        transaction.commit().await?;
        Ok(record)
    }
}

/// Writes what a new revision of a deployment means to the component's rollout.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    deployment: &Deployment,
    change: RolloutChange,
) -> Result<(), StoreError> {
    match change {
        RolloutChange::Supersede => supersede(connection, deployment).await,
        RolloutChange::Start { plan, old } => {
            supersede(connection, deployment).await?;
            start(connection, deployment, &plan, &old).await
        }
        RolloutChange::Step { id, step } => advance(connection, deployment, id, step).await,
        RolloutChange::End { id, state, note } => {
            let evidence = deployment.evidence.as_ref();
            finish(connection, &deployment.component, id, state, note.as_deref(), evidence, deployment.at).await
        }
    }
}

async fn supersede(connection: &mut SqliteConnection, deployment: &Deployment) -> Result<(), StoreError> {
    sqlx::query("UPDATE rollouts SET state = ?, ended_at = ?, note = ? WHERE component = ? AND state = ?")
        .bind(RolloutState::Superseded.as_str())
        .bind(deployment.at.as_micros())
        .bind(format!("revision {} by {}", deployment.revision, deployment.actor))
        .bind(deployment.component.as_str())
        .bind(RolloutState::Running.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

async fn start(
    connection: &mut SqliteConnection,
    deployment: &Deployment,
    plan: &RolloutPlan,
    old: &Version,
) -> Result<(), StoreError> {
    sqlx::query(
        r#"INSERT INTO rollouts
           (component, id, base, old, "plan", step, step_started_at, state, started_at, actor, reason)
           VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?)"#,
    )
    .bind(deployment.component.as_str())
    .bind(signed(deployment.revision))
    .bind(signed(deployment.revision.saturating_sub(1)))
    .bind(old.to_string())
    .bind(to_json("plan", plan)?)
    .bind(deployment.at.as_micros())
    .bind(RolloutState::Running.as_str())
    .bind(deployment.at.as_micros())
    .bind(&deployment.actor)
    .bind(&deployment.reason)
    .execute(connection)
    .await?;
    Ok(())
}

async fn advance(
    connection: &mut SqliteConnection,
    deployment: &Deployment,
    id: u64,
    step: u32,
) -> Result<(), StoreError> {
    let evidence = deployment.evidence.as_ref().map(|evidence| to_json("evidence", evidence)).transpose()?;
    let advanced = sqlx::query(
        "UPDATE rollouts SET step = ?, step_started_at = ?, evidence = ? WHERE component = ? AND id = ? AND state = ?",
    )
    .bind(step)
    .bind(deployment.at.as_micros())
    .bind(evidence)
    .bind(deployment.component.as_str())
    .bind(signed(id))
    .bind(RolloutState::Running.as_str())
    .execute(connection)
    .await?;
    was_running(advanced.rows_affected(), &deployment.component, id)
}

async fn finish(
    connection: &mut SqliteConnection,
    component: &ComponentName,
    id: u64,
    state: RolloutState,
    note: Option<&str>,
    evidence: Option<&Evidence>,
    at: Timestamp,
) -> Result<(), StoreError> {
    let evidence = evidence.map(|evidence| to_json("evidence", evidence)).transpose()?;
    let finished = sqlx::query(
        "UPDATE rollouts SET state = ?, ended_at = ?, note = ?, evidence = COALESCE(?, evidence)
         WHERE component = ? AND id = ? AND state = ?",
    )
    .bind(state.as_str())
    .bind(at.as_micros())
    .bind(note)
    .bind(evidence)
    .bind(component.as_str())
    .bind(signed(id))
    .bind(RolloutState::Running.as_str())
    .execute(connection)
    .await?;
    was_running(finished.rows_affected(), component, id)
}

fn was_running(rows: u64, component: &ComponentName, id: u64) -> Result<(), StoreError> {
    if rows == 0 {
        return Err(StoreError::RolloutEnded { component: component.clone(), id });
    }
    Ok(())
}

fn record(row: &SqliteRow) -> Result<RolloutRecord, StoreError> {
    let evidence: Option<&str> = row.try_get("evidence")?;
    let time = |column: &str| row.try_get(column).map(Timestamp::from_micros);
    Ok(RolloutRecord {
        component: parse("component", row.try_get("component")?)?,
        id: unsigned(row.try_get("id")?),
        base: unsigned(row.try_get("base")?),
        old: parse("version", row.try_get("old")?)?,
        plan: parse_json("plan", row.try_get("plan")?)?,
        step: row.try_get("step")?,
        step_started_at: time("step_started_at")?,
        state: parse("state", row.try_get("state")?)?,
        started_at: time("started_at")?,
        ended_at: row.try_get::<Option<i64>, _>("ended_at")?.map(Timestamp::from_micros),
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        note: row.try_get("note")?,
        evidence: evidence.map(|text| parse_json("evidence", text)).transpose()?,
    })
}
