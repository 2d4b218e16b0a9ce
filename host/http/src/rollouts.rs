//! Rollouts: a version that takes over step by step; and shadow traffic: what came of comparing two versions.

use crate::auth::{Admin, AnyKey};
use crate::deployments::{DEPLOYMENT, Warned, if_match};
use crate::path::{self, Json, Path, Query};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wares_catalog::{Catalog, RolloutRequest, RolloutView};
use wares_model::{CallId, ComponentName, Outcome, ProblemCode, RolloutPlan, RolloutState, ShadowTraffic};
use wares_store::RolloutRecord;

/// Mismatches that a report shows.
const SAMPLE_MAX: u32 = 20;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/components/{namespace}/{name}/rollout", get(show).post(start).delete(abort))
        .route(&format!("{DEPLOYMENT}/shadow"), get(shadow))
}

#[derive(Deserialize)]
struct StartBody {
    reason: Option<String>,
    #[serde(flatten)]
    plan: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AbortQuery {
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ShadowQuery {
    revision: Option<u64>,
}

/// What came of the calls that were made again for one revision of a deployment.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ShadowShape {
    component: ComponentName,
    revision: u64,
    #[serde(flatten)]
    shadow: ShadowTraffic,
    matches: u64,
    mismatches: u64,
    /// Since the host runs, over all revisions.
    shed: u64,
    /// Since the host runs, over all revisions.
    refused: u64,
    sample: Vec<MismatchShape>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct MismatchShape {
    call: CallId,
    of: CallId,
    outcome: Outcome,
    difference: Option<Value>,
}

async fn start(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    Json(StartBody { reason, plan }): Json<StartBody>,
) -> Result<(StatusCode, axum::Json<Warned<RolloutView>>), Problem> {
    let component = path::component(&namespace, &name)?;
    let plan: RolloutPlan =
        serde_json::from_value(Value::Object(plan)).map_err(|error| Problem::bad_request(format!("body: {error}")))?;
    let expected = if_match(&headers)?;
    let request = RolloutRequest { component: component.clone(), plan, actor: admin.actor, reason, expected };
    let started = catalog.start_rollout(request).await?;
    Ok((StatusCode::CREATED, axum::Json(Warned::of(&catalog, &component, started).await)))
}

async fn show(
    State(catalog): State<Arc<Catalog>>,
    _key: AnyKey,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<axum::Json<RolloutView>, Problem> {
    Ok(axum::Json(catalog.rollout(&path::component(&namespace, &name)?).await?))
}

async fn abort(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((namespace, name)): Path<(String, String)>,
    Query(AbortQuery { reason }): Query<AbortQuery>,
    headers: HeaderMap,
) -> Result<axum::Json<Warned<RolloutView>>, Problem> {
    let component = path::component(&namespace, &name)?;
    let running = catalog.rollout(&component).await?.record;
    let back = catalog.abort_rollout(&component, admin.actor, reason, if_match(&headers)?).await?;
    let ended = RolloutRecord {
        state: RolloutState::Aborted,
        ended_at: Some(back.at),
        note: back.reason.clone(),
        evidence: back.evidence.clone(),
        ..running
    };
    let aborted = RolloutView { record: ended, observed: None };
    Ok(axum::Json(Warned::of(&catalog, &component, aborted).await))
}

/// The sample has arguments and results of tenants' calls: it is for operators only.
async fn shadow(
    State(catalog): State<Arc<Catalog>>,
    _admin: Admin,
    Path((namespace, name)): Path<(String, String)>,
    Query(ShadowQuery { revision }): Query<ShadowQuery>,
) -> Result<axum::Json<ShadowShape>, Problem> {
    let component = path::component(&namespace, &name)?;
    let (current, shadows) = {
        let snapshot = catalog.snapshot();
        let found = snapshot.find(&component)?;
        (found.deployment.clone(), Arc::clone(&found.shadows))
    };
    let deployment = match (revision, current) {
        (Some(revision), _) => Some(catalog.revision(&component, revision).await?),
        (None, current) => current.as_deref().cloned(),
    };
    let nothing = || {
        let detail = format!("{component} has no shadow traffic there: a deployment asks for it with `shadow`");
        Problem::new(ProblemCode::NotFound, detail)
    };
    let deployment = deployment.ok_or_else(nothing)?;
    let shadow = deployment.shadow.ok_or_else(nothing)?;
    let counts = catalog.store().shadow_counts(&component, deployment.revision, SAMPLE_MAX).await?;
    let mismatch = |mismatch: wares_store::Mismatch| MismatchShape {
        call: mismatch.call,
        of: mismatch.of,
        outcome: mismatch.outcome,
        difference: mismatch.detail.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
    };
    Ok(axum::Json(ShadowShape {
        component,
        revision: deployment.revision,
        shadow,
        matches: counts.matches,
        mismatches: counts.mismatches,
        shed: shadows.shed.load(Ordering::Relaxed),
        refused: shadows.refused.load(Ordering::Relaxed),
        sample: counts.sample.into_iter().map(mismatch).collect(),
    }))
}
