//! The shelf: list, search, show.

use crate::apart::apart;
use crate::auth::AnyKey;
use crate::grants::AskedShape;
use crate::page::{self, Descending, Page, PageQuery};
use crate::path::{self, Path, Query};
use crate::requests::Ongoing;
use crate::{App, Problem};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use wares_catalog::snapshot::{ComponentEntry, Snapshot, VersionEntry};
use wares_catalog::{Caller, Catalog};
use wares_model::limits::{SEARCH_WORDS_MAX, SEARCHED_MAX};
use wares_model::manifest::{Manifest, Text};
use wares_model::{ComponentName, Digest, Limits, ProblemCode, Signature, SignerKey, SubmissionId, Timestamp, Version};
use wares_store::{ArtifactReader, Deployment, Deprecation, StoreError};
use wares_typed::{Description, Function, FunctionSchema, FunctionSchemas, Producer, SchemasTooLarge};

pub(crate) fn routes() -> Router<App> {
    const VERSION: &str = "/components/{namespace}/{name}/versions/{version}";
    Router::new()
        .route("/components", get(list))
        .route("/components/{namespace}/{name}", get(show))
        .route("/components/{namespace}/{name}/openapi.json", get(openapi))
        .route("/components/{namespace}/{name}/versions", get(versions))
        .route(VERSION, get(show_version))
        .route(&format!("{VERSION}/wit"), get(wit))
        .route(&format!("{VERSION}/wasm"), get(wasm))
}

/// Bytes that a download holds on its way: the piece that is sent, and the one that is read.
const DOWNLOAD_BYTES_MAX: u64 = 2 * ArtifactReader::PIECE_BYTES;

/// A component as lists show it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ComponentShape {
    name: ComponentName,
    title: Text,
    description: Text,
    keywords: Vec<String>,
    interfaces: Vec<String>,
    latest: Version,
    published_at: Timestamp,
    versions: usize,
    deployment: Option<Deployment>,
}

/// A version as lists show it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct VersionShape {
    component: ComponentName,
    version: Version,
    digest: Digest,
    size_bytes: u64,
    published_at: Timestamp,
    publisher: String,
    deployed_at: Option<Timestamp>,
    yanked_at: Option<Timestamp>,
    stopped_at: Option<Timestamp>,
    deprecation: Option<Deprecation>,
    interfaces: Vec<String>,
    signer: Option<SignerKey>,
    signature: Option<Signature>,
    submission: Option<SubmissionShape>,
    /// What it asks for of the world and lacks, if it asks for anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    capabilities: Option<AskedShape>,
    /// Why it takes no calls, if it is held back.
    held: Option<String>,
}

/// Where the review of a version stands.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct SubmissionShape {
    id: SubmissionId,
    state: &'static str,
}

/// All there is to know of a version.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct VersionDetail {
    #[serde(flatten)]
    version: VersionShape,
    manifest: Option<Manifest>,
    limits: Limits,
    imports: Vec<String>,
    producers: BTreeMap<String, Vec<Producer>>,
    metadata: BTreeMap<String, String>,
    wit: String,
    functions: Vec<FunctionShape>,
    /// What the functions' schemas refer to.
    #[serde(rename = "$defs", skip_serializing_if = "Map::is_empty")]
    definitions: Map<String, Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct FunctionShape {
    interface: Option<String>,
    name: String,
    docs: Option<String>,
    signature: String,
    callable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments_schema: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_schema: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    q: Option<String>,
    interface: Option<String>,
    namespace: Option<String>,
    #[serde(default, deserialize_with = "crate::page::limit_from_text")]
    limit: Option<usize>,
    cursor: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VersionQuery {
    version: Option<Version>,
}

async fn list(
    State(catalog): State<Arc<Catalog>>,
    AnyKey(caller): AnyKey,
    Query(query): Query<ListQuery>,
) -> Result<axum::Json<Page<ComponentShape>>, Problem> {
    let ListQuery { q, interface, namespace, limit, cursor } = query;
    let page = PageQuery::new(limit, cursor);
    let (wanted, snapshot) = (Wanted::new(q, interface, namespace)?, Arc::clone(&catalog.snapshot()));
    let (wanted, mut search) = (Arc::new(wanted), page::Search::new(&page));
    let mut after = page.after()?;
    loop {
        let (wanted, snapshot, limit) = (Arc::clone(&wanted), Arc::clone(&snapshot), search.wanted());
        let (found, next) = apart(&caller, move || wanted.search(&snapshot, after, limit)).await?;
        after = next;
        if !search.goes_on(found, after.as_ref()) {
            return Ok(axum::Json(search.page(after)));
        }
    }
}

/// Which components are wanted.
struct Wanted {
    words: Vec<String>,
    interface: Option<String>,
    namespace: Option<String>,
}

impl Wanted {
    fn new(q: Option<String>, interface: Option<String>, namespace: Option<String>) -> Result<Self, Problem> {
        let words: Vec<_> = q.iter().flat_map(|q| q.split_whitespace()).take(SEARCH_WORDS_MAX + 1).collect();
        if words.len() > SEARCH_WORDS_MAX {
            return Err(Problem::bad_request(format!("q: a search has at most {SEARCH_WORDS_MAX} words")));
        }
        let words = words.into_iter().map(str::to_lowercase).collect();
        Ok(Self { words, interface, namespace })
    }

    /// So much of what is found after a component, among as many as are looked through in one go; and where to go on.
    fn search(
        &self,
        snapshot: &Snapshot,
        after: Option<ComponentName>,
        limit: usize,
    ) -> (Vec<ComponentShape>, Option<ComponentName>) {
        let mut rest = snapshot.components_after(after.as_ref());
        let mut last = None;
        let looked_through = rest.by_ref().take(SEARCHED_MAX).inspect(|(name, _)| last = Some(*name));
        let found =
            looked_through.filter_map(|(name, component)| Some((name, component, self.finds(name, component)?)));
        // One more than is shown tells whether there is a next page.
        let mut found: Vec<_> = found.take(limit + 1).collect();
        let next = match found.len() > limit {
            true => {
                found.truncate(limit);
                found.last().map(|(name, ..)| *name)
            }
            false => rest.next().and(last),
        };
        (found.into_iter().map(|(_, component, latest)| shape(component, latest)).collect(), next.cloned())
    }

    /// The version that stands for the component, if it is wanted.
    fn finds<'a>(&self, name: &ComponentName, component: &'a ComponentEntry) -> Option<&'a VersionEntry> {
        if self.namespace.as_deref().is_some_and(|namespace| name.namespace() != namespace) {
            return None;
        }
        let latest = component.latest()?;
        let fits = self.interface.as_deref().is_none_or(|wanted| latest.summary.exports(wanted))
            && self.words.iter().all(|word| latest.mentions(word));
        fits.then_some(latest)
    }
}

