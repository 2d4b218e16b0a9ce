//! Who provides an interface for whom, and who uses whom.

use crate::apart::apart;
use crate::auth::{Admin, AnyKey};
use crate::deployments::Warned;
use crate::page::{Page, PageQuery};
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
    apart(move || {
        let nodes = snapshot.graph(component.as_ref(), |one| sees_all || one.tenant.is_none());
        axum::Json(Page::of(nodes, &page, |node| node.component.to_string(), |node| node))
    })
    .await
}

async fn list(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Query(page): Query<PageQuery>,
) -> axum::Json<Page<ProviderRecord>> {
    let mut choices: Vec<_> = catalog.snapshot().choices().cloned().collect();
    choices.sort_by(|a, b| (&a.interface, &a.tenant).cmp(&(&b.interface, &b.tenant)));
    let key = |choice: &ProviderRecord| {
        let tenant = choice.tenant.as_ref().map_or("", TenantId::as_str);
        format!("{} {tenant}", choice.interface)
    };
    axum::Json(Page::of(choices, &page, key, |choice| choice))
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
    let (before, limit) = page.before_time()?;
    let items = catalog.store().provider_history(&interface, limit, before).await?;
    Ok(axum::Json(Page::of_times(items, &page, |item| item.at)))
}

/// The interface that an address names; a choice holds for all versions of it.
fn interface(package: &str, name: &str) -> Result<InterfaceName, Problem> {
    let (name, _) = path::with_requirement(name)?;
    format!("{package}/{name}").parse().map_err(|error: wares_model::interface::ParseInterfaceNameError| {
        Problem::bad_request(format!("{error}; in an address it is {{namespace}}:{{package}}/{{interface}}"))
    })
}
