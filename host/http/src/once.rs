//! Calls with an `Idempotency-Key`: made once, and answered alike from then on.

use crate::problem::{CALL_ID, COMPONENT, OUTCOME, VERSION};
use crate::requests::Ongoing;
use crate::{App, Problem, body, calls};
use axum::body::Body;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse as _, Response};
use wares_call::{Asked, Explanation, IdempotencyKey, OnceError, Replay, Request};
use wares_model::ProblemCode;

/// Tells that an answer is one of before.
const REPLAYED: (HeaderName, &str) = (HeaderName::from_static("wares-replayed"), "true");

/// Answers a call, or answers again.
pub(crate) async fn answer(
    app: App,
    key: IdempotencyKey,
    request: Request,
    ongoing: Ongoing,
    body: Body,
) -> Result<Response, Problem> {
    let prepared = app.calls.prepare(request.clone()).await?;
    let body = body::read(body, prepared.version().limits.body_bytes_max, "the arguments are", &ongoing).await?;
    match app.calls.once(&request, key, &body).await? {
        Asked::Again(replay) => Ok(again(replay)),
        Asked::First(once) => {
            // To its end, also when nobody waits for it any more: who asks again has its answer.
            let made = tokio::spawn(async move {
                let held = calls::held(&ongoing)?;
                let ended = app.calls.run_once(&prepared, &body, held, &once).await;
                Ok(calls::respond(&app, &prepared, &body, ended))
            });
            made.await.map_err(|panic| Problem::host(&panic))?
        }
    }
}

fn again(replay: Replay) -> Response {
    let Replay { call, outcome, component, version, ending } = replay;
    let headers = [
        (CALL_ID, call.to_string()),
        (COMPONENT, component.to_string()),
        (VERSION, version.to_string()),
        (OUTCOME, outcome.to_string()),
    ];
    match ending {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json"), REPLAYED], headers, json).into_response(),
        Err(explanation) => ([REPLAYED], headers, Problem::of_call(call, *explanation)).into_response(),
    }
}

impl From<OnceError> for Problem {
    fn from(error: OnceError) -> Self {
        match ProblemCode::from(&error) {
            ProblemCode::HostError => Self::host(&error),
            code => {
                let explanation = Explanation::new(code, error.to_string());
                Explanation { retry_after: error.retry_after(), ..explanation }.into()
            }
        }
    }
}
