//! What other shelves report of the use of their copies.

use crate::auth::{Admin, TenantKey};
use crate::path::{Json, Path, Query};
use crate::publications::signature;
use crate::requests::Ongoing;
use crate::{App, Problem, body};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::{post, put};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wares_catalog::Catalog;
use wares_model::{ComponentName, ProblemCode, SignerKey, TenantId, Timestamp};
use wares_store::{ReportQuery, ReportedUsage, ReporterRecord};

/// Bytes of a report: more than as many rows as are taken at once have.
const REPORT_BYTES_MAX: u64 = 4 << 20;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/tenants/{tenant}/reporter", put(set_reporter)).route("/usage-reports", post(take).get(list))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReporterBody {
    key: SignerKey,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReportParameters {
    component: Option<ComponentName>,
    tenant: Option<TenantId>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

#[derive(Serialize)]
struct TakenShape {
    rows: usize,
}

#[derive(Serialize)]
struct ReportedShape {
    tenant: TenantId,
    #[serde(flatten)]
    usage: ReportedUsage,
}

#[derive(Serialize)]
struct ReportsShape {
    items: Vec<ReportedShape>,
}

async fn set_reporter(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path(tenant): Path<TenantId>,
    Json(ReporterBody { key }): Json<ReporterBody>,
) -> Result<axum::Json<ReporterRecord>, Problem> {
    Ok(axum::Json(catalog.set_reporter(tenant, key, admin.actor).await?))
}

async fn take(
    State(catalog): State<Arc<Catalog>>,
    key: TenantKey,
    headers: HeaderMap,
    ongoing: Ongoing,
    body: Body,
) -> Result<axum::Json<TakenShape>, Problem> {
    let unsigned =
        || Problem::new(ProblemCode::Untrusted, "the report has no signature: send the wares-signature header");
    let signature = signature(&headers)?.ok_or_else(unsigned)?;
    let body = body::read(body, REPORT_BYTES_MAX, "the report is", &ongoing).await?;
    let rows = catalog.take_report(&key.tenant.record.id, &body, &signature).await?;
    Ok(axum::Json(TakenShape { rows }))
}

async fn list(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Query(parameters): Query<ReportParameters>,
) -> Result<axum::Json<ReportsShape>, Problem> {
    let ReportParameters { component, tenant, from, to } = parameters;
    let reported = catalog.store().reported(ReportQuery { component, tenant, from, to }).await?;
    let items = reported.into_iter().map(|(tenant, usage)| ReportedShape { tenant, usage }).collect();
    Ok(axum::Json(ReportsShape { items }))
}
