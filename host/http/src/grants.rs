//! Grants: what an operator lets a component use, beside what it asks for and what its calls used.

use crate::auth::Admin;
use crate::deployments::if_match;
use crate::page::{Page, PageQuery};
use crate::path::{self, Json, Path, Query};
use crate::{App, Problem, etag};
use axum::Router;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use wares_catalog::{Catalog, GrantsRequest, Ungranted, Used};
use wares_model::grants::Missing;
use wares_model::{Asked, ComponentName, Grants, Timestamp, Version};
use wares_store::GrantsRecord;

pub(crate) fn routes() -> Router<App> {
    const GRANTS: &str = "/components/{namespace}/{name}/grants";
    Router::new().route(GRANTS, get(show).put(set)).route(&format!("{GRANTS}/history"), get(history))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantsBody {
    grants: Grants,
    reason: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct GrantsShape {
    component: ComponentName,
    /// 0: nothing was ever granted.
    revision: u64,
    grants: Arc<Grants>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    /// What versions ask for, those that ask for nothing left out.
    versions: BTreeMap<Version, AskedShape>,
    /// Which versions with traffic ask for more than is granted, and what they use of others that they do not get.
    lacking: Vec<String>,
    used: UsedShape,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct AskedShape {
    #[serde(flatten)]
    asked: Asked,
    missing: Vec<Missing>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct UsedShape {
    /// How many calls are looked back at: the last ones on this host that used anything.
    of_calls: usize,
    items: Vec<Used>,
}

impl AskedShape {
    /// What a version asks for and lacks, if it asks for anything.
    pub(crate) fn of(entry: &wares_catalog::snapshot::VersionEntry) -> Option<Self> {
        let asked = entry.summary.asked.clone();
        let asks = !asked.imports.is_empty()
            || !asked.interfaces.is_empty()
            || asked.manifest.as_ref().is_some_and(|asked| *asked != Default::default());
        asks.then(|| Self { asked, missing: entry.missing(entry.granted.grants()) })
    }
}

async fn shape(catalog: &Catalog, component: ComponentName) -> GrantsShape {
    let broken = catalog.broken_imports(&component).await;
    let snapshot = catalog.snapshot();
    let record = snapshot.grants(&component).map(|record| GrantsRecord::clone(record));
    let entry = snapshot.component(&component);
    let versions = entry.iter().flat_map(|entry| entry.versions.iter());
    let versions = versions.filter_map(|(version, entry)| Some((version.clone(), AskedShape::of(entry)?))).collect();
    let lacking = catalog.lacking(&component).iter().map(Ungranted::to_string).chain(broken).collect();
    let (items, of_calls) = catalog.used().of(&component);
    let used = UsedShape { of_calls, items };
    match record {
        None => GrantsShape {
            component,
            revision: 0,
            grants: Arc::default(),
            actor: None,
            reason: None,
            at: None,
            versions,
            lacking,
            used,
        },
        Some(GrantsRecord { component, revision, grants, actor, reason, at }) => GrantsShape {
            component,
            revision,
            grants,
            actor: Some(actor),
            reason,
            at: Some(at),
            versions,
            lacking,
            used,
        },
    }
}

async fn show(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let shape = shape(&catalog, path::component(&namespace, &name)?).await;
    Ok(etag::of_revision(shape.revision, shape))
}

async fn set(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    Json(GrantsBody { grants, reason }): Json<GrantsBody>,
) -> Result<Response, Problem> {
    let component = path::component(&namespace, &name)?;
    let expected = if_match(&headers)?;
    let request = GrantsRequest { component: component.clone(), grants, actor: admin.actor, reason, expected };
    catalog.set_grants(request).await?;
    let shape = shape(&catalog, component).await;
    Ok(etag::of_revision(shape.revision, shape))
}

async fn history(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((namespace, name)): Path<(String, String)>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<GrantsRecord>>, Problem> {
    let name = path::component(&namespace, &name)?;
    let items = catalog.store().grants_history(&name, page.read_limit(), page.after()?).await?;
    Ok(axum::Json(Page::read(items, &page, |item| item.revision)))
}
