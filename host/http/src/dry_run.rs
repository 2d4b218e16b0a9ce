//! `?dry-run=true`: a change is checked and answered as it would be, and nothing is changed.

use crate::{Problem, parameter};
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use wares_catalog::rehearsal::rehearse;

/// Says of an answer that nothing was changed.
const DRY_RUN: HeaderName = HeaderName::from_static("wares-dry-run");

/// Rehearses a change that asks for it. It must be where the change is made: a rehearsal does not leave its task.
pub(crate) async fn rehearsed(mut request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match parameter::take(request.uri_mut(), "dry-run").as_ref().map(Option::as_deref) {
        Ok(None | Some("false")) => next.run(request).await,
        Ok(Some("true")) => {
            let mut response = rehearse(next.run(request)).await;
            response.headers_mut().insert(DRY_RUN, HeaderValue::from_static("true"));
            response
        }
        Ok(Some(other)) => Problem::bad_request(format!("dry-run={other}: it is true or false")).into_response(),
        Err(_) => Problem::bad_request("dry-run: the query cannot be read").into_response(),
    }
}
