//! Publications: a component onto the shelf.

use crate::auth::PublisherKey;
use crate::changes::Waiting;
use crate::components::{VersionShape, find_version};
use crate::deployments::Warned;
use crate::path::Query;
use crate::requests::Ongoing;
use crate::{App, Problem, body};
use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wares_catalog::compatibility::Against;
use wares_catalog::publish::Compile;
use wares_catalog::review::Change;
use wares_catalog::{Catalog, PublishRequest};
use wares_model::limits::COMPONENT_BYTES_MAX;
use wares_model::{ComponentName, ProblemCode, Signature, Version};
use wares_typed::Changes;

/// The header that carries a signature.
const SIGNATURE: &str = "wares-signature";

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/components", post(publish))
}

/// A version as its publisher is told of it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PublishedShape {
    #[serde(flatten)]
    version: VersionShape,
    /// What it changes for callers of the version before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<AgainstShape>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct AgainstShape {
    version: Version,
    #[serde(flatten)]
    changes: Changes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishQuery {
    name: Option<ComponentName>,
    version: Option<Version>,
    #[serde(default)]
    deploy: bool,
    /// Take the bytes from the namespace's source; the request has no body then.
    #[serde(default)]
    pull: bool,
    #[serde(default)]
    compile: Compile,
    kind: Option<String>,
    method: Option<String>,
    basis: Option<String>,
}

async fn publish(
    State(catalog): State<Arc<Catalog>>,
    PublisherKey { publisher, deploys }: PublisherKey,
    Query(query): Query<PublishQuery>,
    Extension(waiting): Extension<Waiting>,
    headers: HeaderMap,
    ongoing: Ongoing,
    body: Body,
) -> Result<Response, Problem> {
    let PublishQuery { name, version, deploy, pull, compile, kind, method, basis } = query;
    if deploy && !deploys {
        let detail = "the key may publish, not deploy: leave ?deploy=true out, and have an operator deploy the version";
        return Err(Problem::new(ProblemCode::Forbidden, detail));
    }
    let actor = publisher.actor();
    let wasm = match (pull, &name, &version) {
        (false, ..) => body::read(body, COMPONENT_BYTES_MAX, "the component is", &ongoing).await?,
        (true, Some(name), Some(version)) => {
            publisher.check(name)?;
            waiting.or_give_up(catalog.pull(name, version)).await??
        }
        (true, ..) => return Err(Problem::bad_request("?pull=true: add &name=namespace:name&version=1.2.3")),
    };
    let request = PublishRequest {
        signature: signature(&headers)?,
        change: Change { kind, method, basis },
        wasm,
        name,
        version,
        compile,
        publisher,
    };
    let prepared = waiting.or_give_up(catalog.prepare(request)).await??;
    let published = match deploy {
        true => catalog.launch(prepared, actor, Some("deployed as it was published".to_owned())).await?,
        false => catalog.publish(prepared).await?,
    };
    let record = &published.version.record;
    let mut warnings = published.warnings;
    if deploy {
        warnings.extend(catalog.broken_by_deployment(&record.component).await);
    }
    let waiting = published.version.trust.submission.as_ref().filter(|submission| submission.decision.is_none());
    let (status, location) = match waiting {
        Some(submission) => (StatusCode::ACCEPTED, format!("/v1/submissions/{}", submission.id)),
        None => {
            let status = if published.created { StatusCode::CREATED } else { StatusCode::OK };
            (status, format!("/v1/components/{}/versions/{}", record.component.path(), record.version))
        }
    };
    let entry =
        find_version(&catalog, record.component.namespace(), record.component.name(), &record.version.to_string())?;
    let against = published.against.map(|Against { version, changes }| AgainstShape { version, changes });
    let shown = PublishedShape { version: VersionShape::of(&entry), against };
    Ok((status, [(header::LOCATION, location)], axum::Json(Warned { shown, warnings })).into_response())
}

/// The signature that a request carries.
pub(crate) fn signature(headers: &HeaderMap) -> Result<Option<Signature>, Problem> {
    let Some(value) = headers.get(SIGNATURE) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    text.parse().map(Some).map_err(|error| Problem::bad_request(format!("header {SIGNATURE}: {error}")))
}
