//! Deployments: which versions take traffic, and their history.

use crate::auth::{Admin, AnyKey};
use crate::page::{Page, PageQuery};
use crate::path::{self, Json, Path, Query};
use crate::{App, Problem};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use wares_catalog::{Catalog, DeployRequest, RollbackRequest};
use wares_model::{ProblemCode, ShadowTraffic, Stickiness, Version};
use wares_store::Deployment;

/// Below `/v1`.
pub(crate) const DEPLOYMENT: &str = "/components/{namespace}/{name}/deployment";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route(DEPLOYMENT, get(show).put(deploy))
        .route(&format!("{DEPLOYMENT}/rollback"), post(rollback))
        .route(&format!("{DEPLOYMENT}/history"), get(history))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeployBody {
    traffic: BTreeMap<Version, u32>,
    #[serde(default)]
    stickiness: Stickiness,
    shadow: Option<ShadowTraffic>,
    reason: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RollbackBody {
    to: Option<u64>,
    reason: Option<String>,
}

async fn show(
    State(catalog): State<Arc<Catalog>>,
    _key: AnyKey,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let name = path::component(&namespace, &name)?;
    let deployment = catalog.snapshot().find(&name)?.deployment.clone();
    let nothing =
        || Problem::new(ProblemCode::NotFound, format!("{name} has no deployment; an operator can deploy a version"));
    Ok(tagged(deployment.as_deref().ok_or_else(nothing)?))
}

async fn deploy(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<DeployBody>,
) -> Result<Response, Problem> {
    let component = path::component(&namespace, &name)?;
    let DeployBody { traffic, stickiness, shadow, reason } = body;
    let expected = if_match(&headers)?;
    let request = DeployRequest { component, traffic, stickiness, shadow, actor: admin.actor, reason, expected };
    let deployment = catalog.deploy(request).await?;
    Ok(warned(&catalog, &deployment).await)
}

async fn rollback(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let component = path::component(&namespace, &name)?;
    // The body is optional: without one the deployment goes one step back.
    let RollbackBody { to, reason } = match body.is_empty() {
        true => RollbackBody::default(),
        false => serde_json::from_slice(&body).map_err(|error| Problem::bad_request(format!("body: {error}")))?,
    };
    let expected = if_match(&headers)?;
    let request = RollbackRequest { component, to, actor: admin.actor, reason, expected };
    let deployment = catalog.rollback(request).await?;
    Ok(warned(&catalog, &deployment).await)
}

async fn history(
    State(catalog): State<Arc<Catalog>>,
    _key: AnyKey,
    Path((namespace, name)): Path<(String, String)>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<Deployment>>, Problem> {
    let name = path::component(&namespace, &name)?;
    catalog.snapshot().find(&name)?;
    let before = page.cursor().map(str::parse).transpose();
    let before = before.map_err(|_| Problem::bad_request("cursor: it is not one that this list gave"))?;
    let limit = u32::try_from(page.limit()).unwrap_or(u32::MAX);
    let items = catalog.store().deployment_history(&name, limit, before).await?;
    let next = items.last().filter(|last| items.len() == page.limit() && last.revision > 1);
    let next = next.map(|last| last.revision.to_string());
    Ok(axum::Json(Page { items, next }))
}

/// A new deployment, and whom it breaks.
#[derive(Serialize)]
struct Warned<'a> {
    #[serde(flatten)]
    deployment: &'a Deployment,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

async fn warned(catalog: &Catalog, deployment: &Deployment) -> Response {
    let warnings = catalog.broken_by_deployment(&deployment.component).await;
    let tag = format!("\"{}\"", deployment.revision);
    ([(header::ETAG, tag)], axum::Json(Warned { deployment, warnings })).into_response()
}

fn tagged(deployment: &Deployment) -> Response {
    let tag = format!("\"{}\"", deployment.revision);
    ([(header::ETAG, tag)], axum::Json(deployment)).into_response()
}

/// The revision that a change builds on.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let revision = value.to_str().ok().and_then(|text| text.trim().trim_matches('"').parse().ok());
    let wrong = || Problem::bad_request("If-Match: send the ETag of what is changed as it was read, for example \"3\"");
    revision.map(Some).ok_or_else(wrong)
}
