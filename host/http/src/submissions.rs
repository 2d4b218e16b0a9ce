//! Submissions: versions that wait for review, what a reviewer sees of them, and decisions.

use crate::auth::{ReviewReader, Reviewer};
use crate::page::{Page, PageQuery};
use crate::path::{Json, Path, Query};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use wares_catalog::review::Comparison;
use wares_catalog::snapshot::{Snapshot, VersionEntry};
use wares_catalog::{Catalog, ReviewError};
use wares_model::{ComponentName, Digest, Namespace, SignerKey, SubmissionId, Timestamp, Version};
use wares_store::{Decision, SubmissionQuery, SubmissionRecord, Verdict};
use wares_typed::Producer;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/submissions", get(list))
        .route("/submissions/{id}", get(show))
        .route("/submissions/{id}/approve", post(approve))
        .route("/submissions/{id}/reject", post(reject))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    namespace: Option<Namespace>,
    state: Option<Wanted>,
    #[serde(default, deserialize_with = "crate::page::limit_from_text")]
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Wanted {
    Waiting,
    All,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionBody {
    reason: String,
}

/// A submission as lists show it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SubmissionShape {
    id: SubmissionId,
    component: ComponentName,
    version: Version,
    kind: String,
    method: String,
    basis: String,
    submitter: String,
    submitted_at: Timestamp,
    state: &'static str,
    decided_at: Option<Timestamp>,
    decided_by: Option<String>,
    reason: Option<String>,
}

/// All that a reviewer sees.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SubmissionDetail {
    #[serde(flatten)]
    submission: SubmissionShape,
    digest: Digest,
    size_bytes: u64,
    imports: Vec<String>,
    comparison: Comparison,
    examples: Box<RawValue>,
    provenance: Provenance,
}

/// Where a version comes from.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Provenance {
    signer: Option<SignerKey>,
    producers: BTreeMap<String, Vec<Producer>>,
    metadata: BTreeMap<String, String>,
}

async fn list(
    State(catalog): State<Arc<Catalog>>,
    reader: ReviewReader,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<SubmissionShape>>, Problem> {
    let ListQuery { namespace, state, limit, cursor } = query;
    let page = PageQuery::new(limit, cursor);
    let query = SubmissionQuery {
        namespace: reader.narrowed(namespace)?,
        waiting_only: state.unwrap_or(Wanted::Waiting) == Wanted::Waiting,
        limit: page.read_limit(),
        before: page.after()?,
    };
    let found = catalog.store().submissions(query).await?;
    let snapshot = catalog.snapshot();
    Ok(axum::Json(Page::read(found, &page, |last| last.id).map(|found| shape(&snapshot, found))))
}

async fn show(
    State(catalog): State<Arc<Catalog>>,
    reader: ReviewReader,
    Path(id): Path<SubmissionId>,
) -> Result<axum::Json<SubmissionDetail>, Problem> {
    let submission = catalog.store().submission(id).await?;
    let visible = |submission: &SubmissionRecord| reader.sees(submission.component.namespace());
    let submission = submission.filter(visible).ok_or(ReviewError::NoSubmission(id))?;
    let version = Arc::clone(catalog.snapshot().find_version(&submission.component, &submission.version)?);
    Ok(axum::Json(detail(&catalog, submission, &version).await?))
}

async fn approve(
    catalog: State<Arc<Catalog>>,
    reviewer: Reviewer,
    id: Path<SubmissionId>,
    body: Json<DecisionBody>,
) -> Result<axum::Json<SubmissionShape>, Problem> {
    decide(catalog, reviewer, id, body, Verdict::Approved).await
}

async fn reject(
    catalog: State<Arc<Catalog>>,
    reviewer: Reviewer,
    id: Path<SubmissionId>,
    body: Json<DecisionBody>,
) -> Result<axum::Json<SubmissionShape>, Problem> {
    decide(catalog, reviewer, id, body, Verdict::Rejected).await
}

async fn decide(
    State(catalog): State<Arc<Catalog>>,
    Reviewer(key): Reviewer,
    Path(id): Path<SubmissionId>,
    Json(DecisionBody { reason }): Json<DecisionBody>,
    verdict: Verdict,
) -> Result<axum::Json<SubmissionShape>, Problem> {
    let decided = catalog.decide(id, verdict, key, reason).await?;
    Ok(axum::Json(shape(&catalog.snapshot(), decided)))
}

async fn detail(
    catalog: &Catalog,
    submission: SubmissionRecord,
    version: &VersionEntry,
) -> Result<SubmissionDetail, Problem> {
    let description = catalog.description(&submission.component, &submission.version).await?;
    let examples = RawValue::from_string(submission.examples.clone()).map_err(|error| Problem::host(&error))?;
    let signer = version.trust.signature.map(|signature| *signature.signer());
    Ok(SubmissionDetail {
        digest: version.record.digest,
        size_bytes: version.record.size_bytes,
        comparison: catalog.compare(version).await?,
        examples,
        imports: description.imports,
        provenance: Provenance { signer, producers: description.producers, metadata: description.metadata },
        submission: shape(&catalog.snapshot(), submission),
    })
}

fn shape(snapshot: &Snapshot, record: SubmissionRecord) -> SubmissionShape {
    let SubmissionRecord { id, component, version, kind, method, basis, submitter, submitted_at, decision, .. } =
        record;
    let (state, note) = match decision {
        None => ("waiting", None),
        Some(Decision { verdict, note }) => (verdict.as_str(), Some(note)),
    };
    let submitter = snapshot.actor(submitter);
    let (decided_at, decided_by) = (note.as_ref().map(|note| note.at), note.as_ref().map(|note| note.by.clone()));
    let reason = note.map(|note| note.reason);
    SubmissionShape {
        id,
        component,
        version,
        kind,
        method,
        basis,
        submitter,
        submitted_at,
        state,
        decided_at,
        decided_by,
        reason,
    }
}
