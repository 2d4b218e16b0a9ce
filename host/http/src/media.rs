//! What a request says of its body: its content type and its encoding, of which each address takes some.

use crate::Problem;
use axum::extract::{FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use wares_model::ProblemCode;

/// The only encoding that is taken.
const IDENTITY: &str = "identity";
/// Where components are published, below `/v1`.
const PUBLICATIONS: &str = "/components";

/// A request whose body is JSON, or says nothing of what it is.
pub(crate) struct JsonBody;

impl<S: Sync> FromRequestParts<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        check(&parts.headers, Taken::Json).map(|()| Self)
    }
}

/// Lets a request through whose body is what its address takes. That of a read means nothing.
pub(crate) async fn require_known(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let taken = if request.uri().path() == PUBLICATIONS { Taken::Wasm } else { Taken::Json };
    match check(request.headers(), taken) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// What an address takes.
#[derive(Clone, Copy)]
enum Taken {
    Json,
    Wasm,
}

impl Taken {
    fn includes(self, essence: &str) -> bool {
        let is = |kind: &str| essence.eq_ignore_ascii_case(kind);
        match self {
            Self::Json => is("application/json") || is_suffixed_json(essence),
            Self::Wasm => is("application/wasm") || is("application/octet-stream"),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Wasm => "application/wasm",
        }
    }
}

/// `application/problem+json` and others that are JSON by their suffix (RFC 6839).
fn is_suffixed_json(essence: &str) -> bool {
    const SUFFIX: &[u8] = b"+json";
    let at = essence.len().checked_sub(SUFFIX.len());
    let suffix = at.and_then(|at| essence.as_bytes().get(at..));
    suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(SUFFIX)) && essence.contains('/')
}

/// Most requests have one content type and no encoding.
fn check(headers: &HeaderMap, taken: Taken) -> Result<(), Problem> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    if let Some(encoding) = encodings.find(|encoding| !is_identity(encoding)) {
        let detail = format!("the body is encoded as {encoding:?}: send it as it is");
        return Err(Problem::new(ProblemCode::Unsupported, detail).with_header(header::ACCEPT_ENCODING, IDENTITY));
    }
    let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let essence = kind.to_str().ok().and_then(|kind| kind.split(';').next()).map(str::trim);
    // curl says of an empty body too what it would be.
    if essence.is_some_and(|essence| taken.includes(essence)) || is_empty(headers) {
        return Ok(());
    }
    let name = taken.name();
    let detail = format!("the body is {kind:?}, and {name} is taken here: send `Content-Type: {name}`");
    Err(Problem::new(ProblemCode::Unsupported, detail))
}

fn is_identity(encoding: &HeaderValue) -> bool {
    encoding.to_str().is_ok_and(|encoding| encoding.trim().eq_ignore_ascii_case(IDENTITY))
}

fn is_empty(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_LENGTH).is_some_and(|length| length == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_taken(taken: Taken, lines: &[(&'static str, &'static str)]) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        check(&headers, taken).is_ok()
    }

    #[test]
    fn a_body_is_what_its_address_takes() {
        for kind in ["application/json", "Application/JSON; charset=utf-8", "application/problem+json", "a/b+JSON ;x"] {
            assert!(is_taken(Taken::Json, &[("content-type", kind)]), "{kind}");
        }
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "", "+json"]
        {
            assert!(!is_taken(Taken::Json, &[("content-type", kind)]), "{kind}");
            assert!(is_taken(Taken::Json, &[("content-type", kind), ("content-length", "0")]), "{kind}");
        }
        assert!(is_taken(Taken::Wasm, &[("content-type", "application/wasm")]));
        assert!(!is_taken(Taken::Wasm, &[("content-type", "application/json")]));
        for taken in [Taken::Json, Taken::Wasm] {
            assert!(is_taken(taken, &[]) && is_taken(taken, &[("content-encoding", "Identity")]));
            assert!(!is_taken(taken, &[("content-encoding", "gzip")]));
            assert!(!is_taken(taken, &[("content-encoding", "identity"), ("content-encoding", "br")]));
        }
    }
}
