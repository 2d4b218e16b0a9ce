//! Reports of other shelves on the use of their copies, so that the vendor is credited where the component comes from.
//!
//! A reporter is a tenant with a key of its own for this purpose. A report is taken only with that key's signature over the
//! report's very bytes, and only for versions that are on this shelf.

use crate::Catalog;
use serde::Deserialize;
use wares_model::time::DAY_US;
use wares_model::{Report, Signature, SignerKey, TenantId, Timestamp};
use wares_store::{ReportedUsage, ReporterRecord, StoreError};

/// Rows of one report.
const ROWS_MAX: usize = 10_000;

/// Why a report is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The tenant does not report.
    #[error("{0} is no reporter of this shelf: an operator sets its key with `wares tenants reporter {0} KEY`")]
    NoReporter(TenantId),
    /// The signature is not the reporter's over these bytes.
    #[error("{0}")]
    Untrusted(String),
    /// The report makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// The store failed, or knows no such version or tenant.
    #[error(transparent)]
    Store(#[from] StoreError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    rows: Vec<ReportedUsage>,
}

impl Catalog {
    /// Sets the key that a tenant's reports are signed with.
    pub async fn set_reporter(
        &self,
        tenant: TenantId,
        key: SignerKey,
        actor: String,
    ) -> Result<ReporterRecord, ReportError> {
        let record = ReporterRecord { tenant, key, set_at: Timestamp::now(), set_by: actor };
        self.store().set_reporter(record.clone()).await?;
        Ok(record)
    }

    /// Takes in a report, and returns how many rows it had. What was reported before stays if it was more.
    pub async fn take_report(
        &self,
        tenant: &TenantId,
        body: &[u8],
        signature: &Signature,
    ) -> Result<usize, ReportError> {
        let reporter = self.store().reporter(tenant).await?;
        let reporter = reporter.ok_or_else(|| ReportError::NoReporter(tenant.clone()))?;
        if *signature.signer() != reporter.key {
            return Err(ReportError::Untrusted(format!(
                "the report is signed by {}, and {tenant} reports with {}",
                signature.signer(),
                reporter.key
            )));
        }
        let report = Report { reporter: tenant, body };
        report.verify(signature).map_err(|error| ReportError::Untrusted(error.to_string()))?;
        let Body { rows } =
            serde_json::from_slice(body).map_err(|error| ReportError::Invalid(format!("the report: {error}")))?;
        if rows.len() > ROWS_MAX {
            return Err(ReportError::Invalid(format!("the report has {} rows; send at most {ROWS_MAX}", rows.len())));
        }
        let tomorrow = Timestamp::now().as_micros().saturating_add(DAY_US);
        let bad_day = rows.iter().map(|row| row.day).find(|day| {
            let micros = day.as_micros();
            micros.rem_euclid(DAY_US) != 0 || micros > tomorrow
        });
        if let Some(day) = bad_day {
            return Err(ReportError::Invalid(format!("{day} is not the start of a day in UTC that has begun")));
        }
        self.store().take_report(tenant, &rows).await?;
        Ok(rows.len())
    }
}
