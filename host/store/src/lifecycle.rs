//! What becomes of a version after it was published, as the store keeps it.

use crate::NewRevision;
use serde::{Deserialize, Serialize};
use wares_model::{ComponentName, Timestamp, Version};

/// That callers should go on to another version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Deprecation {
    /// Since when, or from when on.
    pub at: Timestamp,
    /// When the version is to stop answering.
    pub sunset: Option<Timestamp>,
    /// Why, and what to use instead.
    pub reason: Option<String>,
}

/// What is done to a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// Nobody is to begin with it.
    Yank,
    /// A yank is taken back.
    Unyank,
    /// It answers no more; what is not yanked is so from then on.
    Stop,
    /// A stop is taken back; the yank stays.
    Resume,
    /// Callers are told to go on to another version.
    Deprecate(Deprecation),
    /// They are told so no more.
    Undeprecate,
}

impl Transition {
    /// The word for it in a version's history.
    pub fn event(&self) -> &'static str {
        match self {
            Self::Yank => "yanked",
            Self::Unyank => "unyanked",
            Self::Stop => "stopped",
            Self::Resume => "resumed",
            Self::Deprecate(_) => "deprecated",
            Self::Undeprecate => "undeprecated",
        }
    }
}

/// A transition of one version or several.
#[derive(Debug, Clone)]
pub struct VersionChange {
    /// Which versions.
    pub versions: Vec<(ComponentName, Version)>,
    /// What is done.
    pub transition: Transition,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The deployments that go with it; all of it is durable, or nothing.
    pub deployments: Vec<NewRevision>,
}

/// A transition that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VersionEvent {
    /// `yanked`, `unyanked`, `stopped`, `resumed`, `deprecated` or `undeprecated`.
    pub event: String,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The revision of the deployment that was made with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}
