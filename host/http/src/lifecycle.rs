//! What becomes of a version: deprecated, yanked, stopped, and back; and what was done to it.

use crate::auth::{Admin, AnyKey};
use crate::components::VersionShape;
use crate::path::{self, Path};
use crate::{App, Problem};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wares_catalog::snapshot::VersionEntry;
use wares_catalog::{Catalog, LifecycleRequest};
use wares_model::Timestamp;
use wares_store::{Deprecation, Transition, VersionEvent};

/// Since when a version is deprecated (RFC 9745).
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
/// When a version stops answering (RFC 8594).
const SUNSET: HeaderName = HeaderName::from_static("sunset");

pub(crate) fn routes() -> Router<App> {
    const VERSION: &str = "/components/{namespace}/{name}/versions/{version}";
    Router::new()
        .route(&format!("{VERSION}/yank"), post(yank).delete(unyank))
        .route(&format!("{VERSION}/stop"), post(stop).delete(resume))
        .route(&format!("{VERSION}/deprecate"), post(deprecate).delete(undeprecate))
        .route(&format!("{VERSION}/events"), get(events))
}

type VersionPath = Path<(String, String, String)>;
type Answer = Result<axum::Json<ChangedShape>, Problem>;

/// A version, and who uses it or has to do without it now.
#[derive(Serialize)]
struct ChangedShape {
    #[serde(flatten)]
    version: VersionShape,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct ReasonBody {
    reason: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct DeprecateBody {
    /// Now, if left out.
    at: Option<Timestamp>,
    sunset: Option<Timestamp>,
    reason: Option<String>,
}

async fn yank(State(catalog): State<Arc<Catalog>>, admin: Admin, path: VersionPath, body: Bytes) -> Answer {
    change(&catalog, admin, path, Transition::Yank, reason(&body)?).await
}

async fn unyank(State(catalog): State<Arc<Catalog>>, admin: Admin, path: VersionPath, body: Bytes) -> Answer {
    change(&catalog, admin, path, Transition::Unyank, reason(&body)?).await
}

async fn stop(State(catalog): State<Arc<Catalog>>, admin: Admin, path: VersionPath, body: Bytes) -> Answer {
    change(&catalog, admin, path, Transition::Stop, reason(&body)?).await
}

async fn resume(State(catalog): State<Arc<Catalog>>, admin: Admin, path: VersionPath, body: Bytes) -> Answer {
    change(&catalog, admin, path, Transition::Resume, reason(&body)?).await
}

async fn deprecate(State(catalog): State<Arc<Catalog>>, admin: Admin, path: VersionPath, body: Bytes) -> Answer {
    let DeprecateBody { at, sunset, reason } = optional(&body)?;
    let deprecation = Deprecation { at: at.unwrap_or_else(Timestamp::now), sunset, reason: reason.clone() };
    change(&catalog, admin, path, Transition::Deprecate(deprecation), reason).await
}

async fn undeprecate(State(catalog): State<Arc<Catalog>>, admin: Admin, path: VersionPath, body: Bytes) -> Answer {
    change(&catalog, admin, path, Transition::Undeprecate, reason(&body)?).await
}

async fn events(
    State(catalog): State<Arc<Catalog>>,
    _key: AnyKey,
    Path((namespace, name, version)): VersionPath,
) -> Result<axum::Json<Vec<VersionEvent>>, Problem> {
    let (component, version) = (path::component(&namespace, &name)?, path::version(&version)?);
    catalog.snapshot().find_version(&component, &version)?;
    Ok(axum::Json(catalog.store().version_events(&component, &version).await?))
}

async fn change(
    catalog: &Catalog,
    admin: Admin,
    Path((namespace, name, version)): VersionPath,
    transition: Transition,
    reason: Option<String>,
) -> Answer {
    let (component, version) = (path::component(&namespace, &name)?, path::version(&version)?);
    let request = LifecycleRequest { component, version, transition, actor: admin.actor, reason };
    let taken_away = matches!(request.transition, Transition::Yank | Transition::Stop);
    let users = match taken_away {
        true => catalog
            .snapshot()
            .find_version(&request.component, &request.version)
            .map(|entry| catalog.snapshot().users_of(entry))?,
        false => Vec::new(),
    };
    let (changed, unrestored) = catalog.change_version(request).await?;
    let broken = match taken_away {
        true => catalog.broken_by_deployment(&changed.record.component).await,
        false => Vec::new(),
    };
    let warnings = users.into_iter().chain(broken).chain(unrestored).collect();
    Ok(axum::Json(ChangedShape { version: VersionShape::of(&changed), warnings }))
}

fn reason(body: &Bytes) -> Result<Option<String>, Problem> {
    Ok(optional::<ReasonBody>(body)?.reason)
}

/// A body that may be left out.
pub(crate) fn optional<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, Problem> {
    match body.is_empty() {
        true => Ok(T::default()),
        false => serde_json::from_slice(body).map_err(|error| Problem::bad_request(format!("body: {error}"))),
    }
}

/// What answers of a deprecated version carry: when it is deprecated (RFC 9745), and when it stops answering (RFC 8594).
pub(crate) fn notices(version: &VersionEntry) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let deprecation = version.record.deprecation.as_ref();
    let at = deprecation.map(|deprecation| (DEPRECATION, format!("@{}", deprecation.at.as_seconds())));
    let sunset = deprecation.and_then(|deprecation| Some((SUNSET, deprecation.sunset?.to_http_date()?)));
    let headers = at.into_iter().chain(sunset);
    headers.filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?)))
}
