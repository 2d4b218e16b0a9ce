//! What other shelves report of the use of their copies, and the interface to it.

use crate::StoreError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use wares_model::{ComponentName, Outcome, SignerKey, TenantId, Timestamp, Version};

/// Who reports for another shelf: a tenant of this one, by a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ReporterRecord {
    /// The tenant.
    pub tenant: TenantId,
    /// The key that its reports are signed with.
    pub key: SignerKey,
    /// When this was set last.
    pub set_at: Timestamp,
    /// By whom.
    pub set_by: String,
}

/// What one version was used on one day on another shelf, by the outcome of its calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ReportedUsage {
    /// Of which component.
    pub component: ComponentName,
    /// The version.
    pub version: Version,
    /// Start of the day in UTC.
    pub day: Timestamp,
    /// How the calls ended.
    pub outcome: Outcome,
    /// How many calls.
    pub calls: u64,
    /// Sum of CPU time in microseconds.
    pub cpu_us: u64,
    /// Sum of wall time in microseconds.
    pub wall_us: u64,
    /// Sum of bytes in.
    pub bytes_in: u64,
    /// Sum of bytes out.
    pub bytes_out: u64,
}

/// Which reports to read.
#[derive(Debug, Clone, Default)]
pub struct ReportQuery {
    /// Of one component.
    pub component: Option<ComponentName>,
    /// From one reporter.
    pub tenant: Option<TenantId>,
    /// From the day that begins then on.
    pub from: Option<Timestamp>,
    /// Up to, but without, the day that begins then.
    pub to: Option<Timestamp>,
}

/// Reporters and their reports.
#[async_trait]
pub trait ReportStore: Send + Sync + 'static {
    /// Sets the key of a reporter. A tenant that is not there is a [`StoreError::UnknownTenant`].
    async fn set_reporter(&self, reporter: ReporterRecord) -> Result<(), StoreError>;

    /// The reporter that a tenant is, if it is one.
    async fn reporter(&self, tenant: &TenantId) -> Result<Option<ReporterRecord>, StoreError>;

    /// Takes in a report, all of it or nothing. A day is said more than once as it goes on: the highest sums stay, so that a
    /// report that comes twice, or late, changes nothing. A version that is not there is a [`StoreError::UnknownVersion`].
    async fn take_report(&self, tenant: &TenantId, rows: &[ReportedUsage]) -> Result<(), StoreError>;

    /// What was reported, by component, version, reporter and day.
    async fn reported(&self, query: ReportQuery) -> Result<Vec<(TenantId, ReportedUsage)>, StoreError>;
}
