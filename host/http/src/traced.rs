//! The trace that a request continues.

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use std::convert::Infallible;
use wares_engine::TraceParent;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What a request says of its trace, as W3C's Trace Context has it.
pub(crate) struct Traced(pub(crate) TraceParent);

impl<S: Sync> FromRequestParts<S> for Traced {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        Ok(Self(match text(TRACEPARENT) {
            None => TraceParent::None,
            Some(traceparent) => TraceParent::of_headers(traceparent, text(TRACESTATE)),
        }))
    }
}
