//! A component's own examples, run in the sandbox: by its vendor, and for its review.

mod compare;

use crate::trial::{Trial, TrialError};
use compare::differences;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use tokio::time::Instant;
use wares_model::manifest::Example;

/// Examples that run at once on a host; the engine's pool has a place for each beside those of calls.
pub const RUNNING_MAX: u32 = 1;
/// Examples of one version that are run.
const EXAMPLES_MAX: usize = 100;
/// For all examples of one version together.
const WALL_MAX: Duration = Duration::from_secs(30);
/// Characters of what is said of one example.
const DETAIL_CHARS_MAX: usize = 2_000;

/// How one example came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExampleOutcome {
    /// Its name in the manifest.
    pub name: String,
    /// Whether the answer was the expected one.
    pub passed: bool,
    /// What was different, or why it did not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl ExampleOutcome {
    fn of(example: &Example, outcome: Result<(), String>) -> Self {
        let detail = outcome.err().map(|why| why.chars().take(DETAIL_CHARS_MAX).collect());
        Self { name: example.name.clone(), passed: detail.is_none(), detail }
    }
}

/// Runs examples one after the other.
pub(crate) async fn run(trial: &Trial, examples: &[Example]) -> Vec<ExampleOutcome> {
    let deadline = Instant::now() + WALL_MAX;
    let mut outcomes = Vec::new();
    for (index, example) in examples.iter().enumerate() {
        let outcome = match index < EXAMPLES_MAX {
            false => Err(format!("it was not run: only the first {EXAMPLES_MAX} examples are")),
            true => tokio::time::timeout_at(deadline, run_one(trial, example))
                .await
                .unwrap_or_else(|_| Err(format!("it was not run to its end: all examples together have {WALL_MAX:?}"))),
        };
        outcomes.push(ExampleOutcome::of(example, outcome));
    }
    outcomes
}

/// Runs one example; the error says what is different from what the manifest says.
pub async fn run_one(trial: &Trial, example: &Example) -> Result<(), String> {
    let arguments = example.arguments.as_bytes();
    let answer = trial.call(example.interface.as_deref(), &example.function, arguments).await;
    let (expected, got) = match (&example.result, &example.error, answer) {
        (Some(expected), _, Ok(json)) | (None, Some(expected), Err(TrialError::ComponentError(json))) => {
            (expected, json)
        }
        (None, None, Ok(_)) => return Ok(()),
        (None, Some(_), Ok(json)) => {
            return Err(format!("the error case is expected, but it returned {}", String::from_utf8_lossy(&json)));
        }
        (_, _, Err(error)) => return Err(error.to_string()),
    };
    let differences = differences(&read(expected.as_bytes())?, &read(&got)?);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

fn read(json: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(json).map_err(|error| format!("not JSON: {error}"))
}
