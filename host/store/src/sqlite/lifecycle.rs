//! Transitions of versions, and table `version_events`.

use super::{SqliteStore, signed, unsigned, versions};
use crate::{Deployment, StoreError, Transition, VersionChange, VersionEvent, VersionRecord};
use sqlx::{Row as _, SqliteConnection};
use wares_model::{ComponentName, Timestamp, Version};

/// Events of one version that are read back; nobody makes as many by hand.
const EVENTS_MAX: u32 = 1_000;

impl SqliteStore {
    pub(super) async fn apply_change(
        &self,
        change: VersionChange,
    ) -> Result<(Vec<VersionRecord>, Vec<Deployment>), StoreError> {
        let VersionChange { versions: named, transition, actor, reason, deployments: revisions } = change;
        let mut transaction = self.write().await?;
        let now = Timestamp::now();
        let mut deployments = Vec::with_capacity(revisions.len());
        for revision in revisions {
            deployments.push(super::deployments::add_revision(&mut transaction, revision).await?);
        }
        for (component, version) in &named {
            if update(&mut transaction, component, version, &transition, now).await? == 0 {
                return Err(StoreError::UnknownVersion { component: component.clone(), version: version.clone() });
            }
            let revision = deployments.iter().find(|deployment| deployment.component == *component);
            sqlx::query(
                "INSERT INTO version_events (component, version, event, at, actor, reason, revision)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(component.as_str())
            .bind(version.to_string())
            .bind(transition.event())
            .bind(now.as_micros())
            .bind(&actor)
            .bind(&reason)
            .bind(revision.map(|deployment| signed(deployment.revision)))
            .execute(&mut *transaction)
            .await?;
        }
        let mut records = Vec::with_capacity(named.len());
        for (component, version) in &named {
            records.push(versions::one(&mut transaction, component, version).await?);
        }
        transaction.commit().await?;
        Ok((records, deployments))
    }

    pub(super) async fn version_event_rows(
        &self,
        component: &ComponentName,
        version: &Version,
    ) -> Result<Vec<VersionEvent>, StoreError> {
        let rows = sqlx::query(
            "SELECT event, at, actor, reason, revision FROM version_events WHERE component = ? AND version = ?
             ORDER BY id DESC LIMIT ?",
        )
        .bind(component.as_str())
        .bind(version.to_string())
        .bind(EVENTS_MAX)
        .fetch_all(&self.readers)
        .await?;
        let event = |row: &sqlx::sqlite::SqliteRow| {
            Ok(VersionEvent {
                event: row.try_get("event")?,
                at: Timestamp::from_micros(row.try_get("at")?),
                actor: row.try_get("actor")?,
                reason: row.try_get("reason")?,
                revision: row.try_get::<Option<i64>, _>("revision")?.map(unsigned),
            })
        };
        rows.iter().map(event).collect()
    }
}

/// Writes what the transition says; the answer is how many versions it was written to.
async fn update(
    connection: &mut SqliteConnection,
    component: &ComponentName,
    version: &Version,
    transition: &Transition,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let (now, version) = (now.as_micros(), version.to_string());
    let query = match transition {
        Transition::Yank => sqlx::query("UPDATE versions SET yanked_at = ? WHERE component = ? AND version = ?").bind(now),
        Transition::Unyank => sqlx::query("UPDATE versions SET yanked_at = NULL WHERE component = ? AND version = ?"),
        Transition::Stop => sqlx::query(
            "UPDATE versions SET stopped_at = ?1, yanked_at = COALESCE(yanked_at, ?1) WHERE component = ?2 AND version = ?3",
        )
        .bind(now),
        // What was yanked by the stop is so no more.
        Transition::Resume => sqlx::query(
            "UPDATE versions SET stopped_at = NULL, yanked_at = NULLIF(yanked_at, stopped_at)
             WHERE component = ? AND version = ?",
        ),
        Transition::Deprecate(deprecation) => sqlx::query(
            "UPDATE versions SET deprecated_at = ?, sunset_at = ?, deprecation_reason = ?
             WHERE component = ? AND version = ?",
        )
        .bind(deprecation.at.as_micros())
        .bind(deprecation.sunset.map(Timestamp::as_micros))
        .bind(&deprecation.reason),
        Transition::Undeprecate => sqlx::query(
            "UPDATE versions SET deprecated_at = NULL, sunset_at = NULL, deprecation_reason = NULL
             WHERE component = ? AND version = ?",
        ),
    };
    Ok(query.bind(component.as_str()).bind(version).execute(connection).await?.rows_affected())
}