async fn show(
    State(catalog): State<Arc<Catalog>>,
    _key: AnyKey,
    Path((namespace, name)): Path<(String, String)>,
) -> Result<axum::Json<ComponentShape>, Problem> {
    let name = path::component(&namespace, &name)?;
    let snapshot = catalog.snapshot();
    let component = snapshot.find(&name)?;
    let latest = component.latest().ok_or_else(|| no_version(&name))?;
    Ok(axum::Json(shape(component, latest)))
}

async fn versions(
    State(catalog): State<Arc<Catalog>>,
    _key: AnyKey,
    Path((namespace, name)): Path<(String, String)>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<VersionShape>>, Problem> {
    let name = path::component(&namespace, &name)?;
    let snapshot = catalog.snapshot();
    let versions = snapshot.find(&name)?.versions.values();
    let key = |entry: &&Arc<VersionEntry>| Descending(entry.record.version.clone());
    Page::of(versions, &page, key, |entry| VersionShape::of(entry)).map(axum::Json)
}

async fn show_version(
    State(catalog): State<Arc<Catalog>>,
    AnyKey(caller): AnyKey,
    Path((namespace, name, version)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let entry = find_version(&catalog, &namespace, &name, &version)?;
    document(&catalog, &caller, entry, |entry, description| json(&detail(entry, description)?)).await
}

/// All of a version. Its functions' schemas share their definitions.
fn detail(entry: &VersionEntry, description: Description) -> Result<VersionDetail, Problem> {
    let FunctionSchemas { functions: schemas, definitions } =
        wares_typed::function_schemas(&description).map_err(too_large)?;
    Ok(VersionDetail {
        version: VersionShape::of(entry),
        limits: entry.limits,
        imports: description.imports.clone(),
        producers: description.producers.clone(),
        metadata: description.metadata.clone(),
        wit: description.wit().to_owned(),
        functions: functions(&description, schemas),
        definitions,
        manifest: description.manifest,
    })
}

async fn wit(
    State(catalog): State<Arc<Catalog>>,
    AnyKey(caller): AnyKey,
    Path((namespace, name, version)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let entry = find_version(&catalog, &namespace, &name, &version)?;
    document(&catalog, &caller, entry, |_, description| Ok(description.wit().to_owned().into_response())).await
}

async fn wasm(
    State(catalog): State<Arc<Catalog>>,
    _key: AnyKey,
    ongoing: Ongoing,
    Path((namespace, name, version)): Path<(String, String, String)>,
) -> Result<Response, Problem> {
    let entry = find_version(&catalog, &namespace, &name, &version)?;
    ongoing.keep(DOWNLOAD_BYTES_MAX).await?;
    let mut wasm = catalog.download(&entry).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/wasm".to_owned()),
        (header::CONTENT_LENGTH, wasm.size().to_string()),
        (header::ETAG, format!("\"{}\"", entry.record.digest)),
    ];
    // Most damage is found before anything is promised.
    let first = wasm.piece().await?;
    let rest = stream::try_unfold(wasm, async |mut wasm| {
        // The client sees the answer break, and so that it has no whole component.
        let piece = wasm.piece().await.inspect_err(|error| tracing::error!(%error, "a download was broken off"))?;
        Ok::<_, StoreError>(piece.map(|piece| (piece, wasm)))
    });
    let pieces = stream::iter(first.map(Ok)).chain(rest);
    Ok((headers, Body::from_stream(pieces)).into_response())
}

async fn openapi(
    State(catalog): State<Arc<Catalog>>,
    AnyKey(caller): AnyKey,
    Path((namespace, name)): Path<(String, String)>,
    Query(query): Query<VersionQuery>,
) -> Result<Response, Problem> {
    let name = path::component(&namespace, &name)?;
    let entry = {
        let snapshot = catalog.snapshot();
        let entry = match query.version {
            Some(version) => snapshot.find_version(&name, &version)?,
            None => shown(snapshot.find(&name)?).ok_or_else(|| no_version(&name))?,
        };
        Arc::clone(entry)
    };
    document(&catalog, &caller, entry, |entry, description| {
        json(&wares_typed::openapi(&entry.record.component, &entry.record.version, &description).map_err(too_large)?)
    })
    .await
}

/// A document of a version's types. It grows with what its vendor declared, and is made from beginning to end where nobody else
/// waits.
async fn document(
    catalog: &Catalog,
    caller: &Caller,
    entry: Arc<VersionEntry>,
    make: impl FnOnce(&VersionEntry, Description) -> Result<Response, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let stored = catalog.stored_description(&entry.record.component, &entry.record.version).await?;
    apart(caller, move || make(&entry, stored.read()?)).await?
}

fn json(document: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(document).map_err(|error| Problem::host(&error))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], bytes).into_response())
}

