//! Table `versions`.

use super::{SqliteStore, deployments, parse, signed, unsigned};
use crate::{Deployment, Deprecation, Inserted, NewRevision, NewVersion, StoreError, VersionRecord};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use wares_model::{ComponentName, Digest, Timestamp, Version};

impl SqliteStore {
    pub(super) async fn insert_version_row(&self, new: NewVersion) -> Result<Inserted, StoreError> {
        let mut transaction = self.write().await?;
        match existing(&mut transaction, &new.record).await? {
            Some(digest) if digest == new.record.digest => return Ok(Inserted::Same),
            Some(existing) => return Err(StoreError::VersionConflict { existing }),
            None => insert(&mut transaction, new).await?,
        }
        transaction.commit().await?;
        Ok(Inserted::Created)
    }

    pub(super) async fn launch(&self, new: NewVersion, revision: NewRevision) -> Result<Deployment, StoreError> {
        let mut transaction = self.write().await?;
        if let Some(existing) = existing(&mut transaction, &new.record).await? {
            return Err(StoreError::VersionConflict { existing });
        }
        insert(&mut transaction, new).await?;
        let deployment = deployments::add_revision(&mut transaction, revision).await?;
        transaction.commit().await?;
        Ok(deployment)
    }

    pub(super) async fn version_rows(&self) -> Result<Vec<VersionRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT component, version, digest, size_bytes, published_at, publisher, deployed_at, yanked_at, stopped_at,
                    deprecated_at, sunset_at, deprecation_reason, summary
             FROM versions ORDER BY published_at, component, version",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(record).collect()
    }

    pub(super) async fn version_detail_text(
        &self,
        component: &ComponentName,
        version: &Version,
    ) -> Result<Option<String>, StoreError> {
        let query = sqlx::query_scalar("SELECT detail FROM versions WHERE component = ? AND version = ?");
        Ok(query.bind(component.as_str()).bind(version.to_string()).fetch_optional(&self.readers).await?)
    }
}

/// The digest that a version was published with.
async fn existing(connection: &mut SqliteConnection, record: &VersionRecord) -> Result<Option<Digest>, StoreError> {
    let existing: Option<String> =
        sqlx::query_scalar("SELECT digest FROM versions WHERE component = ? AND version = ?")
            .bind(record.component.as_str())
            .bind(record.version.to_string())
            .fetch_optional(connection)
            .await?;
    existing.map(|digest| parse("digest", &digest)).transpose()
}

async fn insert(connection: &mut SqliteConnection, new: NewVersion) -> Result<(), StoreError> {
    let NewVersion { record, detail, trust } = new;
    sqlx::query(
        "INSERT INTO versions (component, version, digest, size_bytes, published_at, publisher, deployed_at, yanked_at, summary, detail)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(record.component.as_str())
    .bind(record.version.to_string())
    .bind(record.digest.to_string())
    .bind(signed(record.size_bytes))
    .bind(record.published_at.as_micros())
    .bind(record.publisher)
    .bind(record.deployed_at.map(Timestamp::as_micros))
    .bind(record.yanked_at.map(Timestamp::as_micros))
    .bind(record.summary)
    .bind(detail)
    .execute(&mut *connection)
    .await?;
    super::trust::insert(connection, &record.component, &record.version, trust).await
}

/// A version that is there.
pub(super) async fn one(
    connection: &mut SqliteConnection,
    component: &ComponentName,
    version: &Version,
) -> Result<VersionRecord, StoreError> {
    let row = sqlx::query(
        "SELECT component, version, digest, size_bytes, published_at, publisher, deployed_at, yanked_at, stopped_at,
                deprecated_at, sunset_at, deprecation_reason, summary
         FROM versions WHERE component = ? AND version = ?",
    )
    .bind(component.as_str())
    .bind(version.to_string())
    .fetch_one(connection)
    .await?;
    record(&row)
}

fn record(row: &SqliteRow) -> Result<VersionRecord, StoreError> {
    let time = |column| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros));
    let deprecation = match time("deprecated_at")? {
        None => None,
        Some(at) => Some(Deprecation { at, sunset: time("sunset_at")?, reason: row.try_get("deprecation_reason")? }),
    };
    Ok(VersionRecord {
        component: parse("component", row.try_get("component")?)?,
        version: parse("version", row.try_get("version")?)?,
        digest: parse("digest", row.try_get("digest")?)?,
        size_bytes: unsigned(row.try_get("size_bytes")?),
        published_at: Timestamp::from_micros(row.try_get("published_at")?),
        publisher: row.try_get("publisher")?,
        deployed_at: time("deployed_at")?,
        yanked_at: time("yanked_at")?,
        stopped_at: time("stopped_at")?,
        deprecation,
        summary: row.try_get("summary")?,
    })
}
