//! What the ledger says: usage over a period, and single calls.

use crate::apart::turn_at_ledger;
use crate::auth::LedgerReader;
use crate::page::{Page, PageQuery, Search, limit_from_text};
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
use wares_model::{
    CallId, ComponentName, LedgerEntry, Outcome, ProblemCode, TenantId, TimeOrDay, Timestamp, Version, Zone,
};
use wares_store::{CallFilter, CallQuery, GroupBy, UsageQuery, UsageRow};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/usage", get(usage)).route("/calls", get(calls)).route("/calls/{id}", get(call))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsageParameters {
    from: Option<TimeOrDay>,
    to: Option<TimeOrDay>,
    group_by: Option<String>,
    /// That of the shelf, if left out.
    time_zone: Option<Zone>,
    tenant: Option<TenantId>,
    application: Option<String>,
    component: Option<ComponentName>,
    version: Option<Version>,
    function: Option<String>,
    outcome: Option<Outcome>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct UsageShape {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    time_zone: Zone,
    group_by: Vec<GroupBy>,
    items: Vec<UsageRow>,
}

async fn usage(
    State(catalog): State<Arc<Catalog>>,
    LedgerReader(caller): LedgerReader,
    Query(parameters): Query<UsageParameters>,
) -> Result<axum::Json<UsageShape>, Problem> {
    let UsageParameters { from, to, group_by, time_zone, tenant, application, component, version, function, outcome } =
        parameters;
    let of =
        CallFilter { tenant: visible_tenant(&caller, tenant)?, application, component, version, function, outcome };
    let zone = time_zone.unwrap_or_else(|| catalog.policy().time_zone.clone());
    let [from, to] = [from, to].map(|end| end.map(|end| end.in_zone(&zone)));
    // Sums are kept by the minute: of those that are begun all is told, and the answer says so.
    let (from, to) = (from.map(Timestamp::minute), to.map(Timestamp::minute_from));
    let group_by = groups(group_by.as_deref().unwrap_or_default())?;
    let query = UsageQuery { from, to, group_by: group_by.clone(), zone: zone.clone(), of };
    let _turn = turn_at_ledger(&caller).await?;
    let items = catalog.store().usage(query).await?;
    Ok(axum::Json(UsageShape { from, to, time_zone: zone, group_by, items }))
}

/// What to sum by: each word once, in the order they came.
fn groups(text: &str) -> Result<Vec<GroupBy>, Problem> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let groups = words.map(str::parse).collect::<Result<Vec<GroupBy>, _>>();
    let mut groups = groups.map_err(|error| Problem::bad_request(format!("group_by: {error}")))?;
    let mut known = HashSet::new();
    groups.retain(|group| known.insert(*group));
    Ok(groups)
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
    from: Option<TimeOrDay>,
    to: Option<TimeOrDay>,
    tenant: Option<TenantId>,
    application: Option<String>,
    component: Option<ComponentName>,
    version: Option<Version>,
    function: Option<String>,
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
    let CallsParameters { from, to, tenant, application, component, version, function, outcome, limit, cursor } =
        parameters;
    let page = PageQuery::new(limit, cursor);
    let of =
        CallFilter { tenant: visible_tenant(&caller, tenant)?, application, component, version, function, outcome };
    let [from, to] = [from, to].map(|end| end.map(|end| end.in_zone(&catalog.policy().time_zone)));
    let _turn = turn_at_ledger(&caller).await?;
    let (mut search, mut before) = (Search::new(&page), page.before_call()?);
    loop {
        let limit = u32::try_from(search.wanted()).unwrap_or(u32::MAX);
        let found = catalog.store().calls(CallQuery { of: of.clone(), from, to, before, limit }).await?;
        before = found.next;
        if !search.goes_on(found.entries, before.as_ref()) {
            return Ok(axum::Json(search.page(before)));
        }
    }
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
