//! A call made a second time, in another version, to compare: after its answer has left, and only when nothing else waits.
//!
//! It holds a slot of its own, so that it takes none from a caller, and there is no queue for it: under load it is left out.
//! It is entered in the ledger as what it is, with whether it ended like the first, and billed to nobody.

use crate::record::{self, Traffic};
use crate::{Answered, CallError, Calls, Found, Prepared, error, lift, telemetry, trace};
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;
use wares_catalog::snapshot::{ComponentEntry, VersionEntry};
use wares_engine::{Invocation, TraceParent};
use wares_model::interface::unversioned;
use wares_model::{CallId, LedgerEntry, Outcome, ProblemCode, ShadowOf, Timestamp};
use wares_typed::Val;

/// Bytes of each text that the entry of a call with another end keeps.
const TEXT_BYTES_MAX: usize = 600;

/// How a call ended, as far as it is compared.
struct Ending {
    outcome: Outcome,
    /// The JSON of the result, or of the component's own error.
    json: Vec<u8>,
}

/// A call that is to be made again: as soon as this is dropped.
pub struct Repeat(Option<Shadow>);

struct Shadow {
    calls: Calls,
    component: Arc<ComponentEntry>,
    revision: u64,
    served: Arc<Prepared>,
    version: Arc<VersionEntry>,
    arguments: Bytes,
    expected: Ending,
    runtime: Handle,
    _slot: OwnedSemaphorePermit,
}

/// Why a shadow call was not made.
enum NotMade {
    /// The host had other things to do.
    Shed,
    /// The version does not take such a call.
    Refused(String),
}

impl Drop for Repeat {
    fn drop(&mut self) {
        if let Some(shadow) = self.0.take() {
            let runtime = shadow.runtime.clone();
            runtime.spawn(shadow.run());
        }
    }
}

impl Calls {
    /// Whether the call that ended so is to be made again in another version, and if so what will do it. Drop that when the
    /// answer has left.
    pub fn repeat(
        &self,
        served: &Arc<Prepared>,
        arguments: &Bytes,
        ended: &Result<Answered, CallError>,
    ) -> Option<Repeat> {
        let component = served.looked_at.as_ref()?;
        let revision = component.deployment.as_ref()?.revision;
        let outcome = outcome(ended)?;
        let version = Arc::clone(component.shadow(&served.version)?);
        let slot = Arc::clone(&self.shadows).try_acquire_owned().ok().filter(|_| self.admission.is_at_rest());
        let Some(slot) = slot else {
            NotMade::Shed.count(component);
            return None;
        };
        Some(Repeat(Some(Shadow {
            calls: self.clone(),
            component: Arc::clone(component),
            revision,
            served: Arc::clone(served),
            version,
            arguments: arguments.clone(),
            expected: Ending { outcome, json: json_of(ended) },
            runtime: Handle::current(),
            _slot: slot,
        })))
    }
}

impl Shadow {
    async fn run(self) {
        if let Err(not_made) = self.make().await {
            not_made.count(&self.component);
        }
    }

    /// Runs the call in the other version, compares, and writes the entry. A call that is cut off leaves none.
    async fn make(&self) -> Result<(), NotMade> {
        let prepared = self.prepare().await?;
        let arguments = self.read_arguments(&prepared)?;
        if self.calls.ledger.is_failing() {
            return Err(NotMade::Shed);
        }
        let _slot = self.version.slots.take().ok_or(NotMade::Shed)?;
        let entry = self.calls.ledger.slot().await.map_err(|_| NotMade::Shed)?;
        let (started, clock, meter) = (Timestamp::now(), Instant::now(), Arc::clone(&prepared.meter));
        let invocation = Invocation {
            interface: prepared.interface(),
            function: &prepared.function,
            arguments: arguments.into(),
            limits: &prepared.version.limits,
            meter: Arc::clone(&meter),
            context: Arc::clone(&prepared.context),
            // Never in an instance that a tenant's own calls are served by.
            owner: None,
        };
        let report = prepared.live.component.call(invocation).await;
        let ending = match report.result {
            Err(failure) => {
                let (outcome, explanation) = error::of_failure(failure);
                explanation.log_fault(prepared.call);
                Ending { outcome, json: Vec::new() }
            }
            Ok(value) => Ending::of_lifted(lift(&prepared, value.as_ref())),
        };
        let matches = self.expected.is_like(&ending);
        let traffic = Traffic::of(self.arguments.len(), ending.json.len());
        let usage = record::usage(&meter, clock, &traffic);
        let shadow_of = ShadowOf { call: self.served.call, revision: self.revision, matches };
        let shadow = LedgerEntry {
            outcome: ending.outcome,
            detail: (!matches).then(|| self.difference(&ending)),
            logs: Some(report.logs.text).filter(|logs| !logs.is_empty()),
            log_marks: report.logs.marks,
            shadow: Some(shadow_of),
            ..record::identify(&prepared, started, usage)
        };
        trace::ended(&prepared, &shadow);
        let entry = entry.enter(shadow);
        telemetry::repeated(if matches { "match" } else { "mismatch" });
        if let Err(error) = entry.await {
            tracing::warn!(%error, call = %prepared.call, "a shadow call was not entered");
        }
        Ok(())
    }

