//! What the store keeps of rollouts and of calls that repeat others, as its callers see it.

use serde::{Deserialize, Serialize};
use wares_model::{CallId, ComponentName, Evidence, Outcome, RolloutPlan, RolloutState, Timestamp, Version};

/// What a new revision of a deployment means to the component's rollout.
#[derive(Debug, Clone, Default)]
pub enum RolloutChange {
    /// It is none of its steps: a running rollout is superseded.
    #[default]
    Supersede,
    /// It is the first step of a rollout, which is named by it.
    Start {
        /// What the new version must hold to.
        plan: RolloutPlan,
        /// The version that had all traffic.
        old: Version,
    },
    /// It is another step.
    Step {
        /// Of which rollout.
        id: u64,
        /// Which, from 1.
        step: u32,
    },
    /// It ends the rollout.
    End {
        /// Which rollout.
        id: u64,
        /// How.
        state: RolloutState,
        /// Why, in words.
        note: Option<String>,
    },
}

/// A rollout, running or ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RolloutRecord {
    /// Of which component.
    pub component: ComponentName,
    /// The revision of its first step; it names the rollout.
    pub id: u64,
    /// The revision before it, which has all traffic on the old version.
    pub base: u64,
    /// The old version.
    pub old: Version,
    /// What the new version must hold to.
    pub plan: RolloutPlan,
    /// The step it is in or ended in, from 1.
    pub step: u32,
    /// Since when.
    pub step_started_at: Timestamp,
    /// Where it stands.
    pub state: RolloutState,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who began it.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// Why it ended.
    pub note: Option<String>,
    /// What was seen of the versions when it last went on or ended.
    pub evidence: Option<Evidence>,
}

/// The end of a rollout that leaves the deployment as it is.
#[derive(Debug, Clone)]
pub struct RolloutEnd {
    /// Of which component.
    pub component: ComponentName,
    /// Which rollout.
    pub id: u64,
    /// How.
    pub state: RolloutState,
    /// Why, in words.
    pub note: Option<String>,
    /// What was seen of the versions.
    pub evidence: Option<Evidence>,
}

/// Calls that repeated others for one revision of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShadowCounts {
    /// Those that ended like the call they repeated.
    pub matches: u64,
    /// Those that did not.
    pub mismatches: u64,
    /// The newest of those.
    pub sample: Vec<Mismatch>,
}

/// A call that ended otherwise than the one it repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Mismatch {
    /// It.
    pub call: CallId,
    /// The call that it repeated.
    pub of: CallId,
    /// How it ended.
    pub outcome: Outcome,
    /// What differs, in words, as the ledger has it.
    pub detail: Option<String>,
}