/// A version that was taken before there was a bound.
fn too_large(error: SchemasTooLarge) -> Problem {
    Problem::new(ProblemCode::TooLarge, error.to_string())
}

pub(crate) fn find_version(
    catalog: &Catalog,
    namespace: &str,
    name: &str,
    version: &str,
) -> Result<Arc<VersionEntry>, Problem> {
    let (name, version) = (path::component(namespace, name)?, path::version(version)?);
    Ok(Arc::clone(catalog.snapshot().find_version(&name, &version)?))
}

/// The version that documents describe: the one with the most traffic, else the latest.
fn shown(component: &ComponentEntry) -> Option<&Arc<VersionEntry>> {
    let deployment = component.deployment.as_ref();
    let most = deployment.and_then(|now| now.traffic.iter().max_by_key(|(_, share)| **share));
    most.and_then(|(version, _)| component.versions.get(version)).or_else(|| component.latest())
}

fn no_version(name: &ComponentName) -> Problem {
    Problem::new(ProblemCode::NotFound, format!("{name} has no version"))
}

fn shape(component: &ComponentEntry, latest: &VersionEntry) -> ComponentShape {
    let summary = latest.summary.clone();
    ComponentShape {
        name: latest.record.component.clone(),
        title: summary.title,
        description: summary.description,
        keywords: summary.keywords,
        interfaces: summary.interfaces,
        latest: latest.record.version.clone(),
        published_at: latest.record.published_at,
        versions: component.versions.len(),
        deployment: component.deployment.as_deref().cloned(),
    }
}

impl VersionShape {
    pub(crate) fn of(entry: &VersionEntry) -> Self {
        let record = entry.record.clone();
        Self {
            component: record.component,
            version: record.version,
            digest: record.digest,
            size_bytes: record.size_bytes,
            published_at: record.published_at,
            publisher: record.publisher,
            deployed_at: record.deployed_at,
            yanked_at: record.yanked_at,
            stopped_at: record.stopped_at,
            deprecation: record.deprecation,
            interfaces: entry.summary.interfaces.clone(),
            signer: entry.trust.signature.map(|signature| *signature.signer()),
            signature: entry.trust.signature,
            submission: entry.trust.submission.as_ref().map(|submission| SubmissionShape {
                id: submission.id,
                state: submission.decision.as_ref().map_or("waiting", |decision| decision.verdict.as_str()),
            }),
            capabilities: AskedShape::of(entry),
            held: entry.held(),
        }
    }
}

fn functions(description: &Description, schemas: Vec<Vec<Option<FunctionSchema>>>) -> Vec<FunctionShape> {
    let mut shapes = Vec::new();
    for (interface, schemas) in description.interfaces.iter().zip(schemas) {
        for (function, schema) in interface.functions.iter().zip(schemas) {
            shapes.push(function_shape(description, interface.name.clone(), function, schema));
        }
    }
    shapes
}

fn function_shape(
    description: &Description,
    interface: Option<String>,
    function: &Function,
    schema: Option<FunctionSchema>,
) -> FunctionShape {
    let (arguments_schema, result_schema) = schema.map(|schema| (schema.arguments, schema.result)).unzip();
    FunctionShape {
        interface,
        name: function.name.clone(),
        docs: function.docs.clone(),
        signature: wares_typed::signature(description, function),
        callable: function.not_callable.is_none(),
        reason: function.not_callable.clone(),
        arguments_schema,
        result_schema,
    }
}
