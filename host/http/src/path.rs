//! What addresses name: components with a version or a requirement, and typed query strings.

use crate::requests::Ongoing;
use crate::{App, Problem, body};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use serde::de::DeserializeOwned;
use wares_model::{ComponentName, Version, VersionReq};

/// Path parameters, with a problem document when they do not parse.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(crate) struct Path<T>(pub(crate) T);

/// A query string, with a problem document when it does not parse or has unknown parameters.
pub(crate) struct Query<T>(pub(crate) T);

/// A JSON body, with a problem document when it does not parse.
pub(crate) struct Json<T>(pub(crate) T);

/// Bytes of it.
const JSON_BYTES_MAX: u64 = 2 << 20;

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let Ok(ongoing) = Ongoing::from_request_parts(&mut parts, app).await;
        let body = body::read(body, JSON_BYTES_MAX, "the body is", &ongoing).await?;
        let axum::Json(value) = axum::Json::from_request(Request::from_parts(parts, body.into()), app).await?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Problem> {
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection: QueryRejection| {
            Problem::bad_request(format!("query string: {}", rejection.body_text()))
        })
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::bad_request(format!("address: {}", rejection.body_text()))
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        match rejection {
            JsonRejection::MissingJsonContentType(_) => {
                Self::bad_request("the body must be JSON: send `Content-Type: application/json`")
            }
            other => Self::bad_request(format!("body: {}", other.body_text())),
        }
    }
}

/// The component that an address names.
pub(crate) fn component(namespace: &str, name: &str) -> Result<ComponentName, Problem> {
    ComponentName::new(namespace, name).map_err(|error| Problem::bad_request(error.to_string()))
}

/// The version that an address names.
pub(crate) fn version(text: &str) -> Result<Version, Problem> {
    let parsed = text.parse();
    parsed.map_err(|error| Problem::bad_request(format!("{text:?} is not a version such as 1.2.3: {error}")))
}

/// Splits `name@requirement`.
pub(crate) fn with_requirement(text: &str) -> Result<(&str, Option<VersionReq>), Problem> {
    let Some((name, requirement)) = text.split_once('@') else { return Ok((text, None)) };
    let parsed = requirement.parse().map_err(|error| {
        Problem::bad_request(format!(
            "{requirement:?} is not a version requirement ({error}): write @1 or @^1.2 for what is compatible, @=1.2.3 for exactly that version"
        ))
    });
    Ok((name, Some(parsed?)))
}
