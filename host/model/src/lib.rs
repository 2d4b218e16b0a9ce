//! The words of Wares as types: names, versions, digests, ids, limits, manifests, outcomes, problem codes.
//!
//! Nothing here does I/O or knows wasmtime. Every type parses at the edge and is trusted inside.

pub mod digest;
pub mod entry;
pub mod ids;
pub mod limits;
pub mod manifest;
pub mod name;
pub mod problem;
pub mod time;

pub use digest::Digest;
pub use entry::{Application, LedgerEntry, Outcome, Usage};
pub use ids::{CallId, KeyId};
pub use limits::{Limits, LimitsAsked};
pub use manifest::Manifest;
pub use name::{ComponentName, TenantId};
pub use problem::ProblemCode;
pub use semver::{Version, VersionReq};
pub use time::Timestamp;
