//! Deployments: which versions take traffic, and their history.

use crate::auth::{Admin, AnyKey};
use crate::page::{Page, PageQuery};
use crate::path::{self, Json, Path, Query};
use crate::{App, Problem, etag, lifecycle};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use wares_catalog::{Catalog, DeployRequest, RollbackRequest};
use wares_model::{ComponentName, ProblemCode, ShadowTraffic, Stickiness, Version};
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
    let deployment = deployment.ok_or_else(nothing)?;
    Ok(etag::of_revision(deployment.revision, &*deployment))
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
    // Without a body the deployment goes one step back.
    let RollbackBody { to, reason } = lifecycle::optional(&body)?;
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
    let items = catalog.store().deployment_history(&name, page.read_limit(), page.after()?).await?;
    Ok(axum::Json(Page::read(items, &page, |item| item.revision)))
}

/// What a change leads to, and whom it breaks.
#[derive(Serialize)]
pub(crate) struct Warned<T> {
    #[serde(flatten)]
    pub(crate) shown: T,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

impl<T> Warned<T> {
    /// After the deployment of this component was changed.
    pub(crate) async fn of(catalog: &Catalog, component: &ComponentName, shown: T) -> Self {
        Self { shown, warnings: catalog.broken_by_deployment(component).await }
    }
}

async fn warned(catalog: &Catalog, deployment: &Deployment) -> Response {
    let warned = Warned::of(catalog, &deployment.component, deployment).await;
    etag::of_revision(deployment.revision, warned)
}

/// The revision that a change builds on.
pub(crate) fn if_match(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let revision = value.to_str().ok().and_then(|text| text.trim().trim_matches('"').parse().ok());
    let wrong = || Problem::bad_request("If-Match: send the ETag of what is changed as it was read, for example \"3\"");
    revision.map(Some).ok_or_else(wrong)
}
