//! What the ledger says: usage over a period, and single calls.

use crate::auth::LedgerReader;
use crate::path::{Path, Query};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wares_catalog::Catalog;
use wares_model::{CallId, LedgerEntry, ProblemCode, TenantId, Timestamp};
use wares_store::{GroupBy, UsageQuery, UsageRow};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/usage", get(usage)).route("/calls/{id}", get(call))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageParameters {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    group_by: Option<String>,
    tenant: Option<TenantId>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct UsageShape {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    group_by: Vec<GroupBy>,
    items: Vec<UsageRow>,
}

async fn usage(
    State(catalog): State<Arc<Catalog>>,
    LedgerReader(caller): LedgerReader,
    Query(parameters): Query<UsageParameters>,
) -> Result<axum::Json<UsageShape>, Problem> {
    let UsageParameters { from, to, group_by, tenant } = parameters;
    // A tenant sees its own usage, whatever it asks for.
    let tenant = match &caller.tenant {
        None => tenant,
        Some(own) if tenant.as_ref().is_none_or(|asked| *asked == own.record.id) => Some(own.record.id.clone()),
        Some(_) => return Err(Problem::new(ProblemCode::Forbidden, "a tenant's key reads that tenant's usage only")),
    };
    let group_by = group_by.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
    let group_by = group_by.map(str::parse).collect::<Result<Vec<GroupBy>, _>>();
    let group_by = group_by.map_err(|error| Problem::bad_request(format!("group_by: {error}")))?;
    let query = UsageQuery { from, to, group_by: group_by.clone(), tenant };
    let items = catalog.store().usage(query).await?;
    Ok(axum::Json(UsageShape { from, to, group_by, items }))
}

async fn call(
    State(catalog): State<Arc<Catalog>>,
    LedgerReader(caller): LedgerReader,
    Path(id): Path<CallId>,
) -> Result<axum::Json<LedgerEntry>, Problem> {
    let entry = catalog.store().call(id).await?;
    // Somebody else's call looks like one that never was.
    let visible = |entry: &LedgerEntry| caller.tenant.as_ref().is_none_or(|own| own.record.id == entry.tenant);
    let missing = || Problem::new(ProblemCode::NotFound, format!("the ledger has no call {id}"));
    entry.filter(visible).map(axum::Json).ok_or_else(missing)
}
