//! Lists as CSV: for a request that says `Accept: text/csv` or `?format=csv`, whatever list it asks for.

use crate::negotiate::prefers;
use crate::{Problem, parameter};
use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::{BodyExt as _, Limited};
use serde_json::Value;

/// What is asked for in the query, for those who cannot set headers.
const FORMAT: &str = "format";
/// Bytes of a page as JSON: more than any page has.
const PAGE_BYTES_MAX: usize = 64 << 20;
/// The header with the cursor of the next page, which has no place in the table.
const NEXT_CURSOR: &str = "wares-next-cursor";

const KEYS: [&str; 10] = [
    "id",
    "role",
    "tenant",
    "application",
    "namespace",
    "label",
    "created-at",
    "expires-at",
    "last-used-at",
    "revoked-at",
];

/// The columns that come first in the lists whose items leave some out, so that a table has the same head whatever is in it.
const COLUMNS: &[(&str, &[&str])] = &[
    (
        "/calls",
        &[
            "call",
            "tenant",
            "application",
            "component",
            "version",
            "interface",
            "function",
            "outcome",
            "detail",
            "started",
            "cpu-us",
            "wall-us",
            "memory-peak-bytes",
            "bytes-in",
            "bytes-out",
            "parent",
            "logs",
            "shadow",
        ],
    ),
    (
        "/components/{namespace}/{name}/deployment/history",
        &["component", "revision", "traffic", "stickiness", "shadow", "at", "actor", "reason", "rollout", "evidence"],
    ),
    (
        "/jobs",
        &[
            "id",
            "state",
            "tenant",
            "application",
            "component",
            "package",
            "requirement",
            "interface",
            "function",
            "attempts",
            "attempts-max",
            "interruptions",
            "created-at",
            "next-at",
            "deadline-at",
            "finished-at",
            "cancel-requested",
            "idempotency-key",
            "schedule",
            "due-at",
            "result-bytes",
            "problem",
        ],
    ),
    ("/keys", &KEYS),
    ("/tenants/{tenant}/keys", &KEYS),
    ("/tenants", &["id", "name", "parent", "created-at"]),
    ("/components", &["name", "latest", "deployment"]),
    ("/logs", &["at", "call", "tenant", "component", "version", "function", "stream", "level", "context", "message"]),
];

/// Answers a request for CSV with what its JSON lists.
pub(crate) async fn lists(mut request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let asked = match take_format(request.uri_mut()) {
        Ok(asked) => asked,
        Err(problem) => return problem.into_response(),
    };
    if !asked && !prefers(request.headers().get(header::ACCEPT), "text/csv", "application/json") {
        return next.run(request).await;
    }
    let columns = columns(request.uri().path());
    let response = next.run(request).await;
    if response.status() != StatusCode::OK {
        return response;
    }
    match table(response, columns).await {
        Ok(Ok(csv)) => csv,
        // Who merely accepts CSV takes what there is.
        Ok(Err(json)) if !asked => json,
        Ok(Err(_)) => Problem::bad_request("format=csv: this address answers with no list").into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// The columns that come first in the list at an address.
fn columns(path: &str) -> &'static [&'static str] {
    let is_at = |pattern: &str| {
        let (asked, known) = (path.split('/'), pattern.split('/'));
        asked.clone().count() == known.clone().count()
            && asked.zip(known).all(|(asked, known)| known.starts_with('{') || asked == known)
    };
    COLUMNS.iter().find(|(pattern, _)| is_at(pattern)).map(|(_, columns)| *columns).unwrap_or_default()
}

/// Takes the format out of the query; whether it is `csv`.
fn take_format(uri: &mut Uri) -> Result<bool, Problem> {
    match parameter::take(uri, FORMAT)?.as_deref() {
        None | Some("json") => Ok(false),
        Some("csv") => Ok(true),
        Some(other) => Err(Problem::bad_request(format!("format={other}: a list comes as json or csv"))),
    }
}

/// The table of a list; or the answer as it came if it is none.
async fn table(response: Response, columns: &[&str]) -> Result<Result<Response, Response>, Problem> {
    let is_json = response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == "application/json");
    if !is_json || response.body().size_hint().upper().is_none() {
        return Ok(Err(response));
    }
    let (mut parts, body) = response.into_parts();
    let body = Limited::new(body, PAGE_BYTES_MAX).collect().await.map_err(|error| Problem::host(&error))?.to_bytes();
    let mut answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let items = match answer.get_mut("items").map_or(&mut Value::Null, |items| items).take() {
        Value::Array(items) => items,
        _ => return Ok(Err(Response::from_parts(parts, body.into()))),
    };
    let csv = wares_model::csv::table(columns, &items);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present"));
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::ETAG);
    if let Some(next) = answer.get("next").and_then(Value::as_str)
        && let Ok(next) = HeaderValue::from_bytes(next.as_bytes())
    {
        parts.headers.insert(NEXT_CURSOR, next);
    }
    Ok(Ok(Response::from_parts(parts, Body::from(csv))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_by_the_address() {
        assert_eq!(columns("/tenants/city/keys").first(), Some(&"id"));
        assert_eq!(columns("/components/a/b/deployment/history").get(1), Some(&"revision"));
        for path in ["/tenants/city", "/tenants/city/keys/x", "/tenants", "/", ""] {
            assert!(!columns(path).contains(&"role"), "{path}");
        }
    }
}
