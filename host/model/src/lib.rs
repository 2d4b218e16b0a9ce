//! The words of Wares as types: names, versions, digests, ids, limits, manifests, schedules, outcomes, rollouts, problem codes.
//!
//! Nothing here does I/O or knows wasmtime. Every type parses at the edge and is trusted inside.

pub mod config;
pub mod csv;
pub mod digest;
pub mod entry;
pub mod grants;
pub mod hex;
pub mod ids;
pub mod interface;
pub mod job;
pub mod language;
pub mod limits;
pub mod line;
pub mod log;
pub mod manifest;
pub mod name;
pub mod namespace;
pub mod problem;
pub mod retry;
pub mod rollout;
pub mod schedule;
pub mod signature;
pub mod time;
pub mod webhook;
pub mod zone;

pub use config::ConfigOverrides;
pub use digest::Digest;
pub use entry::{Application, JobAnswer, KeptAnswer, LedgerEntry, Outcome, ShadowOf, Usage};
pub use grants::{Asked, Granted, Grants};
pub use ids::{CallId, JobId, KeyId, SubmissionId};
pub use interface::InterfaceName;
pub use job::JobState;
pub use language::Language;
pub use limits::{Limits, LimitsAsked};
pub use manifest::Manifest;
pub use name::{ComponentName, TenantId};
pub use namespace::Namespace;
pub use problem::ProblemCode;
pub use retry::Retry;
pub use rollout::{Evidence, RolloutPlan, RolloutState, ShadowTraffic, Stickiness};
pub use schedule::Schedule;
pub use semver::{Version, VersionReq};
pub use signature::{PrivateKey, Release, Report, Signature, SignerKey};
pub use time::Timestamp;
pub use webhook::WebhookTarget;
pub use zone::{TimeOrDay, Zone};
