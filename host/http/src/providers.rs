//! Who provides an interface for whom, and who uses whom.

use crate::auth::{Admin, AnyKey};
use crate::page::Page;
use crate::path::{self, Json, Path, Query};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, put};
use serde::Deserialize;
use std::sync::Arc;
use wares_catalog::graph::GraphNode;
use wares_catalog::providers::ProviderRequest;
use wares_catalog::{Catalog, Role};
use wares_model::{ComponentName, InterfaceName, TenantId};
use wares_store::ProviderRecord;

/// Choices that an interface's history shows.
const HISTORY_MAX: u32 = 100;

pub(crate) fn routes() -> Router<App> {
    const PROVIDER: &str = "/providers/{package}/{interface}";
    Router::new()
        .route("/graph", get(graph))
        .route("/providers", get(list))
        .route(PROVIDER, put(choose).delete(take_back))
        .route(&format!("{PROVIDER}/history"), get(history))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChoiceBody {
    component: ComponentName,
    /// For all, if left out.
    tenant: Option<TenantId>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TakeBackQuery {
    tenant: Option<TenantId>,
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GraphQuery {
    component: Option<ComponentName>,
}

async fn graph(
    State(catalog): State<Arc<Catalog>>,
    AnyKey(caller): AnyKey,
    Query(query): Query<GraphQuery>,
) -> Result<axum::Json<Page<GraphNode>>, Problem> {
    let snapshot = catalog.snapshot();
    query.component.iter().try_for_each(|component| snapshot.find(component).map(drop))?;
    let mut items = snapshot.graph(query.component.as_ref());
    if caller.key.role != Role::Admin {
        // What is chosen for other tenants is the operator's business.
        items.iter_mut().for_each(|node| node.uses.retain(|one| one.tenant.is_none()));
    }
    Ok(axum::Json(Page { items, next: None }))
}

async fn list(State(catalog): State<Arc<Catalog>>, _admin: Admin) -> axum::Json<Page<ProviderRecord>> {
    let mut items: Vec<_> = catalog.snapshot().choices().cloned().collect();
    items.sort_by(|a, b| (&a.interface, &a.tenant).cmp(&(&b.interface, &b.tenant)));
    axum::Json(Page { items, next: None })
}

async fn choose(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((package, name)): Path<(String, String)>,
    Json(ChoiceBody { component, tenant, reason }): Json<ChoiceBody>,
) -> Result<axum::Json<ProviderRecord>, Problem> {
    let (interface, component, actor) = (interface(&package, &name)?, Some(component), admin.actor);
    let request = ProviderRequest { interface, tenant, component, actor, reason };
    Ok(axum::Json(catalog.choose_provider(request).await?))
}

async fn take_back(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((package, name)): Path<(String, String)>,
    Query(TakeBackQuery { tenant, reason }): Query<TakeBackQuery>,
) -> Result<axum::Json<ProviderRecord>, Problem> {
    let (interface, actor) = (interface(&package, &name)?, admin.actor);
    let request = ProviderRequest { interface, tenant, component: None, actor, reason };
    Ok(axum::Json(catalog.choose_provider(request).await?))
}

async fn history(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((package, name)): Path<(String, String)>,
) -> Result<axum::Json<Page<ProviderRecord>>, Problem> {
    let interface = interface(&package, &name)?.unversioned();
    let items = catalog.store().provider_history(&interface, HISTORY_MAX).await?;
    Ok(axum::Json(Page { items, next: None }))
}

/// The interface that an address names; a choice holds for all versions of it.
fn interface(package: &str, name: &str) -> Result<InterfaceName, Problem> {
    let (name, _) = path::with_requirement(name)?;
    format!("{package}/{name}").parse().map_err(|error: wares_model::interface::ParseInterfaceNameError| {
        Problem::bad_request(format!("{error}; in an address it is {{namespace}}:{{package}}/{{interface}}"))
    })
}
