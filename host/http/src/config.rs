//! Values that operators set over those of manifests.

use crate::auth::Admin;
use crate::page::{Page, PageQuery, Pair};
use crate::path::{self, Json, Path, Query};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use serde::Deserialize;
use std::sync::Arc;
use wares_catalog::{Catalog, ConfigRequest};
use wares_model::config::ConfigScope;
use wares_model::{TenantId, Version};
use wares_store::ConfigRecord;

pub(crate) fn routes() -> Router<App> {
    const CONFIG: &str = "/components/{namespace}/{name}/config";
    Router::new().route(CONFIG, get(list)).route(&format!("{CONFIG}/{{key}}"), put(set).delete(unset))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ValueBody {
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeQuery {
    version: Option<Version>,
    tenant: Option<TenantId>,
}

impl ScopeQuery {
    fn scope(self) -> Result<ConfigScope, Problem> {
        match (self.version, self.tenant) {
            (None, None) => Ok(ConfigScope::Component),
            (Some(version), None) => Ok(ConfigScope::Version(version)),
            (None, Some(tenant)) => Ok(ConfigScope::Tenant(tenant)),
            (Some(_), Some(_)) => Err(Problem::bad_request("a value is for a version or for a tenant, not for both")),
        }
    }
}

async fn list(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((namespace, name)): Path<(String, String)>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<ConfigRecord>>, Problem> {
    let items = catalog.store().config(Some(&path::component(&namespace, &name)?)).await?;
    Page::of(items, &page, |value| Pair(value.key.clone(), value.scope.to_string()), |value| value).map(axum::Json)
}

async fn set(
    State(catalog): State<Arc<Catalog>>,
    Admin { actor }: Admin,
    Path((namespace, name, key)): Path<(String, String, String)>,
    Query(scope): Query<ScopeQuery>,
    Json(ValueBody { value }): Json<ValueBody>,
) -> Result<axum::Json<ConfigRecord>, Problem> {
    let component = path::component(&namespace, &name)?;
    let request = ConfigRequest { component, scope: scope.scope()?, key, value, actor };
    Ok(axum::Json(catalog.set_config(request).await?))
}

async fn unset(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((namespace, name, key)): Path<(String, String, String)>,
    Query(scope): Query<ScopeQuery>,
) -> Result<StatusCode, Problem> {
    catalog.unset_config(&path::component(&namespace, &name)?, &scope.scope()?, &key).await?;
    Ok(StatusCode::NO_CONTENT)
}
