//! How traffic is shared among versions, and the plan and evidence of a rollout.

use crate::Version;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Steps of one rollout.
pub const STEPS_MAX: usize = 16;
/// Seconds of one step.
pub const STEP_SECONDS_MAX: u64 = 90 * 86_400;
/// Calls that a step may wait for.
pub const CALLS_MIN_MAX: u64 = 1_000_000_000;

/// What stays on one version while the shares stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stickiness {
    /// A tenant: all its calls are served by the same version. With few tenants the calls can be shared very differently.
    #[default]
    Tenant,
    /// Nothing: every call is drawn for itself, exactly by the shares over each hundred calls of a host.
    Call,
}

impl Stickiness {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Call => "call",
        }
    }
}

impl fmt::Display for Stickiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Calls that are made a second time in another version after their answer, to compare both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ShadowTraffic {
    /// The version that runs them again.
    pub version: Version,
    /// Of a hundred calls, how many.
    pub percent: u32,
}

/// What of the wall time is compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WallMeasure {
    /// The mean.
    Mean,
    /// The time that 95 of 100 calls stay below.
    #[default]
    P95,
}

impl WallMeasure {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::P95 => "p95",
        }
    }
}

impl fmt::Display for WallMeasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a version is to take over, and what it must hold to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RolloutPlan {
    /// The version that is to take all traffic.
    pub version: Version,
    /// Its share in percent, step by step; they rise, and the last is 100.
    #[serde(default = "default_steps")]
    pub steps: Vec<u32>,
    /// The least time of a step in seconds; 0 leaves it to the calls.
    #[serde(default = "default_step_seconds")]
    pub step_seconds: u64,
    /// The fewest calls of the new version in a step.
    #[serde(default = "default_calls_min")]
    pub calls_min: u64,
    /// How many percentage points the new version's error rate may be above the old one's.
    #[serde(default = "default_error_points_max")]
    pub error_points_max: f64,
    /// How many times the old version's wall time the new one's may be.
    #[serde(default = "default_wall_ratio_max")]
    pub wall_ratio_max: f64,
    /// Milliseconds of wall time that the new version may take longer in any case, so that very short calls do not count.
    #[serde(default = "default_wall_slack_ms")]
    pub wall_slack_ms: u64,
    /// What of the wall time is compared.
    #[serde(default)]
    pub wall_measure: WallMeasure,
    /// Whether an answer that is the error case of the function's result counts as an error.
    #[serde(default)]
    pub component_errors: bool,
    /// What stays on one version during a step.
    #[serde(default)]
    pub stickiness: Stickiness,
}

fn default_steps() -> Vec<u32> {
    vec![5, 25, 50, 100]
}

fn default_step_seconds() -> u64 {
    600
}

fn default_calls_min() -> u64 {
    100
}

fn default_error_points_max() -> f64 {
    1.0
}

fn default_wall_ratio_max() -> f64 {
    2.0
}

fn default_wall_slack_ms() -> u64 {
    5
}

/// Why a plan is none.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct PlanError(String);

impl RolloutPlan {
    /// Checks that the plan makes sense.
    pub fn check(&self) -> Result<(), PlanError> {
        let wrong = |what: String| Err(PlanError(what));
        if self.steps.is_empty() || self.steps.len() > STEPS_MAX {
            return wrong(format!("steps has {} shares; give 1 to {STEPS_MAX}", self.steps.len()));
        }
        let rising = self.steps.iter().zip(self.steps.iter().skip(1)).all(|(share, next)| share < next);
        if !rising || self.steps.first() == Some(&0) || self.steps.last() != Some(&100) {
            return wrong(format!("steps {:?} must rise from at least 1 to 100, as in [5, 25, 50, 100]", self.steps));
        }
        if self.step_seconds > STEP_SECONDS_MAX {
            return wrong(format!("step-seconds = {} is over {STEP_SECONDS_MAX}", self.step_seconds));
        }
        if !(1..=CALLS_MIN_MAX).contains(&self.calls_min) {
            return wrong(format!("calls-min = {} is not from 1 to {CALLS_MIN_MAX}", self.calls_min));
        }
        if !(0.0..=100.0).contains(&self.error_points_max) {
            return wrong(format!("error-points-max = {} is not from 0 to 100", self.error_points_max));
        }
        if !(1.0..=1e6).contains(&self.wall_ratio_max) {
            return wrong(format!("wall-ratio-max = {} is not from 1 to 1000000", self.wall_ratio_max));
        }
        Ok(())
    }
}

