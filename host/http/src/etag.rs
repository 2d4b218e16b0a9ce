//! Entity tags of reads, so that a client that knows the current state is told so in a few bytes.

use axum::body::{Body, HttpBody as _};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use serde::Serialize;
use wares_model::Digest;

/// Largest answer that is tagged; larger ones are streamed as they are.
const TAGGED_BYTES_MAX: u64 = 4 << 20;

/// Tags successful reads by their content, and answers `304` when `If-None-Match` names the tag.
pub(crate) async fn tag_reads(request: Request, next: Next) -> Response {
    let is_read = request.method() == Method::GET;
    let known = request.headers().get(header::IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    if !is_read || response.status() != StatusCode::OK {
        return response;
    }
    let response = if response.headers().contains_key(header::ETAG) { response } else { tag(response).await };
    match (known, response.headers().get(header::ETAG)) {
        (Some(known), Some(tag)) if names(&known, tag) => {
            (StatusCode::NOT_MODIFIED, [(header::ETAG, tag.clone())]).into_response()
        }
        _ => response,
    }
}

/// An answer that is tagged with the revision of what it shows: what changes name in `If-Match`.
pub(crate) fn of_revision(revision: u64, shown: impl Serialize) -> Response {
    ([(header::ETAG, format!("\"{revision}\""))], axum::Json(shown)).into_response()
}

async fn tag(response: Response) -> Response {
    let size = response.body().size_hint().upper();
    if size.is_none_or(|size| size > TAGGED_BYTES_MAX) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = body.collect().await.map(|body| body.to_bytes()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let tag: String = Digest::of(&body).hex().chars().take(32).collect();
    if let Ok(tag) = HeaderValue::try_from(format!("\"{tag}\"")) {
        parts.headers.insert(header::ETAG, tag);
    }
    Response::from_parts(parts, Body::from(body))
}

/// Whether the list of tags in `If-None-Match` has this one.
fn names(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known.split(',').map(|one| one.trim().trim_start_matches("W/")).any(|one| one == "*" || one == tag)
}
