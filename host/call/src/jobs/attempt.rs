//! One attempt at a job: an ordinary call, and what its end means to the job.

use super::{Inner, JobPolicy, backoff};
use crate::{Answered, CallError, Calls, Explanation, Full, Held, Prepared, Purpose, Request, telemetry};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use wares_model::limits::JOB_INTERRUPTIONS_MAX;
use wares_model::{CallId, JobAnswer, JobId, JobState, ProblemCode, Timestamp};
use wares_store::{AttemptEnd, BegunJob, EnteredAttempt, JobRecord, Then};

/// What a call knows that is an attempt at a job.
pub(crate) struct Attempt {
    job: JobId,
    result_bytes_max: u64,
    /// Whether the call was let in, also while it runs.
    begun: AtomicBool,
}

/// How an attempt ended.
enum Ended {
    /// The call was never let in: it has no entry in the ledger and uses up none of the job's attempts.
    Refused(Box<Explanation>),
    /// The call was let in, and has its entry; the bytes of its result.
    Made(Result<u64, Box<Explanation>>),
    /// Somebody wanted the job ended; whether the call was let in.
    Cancelled(bool),
}

impl Attempt {
    fn of(job: JobId, policy: &JobPolicy) -> Self {
        Self { job, result_bytes_max: policy.result_bytes_max, begun: AtomicBool::new(false) }
    }

    /// The call was let in.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// What the job keeps of the result; none if that is too large.
    pub(crate) fn answer(&self, json: &[u8]) -> Option<JobAnswer> {
        (json.len() as u64 <= self.result_bytes_max).then(|| JobAnswer { job: self.job, json: json.to_vec() })
    }
}

impl Calls {
    /// Makes a call whose id is known already.
    async fn attempt(&self, call: CallId, request: Request, arguments: &[u8], attempt: &Attempt) -> Ended {
        let prepared = match self.prepare_as(call, request).await {
            Ok(prepared) => prepared,
            Err(error) => return Ended::Refused(error.explanation),
        };
        let bytes_max = prepared.version.limits.body_bytes_max;
        if arguments.len() as u64 > bytes_max {
            let detail = format!("the arguments are over {bytes_max} bytes, the limit of the version that serves now");
            let error = CallError::new(call, Explanation::new(ProblemCode::TooLarge, detail));
            telemetry::refused(&error);
            return Ended::Refused(error.explanation);
        }
        let held = match self.hold(&prepared, arguments).await {
            Ok(held) => held,
            Err(full) => return Ended::Refused(Box::new(full.into())),
        };
        match self.run_for(&prepared, arguments, &held, Purpose::Attempt(attempt)).await {
            Ok(Answered { json, .. }) => Ended::Made(Ok(json.len() as u64)),
            Err(error) if attempt.has_begun() => Ended::Made(Err(error.explanation)),
            Err(error) => Ended::Refused(error.explanation),
        }
    }

    /// Holds the arguments of an attempt for its tenant.
    async fn hold(&self, prepared: &Prepared, arguments: &[u8]) -> Result<Held, Full> {
        let held = self.holders.attempt(&prepared.tenant.record.id)?;
        held.grow(arguments.len() as u64).await?;
        Ok(held)
    }
}

impl Inner {
    /// Makes an attempt at a job, and says how it ended and what happens next.
    pub(super) async fn attempt(&self, begun: &BegunJob, cancelled: &CancellationToken) -> AttemptEnd {
        let BegunJob { record, arguments, call } = begun;
        let policy = &self.policy();
        if let Some(given_up) = given_up(record) {
            return end(policy, record, Ended::Refused(Box::new(given_up)));
        }
        let request = match self.request(record) {
            Ok(request) => request,
            Err(explanation) => return end(policy, record, Ended::Refused(explanation)),
        };
        let attempt = Attempt::of(record.id, policy);
        // The call comes first: one that has ended is not cancelled any more.
        let ended = tokio::select! {
            biased;
            ended = self.calls.attempt(*call, request, arguments, &attempt) => ended,
            () = cancelled.cancelled() => Ended::Cancelled(attempt.has_begun()),
        };
        end(policy, record, ended)
    }

    /// The end of an attempt in which the host itself failed.
    pub(super) fn failed_in_host(&self, job: &JobRecord, error: &dyn fmt::Display) -> AttemptEnd {
        end(&self.policy(), job, Ended::Made(Err(Box::new(Explanation::host_of_job(job.id, error)))))
    }
}