    /// The same function in the other version.
    async fn prepare(&self) -> Result<Arc<Prepared>, NotMade> {
        let version = Arc::clone(&self.version);
        let live = self.calls.catalog.live(&version).await;
        let live = live.map_err(|error| NotMade::Refused(error.to_string()))?;
        let served = &self.served;
        // The interface's version may be another one.
        let is_there = |name: &&str| live.description.interfaces.iter().any(|one| one.name.as_deref() == Some(*name));
        let name = served.interface().map(|full| Some(full).filter(is_there).unwrap_or_else(|| unversioned(full)));
        let (interface, function) = error::find_function(&live.description, name, &served.function)
            .map_err(|explanation| NotMade::Refused(explanation.detail))?;
        let (interface, function) = (interface.unwrap_or_default().into(), function.name.as_str().into());
        // Counted and shown apart: no part of the caller's trace.
        let (tenant, application) = (Arc::clone(&served.tenant), Arc::clone(&served.application));
        let (resolve, looked_at, trace, request_id) = (Duration::ZERO, None, TraceParent::None, None);
        let found =
            Found { tenant, application, version, live, interface, function, resolve, looked_at, trace, request_id };
        let prepared = self.calls.prepared(CallId::generate(), found, Arc::default(), None);
        trace::repeats(&prepared, served.call);
        Ok(prepared)
    }

    fn read_arguments(&self, prepared: &Prepared) -> Result<Vec<Val>, NotMade> {
        let function = prepared.function().map_err(|error| NotMade::Refused(error.to_string()))?;
        wares_typed::read_arguments(&prepared.live.description, function, &self.arguments)
            .map_err(|error| NotMade::Refused(format!("{}: {}", error.pointer, error.message)))
    }

    /// What differs, as JSON whose texts are cut off.
    fn difference(&self, ending: &Ending) -> String {
        let side = |version: &VersionEntry, ending: &Ending| {
            let version = version.record.version.to_string();
            json!({"version": version, "outcome": ending.outcome.as_str(), "json": text(&ending.json)})
        };
        json!({
            "arguments": text(&self.arguments),
            "served": side(&self.served.version, &self.expected),
            "shadow": side(&self.version, ending),
        })
        .to_string()
    }
}

impl NotMade {
    fn count(&self, component: &ComponentEntry) {
        let shadows = &component.shadows;
        let (counter, result) = match self {
            Self::Shed => (&shadows.shed, "shed"),
            Self::Refused(detail) => {
                tracing::debug!(detail, "a version does not take a shadow call");
                (&shadows.refused, "refused")
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        telemetry::repeated(result);
    }
}

impl Ending {
    fn of_lifted(lifted: Result<Vec<u8>, (Outcome, Box<crate::Explanation>)>) -> Self {
        match lifted {
            Ok(json) => Self { outcome: Outcome::Ok, json },
            Err((outcome, explanation)) => {
                let json = explanation.error.map(|error| error.get().as_bytes().to_vec()).unwrap_or_default();
                Self { outcome, json }
            }
        }
    }

    /// The same outcome with the same value: the order of keys does not count.
    fn is_like(&self, other: &Self) -> bool {
        if self.outcome != other.outcome {
            return false;
        }
        let value = |json: &[u8]| serde_json::from_slice::<Value>(json).ok();
        self.json == other.json || value(&self.json).is_some_and(|value_here| Some(value_here) == value(&other.json))
    }
}

/// How a caller's call ended; none if it did not run, or its end says nothing of the version.
fn outcome(ended: &Result<Answered, CallError>) -> Option<Outcome> {
    match ended.as_ref().map_err(|error| error.explanation.code) {
        Ok(_) => Some(Outcome::Ok),
        Err(ProblemCode::ComponentError) => Some(Outcome::ComponentError),
        Err(ProblemCode::Trap) => Some(Outcome::Trap),
        Err(ProblemCode::LimitCpu) => Some(Outcome::LimitCpu),
        Err(ProblemCode::LimitWall) => Some(Outcome::LimitWall),
        Err(ProblemCode::LimitMemory) => Some(Outcome::LimitMemory),
        Err(ProblemCode::LimitOutput) => Some(Outcome::LimitOutput),
        Err(_) => None,
    }
}

/// The JSON of the result of a caller's call, or of the component's own error.
fn json_of(ended: &Result<Answered, CallError>) -> Vec<u8> {
    match ended {
        Ok(answered) => answered.json.clone(),
        Err(error) => error.explanation.error.as_ref().map_or_else(Vec::new, |error| error.get().as_bytes().to_vec()),
    }
}

fn text(json: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(json.get(..TEXT_BYTES_MAX.min(json.len())).unwrap_or_default()).into_owned();
    if json.len() > TEXT_BYTES_MAX {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_alike_by_outcome_and_value() {
        let ending = |outcome, json: &str| Ending { outcome, json: json.as_bytes().to_vec() };
        let cases = [
            ((Outcome::Ok, "1"), (Outcome::Ok, "1"), true),
            ((Outcome::Ok, "1"), (Outcome::Ok, "2"), false),
            ((Outcome::Ok, r#"{"a":1,"b":[true]}"#), (Outcome::Ok, r#"{"b":[true],"a":1}"#), true),
            ((Outcome::Ok, "[1,2]"), (Outcome::Ok, "[2,1]"), false),
            ((Outcome::Ok, "18446744073709551615"), (Outcome::Ok, "18446744073709551614"), false),
            ((Outcome::ComponentError, "1"), (Outcome::Ok, "1"), false),
            ((Outcome::Trap, ""), (Outcome::Trap, ""), true),
            ((Outcome::Trap, ""), (Outcome::LimitCpu, ""), false),
        ];
        for (here, there, alike) in cases {
            assert_eq!(ending(here.0, here.1).is_like(&ending(there.0, there.1)), alike, "{here:?} {there:?}");
        }
    }
}
