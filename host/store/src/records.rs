//! What the store keeps, as its callers see it.

use crate::{Deprecation, NewTrust, RolloutChange};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use wares_model::{
    CallId, ComponentName, Digest, Evidence, KeyId, LedgerEntry, Namespace, Outcome, ShadowTraffic, Stickiness,
    TenantId, Timestamp, Version, Zone,
};

/// A version on the shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRecord {
    /// Of which component.
    pub component: ComponentName,
    /// The version.
    pub version: Version,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size_bytes: u64,
    /// When it was published.
    pub published_at: Timestamp,
    /// Who published it.
    pub publisher: String,
    /// When it was deployed first.
    pub deployed_at: Option<Timestamp>,
    /// When it was yanked.
    pub yanked_at: Option<Timestamp>,
    /// When it was stopped; it is yanked too, then.
    pub stopped_at: Option<Timestamp>,
    /// That callers should go on to another version.
    pub deprecation: Option<Deprecation>,
    /// JSON of what lists show; the store does not look into it.
    pub summary: String,
}

/// A version to insert.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// What lists and calls need of it.
    pub record: VersionRecord,
    /// JSON of its types and all else; read when the version is shown or first called.
    pub detail: String,
    /// Its signature and its submission, written in the same transaction.
    pub trust: NewTrust,
}

/// What an insertion came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is there now.
    Created,
    /// It was there before, with the same digest.
    Same,
}

/// One revision of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Deployment {
    /// Of which component.
    pub component: ComponentName,
    /// Its number, from 1 upwards without gaps.
    pub revision: u64,
    /// Shares by version; what they add up to is the caller's rule.
    pub traffic: BTreeMap<Version, u32>,
    /// What stays on one version while the shares stand.
    #[serde(default)]
    pub stickiness: Stickiness,
    /// Which version has each place of the shares: a hexadecimal digit per place that counts the versions of `traffic`.
    #[serde(skip)]
    pub places: Option<String>,
    /// Calls that are made again in another version.
    #[serde(default)]
    pub shadow: Option<ShadowTraffic>,
    /// Since when.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The rollout that it is a step of, or that it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<u64>,
    /// What was seen of the versions before, if the host made the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Evidence>,
    /// Versions that it took traffic from because they were not wanted: no way back leads to them until they are deployed again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejects: Vec<Version>,
}

/// A revision to add.
#[derive(Debug, Clone)]
pub struct NewRevision {
    /// Of which component.
    pub component: ComponentName,
    /// Shares by version.
    pub traffic: BTreeMap<Version, u32>,
    /// What stays on one version while the shares stand.
    pub stickiness: Stickiness,
    /// Which version has each place, as [`Deployment::places`].
    pub places: Option<String>,
    /// Calls that are made again in another version.
    pub shadow: Option<ShadowTraffic>,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The revision it must follow, 0 for none; nothing: whichever is current.
    pub expected: Option<u64>,
    /// What it means to a rollout.
    pub rollout: RolloutChange,
    /// What was seen of the versions before.
    pub evidence: Option<Evidence>,
    /// Versions that are not wanted any more, as [`Deployment::rejects`].
    pub rejects: Vec<Version>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantRecord {
    /// Its id.
    pub id: TenantId,
    /// The tenant above it.
    pub parent: Option<TenantId>,
    /// Its name for people.
    pub name: String,
    /// When it was added.
    pub created_at: Timestamp,
}

/// What a key may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Operators' work.
    Admin,
    /// Decisions on submissions.
    Reviewer,
    /// Publishing into one namespace.
    Publisher {
        /// The namespace.
        namespace: Namespace,
    },
    /// Calls, counted for a tenant.
    Tenant {
        /// The tenant.
        tenant: TenantId,
        /// Which of its systems.
        application: String,
    },
}

/// A key, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// What it may do.
    pub role: Role,
    /// The sha256 of its text.
    pub hash: [u8; 32],
    /// What it is for, in words.
    pub label: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is not valid any more.
    pub expires_at: Option<Timestamp>,
    /// When it was used last, to the minute.
    pub used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What usage is summed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GroupBy {
    /// Who called.
    Tenant,
    /// Which of the tenant's systems called.
    Application,
    /// What was called.
    Component,
    /// The version that served.
    Version,
    /// The interface.
    Interface,
    /// The function.
    Function,
    /// How the calls ended.
    Outcome,
    /// The month in the query's time zone.
    Month,
    /// The day in the query's time zone.
    Day,
    /// The hour in the query's time zone.
    Hour,
}

