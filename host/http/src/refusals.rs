//! Requests that were refused a short while ago on this host, so that the id which an answer names leads somewhere.
//!
//! They are in no ledger, and kept in memory only: the newest of all, within a bound in number and bytes. Whoever has most of
//! them gives room for new ones, so that nobody's are pushed out by another's many.

use crate::requests::Ongoing;
use crate::{App, request_id};
use axum::extract::FromRef;
use axum::http::{HeaderValue, Method, Request, Uri};
use axum::response::Response;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use wares_catalog::{Caller, Role};
use wares_model::limits::{REFUSAL_DETAIL_BYTES_MAX, REFUSALS_BYTES_MAX, REFUSALS_MAX};
use wares_model::{Application, CallId, ProblemCode, TenantId, Timestamp};

/// Bytes that a refusal counts for beside its texts.
const REFUSAL_BYTES_MIN: usize = 512;

/// One of them, in the shape in which it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Refusal {
    /// The id that the answer named.
    pub(crate) call: CallId,
    /// What calls in the ledger have an outcome for.
    pub(crate) outcome: Refused,
    pub(crate) code: ProblemCode,
    pub(crate) status: u16,
    pub(crate) detail: String,
    /// Whose key was shown; none: nobody's, or not a tenant's.
    pub(crate) tenant: Option<TenantId>,
    pub(crate) application: Option<Application>,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) started: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_id: Option<String>,
}

/// The one outcome of what is in no ledger.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Refused {
    Refused,
}

/// What an answer says of itself, for whoever keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) call: CallId,
    pub(crate) code: ProblemCode,
    pub(crate) status: u16,
    pub(crate) detail: String,
}

/// All that are kept.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    by_id: HashMap<CallId, Refusal>,
    /// Ids by whose they are, oldest first.
    owners: HashMap<Option<TenantId>, Owned>,
    /// Owners by how many bytes theirs have.
    by_bytes: BTreeSet<(usize, Option<TenantId>)>,
    bytes: usize,
}

#[derive(Default)]
struct Owned {
    ids: VecDeque<CallId>,
    bytes: usize,
}

/// What a request says of itself, for the case that it is refused.
pub(crate) struct Said {
    method: Method,
    uri: Uri,
    request_id: Option<HeaderValue>,
}

impl Said {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let request_id = request_id::of(request.headers()).cloned();
        Self { method: request.method().clone(), uri: request.uri().clone(), request_id }
    }

    /// The answer is there: says the client's name for the request again, and keeps the request if it was refused.
    pub(crate) fn answered(self, answer: &mut Response, ongoing: &Ongoing, refusals: &Refusals) {
        if let Some(Told { call, code, status, detail }) = answer.extensions_mut().remove() {
            let (tenant, application) = ongoing.caller().map(of_tenant).unwrap_or_default();
            refusals.keep(Refusal {
                call,
                outcome: Refused::Refused,
                code,
                status,
                detail,
                tenant,
                application,
                method: self.method.to_string(),
                path: self.uri.path().to_owned(),
                started: Timestamp::now(),
                request_id: self.request_id.as_ref().and_then(|id| id.to_str().ok()).map(str::to_owned),
            });
        }
        request_id::echo(answer.headers_mut(), self.request_id);
    }
}

fn of_tenant(caller: &Caller) -> (Option<TenantId>, Option<Application>) {
    match &caller.key.role {
        Role::Tenant { tenant, application } => (Some(tenant.clone()), Some(application.as_str().into())),
        _ => (None, None),
    }
}

impl Refusals {
    pub(crate) fn keep(&self, mut refusal: Refusal) {
        for text in [&mut refusal.detail, &mut refusal.path, &mut refusal.method] {
            text.truncate(text.floor_char_boundary(REFUSAL_DETAIL_BYTES_MAX));
        }
        self.0.lock().add(refusal);
    }

    /// The one with this id, if it is that tenant's, or whoever asks sees all.
    pub(crate) fn find(&self, id: CallId, tenant: Option<&TenantId>) -> Option<Refusal> {
        let kept = self.0.lock();
        let found = kept.by_id.get(&id)?;
        (tenant.is_none() || tenant == found.tenant.as_ref()).then(|| found.clone())
    }
}

