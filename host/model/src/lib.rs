//! The words of Wares as types: names, versions, digests, ids, limits, manifests, outcomes, rollouts, problem codes.
//!
//! Nothing here does I/O or knows wasmtime. Every type parses at the edge and is trusted inside.

pub mod digest;
pub mod entry;
pub mod grants;
mod hex;
pub mod ids;
pub mod interface;
pub mod limits;
pub mod line;
pub mod manifest;
pub mod name;
pub mod namespace;
pub mod problem;
pub mod rollout;
pub mod signature;
pub mod time;

pub use digest::Digest;
pub use entry::{Application, LedgerEntry, Outcome, ShadowOf, Usage};
pub use grants::{Asked, Granted, Grants};
pub use ids::{CallId, KeyId, SubmissionId};
pub use interface::InterfaceName;
pub use limits::{Limits, LimitsAsked};
pub use manifest::Manifest;
pub use name::{ComponentName, TenantId};
pub use namespace::Namespace;
pub use problem::ProblemCode;
pub use rollout::{Evidence, RolloutPlan, RolloutState, ShadowTraffic, Stickiness};
pub use semver::{Version, VersionReq};
pub use signature::{PrivateKey, Release, Report, Signature, SignerKey};
pub use time::Timestamp;
