//! Table `schedules`.

use super::{SqliteStore, jobs, parse, violates};
use crate::{JobRecord, ScheduleKey, ScheduleRecord, StoreError};
use sqlx::error::ErrorKind;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use wares_model::{TenantId, Timestamp};

impl SqliteStore {
    pub(super) async fn schedule_rows(&self, tenant: Option<&TenantId>) -> Result<Vec<ScheduleRecord>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM schedules WHERE (?1 IS NULL OR tenant = ?1) ORDER BY tenant, component, name")
                .bind(tenant.map(|tenant| tenant.as_str().to_owned()))
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(schedule).collect()
    }

    pub(super) async fn insert_schedule_row(&self, schedule: ScheduleRecord) -> Result<(), StoreError> {
        let ScheduleRecord { key, enabled_at, enabled_by, timing, handled_until, .. } = schedule;
        let mut transaction = self.write().await?;
        let inserted = sqlx::query(
            "INSERT INTO schedules (tenant, component, name, enabled_at, enabled_by, timing, handled_until)
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant, component, name) DO NOTHING",
        )
        .bind(key.tenant.as_str())
        .bind(key.component.as_str())
        .bind(&key.name)
        .bind(enabled_at.as_micros())
        .bind(enabled_by)
        .bind(timing)
        .bind(handled_until.as_micros())
        .execute(&mut *transaction)
        .await;
        match inserted {
            Ok(_) => Ok(transaction.commit().await?),
            Err(error) if violates(&error, ErrorKind::ForeignKeyViolation) => {
                Err(StoreError::UnknownTenant(key.tenant))
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn delete_schedule_row(&self, key: &ScheduleKey) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let gone = sqlx::query("DELETE FROM schedules WHERE tenant = ? AND component = ? AND name = ?")
            .bind(key.tenant.as_str())
            .bind(key.component.as_str())
            .bind(&key.name)
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(gone.rows_affected() > 0)
    }

    pub(super) async fn set_timing(&self, key: &ScheduleKey, timing: &str, from: Timestamp) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "UPDATE schedules SET timing = ?, handled_until = ? WHERE tenant = ? AND component = ? AND name = ?",
        )
        .bind(timing)
        .bind(from.as_micros())
        .bind(key.tenant.as_str())
        .bind(key.component.as_str())
        .bind(&key.name)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }
}

/// Disables all schedules of a tenant.
pub(super) async fn disable_all(connection: &mut SqliteConnection, tenant: &TenantId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM schedules WHERE tenant = ?").bind(tenant.as_str()).execute(connection).await?;
    Ok(())
}

/// Notes that due times up to a point are dealt with. Returns whether that was news, and the schedule is enabled.
pub(super) async fn advance(
    connection: &mut SqliteConnection,
    key: &ScheduleKey,
    until: Timestamp,
) -> Result<bool, StoreError> {
    let advanced = sqlx::query(
        "UPDATE schedules SET handled_until = ?1
         WHERE tenant = ?2 AND component = ?3 AND name = ?4 AND handled_until < ?1",
    )
    .bind(until.as_micros())
    .bind(key.tenant.as_str())
    .bind(key.component.as_str())
    .bind(&key.name)
    .execute(connection)
    .await?;
    Ok(advanced.rows_affected() > 0)
}

/// Notes the job that a due time has made.
pub(super) async fn note_job(
    connection: &mut SqliteConnection,
    key: &ScheduleKey,
    job: &JobRecord,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE schedules SET last_due_at = ?, last_job = ? WHERE tenant = ? AND component = ? AND name = ?")
        .bind(job.due.as_ref().map(|due| due.at.as_micros()))
        .bind(jobs::bytes(&job.id))
        .bind(key.tenant.as_str())
        .bind(key.component.as_str())
        .bind(&key.name)
        .execute(connection)
        .await?;
    Ok(())
}

fn schedule(row: &SqliteRow) -> Result<ScheduleRecord, StoreError> {
    let last_job: Option<Vec<u8>> = row.try_get("last_job")?;
    Ok(ScheduleRecord {
        key: ScheduleKey {
            tenant: parse("tenant", row.try_get("tenant")?)?,
            component: parse("component", row.try_get("component")?)?,
            name: row.try_get("name")?,
        },
        enabled_at: Timestamp::from_micros(row.try_get("enabled_at")?),
        enabled_by: row.try_get("enabled_by")?,
        timing: row.try_get("timing")?,
        handled_until: Timestamp::from_micros(row.try_get("handled_until")?),
        last_due_at: row.try_get::<Option<i64>, _>("last_due_at")?.map(Timestamp::from_micros),
        last_job: last_job.map(jobs::job_id).transpose()?,
    })
}
