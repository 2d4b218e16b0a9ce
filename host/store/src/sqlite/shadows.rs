//! Reading the table `shadows`: calls that repeated others, and whether they ended alike.

use super::{SqliteStore, parse, signed, unsigned};
use crate::{Mismatch, ShadowCounts, StoreError};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use wares_model::{CallId, ComponentName};

impl SqliteStore {
    pub(super) async fn count_shadows(
        &self,
        component: &ComponentName,
        revision: u64,
        sample_max: u32,
    ) -> Result<ShadowCounts, StoreError> {
        let rows = sqlx::query(
            "SELECT matches, COUNT(*) AS calls FROM shadows WHERE component = ? AND revision = ? GROUP BY matches",
        )
        .bind(component.as_str())
        .bind(signed(revision))
        .fetch_all(&self.readers)
        .await?;
        let mut counts = ShadowCounts::default();
        for row in rows {
            let calls = unsigned(row.try_get("calls")?);
            *if row.try_get("matches")? { &mut counts.matches } else { &mut counts.mismatches } = calls;
        }
        let rows = sqlx::query(
            "SELECT shadows.call, of_call, outcome, detail FROM shadows JOIN entries ON entries.call = shadows.call
             WHERE component = ? AND revision = ? AND NOT matches ORDER BY shadows.call DESC LIMIT ?",
        )
        .bind(component.as_str())
        .bind(signed(revision))
        .bind(sample_max)
        .fetch_all(&self.readers)
        .await?;
        counts.sample = rows.iter().map(mismatch).collect::<Result<_, _>>()?;
        Ok(counts)
    }
}

fn mismatch(row: &SqliteRow) -> Result<Mismatch, StoreError> {
    Ok(Mismatch {
        call: call(row, "call")?,
        of: call(row, "of_call")?,
        outcome: parse("outcome", row.try_get("outcome")?)?,
        detail: row.try_get("detail")?,
    })
}

fn call(row: &SqliteRow, column: &str) -> Result<CallId, StoreError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let bytes = bytes.try_into().map_err(|_| StoreError::Corrupt("a call's id".to_owned()))?;
    Ok(CallId::from_bytes(bytes))
}
