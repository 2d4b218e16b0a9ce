//! A client's own name for its request (`X-Request-Id`): echoed on every answer, and kept with the call or its refusal.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::convert::Infallible;
use std::sync::Arc;
use wares_model::limits::REQUEST_ID_BYTES_MAX;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the client calls its request, if it is called anything that can be kept.
pub(crate) struct RequestId(pub(crate) Option<Arc<str>>);

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(of(&parts.headers).and_then(|id| id.to_str().ok()).map(Arc::from)))
    }
}

/// The header, if it is visible ASCII and not too long; others are taken for none.
pub(crate) fn of(headers: &HeaderMap) -> Option<&HeaderValue> {
    let is_kept = |id: &&HeaderValue| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(X_REQUEST_ID).filter(is_kept)
}

/// Says it again, where the answer does not say one itself.
pub(crate) fn echo(headers: &mut HeaderMap, id: Option<HeaderValue>) {
    if let Some(id) = id {
        headers.entry(X_REQUEST_ID).or_insert(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_cannot_be_kept_are_none() {
        let longest = "x".repeat(REQUEST_ID_BYTES_MAX);
        for (text, is_kept) in [("a-1", true), (&longest, true), (&format!("{longest}x"), false), ("", false)] {
            let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_str(text).unwrap())]);
            assert_eq!(of(&headers).is_some(), is_kept, "{text:?}");
        }
        for bytes in ["a b".as_bytes(), "名".as_bytes(), b"a\tb"] {
            let headers = HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::from_bytes(bytes).unwrap())]);
            assert_eq!(of(&headers), None, "{bytes:?}");
        }
    }
}
