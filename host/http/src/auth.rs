//! Who asks: the key of a request, and what its role may do.

use crate::{App, Problem};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use wares_catalog::tenancy::TenantEntry;
use wares_catalog::{Caller, Role};
use wares_model::{Application, ProblemCode};

/// Lets a request through only with a valid key; handlers find the [`Caller`] among its extensions.
pub(crate) async fn require_key(State(app): State<App>, mut request: Request, next: Next) -> Response {
    match authenticate(&app, request.headers()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
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
    app.catalog
        .snapshot()
        .authenticate(key)
        .ok_or_else(|| refuse("this shelf does not know the key, or it was revoked"))
}

/// A request with any valid key.
pub(crate) struct AnyKey(pub(crate) Caller);

/// A request with an admin key.
pub(crate) struct Admin {
    /// How histories name who did it.
    pub(crate) actor: String,
}

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
            None => authenticate(app, &parts.headers).map(Self),
        }
    }
}

impl FromRequestParts<App> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let AnyKey(caller) = AnyKey::from_request_parts(parts, app).await?;
        match &caller.key.role {
            Role::Admin => Ok(Self { actor: format!("key {}", caller.key.id) }),
            Role::Tenant { .. } => {
                Err(Problem::new(ProblemCode::Forbidden, "this is operators' work: use an admin key"))
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
