//! Tables `signatures` and `submissions`: what bears on whether versions may run.

use super::signers::note;
use super::{SqliteStore, parse};
use crate::{
    Decision, NamespaceRecord, NewTrust, Note, SignerRecord, StoreError, SubmissionQuery, SubmissionRecord,
    SubmissionState, TrustRecord, TrustStore,
};
use async_trait::async_trait;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, SqliteConnection};
use wares_model::{ComponentName, Namespace, SignerKey, SubmissionId, Timestamp, Version};

const SUBMISSION: &str = "SELECT id, component, version, kind, method, basis, submitter, submitted_at, examples,
    verdict, decided_at, decided_by, reason FROM submissions";

#[async_trait]
impl TrustStore for SqliteStore {
    async fn namespaces(&self) -> Result<Vec<NamespaceRecord>, StoreError> {
        self.namespace_rows().await
    }

    async fn put_namespace(&self, namespace: NamespaceRecord) -> Result<(), StoreError> {
        self.put_namespace_row(namespace).await
    }

    async fn signers(&self) -> Result<Vec<SignerRecord>, StoreError> {
        self.signer_rows().await
    }

    async fn insert_signer(&self, signer: SignerRecord) -> Result<(), StoreError> {
        self.insert_signer_row(signer).await
    }

    async fn revoke_signer(&self, namespace: &Namespace, key: &SignerKey, note: Note) -> Result<bool, StoreError> {
        self.revoke_signer_row(namespace, key, note).await
    }

    async fn trust(&self) -> Result<Vec<(ComponentName, Version, TrustRecord)>, StoreError> {
        self.trust_rows().await
    }

    async fn submissions(&self, query: SubmissionQuery) -> Result<Vec<SubmissionRecord>, StoreError> {
        self.submission_rows(query).await
    }

    async fn submission(&self, id: SubmissionId) -> Result<Option<SubmissionRecord>, StoreError> {
        let statement = sqlx::AssertSqlSafe(format!("{SUBMISSION} WHERE id = ?"));
        let row = sqlx::query(statement).bind(id.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map(submission).transpose()
    }

    async fn decide(&self, id: SubmissionId, decision: Decision) -> Result<(), StoreError> {
        self.note_decision(id, decision).await
    }
}

impl SqliteStore {
    async fn trust_rows(&self) -> Result<Vec<(ComponentName, Version, TrustRecord)>, StoreError> {
        let rows = sqlx::query(
            "SELECT versions.component, versions.version, signature, id, verdict, decided_at, decided_by,
                 submissions.reason
             FROM versions
             LEFT JOIN signatures USING (component, version)
             LEFT JOIN submissions USING (component, version)
             WHERE signature IS NOT NULL OR id IS NOT NULL",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(trust).collect()
    }

    async fn submission_rows(&self, query: SubmissionQuery) -> Result<Vec<SubmissionRecord>, StoreError> {
        let SubmissionQuery { namespace, waiting_only, limit, before } = query;
        let waiting = if waiting_only { " AND verdict IS NULL" } else { "" };
        // Ids sort by the time they were made. Nothing but the fixed texts is in the statement; values are bound.
        let statement = format!(
            "{SUBMISSION} WHERE (?1 IS NULL OR component LIKE ?1 || ':%') AND (?2 IS NULL OR id < ?2){waiting}
             ORDER BY id DESC LIMIT ?3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(namespace.as_ref().map(Namespace::as_str))
            .bind(before.map(|id| id.to_string()))
            .bind(limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(submission).collect()
    }

    async fn note_decision(&self, id: SubmissionId, decision: Decision) -> Result<(), StoreError> {
        let mut transaction = self.write().await?;
        let Decision { verdict, note: Note { at, by, reason } } = decision;
        let noted = sqlx::query(
            "UPDATE submissions SET verdict = ?, decided_at = ?, decided_by = ?, reason = ? WHERE id = ? AND verdict IS NULL",
        )
        .bind(verdict.as_str())
        .bind(at.as_micros())
        .bind(by)
        .bind(reason)
        .bind(id.to_string())
        .execute(&mut *transaction)
        .await?;
        match noted.rows_affected() {
            0 => Err(StoreError::SubmissionDecided(id)),
            _ => Ok(transaction.commit().await?),
        }
    }
}

/// Adds what comes with a version, in its transaction.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    component: &ComponentName,
    version: &Version,
    new: NewTrust,
) -> Result<(), StoreError> {
    let NewTrust { signature, submission } = new;
    if let Some(signature) = signature {
        sqlx::query("INSERT INTO signatures (component, version, signature) VALUES (?, ?, ?)")
            .bind(component.as_str())
            .bind(version.to_string())
            .bind(signature.to_string())
            .execute(&mut *connection)
            .await?;
    }
    if let Some(submission) = submission {
        sqlx::query(
            "INSERT INTO submissions (id, component, version, kind, method, basis, submitter, submitted_at, examples)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(submission.id.to_string())
        .bind(component.as_str())
        .bind(version.to_string())
        .bind(submission.kind)
        .bind(submission.method)
        .bind(submission.basis)
        .bind(submission.submitter.to_string())
        .bind(submission.submitted_at.as_micros())
        .bind(submission.examples)
        .execute(connection)
        .await?;
    }
    Ok(())
}

fn decision(row: &SqliteRow) -> Result<Option<Decision>, StoreError> {
    let verdict: Option<&str> = row.try_get("verdict")?;
    match (verdict, note(row, "decided_at", "decided_by")?) {
        (Some(verdict), Some(note)) => Ok(Some(Decision { verdict: parse("verdict", verdict)?, note })),
        (None, None) => Ok(None),
        // Half a decision must never turn into an approval.
        _ => Err(StoreError::Corrupt("half a decision on a submission".to_owned())),
    }
}

fn submission(row: &SqliteRow) -> Result<SubmissionRecord, StoreError> {
    Ok(SubmissionRecord {
        id: parse("submission", row.try_get("id")?)?,
        component: parse("component", row.try_get("component")?)?,
        version: parse("version", row.try_get("version")?)?,
        kind: row.try_get("kind")?,
        method: row.try_get("method")?,
        basis: row.try_get("basis")?,
        submitter: parse("key", row.try_get("submitter")?)?,
        submitted_at: Timestamp::from_micros(row.try_get("submitted_at")?),
        examples: row.try_get("examples")?,
        decision: decision(row)?,
    })
}

fn trust(row: &SqliteRow) -> Result<(ComponentName, Version, TrustRecord), StoreError> {
    let signature: Option<&str> = row.try_get("signature")?;
    let id: Option<&str> = row.try_get("id")?;
    let state = |id| -> Result<SubmissionState, StoreError> {
        Ok(SubmissionState { id: parse("submission", id)?, decision: decision(row)? })
    };
    let record = TrustRecord {
        signature: signature.map(|signature| parse("signature", signature)).transpose()?,
        submission: id.map(state).transpose()?,
    };
    Ok((parse("component", row.try_get("component")?)?, parse("version", row.try_get("version")?)?, record))
}
