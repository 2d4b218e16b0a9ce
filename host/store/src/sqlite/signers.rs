//! Tables `namespaces` and `signers`.

use super::{SqliteStore, parse, violates};
use crate::{NamespaceRecord, Note, SignerRecord, StoreError};
use sqlx::Row as _;
use sqlx::error::ErrorKind;
use sqlx::sqlite::SqliteRow;
use wares_model::{Namespace, SignerKey, Timestamp};

impl SqliteStore {
    pub(super) async fn namespace_rows(&self) -> Result<Vec<NamespaceRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT name, review_since, signature_since, source, changed_at, changed_by FROM namespaces ORDER BY name",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(namespace).collect()
    }

    pub(super) async fn put_namespace_row(&self, namespace: NamespaceRecord) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "INSERT INTO namespaces (name, review_since, signature_since, source, changed_at, changed_by)
             VALUES (?, ?, ?, ?, ?, ?)
             ON CONFLICT (name) DO UPDATE SET review_since = excluded.review_since,
                 signature_since = excluded.signature_since, source = excluded.source, changed_at = excluded.changed_at, changed_by = excluded.changed_by",
        )
        .bind(namespace.name.as_str())
        .bind(namespace.review_since.map(Timestamp::as_micros))
        .bind(namespace.signature_since.map(Timestamp::as_micros))
        .bind(namespace.source)
        .bind(namespace.changed_at.as_micros())
        .bind(namespace.changed_by)
        .execute(&mut *transaction)
        .await?;
        Ok(transaction.commit().await?)
    }

    pub(super) async fn signer_rows(&self) -> Result<Vec<SignerRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT namespace, key, added_at, added_by, revoked_at, revoked_by, reason FROM signers
             ORDER BY namespace, added_at, key",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(signer).collect()
    }

    pub(super) async fn insert_signer_row(&self, signer: SignerRecord) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let inserted = sqlx::query("INSERT INTO signers (namespace, key, added_at, added_by) VALUES (?, ?, ?, ?)")
            .bind(signer.namespace.as_str())
            .bind(signer.key.to_string())
            .bind(signer.added_at.as_micros())
            .bind(signer.added_by)
            .execute(&mut *transaction)
            .await;
        match inserted {
            Ok(_) => Ok(transaction.commit().await?),
            Err(error) if violates(&error, ErrorKind::UniqueViolation) => Err(StoreError::SignerExists(signer.key)),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn revoke_signer_row(
        &self,
        namespace: &Namespace,
        key: &SignerKey,
        note: Note,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.write().await?;
        sqlx::query(
            "UPDATE signers SET revoked_at = ?, revoked_by = ?, reason = ?
             WHERE namespace = ? AND key = ? AND revoked_at IS NULL",
        )
        .bind(note.at.as_micros())
        .bind(note.by)
        .bind(note.reason)
        .bind(namespace.as_str())
        .bind(key.to_string())
        .execute(&mut *transaction)
        .await?;
        let known = sqlx::query("SELECT 1 FROM signers WHERE namespace = ? AND key = ?")
            .bind(namespace.as_str())
            .bind(key.to_string())
            .fetch_optional(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(known.is_some())
    }
}

/// A note in three columns, which are there together or not at all.
pub(super) fn note(row: &SqliteRow, at: &str, by: &str) -> Result<Option<Note>, StoreError> {
    let columns = (row.try_get::<Option<i64>, _>(at)?, row.try_get(by)?, row.try_get("reason")?);
    match columns {
        (Some(at), Some(by), Some(reason)) => Ok(Some(Note { at: Timestamp::from_micros(at), by, reason })),
        (None, None::<String>, None::<String>) => Ok(None),
        _ => Err(StoreError::Corrupt(format!("{at} without {by} or reason, or the other way round"))),
    }
}

fn namespace(row: &SqliteRow) -> Result<NamespaceRecord, StoreError> {
    let since = |column: &str| -> Result<_, StoreError> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp::from_micros))
    };
    Ok(NamespaceRecord {
        name: parse("namespace", row.try_get("name")?)?,
        review_since: since("review_since")?,
        signature_since: since("signature_since")?,
        source: row.try_get("source")?,
        changed_at: Timestamp::from_micros(row.try_get("changed_at")?),
        changed_by: row.try_get("changed_by")?,
    })
}

fn signer(row: &SqliteRow) -> Result<SignerRecord, StoreError> {
    Ok(SignerRecord {
        namespace: parse("namespace", row.try_get("namespace")?)?,
        key: parse("signer", row.try_get("key")?)?,
        added_at: Timestamp::from_micros(row.try_get("added_at")?),
        added_by: row.try_get("added_by")?,
        revoked: note(row, "revoked_at", "revoked_by")?,
    })
}
