//! Secrets: set and removed, and listed without their values, which no answer ever holds.

use crate::auth::Admin;
use crate::page::{Page, PageQuery, Pair, limit_from_text};
use crate::path::{self, Json, Path, Query};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use std::sync::Arc;
use wares_catalog::Catalog;
use wares_catalog::secrets::Resealed;
use wares_model::TenantId;
use wares_model::grants::Label;
use wares_store::SecretRecord;
use zeroize::Zeroizing;

pub(crate) fn routes() -> Router<App> {
    const SECRETS: &str = "/components/{namespace}/{name}/secrets";
    Router::new()
        .route(SECRETS, get(list))
        .route(&format!("{SECRETS}/{{secret}}"), get(show).put(set).delete(remove))
        .route("/secrets/rekey", post(rekey))
}

/// A secret on its way in.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretBody {
    value: Zeroizing<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForTenant {
    tenant: Option<TenantId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    tenant: Option<TenantId>,
    #[serde(default, deserialize_with = "limit_from_text")]
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn list(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((namespace, name)): Path<(String, String)>,
    Query(ListQuery { tenant, limit, cursor }): Query<ListQuery>,
) -> Result<axum::Json<Page<SecretRecord>>, Problem> {
    let mut items = catalog.store().secrets(&path::component(&namespace, &name)?).await?;
    items.retain(|secret| tenant.is_none() || secret.tenant == tenant);
    let page = PageQuery::new(limit, cursor);
    Page::of(items, &page, place, |secret| secret).map(axum::Json)
}

fn place(secret: &SecretRecord) -> Pair {
    Pair(secret.name.to_string(), secret.tenant.as_ref().map(TenantId::to_string).unwrap_or_default())
}

async fn show(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((namespace, name, secret)): Path<(String, String, String)>,
    Query(ForTenant { tenant }): Query<ForTenant>,
) -> Result<axum::Json<SecretRecord>, Problem> {
    let component = path::component(&namespace, &name)?;
    Ok(axum::Json(catalog.secret(&component, &label(&secret)?, tenant.as_ref()).await?))
}

async fn set(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((namespace, name, secret)): Path<(String, String, String)>,
    Query(ForTenant { tenant }): Query<ForTenant>,
    Json(SecretBody { value }): Json<SecretBody>,
) -> Result<axum::Json<SecretRecord>, Problem> {
    let component = path::component(&namespace, &name)?;
    Ok(axum::Json(catalog.set_secret(component, label(&secret)?, tenant, &value, &admin.actor).await?))
}

async fn remove(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((namespace, name, secret)): Path<(String, String, String)>,
    Query(ForTenant { tenant }): Query<ForTenant>,
) -> Result<StatusCode, Problem> {
    let component = path::component(&namespace, &name)?;
    catalog.remove_secret(&component, &label(&secret)?, tenant.as_ref()).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn rekey(State(catalog): State<Arc<Catalog>>, _admin: Admin) -> Result<axum::Json<Resealed>, Problem> {
    Ok(axum::Json(catalog.vault().reseal().await?))
}

fn label(text: &str) -> Result<Label, Problem> {
    text.parse().map_err(|error: wares_model::grants::ParseLabelError| Problem::bad_request(error.to_string()))
}
