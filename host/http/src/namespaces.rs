//! Namespaces: what is asked of their versions, and the keys that sign them.

use crate::apart::apart;
use crate::auth::{Admin, AnyKey};
use crate::page::{Page, PageQuery};
use crate::path::{Json, Path, Query};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use wares_catalog::Catalog;
use wares_catalog::namespaces::{Asked, NamespaceError};
use wares_catalog::snapshot::{Snapshot, VersionEntry};
use wares_catalog::standing::NamespaceEntry;
use wares_model::{ComponentName, Namespace, SignerKey, Timestamp, Version};
use wares_registry::OciSource;
use wares_store::{Deployment, Note, SignerRecord};

pub(crate) fn routes() -> Router<App> {
    const SIGNERS: &str = "/namespaces/{namespace}/signers";
    Router::new()
        .route("/namespaces", get(list))
        .route("/namespaces/{namespace}", get(show).put(set))
        .route(SIGNERS, get(signers).post(add_signer))
        .route(&format!("{SIGNERS}/{{key}}"), get(show_signer))
        .route(&format!("{SIGNERS}/{{key}}/revoke"), post(revoke))
        .route(&format!("{SIGNERS}/{{key}}/stop"), post(stop))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamespaceBody {
    review: bool,
    signature: bool,
    source: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignerBody {
    key: SignerKey,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReasonBody {
    reason: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct NamespaceShape {
    name: Namespace,
    review: bool,
    review_since: Option<Timestamp>,
    signature: bool,
    signature_since: Option<Timestamp>,
    source: Option<String>,
    changed_at: Option<Timestamp>,
    changed_by: Option<String>,
    signers: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SignerShape {
    namespace: Namespace,
    key: SignerKey,
    added_at: Timestamp,
    added_by: String,
    revoked_at: Option<Timestamp>,
    revoked_by: Option<String>,
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    versions: Option<Vec<SignedShape>>,
}

/// A version that a key signed.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct SignedShape {
    component: ComponentName,
    version: Version,
    published_at: Timestamp,
    /// In percent.
    share: u32,
    stopped_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct StoppedShape {
    versions: Vec<SignedShape>,
    deployments: Vec<Deployment>,
}

async fn list(
    State(catalog): State<Arc<Catalog>>,
    AnyKey(caller): AnyKey,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<NamespaceShape>>, Problem> {
    let snapshot = Arc::clone(&catalog.snapshot());
    apart(&caller, move || {
        let published = snapshot.components().map(|(name, _)| Namespace::of(name));
        let all: BTreeSet<_> = snapshot.namespaces().map(|(name, _)| name.clone()).chain(published).collect();
        Page::of(all, &page, Namespace::clone, |name| shape(&snapshot, name)).map(axum::Json)
    })
    .await?
}

async fn show(
    State(catalog): State<Arc<Catalog>>,
    _key: AnyKey,
    Path(name): Path<Namespace>,
) -> axum::Json<NamespaceShape> {
    axum::Json(shape(&catalog.snapshot(), name))
}

async fn set(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path(name): Path<Namespace>,
    Json(NamespaceBody { review, signature, source }): Json<NamespaceBody>,
) -> Result<axum::Json<NamespaceShape>, Problem> {
    let source = source.map(|source| source.parse::<OciSource>()).transpose();
    let source = source.map_err(|error| Problem::bad_request(format!("source: {error}")))?;
    catalog.set_namespace(name.clone(), Asked { review, signature, source }, admin.actor).await?;
    Ok(axum::Json(shape(&catalog.snapshot(), name)))
}

async fn signers(
    State(catalog): State<Arc<Catalog>>,
    _key: AnyKey,
    Path(name): Path<Namespace>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<SignerShape>>, Problem> {
    let snapshot = catalog.snapshot();
    let signers = snapshot.namespace(name.as_str()).into_iter().flat_map(|entry| entry.signers.values());
    let key = |signer: &&SignerRecord| signer.key.to_string();
    Page::of(signers, &page, key, |signer| signer_shape(signer.clone(), None)).map(axum::Json)
}

async fn show_signer(
    State(catalog): State<Arc<Catalog>>,
    _key: AnyKey,
    Path((namespace, key)): Path<(Namespace, SignerKey)>,
) -> Result<axum::Json<SignerShape>, Problem> {
    let signer = {
        let snapshot = catalog.snapshot();
        let entry = snapshot.namespace(namespace.as_str());
        entry.and_then(|entry| entry.signers.get(&key)).cloned()
    };
    match signer {
        Some(signer) => Ok(axum::Json(with_versions(&catalog, signer))),
        None => Err(NamespaceError::NoSigner { namespace, key }.into()),
    }
}

async fn add_signer(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path(namespace): Path<Namespace>,
    Json(SignerBody { key }): Json<SignerBody>,
) -> Result<(StatusCode, axum::Json<SignerShape>), Problem> {
    let signer = catalog.add_signer(namespace, key, admin.actor).await?;
    Ok((StatusCode::CREATED, axum::Json(signer_shape(signer, None))))
}

async fn revoke(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((namespace, key)): Path<(Namespace, SignerKey)>,
    Json(ReasonBody { reason }): Json<ReasonBody>,
) -> Result<axum::Json<SignerShape>, Problem> {
    let signer = catalog.revoke_signer(&namespace, &key, admin.actor, reason).await?;
    Ok(axum::Json(with_versions(&catalog, signer)))
}

async fn stop(
    State(catalog): State<Arc<Catalog>>,
    admin: Admin,
    Path((namespace, key)): Path<(Namespace, SignerKey)>,
    Json(ReasonBody { reason }): Json<ReasonBody>,
) -> Result<axum::Json<StoppedShape>, Problem> {
    let stopped = catalog.stop_signed(&namespace, &key, admin.actor, reason).await?;
    let snapshot = catalog.snapshot();
    let now = stopped.versions.iter().filter_map(|version| {
        let shown = snapshot.version(&version.record.component, &version.record.version)?;
        Some(signed_shape(&snapshot, shown))
    });
    Ok(axum::Json(StoppedShape { versions: now.collect(), deployments: stopped.deployments }))
}

fn shape(snapshot: &Snapshot, name: Namespace) -> NamespaceShape {
    let nothing = NamespaceEntry::default();
    let entry = snapshot.namespace(name.as_str()).map_or(&nothing, |entry| entry.as_ref());
    let policy = entry.policy.as_ref();
    NamespaceShape {
        review: entry.asks_review(),
        review_since: policy.and_then(|policy| policy.review_since),
        signature: entry.asks_signature(),
        signature_since: policy.and_then(|policy| policy.signature_since),
        source: policy.and_then(|policy| policy.source.clone()),
        changed_at: policy.map(|policy| policy.changed_at),
        changed_by: policy.map(|policy| policy.changed_by.clone()),
        signers: entry.signers.values().filter(|signer| signer.revoked.is_none()).count(),
        name,
    }
}

fn with_versions(catalog: &Catalog, signer: SignerRecord) -> SignerShape {
    let snapshot = catalog.snapshot();
    let versions = snapshot.signed_by(&signer.namespace, &signer.key);
    signer_shape(signer, Some(versions.iter().map(|version| signed_shape(&snapshot, version)).collect()))
}

fn signer_shape(record: SignerRecord, versions: Option<Vec<SignedShape>>) -> SignerShape {
    let SignerRecord { namespace, key, added_at, added_by, revoked } = record;
    let (revoked_at, revoked_by, reason) = match revoked {
        None => (None, None, None),
        Some(Note { at, by, reason }) => (Some(at), Some(by), Some(reason)),
    };
    SignerShape { namespace, key, added_at, added_by, revoked_at, revoked_by, reason, versions }
}

fn signed_shape(snapshot: &Snapshot, version: &VersionEntry) -> SignedShape {
    let record = &version.record;
    let deployment = snapshot.component(&record.component).and_then(|component| component.deployment.as_ref());
    SignedShape {
        component: record.component.clone(),
        version: record.version.clone(),
        published_at: record.published_at,
        share: deployment.and_then(|now| now.traffic.get(&record.version)).copied().unwrap_or_default(),
        stopped_at: version.record.stopped_at,
    }
}
