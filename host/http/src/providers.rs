//! Who provides an interface for whom, and who uses whom.

use crate::apart::apart;
use crate::auth::{Admin, AnyKey};
use crate::deployments::Warned;
use crate::page::{Page, PageQuery, Pair};
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
use wares_store::{ChoicePlace, ProviderRecord};

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
    #[serde(default, deserialize_with = "crate::page::limit_from_text")]
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn graph(
    State(catalog): State<Arc<Catalog>>,
    AnyKey(caller): AnyKey,
    Query(GraphQuery { component, limit, cursor }): Query<GraphQuery>,
) -> Result<axum::Json<Page<GraphNode>>, Problem> {
    let snapshot = Arc::clone(&catalog.snapshot());
    component.iter().try_for_each(|component| snapshot.find(component).map(drop))?;
    // What is chosen for other tenants is the operator's business.
    let sees_all = caller.key.role == Role::Admin;
    let page = PageQuery::new(limit, cursor);
    apart(&caller, move || {
        let nodes = snapshot.graph(component.as_ref(), |one| sees_all || one.tenant.is_none());
        Page::of(nodes, &page, |node| node.component.clone(), |node| node).map(axum::Json)
    })
    .await?
}

async fn list(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<ProviderRecord>>, Problem> {
    let choices: Vec<_> = catalog.snapshot().choices().cloned().collect();
    let tenant = |choice: &ProviderRecord| choice.tenant.as_ref().map(TenantId::to_string).unwrap_or_default();
    let key = |choice: &ProviderRecord| Pair(choice.interface.clone(), tenant(choice));
    Page::of(choices, &page, key, |choice| choice).map(axum::Json)
}

async fn choose(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((package, name)): Path<(String, String)>,
    Json(ChoiceBody { component, tenant, reason }): Json<ChoiceBody>,
) -> Result<axum::Json<Warned<ProviderRecord>>, Problem> {
    let (interface, component, actor) = (interface(&package, &name)?, Some(component), admin.actor);
    change(&catalog, ProviderRequest { interface, tenant, component, actor, reason }).await
}

async fn take_back(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((package, name)): Path<(String, String)>,
    Query(TakeBackQuery { tenant, reason }): Query<TakeBackQuery>,
) -> Result<axum::Json<Warned<ProviderRecord>>, Problem> {
    let (interface, actor) = (interface(&package, &name)?, admin.actor);
    change(&catalog, ProviderRequest { interface, tenant, component: None, actor, reason }).await
}

async fn change(catalog: &Catalog, request: ProviderRequest) -> Result<axum::Json<Warned<ProviderRecord>>, Problem> {
    let shown = catalog.choose_provider(request).await?;
    let warnings = catalog.broken_by_choice(&shown.interface).await;
    Ok(axum::Json(Warned { shown, warnings }))
}

async fn history(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((package, name)): Path<(String, String)>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<ProviderRecord>>, Problem> {
    let interface = interface(&package, &name)?.unversioned();
    let items = catalog.store().provider_history(&interface, page.read_limit(), page.after()?).await?;
    Ok(axum::Json(Page::read(items, &page, ChoicePlace::of)))
}

/// The interface that an address names; a choice holds for all versions of it.
fn interface(package: &str, name: &str) -> Result<InterfaceName, Problem> {
    let (name, _) = path::with_requirement(name)?;
    format!("{package}/{name}").parse().map_err(|error: wares_model::interface::ParseInterfaceNameError| {
        Problem::bad_request(format!("{error}; in an address it is {{namespace}}:{{package}}/{{interface}}"))
    })
}
