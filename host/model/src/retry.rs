//! How often a job is tried: the manifest's table `[retry]`.

use crate::limits::{JOB_DEADLINE_SECONDS_MAX, RETRY_ATTEMPTS_MAX, RETRY_BACKOFF_MS_MAX};
use serde::{Deserialize, Serialize};

/// Table `[retry]`.
///
/// An attempt that trapped, went over a limit or met a fault of the host is made again; one whose arguments do not fit is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Retry {
    /// Attempts, the first one included.
    pub attempts_max: u32,
    /// Milliseconds before the second attempt; each further wait is twice as long.
    pub backoff_ms_first: u64,
    /// Milliseconds that a wait takes at most.
    pub backoff_ms_max: u64,
    /// Whether an attempt that ended with the error case of the function's result is made again too.
    pub component_errors: bool,
    /// Seconds after which no further attempt is made.
    pub deadline_seconds_max: u64,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 3,
            backoff_ms_first: 1_000,
            backoff_ms_max: 300_000,
            component_errors: false,
            deadline_seconds_max: 86_400,
        }
    }
}

impl Retry {
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is outside its bounds.
    pub(crate) fn check(&self) -> Result<(), String> {
        let values = [
            ("attempts-max", u64::from(self.attempts_max), 1, u64::from(RETRY_ATTEMPTS_MAX)),
            ("backoff-ms-first", self.backoff_ms_first, 1, RETRY_BACKOFF_MS_MAX),
            ("backoff-ms-max", self.backoff_ms_max, 1, RETRY_BACKOFF_MS_MAX),
            ("deadline-seconds-max", self.deadline_seconds_max, 1, JOB_DEADLINE_SECONDS_MAX),
        ];
        for (name, value, least, most) in values {
            if !(least..=most).contains(&value) {
                return Err(format!("{name} = {value} is not from {least} to {most}"));
            }
        }
        if self.backoff_ms_first > self.backoff_ms_max {
            let Self { backoff_ms_first, backoff_ms_max, .. } = self;
            return Err(format!("backoff-ms-first = {backoff_ms_first} is above backoff-ms-max = {backoff_ms_max}"));
        }
        Ok(())
    }
}
