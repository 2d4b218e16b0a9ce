//! A component's own examples, run in the sandbox for its review. These calls are nobody's and stand in no ledger.

mod compare;

pub use compare::differences;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wares_engine::{CallContext, Component, Failure, Invocation, Meter};
use wares_model::Limits;
use wares_model::manifest::Example;
use wares_typed::{Answer, Description};

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

/// Runs the examples of a component's manifest one after the other, each in an instance of its own.
pub(crate) async fn run(component: &Component, description: &Description, limits: &Limits) -> Vec<ExampleOutcome> {
    let examples = description.manifest.iter().flat_map(|manifest| &manifest.examples);
    let deadline = Instant::now() + WALL_MAX;
    let mut outcomes = Vec::new();
    for (index, example) in examples.enumerate() {
        let outcome = match index < EXAMPLES_MAX {
            false => Err(format!("it was not run: only the first {EXAMPLES_MAX} examples are")),
            true => tokio::time::timeout_at(deadline, run_one(component, description, limits, example))
                .await
                .unwrap_or_else(|_| Err(format!("it was not run to its end: all examples together have {WALL_MAX:?}"))),
        };
        outcomes.push(ExampleOutcome::of(example, outcome));
    }
    outcomes
}

async fn run_one(
    component: &Component,
    description: &Description,
    limits: &Limits,
    example: &Example,
) -> Result<(), String> {
    let interface = match &example.interface {
        None => None,
        Some(name) => {
            let found = description.interface(name).and_then(|interface| interface.name.as_deref());
            Some(found.ok_or_else(|| format!("the component exports no interface {name}"))?)
        }
    };
    let function = description.function(interface, &example.function);
    let function = function.ok_or_else(|| format!("the component exports no function {}", example.function))?;
    if let Some(reason) = &function.not_callable {
        return Err(format!("{} cannot be called with JSON: {reason}", function.name));
    }
    let arguments = wares_typed::read_arguments(description, function, example.arguments.as_bytes())
        .map_err(|error| format!("arguments: {} at {:?}", error.message, error.pointer))?;
    let meter = Arc::new(Meter::default());
    let context = Arc::new(CallContext::unshelved());
    let name = &function.name;
    let invocation =
        Invocation { interface, function: name, arguments: arguments.into(), limits, meter, context, owner: None };
    let value = component.call(invocation).await.result.map_err(failed)?;
    let most = usize::try_from(limits.result_bytes_max).unwrap_or(usize::MAX);
    let answer = wares_typed::write_result(description, function, value.as_ref(), most);
    compare(example, answer.map_err(|error| error.to_string())?)
}

fn compare(example: &Example, answer: Answer) -> Result<(), String> {
    let (expected, got) = match (&example.result, &example.error, &answer) {
        (Some(expected), _, Answer::Ok(json)) | (None, Some(expected), Answer::ComponentError(json)) => {
            (expected, json)
        }
        (None, None, Answer::Ok(_)) => return Ok(()),
        (_, _, Answer::Ok(json)) => {
            return Err(format!("the error case is expected, but it returned {}", String::from_utf8_lossy(json)));
        }
        (_, _, Answer::ComponentError(json)) => {
            return Err(format!("it returned the error case: {}", String::from_utf8_lossy(json)));
        }
    };
    let differences = differences(&read(expected.as_bytes())?, &read(got)?);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

fn read(json: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(json).map_err(|error| format!("not JSON: {error}"))
}

fn failed(failure: Failure) -> String {
    match failure {
        Failure::Trap { reason, .. } => format!("it trapped: {reason}"),
        Failure::LimitCpu => "it used up its CPU time (cpu-ms-max)".to_owned(),
        Failure::LimitWall => "it used up its wall time (wall-ms-max)".to_owned(),
        Failure::LimitMemory { what } | Failure::SpentBelow { what, .. } => what,
        Failure::Host(error) => format!("the host failed: {error}"),
    }
}