/// The end of an attempt that an earlier run of the host made, as the ledger has it.
pub(super) fn end_of_entered(policy: &JobPolicy, entered: &EnteredAttempt) -> AttemptEnd {
    let EnteredAttempt { record, outcome, detail, bytes_out } = entered;
    let failed = Explanation::of_record(*outcome, detail.as_deref().unwrap_or_default());
    end(policy, record, Ended::Made(failed.map_or(Ok(*bytes_out), |explanation| Err(Box::new(explanation)))))
}

fn end(policy: &JobPolicy, job: &JobRecord, ended: Ended) -> AttemptEnd {
    let at = Timestamp::now();
    let finish = |state| Then::Finish { state, result_bytes: None };
    let (outcome, explanation, then) = match ended {
        Ended::Made(Ok(bytes)) => {
            let then = Then::Finish { state: JobState::Succeeded, result_bytes: Some(bytes) };
            (Some("ok".to_owned()), None, then)
        }
        Ended::Cancelled(let_in) => (let_in.then(|| "cancelled".to_owned()), None, finish(JobState::Cancelled)),
        Ended::Made(Err(explanation)) if explanation.code != ProblemCode::LedgerUnavailable => {
            let next = after_failure(job, &explanation, at);
            let outcome = explanation.code.as_str().to_owned();
            (Some(outcome), Some(explanation), next.map_or(finish(JobState::Dead), Then::Again))
        }
        // Or the call was made, but its entry could not be written: what cannot be counted has not been served.
        Ended::Made(Err(explanation)) | Ended::Refused(explanation) => {
            let next = after_refusal(job, &explanation, at);
            (None, Some(explanation), next.map_or(finish(JobState::Dead), Then::Again))
        }
    };
    telemetry::job_attempt(outcome.clone().unwrap_or_else(|| "refused".to_owned()));
    let (problem, error) = explanation.map(|explanation| problem(policy, *explanation)).unzip();
    AttemptEnd { at, outcome, problem, error: error.flatten(), then }
}

/// The JSON of what went wrong, and of the component's own error, unless that is too large to be kept.
fn problem(policy: &JobPolicy, explanation: Explanation) -> (String, Option<String>) {
    let bytes = explanation.error_bytes();
    let fits = bytes as u64 <= policy.result_bytes_max;
    let Explanation { error, detail, .. } = explanation;
    let detail = if fits { detail } else { format!("{detail} ({bytes} bytes of error are not kept)") };
    let explanation = Explanation { error: None, detail, ..explanation };
    let error = error.filter(|_| fits).map(|error| error.get().to_owned());
    (serde_json::to_string(&explanation).unwrap_or_default(), error)
}

/// Why no further attempt is made at a job that was to have one.
fn given_up(job: &JobRecord) -> Option<Explanation> {
    if job.interruptions > JOB_INTERRUPTIONS_MAX {
        let detail = format!(
            "the host ended {} times while the job ran, and it is not made a further time; the job may be the reason",
            job.interruptions
        );
        return Some(Explanation::new(ProblemCode::Expired, detail));
    }
    let late = job.deadline_at <= Timestamp::now();
    late.then(|| {
        Explanation::new(ProblemCode::Expired, format!("the job was not made by its deadline, {}", job.deadline_at))
    })
}

/// When a job is tried again whose attempt failed, if it is.
fn after_failure(job: &JobRecord, explanation: &Explanation, at: Timestamp) -> Option<Timestamp> {
    let attempts = job.attempts + 1;
    let is_retried = explanation.code != ProblemCode::ComponentError || job.retry.component_errors;
    let next = at.plus(backoff::after_attempts(&job.retry, attempts));
    (is_retried && attempts < job.retry.attempts_max && next < job.deadline_at).then_some(next)
}

