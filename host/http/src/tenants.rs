//! Tenants and keys.

use crate::auth::Admin;
use crate::page::{Page, PageQuery};
use crate::path::{Json, Path, Query};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wares_catalog::rehearsal::is_rehearsal;
use wares_catalog::tenancy::{KeyTerms, NewKey};
use wares_catalog::wipe::Wiped;
use wares_catalog::{Catalog, Role, TenancyError};
use wares_model::{KeyId, Namespace, TenantId, TimeOrDay, Timestamp};
use wares_store::{KeyRecord, TenantRecord};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/tenants", get(list).post(create))
        .route("/tenants/{tenant}/keys", get(tenant_keys).post(create_tenant_key))
        .route("/tenants/{tenant}/data", delete(wipe))
        .route("/keys", get(all_keys).merge(post(create_key)))
        .route("/keys/{id}", delete(revoke))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantBody {
    id: TenantId,
    name: Option<String>,
    parent: Option<TenantId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[serde(rename_all = "kebab-case")]
struct TenantKeyBody {
    application: String,
    label: Option<String>,
    expires_at: Option<TimeOrDay>,
}

/// A key that is no tenant's.
#[derive(Deserialize)]
#[serde(tag = "role", rename_all = "kebab-case", rename_all_fields = "kebab-case", deny_unknown_fields)]
enum KeyBody {
    Admin { label: Option<String>, expires_at: Option<TimeOrDay> },
    Reviewer { label: Option<String>, expires_at: Option<TimeOrDay> },
    Publisher { namespace: Namespace, label: Option<String>, expires_at: Option<TimeOrDay> },
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct TenantShape {
    id: TenantId,
    name: String,
    parent: Option<TenantId>,
    created_at: Timestamp,
}

#[derive(Serialize)]
struct WipedShape {
    tenant: TenantId,
    /// Key-value pairs that went, beside the files.
    pairs: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct KeyShape {
    id: KeyId,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    application: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<Namespace>,
    label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
    revoked_at: Option<Timestamp>,
}

async fn list(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<TenantShape>>, Problem> {
    let snapshot = catalog.snapshot();
    let key = |tenant: &&TenantRecord| tenant.id.clone();
    Page::of(snapshot.tenants(), &page, key, |tenant| tenant_shape(tenant.clone())).map(axum::Json)
}

async fn create(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Json(body): Json<TenantBody>,
) -> Result<(StatusCode, axum::Json<TenantShape>), Problem> {
    let TenantBody { id, name, parent } = body;
    let name = name.unwrap_or_else(|| id.to_string());
    let record = catalog.create_tenant(id, name, parent).await?;
    Ok((StatusCode::CREATED, axum::Json(tenant_shape(record))))
}

async fn wipe(
    State(app): State<App>,
    _admin: Admin,
    Path(tenant): Path<TenantId>,
) -> Result<axum::Json<WipedShape>, Problem> {
    let Wiped { pairs } = app.jobs.wipe_tenant(&tenant).await?;
    Ok(axum::Json(WipedShape { tenant, pairs }))
}

async fn tenant_keys(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path(tenant): Path<TenantId>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<KeyShape>>, Problem> {
    if !catalog.snapshot().has_tenant(&tenant) {
        return Err(TenancyError::NoTenant(tenant).into());
    }
    keys(&catalog, &page, |role| matches!(role, Role::Tenant { tenant: of, .. } if *of == tenant)).await
}

async fn all_keys(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<KeyShape>>, Problem> {
    keys(&catalog, &page, |_| true).await
}

async fn create_tenant_key(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path(tenant): Path<TenantId>,
    Json(body): Json<TenantKeyBody>,
) -> Result<(StatusCode, axum::Json<KeyShape>), Problem> {
    let TenantKeyBody { application, label, expires_at } = body;
    let terms = terms(&catalog, label, expires_at);
    created(catalog.create_key(Role::Tenant { tenant, application }, terms).await?)
}

async fn create_key(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Json(body): Json<KeyBody>,
) -> Result<(StatusCode, axum::Json<KeyShape>), Problem> {
    let (role, label, expires_at) = match body {
        KeyBody::Admin { label, expires_at } => (Role::Admin, label, expires_at),
        KeyBody::Reviewer { label, expires_at } => (Role::Reviewer, label, expires_at),
        KeyBody::Publisher { namespace, label, expires_at } => (Role::Publisher { namespace }, label, expires_at),
    };
    let terms = terms(&catalog, label, expires_at);
    created(catalog.create_key(role, terms).await?)
}

fn terms(catalog: &Catalog, label: Option<String>, expires_at: Option<TimeOrDay>) -> KeyTerms {
    KeyTerms { label, expires_at: expires_at.map(|at| at.in_zone(&catalog.policy().time_zone)) }
}

async fn revoke(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path(id): Path<KeyId>,
) -> Result<StatusCode, Problem> {
    catalog.revoke_key(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn keys(
    catalog: &Catalog,
    page: &PageQuery,
    wanted: impl Fn(&Role) -> bool,
) -> Result<axum::Json<Page<KeyShape>>, Problem> {
    let mut keys = catalog.store().keys().await?;
    keys.retain(|key| wanted(&key.role));
    let uses = catalog.snapshot().key_uses();
    for key in &mut keys {
        key.used_at = uses.get(&key.id).copied().max(key.used_at);
    }
    Page::of(keys, page, |key| key.id, |key| key_shape(&key, None)).map(axum::Json)
}

fn created(key: NewKey) -> Result<(StatusCode, axum::Json<KeyShape>), Problem> {
    // A key that was not made opens nothing.
    let text = (!is_rehearsal()).then_some(key.text);
    Ok((StatusCode::CREATED, axum::Json(key_shape(&key.record, text))))
}

fn tenant_shape(record: TenantRecord) -> TenantShape {
    let TenantRecord { id, parent, name, created_at } = record;
    TenantShape { id, name, parent, created_at }
}

fn key_shape(record: &KeyRecord, key: Option<String>) -> KeyShape {
    let (role, tenant, application, namespace) = match record.role.clone() {
        Role::Admin => ("admin", None, None, None),
        Role::Reviewer => ("reviewer", None, None, None),
        Role::Publisher { namespace } => ("publisher", None, None, Some(namespace)),
        Role::Tenant { tenant, application } => ("tenant", Some(tenant), Some(application), None),
    };
    let KeyRecord { id, label, created_at, expires_at, used_at: last_used_at, revoked_at, .. } = record.clone();
    KeyShape { id, role, tenant, application, namespace, label, key, created_at, expires_at, last_used_at, revoked_at }
}
