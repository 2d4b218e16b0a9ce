//! What the ledger says of one call.

use crate::log::LogMark;
use crate::{CallId, ComponentName, Digest, JobId, TenantId, Timestamp, Version};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// How an admitted call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The function returned, and its answer was sent.
    Ok,
    /// The function returned the error case of its `result`.
    ComponentError,
    /// The guest trapped.
    Trap,
    /// The guest was over its CPU time.
    LimitCpu,
    /// The guest was over its wall time.
    LimitWall,
    /// The guest was over its memory, tables, instances, handles or host memory.
    LimitMemory,
    /// The result's JSON was over its size.
    LimitOutput,
    /// The caller went away before the answer.
    Cancelled,
    /// The host failed.
    HostError,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::ComponentError,
        Self::Trap,
        Self::LimitCpu,
        Self::LimitWall,
        Self::LimitMemory,
        Self::LimitOutput,
        Self::Cancelled,
        Self::HostError,
    ];

    /// The word the ledger, the API and the metrics use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ComponentError => "component-error",
            Self::Trap => "trap",
            Self::LimitCpu => "limit-cpu",
            Self::LimitWall => "limit-wall",
            Self::LimitMemory => "limit-memory",
            Self::LimitOutput => "limit-output",
            Self::Cancelled => "cancelled",
            Self::HostError => "host-error",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no outcome.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not an outcome")]
pub struct ParseOutcomeError(String);

impl FromStr for Outcome {
    type Err = ParseOutcomeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or_else(|| ParseOutcomeError(text.chars().take(80).collect()))
    }
}

/// The name of a tenant's system, as its key was made out.
pub type Application = Arc<str>;

/// What a call used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Usage {
    /// CPU time of the guest in microseconds.
    pub cpu_us: u64,
    /// Wall time in microseconds from admission to result.
    pub wall_us: u64,
    /// Highest total of linear memory in bytes.
    pub memory_peak_bytes: u64,
    /// Bytes of the arguments' JSON.
    pub bytes_in: u64,
    /// Bytes of the result's JSON.
    pub bytes_out: u64,
}

/// What a call that repeats another one for comparison says of it. Such a call is never billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ShadowOf {
    /// The call that it repeats.
    pub call: CallId,
    /// The revision of the deployment that asked for it.
    pub revision: u64,
    /// Whether both ended alike, with the same result.
    pub matches: bool,
}

/// What a job keeps of a call that was an attempt at it. It is written with the call's entry, so that no call that is entered
/// is made again for its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobAnswer {
    /// The job.
    pub job: JobId,
    /// JSON of the result.
    pub json: Vec<u8>,
}

/// The answer of a call that was made under a key of its caller's, kept for whoever asks for the same again. It is written with
/// the call's entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// The key.
    pub key: String,
    /// The digest of what was called and its arguments.
    pub fingerprint: Digest,
    /// Why there is no result, as JSON.
    pub problem: Option<String>,
    /// JSON of the result.
    pub json: Vec<u8>,
}

/// One entry of the ledger: an admitted call and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct LedgerEntry {
    /// The call.
    pub call: CallId,
    /// Who called.
    pub tenant: TenantId,
    /// With which of its systems.
    pub application: Application,
    /// What was called.
    pub component: ComponentName,
    /// The version that served it.
    pub version: Version,
    /// The interface's full name; empty for a function exported by the world itself.
    pub interface: Arc<str>,
    /// The function.
    pub function: Arc<str>,
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, in words: trap reason and backtrace, or which limit. At most a few KiB.
    pub detail: Option<String>,
    /// When it was admitted.
    pub started: Timestamp,
    /// What it used.
    #[serde(flatten)]
    pub usage: Usage,
    /// The call that made this call, if a component did.
    pub parent: Option<CallId>,
    /// What the guest wrote to standard output, standard error and its log, capped by its limit.
    pub logs: Option<String>,
    /// Which part of it came when and from where; none for what was kept before there were any.
    #[serde(skip)]
    pub log_marks: Vec<LogMark>,
    /// Set for a call that only repeats another one: it is kept apart from all sums and never billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<ShadowOf>,
    /// The caller's own name for its request (`X-Request-Id`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<Arc<str>>,
    /// The result for the job that the call was made for, on its way to the store; none in what is read back.
    #[serde(skip)]
    pub answer: Option<JobAnswer>,
    /// The answer to be kept under the caller's key, on its way to the store; none in what is read back.
    #[serde(skip)]
    pub kept: Option<Box<KeptAnswer>>,
}