impl GroupBy {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Tenant,
        Self::Application,
        Self::Component,
        Self::Version,
        Self::Interface,
        Self::Function,
        Self::Outcome,
        Self::Month,
        Self::Day,
        Self::Hour,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Application => "application",
            Self::Component => "component",
            Self::Version => "version",
            Self::Interface => "interface",
            Self::Function => "function",
            Self::Outcome => "outcome",
            Self::Month => "month",
            Self::Day => "day",
            Self::Hour => "hour",
        }
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that usage cannot be summed by.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is none of tenant, application, component, version, interface, function, outcome, month, day, hour")]
pub struct ParseGroupByError(String);

impl FromStr for GroupBy {
    type Err = ParseGroupByError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|group| group.as_str() == text);
        found.ok_or_else(|| ParseGroupByError(text.chars().take(80).collect()))
    }
}

/// Which usage to sum: calls that were admitted in `[from, to)`.
///
/// Aggregates know no more than the minute of a call, so that both ends are rounded down to the start of their minute. Sums are
/// exact for ends on whole minutes, and periods that share an end neither overlap nor leave a gap wherever it lies.
#[derive(Debug, Clone)]
pub struct UsageQuery {
    /// From the start of the minute that this is in; none: from the first call.
    pub from: Option<Timestamp>,
    /// Up to, but without, the minute that this is in; none: to the last call.
    pub to: Option<Timestamp>,
    /// One row per combination of these; the order of rows follows the order of [`GroupBy`]. None: one row in all.
    pub group_by: Vec<GroupBy>,
    /// Where months, days and hours are counted.
    pub zone: Zone,
    /// Of which calls.
    pub of: CallFilter,
}

impl Default for UsageQuery {
    fn default() -> Self {
        Self { from: None, to: None, group_by: Vec::new(), zone: Zone::utc(), of: CallFilter::default() }
    }
}

/// Which calls are meant: those for which all that is given holds.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Of this tenant.
    pub tenant: Option<TenantId>,
    /// Of this of a tenant's systems.
    pub application: Option<String>,
    /// Of this component.
    pub component: Option<ComponentName>,
    /// That this version served.
    pub version: Option<Version>,
    /// Of this function.
    pub function: Option<String>,
    /// That ended so.
    pub outcome: Option<Outcome>,
}

/// One row of usage: what it is grouped by is there, the rest is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UsageRow {
    /// Who called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Which of the tenant's systems.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// What was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The version that served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The interface's full name; empty for functions of the world itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// The function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// How the calls ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The month, as `2026-11`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<String>,
    /// The day, as `2026-11-24`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// The start of the hour, as `2026-11-24T08:00:00+08:00`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<String>,
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
    /// Highest memory of one call in bytes.
    pub memory_peak_bytes: u64,
}

/// Which calls are wanted.
#[derive(Debug, Clone, Default)]
pub struct CallQuery {
    /// Which calls.
    pub of: CallFilter,
    /// Admitted at this time or later.
    pub from: Option<Timestamp>,
    /// Admitted before this time.
    pub to: Option<Timestamp>,
    /// Whose id was made before this one.
    pub before: Option<CallId>,
    /// So many calls at most.
    pub limit: u32,
}

/// Calls that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallsFound {
    /// Their entries, the newest first.
    pub entries: Vec<LedgerEntry>,
    /// Before which call the search goes on; none: nothing older can be found.
    pub next: Option<CallId>,
}

/// Which logs are wanted.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Of calls of this tenant.
    pub tenant: Option<TenantId>,
    /// Of calls of this component.
    pub component: Option<ComponentName>,
    /// Of this call.
    pub call: Option<CallId>,
    /// Of calls whose id was made before this one.
    pub before: Option<CallId>,
    /// Of so many calls at most.
    pub limit: u32,
}
