//! What addresses name: components with a version or a requirement, and typed query strings.

use crate::requests::Ongoing;
use crate::{App, Problem, body};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use serde::de::DeserializeOwned;
use wares_model::limits::{ADDRESS_BYTES_MAX, INTERFACE_NAME_BYTES_MAX};
use wares_model::{ComponentName, ProblemCode, Version, VersionReq};

/// Path parameters, with a problem document when they do not parse or are longer than any.
pub(crate) struct Path<T>(pub(crate) T);

/// A query string, with a problem document when it does not parse, has unknown parameters or is longer than any.
pub(crate) struct Query<T>(pub(crate) T);

/// A JSON body, with a problem document when it does not parse.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, state: &S) -> Result<Self, Problem> {
        check_length("the address", parts.uri.path().len(), ADDRESS_BYTES_MAX)?;
        let axum::extract::Path(value) = axum::extract::Path::from_request_parts(parts, state).await?;
        Ok(Self(value))
    }
}

/// Bytes of a body that is read as JSON, other than the arguments of calls.
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
        check_length("the query string", parts.uri.query().unwrap_or_default().len(), ADDRESS_BYTES_MAX)?;
        let query = axum::extract::Query::from_request_parts(parts, state).await;
        query.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection: QueryRejection| {
            let text = rejection.body_text();
            let what = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Problem::bad_request(format!("query string: {what}"))
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
                Self::new(ProblemCode::Unsupported, "the body must be JSON: send `Content-Type: application/json`")
            }
            other => Self::bad_request(format!("body: {}", other.body_text())),
        }
    }
}

/// The name of an interface or a function, in an address.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Problem> {
    check_length(what, name.len(), INTERFACE_NAME_BYTES_MAX)
}

fn check_length(what: &str, bytes: usize, bytes_max: usize) -> Result<(), Problem> {
    match bytes > bytes_max {
        true => Err(Problem::bad_request(format!("{what} has {bytes} bytes: at most {bytes_max} are taken"))),
        false => Ok(()),
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