/// Where a rollout stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RolloutState {
    /// Its steps go on.
    Running,
    /// The new version has all traffic and held to the plan in every step.
    Completed,
    /// The new version was out of bounds; the host gave the traffic back to the old one.
    RolledBack,
    /// An operator ended it; the old version has all traffic.
    Aborted,
    /// Somebody deployed something else meanwhile.
    Superseded,
    /// The host could go neither on nor back, because a version may not take traffic any more; an operator has to decide.
    Halted,
}

impl RolloutState {
    /// All states.
    pub const ALL: [Self; 6] =
        [Self::Running, Self::Completed, Self::RolledBack, Self::Aborted, Self::Superseded, Self::Halted];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Completed => "completed",
            Self::RolledBack => "rolled-back",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
            Self::Halted => "halted",
        }
    }
}

impl fmt::Display for RolloutState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is none of [`RolloutState::ALL`], or none of a [`Stickiness`].
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a word that is known here")]
pub struct UnknownWord(String);

impl FromStr for RolloutState {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| UnknownWord(text.chars().take(80).collect()))
    }
}

impl FromStr for Stickiness {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = [Self::Tenant, Self::Call].into_iter().find(|stickiness| stickiness.as_str() == text);
        found.ok_or_else(|| UnknownWord(text.chars().take(80).collect()))
    }
}

impl FromStr for WallMeasure {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = [Self::Mean, Self::P95].into_iter().find(|measure| measure.as_str() == text);
        found.ok_or_else(|| UnknownWord(text.chars().take(80).collect()))
    }
}

/// What was seen of both versions in a step, and by which a rollout went on or back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Evidence {
    /// Which step, from 1.
    pub step: u32,
    /// The new version's share in it, in percent.
    pub share: u32,
    /// Seconds that the step had lasted.
    pub seconds: u64,
    /// The new version in this step.
    pub new: Observed,
    /// The old version: in this step if it had enough calls in it, else since the rollout or the host started.
    pub old: Observed,
}

/// What was seen of a version's calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Observed {
    /// Which version.
    pub version: Version,
    /// Calls that ended.
    pub calls: u64,
    /// Those of them that ended with an error of the version or the host.
    pub errors: u64,
    /// Mean wall time in microseconds.
    pub wall_mean_us: u64,
    /// The wall time in microseconds that 95 of 100 calls stay below.
    pub wall_p95_us: u64,
}

impl Observed {
    /// Errors per hundred calls.
    pub fn error_percent(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.errors as f64 * 100.0 / self.calls as f64 }
    }

    /// The wall time in microseconds that a plan compares.
    pub fn wall_us(&self, measure: WallMeasure) -> u64 {
        match measure {
            WallMeasure::Mean => self.wall_mean_us,
            WallMeasure::P95 => self.wall_p95_us,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(json: &str) -> Result<RolloutPlan, String> {
        let plan: RolloutPlan = serde_json::from_str(json).map_err(|error| error.to_string())?;
        plan.check().map_err(|error| error.to_string())?;
        Ok(plan)
    }

    #[test]
    fn plans_are_read_and_checked() {
        assert_eq!(plan(r#"{"version": "1.1.0"}"#).unwrap().steps, [5, 25, 50, 100]);
        let cases = [
            (r#"{"steps": [100]}"#, "version"),
            (r#"{"version": "1.1.0", "steps": []}"#, "steps has 0"),
            (r#"{"version": "1.1.0", "steps": [5, 50]}"#, "to 100"),
            (r#"{"version": "1.1.0", "steps": [0, 100]}"#, "at least 1"),
            (r#"{"version": "1.1.0", "steps": [50, 25, 100]}"#, "rise"),
            (r#"{"version": "1.1.0", "steps": [50, 100, 100]}"#, "rise"),
            (r#"{"version": "1.1.0", "step-seconds": 999999999}"#, "step-seconds"),
            (r#"{"version": "1.1.0", "calls-min": 0}"#, "calls-min"),
            (r#"{"version": "1.1.0", "error-points-max": -1}"#, "error-points-max"),
            (r#"{"version": "1.1.0", "wall-ratio-max": 0.5}"#, "wall-ratio-max"),
            (r#"{"version": "1.1.0", "stickiness": "moon"}"#, "moon"),
            (r#"{"version": "1.1.0", "stepz": 1}"#, "stepz"),
        ];
        for (json, word) in cases {
            let error = plan(json).unwrap_err();
            assert!(error.contains(word), "{json}: {error}");
        }
    }
}
