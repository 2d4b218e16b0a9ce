//! Who asks: the key of a request, and what its role may do.

use crate::requests::Ongoing;
use crate::{App, Problem};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use wares_catalog::tenancy::TenantEntry;
use wares_catalog::vetting::Publisher;
use wares_catalog::{Caller, Role, tenancy};
use wares_model::{Application, KeyId, Namespace, ProblemCode};

/// Lets a request through only with a valid key; handlers find the [`Caller`] among its extensions.
pub(crate) async fn require_key(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match enter(&app, request.headers(), request.extensions()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

/// Whether the request has an operator's key.
pub(crate) fn is_operator(app: &App, headers: &HeaderMap) -> bool {
    authenticate(app, headers).is_ok_and(|caller| caller.key.role == Role::Admin)
}

/// Who asks. From now on what the request holds is that key's.
fn enter(app: &App, headers: &HeaderMap, extensions: &Extensions) -> Result<Caller, Problem> {
    let caller = authenticate(app, headers)?;
    if let Some(ongoing) = extensions.get::<Ongoing>() {
        ongoing.hold(&caller, &app.calls.holders().of(&caller))?;
    }
    Ok(caller)
}

fn authenticate(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let refuse = |detail: &str| {
        Problem::new(ProblemCode::Unauthenticated, detail).with_header(WWW_AUTHENTICATE, "Bearer realm=\"wares\"")
    };
    let value = headers.get(AUTHORIZATION);
    let value = value.ok_or_else(|| refuse("the request has no key: send `Authorization: Bearer KEY`"))?;
    let key = value.to_str().ok().and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key.trim())
    });
    let key = key.ok_or_else(|| refuse("the Authorization header is not of the form `Bearer KEY`"))?;
    app.catalog.snapshot().authenticate(key).map_err(|refusal| refuse(&refusal.to_string()))
}

/// A request with any valid key.
pub(crate) struct AnyKey(pub(crate) Caller);

/// A request with an admin key.
pub(crate) struct Admin {
    /// How histories name who did it.
    pub(crate) actor: String,
}

/// A request with a key that publishes: an admin key, or one of a namespace.
pub(crate) struct PublisherKey {
    pub(crate) publisher: Publisher,
    /// Whether it may deploy as well.
    pub(crate) deploys: bool,
}

/// A request with a key that decides on submissions: a reviewer's or an admin key.
pub(crate) struct Reviewer(pub(crate) KeyId);

/// A request with a key that sees submissions: a reviewer's or an admin key, or a publisher's, for its namespace.
pub(crate) struct ReviewReader(Option<Namespace>);

impl ReviewReader {
    /// Whether it sees submissions of this namespace.
    pub(crate) fn sees(&self, namespace: &str) -> bool {
        self.0.as_ref().is_none_or(|own| own.as_str() == namespace)
    }

    /// The namespace that a list is narrowed to.
    pub(crate) fn narrowed(self, asked: Option<Namespace>) -> Result<Option<Namespace>, Problem> {
        match (self.0, asked) {
            (Some(own), Some(asked)) if own != asked => {
                Err(Problem::new(ProblemCode::Forbidden, format!("the key sees submissions of {own} only")))
            }
            (own, asked) => Ok(own.or(asked)),
        }
    }
}

/// A request with a key that reads the ledger: an admin key, or a tenant's for what is its own.
pub(crate) struct LedgerReader(pub(crate) Caller);

/// A request with a tenant's key.
pub(crate) struct TenantKey {
    pub(crate) tenant: Arc<TenantEntry>,
    pub(crate) application: Application,
}

impl FromRequestParts<App> for AnyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match parts.extensions.get::<Caller>() {
            Some(caller) => Ok(Self(caller.clone())),
            None => enter(app, &parts.headers, &parts.extensions).map(Self),
        }
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let AnyKey(caller) = AnyKey::from_request_parts(parts, app).await?;
        match &caller.key.role {
            Role::Admin => Ok(Self { actor: tenancy::actor(caller.key.id, caller.key.label.as_deref()) }),
            Role::Reviewer | Role::Publisher { .. } | Role::Tenant { .. } => {
                Err(Problem::new(ProblemCode::Forbidden, "this is operators' work: use an admin key"))
            }
        }
    }
}

impl FromRequestParts<App> for PublisherKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let AnyKey(caller) = AnyKey::from_request_parts(parts, app).await?;
        let (namespace, deploys) = match &caller.key.role {
            Role::Admin => (None, true),
            Role::Publisher { namespace } => (Some(namespace.clone()), false),
            Role::Reviewer | Role::Tenant { .. } => {
                let detail = "the key may not publish: use an admin key or a publisher's key of the namespace";
                return Err(Problem::new(ProblemCode::Forbidden, detail));
            }
        };
        let publisher = Publisher { key: caller.key.id, label: caller.key.label.clone(), namespace };
        Ok(Self { publisher, deploys })
    }
}

impl FromRequestParts<App> for Reviewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let AnyKey(caller) = AnyKey::from_request_parts(parts, app).await?;
        match &caller.key.role {
            Role::Admin | Role::Reviewer => Ok(Self(caller.key.id)),
            Role::Publisher { .. } | Role::Tenant { .. } => {
                Err(Problem::new(ProblemCode::Forbidden, "this is reviewers' work: use a reviewer's key"))
            }
        }
    }
}

impl FromRequestParts<App> for ReviewReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let AnyKey(caller) = AnyKey::from_request_parts(parts, app).await?;
        match &caller.key.role {
            Role::Admin | Role::Reviewer => Ok(Self(None)),
            Role::Publisher { namespace } => Ok(Self(Some(namespace.clone()))),
            Role::Tenant { .. } => {
                Err(Problem::new(ProblemCode::Forbidden, "submissions are shown to reviewers and publishers"))
            }
        }
    }
}

impl FromRequestParts<App> for LedgerReader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let AnyKey(caller) = AnyKey::from_request_parts(parts, app).await?;
        match &caller.key.role {
            Role::Admin | Role::Tenant { .. } => Ok(Self(caller)),
            Role::Reviewer | Role::Publisher { .. } => {
                Err(Problem::new(ProblemCode::Forbidden, "usage and calls are shown to operators and tenants"))
            }
        }
    }
}

impl FromRequestParts<App> for TenantKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let AnyKey(caller) = AnyKey::from_request_parts(parts, app).await?;
        match (&caller.key.role, caller.tenant) {
            (Role::Tenant { application, .. }, Some(tenant)) => {
                Ok(Self { tenant, application: application.as_str().into() })
            }
            _ => Err(Problem::new(
                ProblemCode::Forbidden,
                "a call is counted for a tenant: use a tenant's key (POST /v1/tenants/{id}/keys makes one)",
            )),
        }
    }
}
