//! Jobs: calls with `Prefer: respond-async`, and what became of them.

use crate::apart::turn_at_ledger;
use crate::auth::LedgerReader;
use crate::page::{Page, PageQuery, limit_from_text};
use crate::path::{Path, Query};
use crate::requests::Ongoing;
use crate::{App, Problem, body};
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::Duration;
use wares_call::jobs::{JobError, Jobs, Named, Viewer};
use wares_call::{Explanation, IdempotencyKey, Request};
use wares_catalog::{Caller, Role, Target};
use wares_model::limits::JOB_WAIT_SECONDS_MAX;
use wares_model::{CallId, ComponentName, JobId, JobState, ProblemCode, TenantId, Timestamp};
use wares_store::{AttemptRecord, JobDetail, JobQuery, JobRecord};

const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The preference (RFC 7240) that makes a call a job.
const RESPOND_ASYNC: &str = "respond-async";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/jobs", get(list))
        .route("/jobs/{id}", get(show))
        .route("/jobs/{id}/cancel", post(cancel))
        .route("/jobs/{id}/replay", post(replay))
}

/// When the answer to a call is wanted.
pub(crate) enum When {
    /// With the response.
    Now,
    /// With the response, which is kept for whoever asks again.
    Once(IdempotencyKey),
    /// Later, as a job.
    Later(Option<IdempotencyKey>),
}

impl<S: Sync> FromRequestParts<S> for When {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Most calls have neither header.
        let key = parts.headers.get(IDEMPOTENCY_KEY);
        let key = key.map(|key| key.to_str().unwrap_or_default().parse::<IdempotencyKey>()).transpose();
        let key = key.map_err(|error| Problem::bad_request(error.to_string()))?;
        let is_later = parts.headers.contains_key(PREFER) && prefers_later(&parts.headers);
        Ok(match (is_later, key) {
            (true, key) => Self::Later(key),
            (false, Some(key)) => Self::Once(key),
            (false, None) => Self::Now,
        })
    }
}

fn prefers_later(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).into_iter().filter_map(|value| value.to_str().ok());
    let mut preferences = values.flat_map(|value| value.split(',')).filter_map(|one| one.split(';').next());
    preferences.any(|one| one.trim().eq_ignore_ascii_case(RESPOND_ASYNC))
}

