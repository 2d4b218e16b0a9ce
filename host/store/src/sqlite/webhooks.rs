//! Tables `webhooks` and `webhook_deliveries`. Deliveries are added by the transactions that end jobs.

use super::jobs::{bytes, job_id};
use super::{SqliteStore, parse, parse_json, to_json, unsigned, violates};
use crate::{StoreError, WebhookDelivery, WebhookRecord, WebhookStanding, WebhookStore};
use async_trait::async_trait;
use sqlx::error::ErrorKind;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use wares_model::limits::WEBHOOK_DELIVERIES_MAX;
use wares_model::{JobId, TenantId, Timestamp};

#[async_trait]
impl WebhookStore for SqliteStore {
    async fn put_webhook(&self, record: WebhookRecord) -> Result<(), StoreError> {
        let target = to_json("webhook", &record.target)?;
        let mut transaction = self.write().await?;
        let put = sqlx::query(
            "INSERT INTO webhooks (tenant, application, target, set_at, actor) VALUES (?, ?, ?, ?, ?)
             ON CONFLICT DO UPDATE SET target = excluded.target, set_at = excluded.set_at, actor = excluded.actor",
        )
        .bind(record.tenant.as_str())
        .bind(&record.application)
        .bind(target)
        .bind(record.set_at.as_micros())
        .bind(&record.actor)
        .execute(&mut *transaction)
        .await;
        match put {
            Ok(_) => Ok(transaction.commit().await?),
            Err(error) if violates(&error, ErrorKind::ForeignKeyViolation) => {
                Err(StoreError::UnknownTenant(record.tenant))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn webhooks(&self, tenant: &TenantId) -> Result<Vec<WebhookStanding>, StoreError> {
        let rows = sqlx::query(
            "SELECT webhooks.*, COUNT(webhook_deliveries.id) AS waiting, MAX(webhook_deliveries.problem) AS problem
             FROM webhooks LEFT JOIN webhook_deliveries USING (tenant, application)
             WHERE webhooks.tenant = ? GROUP BY webhooks.application ORDER BY webhooks.application",
        )
        .bind(tenant.as_str())
        .fetch_all(&self.readers)
        .await?;
        let standing = |row: &SqliteRow| {
            let (waiting, problem) = (unsigned(row.try_get("waiting")?), row.try_get("problem")?);
            Ok(WebhookStanding { record: record(row)?, waiting, problem })
        };
        rows.iter().map(standing).collect()
    }

    async fn remove_webhook(&self, tenant: &TenantId, application: &str) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        let mut gone = 0;
        for statement in [
            "DELETE FROM webhook_deliveries WHERE tenant = ? AND application = ?",
            "DELETE FROM webhooks WHERE tenant = ? AND application = ?",
        ] {
            let removed = sqlx::query(statement).bind(tenant.as_str()).bind(application.to_owned());
            gone = removed.execute(&mut *transaction).await?.rows_affected();
        }
        transaction.commit().await?;
        Ok(gone > 0)
    }

    async fn due_deliveries(&self, now: Timestamp, limit: u32) -> Result<Vec<WebhookDelivery>, StoreError> {
        let rows = sqlx::query(
            "SELECT webhooks.*, due.id, due.job, due.state, due.ended_at, due.attempts, MIN(due.next_at)
             FROM webhook_deliveries AS due JOIN webhooks USING (tenant, application)
             WHERE due.next_at <= ? GROUP BY due.tenant, due.application ORDER BY MIN(due.next_at) LIMIT ?",
        )
        .bind(now.as_micros())
        .bind(limit)
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(delivery).collect()
    }

    async fn next_delivery_at(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<i64> = sqlx::query_scalar("SELECT MIN(next_at) FROM webhook_deliveries WHERE next_at > ?")
            .bind(after.as_micros())
            .fetch_one(&self.readers)
            .await?;
        Ok(next.map(Timestamp::from_micros))
    }

    async fn end_delivery(&self, id: [u8; 16]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("DELETE FROM webhook_deliveries WHERE id = ?")
            .bind(id.as_slice())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }

    async fn defer_delivery(&self, id: [u8; 16], until: Timestamp, problem: &str) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query("UPDATE webhook_deliveries SET attempts = attempts + 1, next_at = ?2, problem = ?3 WHERE id = ?1")
            .bind(id.as_slice())
            .bind(until.as_micros())
            .bind(problem.to_owned())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction.commit().await?)
    }
}

/// Notes for its application's webhook, if there is one, that a job has come to its end, if it has; the transaction is the
/// caller's.
pub(super) async fn note_end(connection: &mut SqliteConnection, id: JobId) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO webhook_deliveries (id, tenant, application, job, state, ended_at, attempts, next_at)
         SELECT randomblob(16), tenant, application, jobs.id, jobs.state, jobs.finished_at, 0, jobs.finished_at
         FROM jobs JOIN webhooks USING (tenant, application)
         WHERE jobs.id = ?1 AND jobs.finished_at IS NOT NULL AND ?2 >
             (SELECT COUNT(*) FROM (SELECT 1 FROM webhook_deliveries AS waiting WHERE waiting.tenant = jobs.tenant LIMIT ?2))",
    )
    .bind(bytes(&id))
    .bind(WEBHOOK_DELIVERIES_MAX)
    .execute(connection)
    .await?;
    Ok(())
}

fn record(row: &SqliteRow) -> Result<WebhookRecord, StoreError> {
    Ok(WebhookRecord {
        tenant: parse("tenant", row.try_get("tenant")?)?,
        application: row.try_get("application")?,
        target: parse_json("webhook", row.try_get("target")?)?,
        set_at: Timestamp::from_micros(row.try_get("set_at")?),
        actor: row.try_get("actor")?,
    })
}

fn delivery(row: &SqliteRow) -> Result<WebhookDelivery, StoreError> {
    let id: Vec<u8> = row.try_get("id")?;
    Ok(WebhookDelivery {
        id: id.try_into().map_err(|_| StoreError::Corrupt("a delivery's id".to_owned()))?,
        webhook: record(row)?,
        job: job_id(row.try_get("job")?)?,
        state: parse("state", row.try_get("state")?)?,
        ended_at: Timestamp::from_micros(row.try_get("ended_at")?),
        attempts: row.try_get("attempts")?,
    })
}
