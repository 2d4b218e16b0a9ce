//! One attempt at a job: an ordinary call, and what its end means to the job.

use super::{Inner, backoff};
use crate::{Answered, CallError, Calls, Explanation, Request, telemetry};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use wares_model::limits::JOB_INTERRUPTIONS_MAX;
use wares_model::{CallId, JobState, ProblemCode, Timestamp};
use wares_store::{AttemptEnd, BegunJob, JobRecord, Then};

/// How an attempt ended.
enum Ended {
    /// The call was never let in: it has no entry in the ledger and uses up none of the job's attempts.
    Refused(Box<Explanation>),
    /// The call was let in, and has its entry.
    Made(Result<Answered, CallError>),
    /// Somebody wanted the job ended; whether the call was let in.
    Cancelled(bool),
}

impl Calls {
    /// Makes a call whose id is known already. `let_in` says whether it was admitted, also while it runs.
    async fn attempt(&self, call: CallId, request: Request, arguments: &[u8], let_in: &AtomicBool) -> Ended {
        let refuse = |error: CallError| {
            telemetry::refused(&error);
            Ended::Refused(error.explanation)
        };
        let prepared = match self.prepare_as(call, request).await {
            Ok(prepared) => prepared,
            Err(error) => return Ended::Refused(error.explanation),
        };
        let bytes_max = prepared.version.limits.body_bytes_max;
        if arguments.len() as u64 > bytes_max {
            let detail = format!("the arguments are over {bytes_max} bytes, the limit of the version that serves now");
            return refuse(CallError::new(call, Explanation::new(ProblemCode::TooLarge, detail)));
        }
        match self.enter(&prepared, arguments).await {
            Err(error) => refuse(error),
            Ok(entered) => {
                let_in.store(true, Ordering::Relaxed);
                Ended::Made(self.execute(&prepared, entered, arguments.len()).await)
            }
        }
    }
}

impl Inner {
    /// Makes an attempt at a job, and says how it ended and what happens next.
    pub(super) async fn attempt(&self, begun: &BegunJob, cancelled: &CancellationToken) -> AttemptEnd {
        let BegunJob { record, arguments, call } = begun;
        if let Some(given_up) = given_up(record) {
            return self.end(record, Ended::Refused(Box::new(given_up)));
        }
        let request = match self.request(record) {
            Ok(request) => request,
            Err(explanation) => return self.end(record, Ended::Refused(explanation)),
        };
        let let_in = AtomicBool::new(false);
        // The call comes first: one that has ended is not cancelled any more.
        let ended = tokio::select! {
            biased;
            ended = self.calls.attempt(*call, request, arguments, &let_in) => ended,
            () = cancelled.cancelled() => Ended::Cancelled(let_in.load(Ordering::Relaxed)),
        };
        self.end(record, ended)
    }

    /// The end of an attempt in which the host itself failed.
    pub(super) fn failed_in_host(&self, job: &JobRecord, call: CallId, error: &dyn fmt::Display) -> AttemptEnd {
        self.end(job, Ended::Made(Err(CallError::host(call, error))))
    }

    fn end(&self, job: &JobRecord, ended: Ended) -> AttemptEnd {
        let at = Timestamp::now();
        let finish = |state| Then::Finish { state, result_bytes: None, result: None };
        let (outcome, problem, then) = match ended {
            Ended::Made(Ok(answered)) => {
                let result_bytes = answered.json.len() as u64;
                let result = Some(answered.json).filter(|_| result_bytes <= self.policy.result_bytes_max);
                let then = Then::Finish { state: JobState::Succeeded, result_bytes: Some(result_bytes), result };
                (Some("ok".to_owned()), None, then)
            }
            Ended::Cancelled(let_in) => {
                (let_in.then(|| "cancelled".to_owned()), job.problem.clone(), finish(JobState::Cancelled))
            }
            // The call was made, but its entry could not be written: what cannot be counted has not been served.
            Ended::Made(Err(error)) if error.explanation.code == ProblemCode::LedgerUnavailable => {
                let next = after_refusal(job, &error.explanation, at);
                (None, Some(self.problem(&error.explanation)), next.map_or(finish(JobState::Dead), Then::Again))
            }
            Ended::Made(Err(error)) => {
                let next = after_failure(job, &error.explanation, at);
                let outcome = error.explanation.code.as_str().to_owned();
                let then = next.map_or(finish(JobState::Dead), Then::Again);
                (Some(outcome), Some(self.problem(&error.explanation)), then)
            }
            Ended::Refused(explanation) => {
                let next = after_refusal(job, &explanation, at);
                (None, Some(self.problem(&explanation)), next.map_or(finish(JobState::Dead), Then::Again))
            }
        };
        telemetry::job_attempt(outcome.clone().unwrap_or_else(|| "refused".to_owned()));
        AttemptEnd { at, outcome, problem, then }
    }

    /// The JSON of what went wrong. A component's own error that is too large to be kept is left out.
    fn problem(&self, explanation: &Explanation) -> String {
        let json = |explanation: &Explanation| serde_json::to_string(explanation).unwrap_or_default();
        if explanation.error_bytes() as u64 <= self.policy.result_bytes_max {
            return json(explanation);
        }
        let detail = format!("{} ({} bytes of error are not kept)", explanation.detail, explanation.error_bytes());
        json(&Explanation::new(explanation.code, detail))
    }
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
    // Too much to do, or a fault of the host: the statuses after which a client would try again too.
    let passes = matches!(explanation.code.status(), 429 | 500 | 503);
    let asked = explanation.retry_after.map(Duration::from_secs).unwrap_or_default();
    let next = at.plus(backoff::after_refusals(job.refusals + 1).max(asked));
    (passes && next < job.deadline_at).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wares_model::{Digest, JobId, Retry};

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
    fn a_job_that_may_be_what_ends_the_host_is_given_up() {
        assert!(given_up(&job()).is_none());
        assert!(given_up(&JobRecord { interruptions: JOB_INTERRUPTIONS_MAX, ..job() }).is_none());
        assert!(given_up(&JobRecord { interruptions: JOB_INTERRUPTIONS_MAX + 1, ..job() }).is_some());
        assert!(given_up(&JobRecord { deadline_at: Timestamp::now(), ..job() }).is_some());
    }
}
