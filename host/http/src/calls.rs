//! Calls by component and by interface.

use crate::afterwards::drop_afterwards;
use crate::auth::TenantKey;
use crate::jobs::{self, When};
use crate::lifecycle;
use crate::media::JsonBody;
use crate::path::{self, Path};
use crate::problem::{CALL_ID, COMPONENT, OUTCOME, VERSION};
use crate::request_id::RequestId;
use crate::requests::Ongoing;
use crate::traced::Traced;
use crate::{App, Problem, body, once};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::routing::post;
use std::fmt::Write as _;
use std::sync::Arc;
use wares_call::{Answered, CallError, Held, Prepared, Request, Timing};
use wares_catalog::Target;
use wares_engine::TraceParent;
use wares_model::{ComponentName, Outcome};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
/// What a value of it usually takes.
const SERVER_TIMING_BYTES: usize = 112;
/// How a call ended that has a result.
pub(crate) const OK: (HeaderName, HeaderValue) = (OUTCOME, HeaderValue::from_static(Outcome::Ok.as_str()));

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/call/{namespace}/{name}/{function}", post(by_world))
        .route("/v1/call/{namespace}/{name}/{interface}/{function}", post(by_component))
        .route("/v1/interfaces/{package}/{interface}/{function}", post(by_interface))
}

async fn by_world(
    State(app): State<App>,
    asker: Asker,
    Path((namespace, name, function)): Path<(String, String, String)>,
    body: Body,
) -> Result<Response, Problem> {
    asker.call(app, component(&namespace, &name)?, None, function, body).await
}

async fn by_component(
    State(app): State<App>,
    asker: Asker,
    Path((namespace, name, interface, function)): Path<(String, String, String, String)>,
    body: Body,
) -> Result<Response, Problem> {
    asker.call(app, component(&namespace, &name)?, Some(interface), function, body).await
}

async fn by_interface(
    State(app): State<App>,
    asker: Asker,
    Path((package, interface, function)): Path<(String, String, String)>,
    body: Body,
) -> Result<Response, Problem> {
    let package: ComponentName = package.parse().map_err(|_| {
        Problem::bad_request(format!(
            "{package:?} is not a WIT package: write namespace:package, for example form:report"
        ))
    })?;
    path::check_name("the interface's name", &interface)?;
    let (interface, requirement) = path::with_requirement(&interface)?;
    let target = Target::Interface { package, interface: interface.to_owned(), requirement };
    asker.call(app, target, None, function, body).await
}

/// Who calls, and all that the head of the request says of how.
struct Asker {
    key: TenantKey,
    when: When,
    trace: TraceParent,
    request_id: Option<Arc<str>>,
    ongoing: Ongoing,
}

impl FromRequestParts<App> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let key = TenantKey::from_request_parts(parts, app).await?;
        let when = When::from_request_parts(parts, app).await?;
        let JsonBody = JsonBody::from_request_parts(parts, app).await?;
        let Ok(Traced(trace)) = Traced::from_request_parts(parts, app).await;
        let Ok(RequestId(request_id)) = RequestId::from_request_parts(parts, app).await;
        let Ok(ongoing) = Ongoing::from_request_parts(parts, app).await;
        Ok(Self { key, when, trace, request_id, ongoing })
    }
}

impl Asker {
    /// Has the function called, whenever the answer is wanted.
    async fn call(
        self,
        app: App,
        target: Target,
        interface: Option<String>,
        function: String,
        body: Body,
    ) -> Result<Response, Problem> {
        path::check_name("the interface's name", interface.as_deref().unwrap_or_default())?;
        path::check_name("the function's name", &function)?;
        let Self { key: TenantKey { tenant, application }, when, trace, request_id, ongoing } = self;
        let request = Request { tenant, application, target, interface, function, trace, request_id };
        answer(app, when, request, ongoing, body).await
    }
}

pub(crate) fn component(namespace: &str, name: &str) -> Result<Target, Problem> {
    let (name, requirement) = path::with_requirement(name)?;
    Ok(Target::Component { name: path::component(namespace, name)?, requirement })
}

async fn answer(app: App, when: When, request: Request, ongoing: Ongoing, body: Body) -> Result<Response, Problem> {
    match when {
        When::Now => {}
        When::Once(key) => return once::answer(app, key, request, ongoing, body).await,
        When::Later(key) => return jobs::queue(&app.jobs, request, key, &ongoing, body).await,
    }
    let prepared = app.calls.prepare(request).await?;
    let body = body::read(body, prepared.version().limits.body_bytes_max, "the arguments are", &ongoing).await?;
    let ended = app.calls.run(&prepared, &body, held(&ongoing)?).await;
    Ok(respond(&app, &prepared, &body, ended))
}

/// What a call's request holds: a key was shown.
pub(crate) fn held(ongoing: &Ongoing) -> Result<&Held, Problem> {
    ongoing.held().ok_or_else(|| Problem::host(&"a call holds nothing"))
}

/// The answer to a call that has ended, which may be made again in another version.
pub(crate) fn respond(
    app: &App,
    prepared: &Arc<Prepared>,
    body: &Bytes,
    ended: Result<Answered, CallError>,
) -> Response {
    let repeat = app.calls.repeat(prepared, body, &ended);
    let response = match ended {
        Ok(answered) => {
            let notices = AppendHeaders(lifecycle::notices(prepared.version()));
            (headers(prepared, &answered.timing), [OK], notices, answered.json).into_response()
        }
        Err(error) => Problem::from(error).into_response(),
    };
    match repeat {
        None => response,
        Some(repeat) => drop_afterwards(response, repeat),
    }
}

/// Which call an answer is of, and what served it.
pub(crate) fn identity(prepared: &Prepared) -> [(HeaderName, String); 3] {
    let record = &prepared.version().record;
    [
        (CALL_ID, prepared.call().to_string()),
        (COMPONENT, record.component.to_string()),
        (VERSION, record.version.to_string()),
    ]
}

fn headers(prepared: &Prepared, timing: &Timing) -> [(HeaderName, String); 5] {
    let [call, component, version] = identity(prepared);
    let Timing { resolve, queue, instantiate, run, ledger } = *timing;
    let parts =
        [("resolve", resolve), ("queue", queue), ("instantiate", instantiate), ("run", run), ("ledger", ledger)];
    let mut timing = String::with_capacity(SERVER_TIMING_BYTES);
    for (name, time) in parts {
        let separator = if timing.is_empty() { "" } else { ", " };
        // Milliseconds, by integers: floating point takes several times as long to print.
        let us = time.as_micros();
        let _ = write!(timing, "{separator}{name};dur={}.{:03}", us / 1_000, us % 1_000);
    }
    [(header::CONTENT_TYPE, "application/json".to_owned()), call, component, version, (SERVER_TIMING, timing)]
}
