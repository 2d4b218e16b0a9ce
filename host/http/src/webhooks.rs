//! Webhooks: where the applications of a tenant are told of the end of their jobs.

use crate::auth::Admin;
use crate::path::{Json, Path};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, put};
use serde::Serialize;
use std::sync::Arc;
use wares_catalog::Catalog;
use wares_catalog::webhooks::WebhookError;
use wares_model::{ProblemCode, TenantId, Timestamp, WebhookTarget};
use wares_store::{WebhookRecord, WebhookStanding};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/tenants/{id}/webhooks", get(list))
        .route("/tenants/{id}/webhooks/{application}", put(set).delete(remove))
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct WebhookShape {
    tenant: TenantId,
    application: String,
    #[serde(flatten)]
    target: WebhookTarget,
    set_at: Timestamp,
    actor: String,
    /// What messages are signed with; only in the answer to its being set.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// How many ends of jobs it is still to be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<u64>,
    /// Why it was not told last.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

#[derive(Serialize)]
struct WebhooksShape {
    items: Vec<WebhookShape>,
}

async fn list(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path(tenant): Path<TenantId>,
) -> Result<axum::Json<WebhooksShape>, Problem> {
    check_tenant(&catalog, &tenant)?;
    let shown = |WebhookStanding { record, waiting, problem }| WebhookShape {
        waiting: Some(waiting),
        problem,
        ..shape(record)
    };
    let items = catalog.store().webhooks(&tenant).await?.into_iter().map(shown).collect();
    Ok(axum::Json(WebhooksShape { items }))
}

async fn set(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((tenant, application)): Path<(TenantId, String)>,
    Json(target): Json<WebhookTarget>,
) -> Result<axum::Json<WebhookShape>, Problem> {
    let (record, secret) = catalog.set_webhook(tenant, application, target, admin.actor).await?;
    Ok(axum::Json(WebhookShape { secret: Some(secret), ..shape(record) }))
}

async fn remove(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((tenant, application)): Path<(TenantId, String)>,
) -> Result<axum::http::StatusCode, Problem> {
    check_tenant(&catalog, &tenant)?;
    match catalog.remove_webhook(&tenant, &application).await? {
        true => Ok(axum::http::StatusCode::NO_CONTENT),
        false => Err(Problem::new(ProblemCode::NotFound, format!("{application} of {tenant} has no webhook"))),
    }
}

fn check_tenant(catalog: &Catalog, tenant: &TenantId) -> Result<(), Problem> {
    match catalog.snapshot().has_tenant(tenant) {
        true => Ok(()),
        false => Err(Problem::new(ProblemCode::NotFound, format!("there is no tenant {tenant}"))),
    }
}

fn shape(record: WebhookRecord) -> WebhookShape {
    let WebhookRecord { tenant, application, target, set_at, actor } = record;
    WebhookShape { tenant, application, target, set_at, actor, secret: None, waiting: None, problem: None }
}

impl From<WebhookError> for Problem {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Secret(error) => error.into(),
            WebhookError::Url(_) => Self::bad_request(error.to_string()),
            WebhookError::TooMany(_) => Self::new(ProblemCode::Conflict, error.to_string()),
            WebhookError::Random(_) | WebhookError::Store(_) => Self::host(&error),
        }
    }
}