/// When a job is tried again that was not let in, if waiting helps.
fn after_refusal(job: &JobRecord, explanation: &Explanation, at: Timestamp) -> Option<Timestamp> {
    // Too much to do, or a fault of the host.
    let passes = matches!(
        explanation.code,
        ProblemCode::RateLimited
            | ProblemCode::HostError
            | ProblemCode::Overloaded
            | ProblemCode::LedgerUnavailable
            | ProblemCode::Draining
    );
    let asked = explanation.retry_after.map(Duration::from_secs).unwrap_or_default();
    let next = at.plus(backoff::after_refusals(job.refusals + 1).max(asked));
    (passes && next < job.deadline_at).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wares_model::{Digest, Outcome, Retry};
    use wares_store::{JobBounds, JobRetention};

    fn job() -> JobRecord {
        let now = Timestamp::now();
        JobRecord {
            id: JobId::generate(),
            tenant: "north".parse().unwrap(),
            application: "app".into(),
            call: "{}".into(),
            fingerprint: Digest::of(b""),
            retry: Retry { attempts_max: 3, backoff_ms_first: 10, backoff_ms_max: 10, ..Retry::default() },
            state: JobState::Running,
            attempts: 0,
            interruptions: 0,
            refusals: 0,
            created_at: now,
            next_at: now,
            deadline_at: now.plus(Duration::from_secs(100)),
            finished_at: None,
            cancel_requested: false,
            idempotency_key: None,
            due: None,
            traceparent: None,
            arguments_bytes: 2,
            result_bytes: None,
            problem: None,
        }
    }

    #[test]
    fn what_may_end_otherwise_the_next_time_is_tried_again() {
        let now = Timestamp::now();
        let explain = |code| Explanation::new(code, String::new());
        let failed = |job: &JobRecord, code| after_failure(job, &explain(code), now).is_some();
        let refused = |job: &JobRecord, code| after_refusal(job, &explain(code), now).is_some();
        let (job, late) = (job(), JobRecord { deadline_at: now, ..job() });
        for code in [ProblemCode::Trap, ProblemCode::LimitWall, ProblemCode::HostError] {
            assert!(failed(&job, code) && !failed(&late, code), "{code}");
        }
        assert!(!failed(&JobRecord { attempts: 2, ..job.clone() }, ProblemCode::Trap), "the third attempt is the last");
        assert!(!failed(&job, ProblemCode::ComponentError));
        let asks = JobRecord { retry: Retry { component_errors: true, ..job.retry }, ..job.clone() };
        assert!(failed(&asks, ProblemCode::ComponentError));
        for code in [ProblemCode::Overloaded, ProblemCode::RateLimited, ProblemCode::LedgerUnavailable] {
            let often = JobRecord {
                refusals: 1_000,
                attempts: 2,
                deadline_at: now.plus(Duration::from_secs(61)),
                ..job.clone()
            };
            assert!(refused(&often, code) && !refused(&late, code), "{code}");
        }
        for code in [ProblemCode::NotFound, ProblemCode::Stopped, ProblemCode::BadArguments, ProblemCode::Untrusted] {
            assert!(!refused(&job, code), "{code}");
        }
    }

    #[test]
    fn what_the_ledger_has_of_an_attempt_is_its_end() {
        let policy = JobPolicy {
            concurrency_max: 1,
            tenant_concurrency_max: 1,
            waiting: JobBounds { jobs_max: 1, bytes_max: 1 },
            attempts_max: 3,
            deadline_seconds_max: 100,
            arguments_bytes_max: 1,
            result_bytes_max: 3,
            retention: JobRetention { finished: Duration::ZERO, dead: Duration::ZERO, jobs_max: 1, bytes_max: 1 },
        };
        let once = JobRecord { retry: Retry { attempts_max: 1, ..job().retry }, ..job() };
        let entered = |record: &JobRecord, outcome, detail: &str| {
            let (record, detail) = (record.clone(), Some(detail.to_owned()));
            end_of_entered(&policy, &EnteredAttempt { record, outcome, detail, bytes_out: 7 })
        };
        let ok = entered(&once, Outcome::Ok, "");
        let succeeded = Then::Finish { state: JobState::Succeeded, result_bytes: Some(7) };
        assert_eq!((ok.outcome.as_deref(), ok.then), (Some("ok"), succeeded));
        let trap = entered(&once, Outcome::Trap, "unreachable\n  at inner\n  at outer");
        let dead = Then::Finish { state: JobState::Dead, result_bytes: None };
        assert_eq!((trap.outcome.as_deref(), trap.then), (Some("trap"), dead));
        let problem: Explanation = serde_json::from_str(&trap.problem.unwrap()).unwrap();
        assert_eq!((problem.code, problem.detail.as_str()), (ProblemCode::Trap, "unreachable"));
        assert_eq!(problem.backtrace, ["inner", "outer"]);
        assert!(matches!(entered(&job(), Outcome::Trap, "").then, Then::Again(_)), "two attempts are left");
        for (detail, error) in [("[1]", Some("[1]")), ("[1,2]", None), ("[1", None)] {
            let refused = entered(&once, Outcome::ComponentError, detail);
            assert_eq!((refused.outcome.as_deref(), refused.error.as_deref()), (Some("component-error"), error));
            assert!(!refused.problem.unwrap().contains("[1,2]"), "errors are kept apart");
        }
    }

    #[test]
    fn a_job_that_may_be_what_ends_the_host_is_given_up() {
        assert!(given_up(&job()).is_none());
        assert!(given_up(&JobRecord { interruptions: JOB_INTERRUPTIONS_MAX, ..job() }).is_none());
        assert!(given_up(&JobRecord { interruptions: JOB_INTERRUPTIONS_MAX + 1, ..job() }).is_some());
        assert!(given_up(&JobRecord { deadline_at: Timestamp::now(), ..job() }).is_some());
    }
}
