//! Tables `reporters` and `reported`.

use super::{SqliteStore, parse, signed, unsigned, violates};
use crate::{ReportQuery, ReportStore, ReportedUsage, ReporterRecord, StoreError};
use async_trait::async_trait;
use sqlx::Row as _;
use sqlx::error::ErrorKind;
use sqlx::sqlite::SqliteRow;
use wares_model::{TenantId, Timestamp};

#[async_trait]
impl ReportStore for SqliteStore {
    async fn set_reporter(&self, reporter: ReporterRecord) -> Result<(), StoreError> {
        let ReporterRecord { tenant, key, set_at, set_by } = reporter;
        let mut transaction = self.write().await?;
        let set = sqlx::query(
            "INSERT INTO reporters (tenant, key, set_at, set_by) VALUES (?, ?, ?, ?)
             ON CONFLICT (tenant) DO UPDATE SET key = excluded.key, set_at = excluded.set_at, set_by = excluded.set_by",
        )
        .bind(tenant.as_str())
        .bind(key.to_string())
        .bind(set_at.as_micros())
        .bind(set_by)
        .execute(&mut *transaction)
        .await;
        match set {
            Ok(_) => Ok(transaction.commit().await?),
            Err(error) if violates(&error, ErrorKind::ForeignKeyViolation) => Err(StoreError::UnknownTenant(tenant)),
            Err(error) => Err(error.into()),
        }
    }

    async fn reporter(&self, tenant: &TenantId) -> Result<Option<ReporterRecord>, StoreError> {
        let row = sqlx::query("SELECT tenant, key, set_at, set_by FROM reporters WHERE tenant = ?")
            .bind(tenant.as_str())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(reporter).transpose()
    }

    async fn take_report(&self, tenant: &TenantId, rows: &[ReportedUsage]) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        for row in rows {
            let taken = sqlx::query(
                "INSERT INTO reported (tenant, component, version, day, outcome, calls, cpu_us, wall_us, bytes_in, bytes_out)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT DO UPDATE SET calls = MAX(calls, excluded.calls), cpu_us = MAX(cpu_us, excluded.cpu_us),
                     wall_us = MAX(wall_us, excluded.wall_us), bytes_in = MAX(bytes_in, excluded.bytes_in),
                     bytes_out = MAX(bytes_out, excluded.bytes_out)",
            )
            .bind(tenant.as_str())
            .bind(row.component.as_str())
            .bind(row.version.to_string())
            .bind(row.day.as_micros())
            .bind(row.outcome.as_str())
            .bind(signed(row.calls))
            .bind(signed(row.cpu_us))
            .bind(signed(row.wall_us))
            .bind(signed(row.bytes_in))
            .bind(signed(row.bytes_out))
            .execute(&mut *transaction)
            .await;
            match taken {
                Ok(_) => {}
                Err(error) if violates(&error, ErrorKind::ForeignKeyViolation) => {
                    let (component, version) = (row.component.clone(), row.version.clone());
                    return Err(StoreError::UnknownVersion { component, version });
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(transaction.commit().await?)
    }

    async fn reported(&self, query: ReportQuery) -> Result<Vec<(TenantId, ReportedUsage)>, StoreError> {
        let ReportQuery { component, tenant, from, to } = query;
        let rows = sqlx::query(
            "SELECT * FROM reported
             WHERE (?1 IS NULL OR component = ?1) AND (?2 IS NULL OR tenant = ?2) AND (?3 IS NULL OR day >= ?3)
                 AND (?4 IS NULL OR day < ?4)
             ORDER BY component, version, tenant, day, outcome",
        )
        .bind(component.as_ref().map(|component| component.as_str().to_owned()))
        .bind(tenant.as_ref().map(|tenant| tenant.as_str().to_owned()))
        .bind(from.map(Timestamp::as_micros))
        .bind(to.map(Timestamp::as_micros))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(usage).collect()
    }
}

fn reporter(row: &SqliteRow) -> Result<ReporterRecord, StoreError> {
    Ok(ReporterRecord {
        tenant: parse("tenant", row.try_get("tenant")?)?,
        key: parse("key", row.try_get("key")?)?,
        set_at: Timestamp::from_micros(row.try_get("set_at")?),
        set_by: row.try_get("set_by")?,
    })
}

fn usage(row: &SqliteRow) -> Result<(TenantId, ReportedUsage), StoreError> {
    let sum = |name: &str| Ok::<_, StoreError>(unsigned(row.try_get(name)?));
    let usage = ReportedUsage {
        component: parse("component", row.try_get("component")?)?,
        version: parse("version", row.try_get("version")?)?,
        day: Timestamp::from_micros(row.try_get("day")?),
        outcome: parse("outcome", row.try_get("outcome")?)?,
        calls: sum("calls")?,
        cpu_us: sum("cpu_us")?,
        wall_us: sum("wall_us")?,
        bytes_in: sum("bytes_in")?,
        bytes_out: sum("bytes_out")?,
    };
    Ok((parse("tenant", row.try_get("tenant")?)?, usage))
}