impl Kept {
    fn add(&mut self, refusal: Refusal) {
        let (id, owner, bytes) = (refusal.call, refusal.tenant.clone(), refusal.bytes());
        if self.by_id.insert(id, refusal).is_some() {
            // Ids are made once.
            return;
        }
        self.change(owner, |owned| {
            owned.ids.push_back(id);
            owned.bytes += bytes;
        });
        self.bytes += bytes;
        while self.by_id.len() > REFUSALS_MAX || self.bytes > REFUSALS_BYTES_MAX {
            if !self.drop_one() {
                return;
            }
        }
    }

    /// Drops the oldest of who has most.
    fn drop_one(&mut self) -> bool {
        let Some((_, owner)) = self.by_bytes.last().cloned() else { return false };
        let oldest = self.owners.get(&owner).and_then(|owned| owned.ids.front().copied());
        let Some(gone) = oldest.and_then(|oldest| self.by_id.remove(&oldest)) else { return false };
        let bytes = gone.bytes();
        self.bytes = self.bytes.saturating_sub(bytes);
        self.change(owner, |owned| {
            owned.ids.pop_front();
            owned.bytes = owned.bytes.saturating_sub(bytes);
        });
        true
    }

    fn change(&mut self, owner: Option<TenantId>, change: impl FnOnce(&mut Owned)) {
        let owned = self.owners.entry(owner.clone()).or_default();
        self.by_bytes.remove(&(owned.bytes, owner.clone()));
        change(owned);
        match owned.ids.is_empty() {
            true => drop(self.owners.remove(&owner)),
            false => drop(self.by_bytes.insert((owned.bytes, owner))),
        }
    }
}

impl Refusal {
    fn bytes(&self) -> usize {
        let texts = [self.detail.len(), self.path.len(), self.method.len()];
        REFUSAL_BYTES_MIN + texts.iter().sum::<usize>()
    }
}

impl FromRef<App> for Arc<Refusals> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.refusals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(tenant: Option<&str>, detail: &str) -> Refusal {
        Refusal {
            call: CallId::generate(),
            outcome: Refused::Refused,
            code: ProblemCode::NotFound,
            status: 404,
            detail: detail.to_owned(),
            tenant: tenant.map(|tenant| tenant.parse().unwrap()),
            application: None,
            method: "GET".to_owned(),
            path: "/".to_owned(),
            started: Timestamp::now(),
            request_id: None,
        }
    }

    #[test]
    fn each_sees_its_own_and_operators_see_all() {
        let refusals = Refusals::default();
        let [north, nobody] = [refusal(Some("north"), "a"), refusal(None, "b")];
        refusals.keep(north.clone());
        refusals.keep(nobody.clone());
        let [own, other] = ["north", "south"].map(|tenant| Some(tenant.parse::<TenantId>().unwrap()));
        for (asks, sees_north, sees_nobody) in [(None, true, true), (own, true, false), (other, false, false)] {
            let sees = |id| refusals.find(id, asks.as_ref()).is_some();
            assert_eq!((sees(north.call), sees(nobody.call)), (sees_north, sees_nobody), "{asks:?}");
        }
    }

    #[test]
    fn who_is_refused_most_pushes_out_its_own() {
        let refusals = Refusals::default();
        let quiet = refusal(Some("quiet"), "once");
        refusals.keep(quiet.clone());
        let loud: Vec<_> = (0..REFUSALS_MAX + 10).map(|_| refusal(Some("loud"), "again")).collect();
        loud.iter().for_each(|one| refusals.keep(one.clone()));
        let has = |one: &Refusal| refusals.find(one.call, None).is_some();
        assert!(has(&quiet) && !has(&loud[0]) && has(loud.last().unwrap()));
        // Large ones count by their bytes.
        let long = "x".repeat(10 * REFUSAL_DETAIL_BYTES_MAX);
        for _ in 0..REFUSALS_MAX {
            refusals.keep(refusal(Some("wordy"), &long));
        }
        let kept = refusals.0.lock();
        assert!(kept.bytes <= REFUSALS_BYTES_MAX && kept.by_id.len() <= REFUSALS_MAX, "{}", kept.bytes);
        assert_eq!(kept.bytes, kept.by_id.values().map(Refusal::bytes).sum::<usize>());
        assert_eq!(kept.by_id.len(), kept.owners.values().map(|owned| owned.ids.len()).sum::<usize>());
        assert!(kept.by_id.contains_key(&quiet.call));
    }
}
