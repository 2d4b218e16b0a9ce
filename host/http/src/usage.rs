//! What the ledger says: usage over a period, and single calls.

use crate::auth::LedgerReader;
use crate::page::{Page, PageQuery, limit_from_text};
use crate::path::{Path, Query};
use crate::refusals::{Refusal, Refusals};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Arc;
use wares_catalog::{Caller, Catalog};
use wares_model::{CallId, ComponentName, LedgerEntry, Outcome, ProblemCode, TenantId, Timestamp};
use wares_store::{CallQuery, GroupBy, UsageQuery, UsageRow};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/usage", get(usage)).route("/calls", get(calls)).route("/calls/{id}", get(call))
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
    let tenant = visible_tenant(&caller, tenant)?;
    let group_by = group_by.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty());
    let group_by = group_by.map(str::parse).collect::<Result<Vec<GroupBy>, _>>();
    let mut group_by = group_by.map_err(|error| Problem::bad_request(format!("group_by: {error}")))?;
    // Each word once, in the order they came.
    let mut known = HashSet::new();
    group_by.retain(|group| known.insert(*group));
    let query = UsageQuery { from, to, group_by: group_by.clone(), tenant };
    let items = catalog.store().usage(query).await?;
    Ok(axum::Json(UsageShape { from, to, group_by, items }))
}

/// A tenant sees its own calls and usage, whatever it asks for.
fn visible_tenant(caller: &Caller, asked: Option<TenantId>) -> Result<Option<TenantId>, Problem> {
    match &caller.tenant {
        None => Ok(asked),
        Some(own) if asked.as_ref().is_none_or(|asked| *asked == own.record.id) => Ok(Some(own.record.id.clone())),
        Some(_) => Err(Problem::new(ProblemCode::Forbidden, "a tenant's key reads that tenant's calls and usage only")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallsParameters {
    component: Option<ComponentName>,
    tenant: Option<TenantId>,
    outcome: Option<Outcome>,
    #[serde(default, deserialize_with = "limit_from_text")]
    limit: Option<usize>,
    cursor: Option<String>,
}

async fn calls(
    State(catalog): State<Arc<Catalog>>,
    LedgerReader(caller): LedgerReader,
    Query(parameters): Query<CallsParameters>,
) -> Result<axum::Json<Page<LedgerEntry>>, Problem> {
    let CallsParameters { component, tenant, outcome, limit, cursor } = parameters;
    let (before, limit) = PageQuery::new(limit, cursor).before_call()?;
    let tenant = visible_tenant(&caller, tenant)?;
    let found = catalog.store().calls(CallQuery { tenant, component, outcome, before, limit }).await?;
    Ok(axum::Json(Page { items: found.entries, next: found.next.map(|call| call.to_string()) }))
}

/// What became of a call or a request.
#[derive(Serialize)]
#[serde(untagged)]
enum CallShape {
    Counted(Box<LedgerEntry>),
    Refused(Box<Refusal>),
}

async fn call(
    State(catalog): State<Arc<Catalog>>,
    State(refusals): State<Arc<Refusals>>,
    LedgerReader(caller): LedgerReader,
    Path(id): Path<CallId>,
) -> Result<axum::Json<CallShape>, Problem> {
    let own = caller.tenant.as_ref().map(|tenant| &tenant.record.id);
    let entry = catalog.store().call(id).await?;
    // Somebody else's call looks like one that never was.
    if let Some(entry) = entry.filter(|entry| own.is_none_or(|own| *own == entry.tenant)) {
        return Ok(axum::Json(CallShape::Counted(Box::new(entry))));
    }
    let refused = refusals.find(id, own).map(|refusal| axum::Json(CallShape::Refused(Box::new(refusal))));
    refused.ok_or_else(|| {
        let detail =
            format!("the ledger has no call {id}, and no request of this id was refused here a short while ago");
        Problem::new(ProblemCode::NotFound, detail)
    })
}