/// Queues the call and says where to ask for its answer.
pub(crate) async fn queue(
    jobs: &Jobs,
    request: Request,
    key: Option<IdempotencyKey>,
    ongoing: &Ongoing,
    body: Body,
) -> Result<Response, Problem> {
    let body = body::read(body, jobs.arguments_bytes_max(), "the arguments of a job are", ongoing).await?;
    let record = jobs.queue(request, key, &body).await?;
    let at = [(header::LOCATION, format!("/v1/jobs/{}", record.id))];
    let applied = [(PREFERENCE_APPLIED, RESPOND_ASYNC)];
    Ok((StatusCode::ACCEPTED, at, applied, axum::Json(shape(record)?)).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    state: Option<JobState>,
    tenant: Option<TenantId>,
    #[serde(default, deserialize_with = "limit_from_text")]
    limit: Option<usize>,
    cursor: Option<JobId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShowQuery {
    /// Seconds to wait for the job's end, at most a minute; then it is shown as it is.
    wait: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct JobShape {
    id: JobId,
    state: JobState,
    tenant: TenantId,
    application: String,
    /// What is called, as it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<ComponentName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    package: Option<ComponentName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requirement: Option<String>,
    interface: Option<String>,
    function: String,
    attempts: u32,
    attempts_max: u32,
    interruptions: u32,
    created_at: Timestamp,
    /// When it is tried next, while it is queued.
    next_at: Option<Timestamp>,
    deadline_at: Timestamp,
    finished_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cancel_requested: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<Timestamp>,
    result_bytes: Option<u64>,
    /// What went wrong last; only in the answer for this job alone with the component's own error.
    problem: Option<Problem>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DetailShape {
    #[serde(flatten)]
    job: JobShape,
    calls: Vec<AttemptShape>,
    arguments: Option<Box<RawValue>>,
    /// Left out if there is none, or it is too large to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AttemptShape {
    call: CallId,
    started_at: Timestamp,
    ended_at: Option<Timestamp>,
    outcome: Option<String>,
}

async fn list(
    State(app): State<App>,
    LedgerReader(caller): LedgerReader,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<JobShape>>, Problem> {
    let limit = PageQuery::new(query.limit, None).limit();
    let viewer = viewer(&caller);
    if let (Viewer::Application { tenant, .. }, Some(asked)) = (&viewer, &query.tenant)
        && tenant != asked
    {
        return Err(Problem::new(ProblemCode::Forbidden, "a tenant's key reads that tenant's jobs only"));
    }
    let (tenant, state, before) = (query.tenant, query.state, query.cursor);
    // One more than is shown tells whether there is a next page.
    let _turn = turn_at_ledger(&caller).await?;
    let asked = JobQuery { tenant, application: None, state, before, limit: limit as u32 + 1 };
    let mut jobs = app.jobs.list(viewer.narrowed(asked)).await?;
    let more = jobs.len() > limit;
    jobs.truncate(limit);
    let next = jobs.last().filter(|_| more).map(|last| last.id.to_string());
    Ok(axum::Json(Page { items: jobs.into_iter().map(shape).collect::<Result<_, _>>()?, next }))
}

async fn show(
    State(app): State<App>,
    LedgerReader(caller): LedgerReader,
    Path(id): Path<JobId>,
    Query(ShowQuery { wait }): Query<ShowQuery>,
) -> Result<axum::Json<DetailShape>, Problem> {
    let viewer = viewer(&caller);
    let shown = match wait {
        None => app.jobs.show(id, &viewer).await?,
        Some(seconds) => {
            let patience = Duration::from_secs(seconds.min(JOB_WAIT_SECONDS_MAX));
            app.jobs.show_at_end(id, &viewer, patience).await?
        }
    };
    let JobDetail { record, arguments, result, error, attempts } = shown;
    let attempt =
        |AttemptRecord { call, started_at, ended_at, outcome }| AttemptShape { call, started_at, ended_at, outcome };
    let calls = attempts.into_iter().map(attempt).collect();
    let (arguments, result) = (raw(arguments), result.and_then(raw));
    let job = shape_with(record, error.and_then(|error| RawValue::from_string(error).ok()))?;
    Ok(axum::Json(DetailShape { job, calls, arguments, result }))
}

async fn cancel(
    State(app): State<App>,
    LedgerReader(caller): LedgerReader,
    Path(id): Path<JobId>,
) -> Result<axum::Json<JobShape>, Problem> {
    Ok(axum::Json(shape(app.jobs.cancel(id, &viewer(&caller)).await?)?))
}

async fn replay(
    State(app): State<App>,
    LedgerReader(caller): LedgerReader,
    Path(id): Path<JobId>,
) -> Result<axum::Json<JobShape>, Problem> {
    Ok(axum::Json(shape(app.jobs.replay(id, &viewer(&caller)).await?)?))
}

/// Whose jobs the caller sees.
fn viewer(caller: &Caller) -> Viewer {
    match &caller.key.role {
        Role::Tenant { tenant, application } => {
            Viewer::Application { tenant: tenant.clone(), name: application.clone() }
        }
        // Others do not read the ledger.
        Role::Admin | Role::Reviewer | Role::Publisher { .. } => Viewer::Operator,
    }
}

/// JSON that was read or written by the host before; an empty body is no arguments.
fn raw(json: Vec<u8>) -> Option<Box<RawValue>> {
    String::from_utf8(json).ok().and_then(|text| RawValue::from_string(text).ok())
}

fn shape(record: JobRecord) -> Result<JobShape, Problem> {
    shape_with(record, None)
}

/// With the component's own error, which may be large.
fn shape_with(record: JobRecord, error: Option<Box<RawValue>>) -> Result<JobShape, Problem> {
    let Named { target, interface, function } = Named::of(&record)?;
    let (component, package, requirement, interface) = match target {
        Target::Component { name, requirement } => (Some(name), None, requirement, interface),
        Target::Interface { package, interface, requirement } => (None, Some(package), requirement, Some(interface)),
    };
    let problem = record.problem.as_deref().map(serde_json::from_str::<Explanation>).transpose();
    let problem = problem.map_err(|error| Problem::host(&error))?;
    let problem = problem.map(|problem| Explanation { error, ..problem });
    let (schedule, due_at) = record.due.map(|due| (due.schedule, due.at)).unzip();
    Ok(JobShape {
        id: record.id,
        state: record.state,
        tenant: record.tenant,
        application: record.application,
        component,
        package,
        requirement: requirement.map(|requirement| requirement.to_string()),
        interface,
        function,
        attempts: record.attempts,
        attempts_max: record.retry.attempts_max,
        interruptions: record.interruptions,
        created_at: record.created_at,
        next_at: (record.state == JobState::Queued).then_some(record.next_at),
        deadline_at: record.deadline_at,
        finished_at: record.finished_at,
        cancel_requested: record.cancel_requested,
        idempotency_key: record.idempotency_key,
        schedule,
        due_at,
        result_bytes: record.result_bytes,
        problem: problem.map(Problem::from),
    })
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let code = match error {
            JobError::Call(call) => return call.into(),
            JobError::Store(_) => return Self::host(&error),
            JobError::OtherCall(_) => ProblemCode::KeyReused,
            JobError::State { .. } => ProblemCode::Conflict,
            JobError::TooLarge(_) => ProblemCode::TooLarge,
            JobError::NoJob(_) => ProblemCode::NotFound,
            JobError::Full(_) => {
                return Self::new(ProblemCode::RateLimited, error.to_string()).with_header(header::RETRY_AFTER, "1");
            }
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_is_found_among_others() {
        let cases: [(&[&str], bool); 7] = [
            (&["respond-async"], true),
            (&["Respond-Async; foo=1"], true),
            (&["return=minimal, respond-async, wait=10"], true),
            (&["return=minimal", "respond-async"], true),
            (&["respond-async-not"], false),
            (&["return=respond-async"], false),
            (&[], false),
        ];
        for (values, expected) in cases {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(PREFER, value.parse().unwrap());
            }
            assert_eq!(prefers_later(&headers), expected, "{values:?}");
        }
    }
}
