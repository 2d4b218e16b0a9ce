//! The words of Wares as types: names, versions, digests, ids, limits, manifests, outcomes, rollouts, problem codes.
//!
//! Nothing here does I/O or knows wasmtime. Every type parses at the edge and is trusted inside.

pub mod digest;
pub mod entry;
pub mod ids;
pub mod limits;
pub mod line;
pub mod manifest;
pub mod name;
pub mod problem;
pub mod rollout;
pub mod time;

pub use digest::Digest;
pub use entry::{Application, LedgerEntry, Outcome, ShadowOf, Usage};
pub use ids::{CallId, KeyId};
pub use limits::{Limits, LimitsAsked};
pub use manifest::Manifest;
pub use name::{ComponentName, TenantId};
pub use problem::ProblemCode;
pub use rollout::{Evidence, RolloutPlan, RolloutState, ShadowTraffic, Stickiness};
pub use semver::{Version, VersionReq};
pub use time::Timestamp;
