//! What metrics and logs say of calls.

use crate::{CallError, Prepared, Timing, trace};
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use parking_lot::RwLock;
use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;
use wares_model::{ComponentName, JobState, Outcome, ProblemCode};
use wares_store::{JobCounts, VersionRecord};

const CALLS: &str = "wares_calls_total";
const REFUSED: &str = "wares_calls_refused_total";
const SHADOWS: &str = "wares_shadow_calls_total";
const HELD: &str = "wares_requests_held_bytes";
const JOBS: &str = "wares_jobs";
const JOBS_ENDED: &str = "wares_jobs_ended_total";
const JOB_ATTEMPTS: &str = "wares_job_attempts_total";
const JOBS_REFUSED: &str = "wares_jobs_refused_total";
const DUE: &str = "wares_schedules_due_total";
const RUNNING: &str = "wares_calls_running";
const QUEUE: &str = "wares_call_queue_seconds";
const RUN: &str = "wares_call_run_seconds";
const LEDGER: &str = "wares_call_ledger_seconds";
const COMPONENT: &str = "wares_component_seconds";
/// Components whose times are told apart; those of all others are told together, as `other`.
const COMPONENTS_MAX: usize = 500;

/// Tells the metrics recorder what the call metrics mean.
pub fn describe_metrics() {
    describe_counter!(CALLS, "Admitted calls by component, version and outcome; each has one ledger entry");
    describe_counter!(REFUSED, "Calls refused before they ran, by problem code; they have no ledger entry");
    describe_counter!(
        SHADOWS,
        "Calls to be made again in another version, by what came of it; they are in no other metric"
    );
    describe_gauge!(HELD, "Bytes that the host holds for open requests, those of operators apart");
    describe_gauge!(JOBS, "Jobs that are not at their end, by state");
    describe_counter!(JOBS_ENDED, "Jobs that came to their end, by state");
    describe_counter!(
        JOB_ATTEMPTS,
        "Attempts at jobs by outcome; `refused` ones never ran and use up none of a job's attempts"
    );
    describe_counter!(JOBS_REFUSED, "Jobs that were not queued, because too much of the tenant's waits");
    describe_counter!(DUE, "Due times of schedules, by what came of them");
    // From the beginning, so that the first of each is seen as an increase.
    for code in ProblemCode::ALL {
        counter!(REFUSED, "code" => code.as_str()).absolute(0);
    }
    for state in [JobState::Succeeded, JobState::Dead, JobState::Cancelled] {
        counter!(JOBS_ENDED, "state" => state.as_str()).absolute(0);
    }
    describe_gauge!(RUNNING, "Calls between admission and ledger entry");
    gauge!(RUNNING).set(0);
    describe_histogram!(QUEUE, Unit::Seconds, "Time that calls waited for a slot");
    describe_histogram!(RUN, Unit::Seconds, "Time from instantiation to result");
    describe_histogram!(LEDGER, Unit::Seconds, "Time that calls waited for their ledger entry to be durable");
    describe_histogram!(COMPONENT, Unit::Seconds, "Time of calls from their admission to their end, by component");
}

/// What open requests hold now.
pub(crate) fn held(bytes: u64) {
    // Exact up to 2^53.
    gauge!(HELD).set(bytes as f64);
}

/// Handles of the metrics that have no labels, looked up once.
struct Handles {
    running: Gauge,
    queue: Histogram,
    run: Histogram,
    ledger: Histogram,
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| Handles {
    running: gauge!(RUNNING),
    queue: histogram!(QUEUE),
    run: histogram!(RUN),
    ledger: histogram!(LEDGER),
});

/// What is counted of the calls of a version that ended in one way.
#[derive(Clone)]
struct OfVersion {
    calls: Counter,
    seconds: Histogram,
}

/// Handles of those, by version and outcome; a few that are called most are enough to be quick.
static COUNTERS: LazyLock<RwLock<HashMap<(u64, Outcome), OfVersion>>> = LazyLock::new(RwLock::default);
/// The components whose times are told apart.
static COMPONENTS: LazyLock<RwLock<HashSet<ComponentName>>> = LazyLock::new(RwLock::default);
/// Handles remembered; beyond it the memory starts again, so that it has a bound.
const COUNTERS_MAX: usize = 10_000;

pub(crate) fn began() {
    HANDLES.running.increment(1);
}

pub(crate) fn left() {
    HANDLES.running.decrement(1);
}

pub(crate) fn entered(prepared: &Prepared, outcome: Outcome) {
    of_version(prepared, outcome).calls.increment(1);
}

pub(crate) fn ended(prepared: &Prepared, outcome: Outcome, timing: &Timing) {
    let seconds = of_version(prepared, outcome).seconds;
    seconds.record(timing.queue + timing.instantiate + timing.run + timing.ledger);
    HANDLES.queue.record(timing.queue);
    HANDLES.run.record(timing.instantiate + timing.run);
    HANDLES.ledger.record(timing.ledger);
    trace::timed(prepared, timing);
    let record = &prepared.version.record;
    tracing::debug!(
        call = %prepared.call, tenant = %prepared.tenant.record.id, component = %record.component,
        version = %record.version, interface = %prepared.interface, function = %prepared.function, %outcome, "call"
    );
}

pub(crate) fn abandoned(prepared: &Prepared, outcome: Outcome) {
    prepared.context.end_trace();
    tracing::debug!(call = %prepared.call, %outcome, "call without a listener");
}

pub(crate) fn refused(error: &CallError) {
    let code = error.explanation.code;
    counter!(REFUSED, "code" => code.as_str()).increment(1);
    tracing::debug!(call = %error.call, %code, detail = error.explanation.detail, "refused");
}

pub(crate) fn repeated(result: &'static str) {
    counter!(SHADOWS, "result" => result).increment(1);
}

pub(crate) fn jobs(counts: JobCounts) {
    gauge!(JOBS, "state" => "queued").set(counts.queued as f64);
    gauge!(JOBS, "state" => "running").set(counts.running as f64);
}

pub(crate) fn job_attempt(outcome: String) {
    counter!(JOB_ATTEMPTS, "outcome" => outcome).increment(1);
}

pub(crate) fn job_ended(state: JobState) {
    counter!(JOBS_ENDED, "state" => state.as_str()).increment(1);
}

pub(crate) fn job_refused() {
    counter!(JOBS_REFUSED).increment(1);
}

pub(crate) fn due(what: &'static str) {
    counter!(DUE, "result" => what).increment(1);
}

fn of_version(prepared: &Prepared, outcome: Outcome) -> OfVersion {
    let key = (prepared.version.serial(), outcome);
    if let Some(known) = COUNTERS.read().get(&key) {
        return known.clone();
    }
    let of_version = OfVersion::of(&prepared.version.record, outcome);
    let mut counters = COUNTERS.write();
    if counters.len() >= COUNTERS_MAX {
        counters.clear();
    }
    counters.insert(key, of_version.clone());
    of_version
}

impl OfVersion {
    fn of(record: &VersionRecord, outcome: Outcome) -> Self {
        let labels = [
            ("component", record.component.to_string()),
            ("version", record.version.to_string()),
            ("outcome", outcome.as_str().to_owned()),
        ];
        let component =
            if is_told_apart(&record.component) { record.component.to_string() } else { "other".to_owned() };
        Self { calls: counter!(CALLS, &labels), seconds: histogram!(COMPONENT, "component" => component) }
    }
}

fn is_told_apart(component: &ComponentName) -> bool {
    let mut components = COMPONENTS.write();
    if components.len() < COMPONENTS_MAX {
        components.insert(component.clone());
    }
    components.contains(component)
}
