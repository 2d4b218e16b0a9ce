//! Which versions take traffic: the hot swap.

use crate::places;
use crate::resolve::ResolveError;
use crate::rollout::Rollout;
use crate::snapshot::{Snapshot, VersionEntry};
use crate::tenancy::check_reason;
use crate::way_back::{Way, WayBack};
use crate::{Catalog, CompositionError, LoadError, StandingError, Ungranted, telemetry};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::MutexGuard;
use wares_model::grants::Capabilities;
use wares_model::{ComponentName, ShadowTraffic, Stickiness, Version};
use wares_store::{Deployment, NewRevision, RolloutChange, StoreError};

/// What the shares of a deployment add up to.
pub const SHARES_TOTAL: u32 = 100;
/// Versions in one deployment. Places are written as one hexadecimal digit.
pub const VERSIONS_MAX: usize = 16;
/// Revisions that a search of the history reads at once.
const HISTORY_PAGE: u32 = 100;

/// A change of a deployment.
#[derive(Debug, Clone)]
pub struct DeployRequest {
    /// Of which component.
    pub component: ComponentName,
    /// Shares by version; they add up to 100.
    pub traffic: BTreeMap<Version, u32>,
    /// What stays on one version while the shares stand.
    pub stickiness: Stickiness,
    /// Calls that are made again in another version, to compare.
    pub shadow: Option<ShadowTraffic>,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The revision that the change builds on; 0 for none. Another one current: it is refused.
    pub expected: Option<u64>,
}

impl From<DeployRequest> for NewRevision {
    fn from(request: DeployRequest) -> Self {
        let DeployRequest { component, traffic, stickiness, shadow, actor, reason, expected } = request;
        let (places, rollout, evidence, rejects) = (None, RolloutChange::Supersede, None, Vec::new());
        Self { component, traffic, stickiness, places, shadow, actor, reason, expected, rollout, evidence, rejects }
    }
}

/// A way back.
#[derive(Debug, Clone)]
pub struct RollbackRequest {
    /// Of which component.
    pub component: ComponentName,
    /// The revision to go back to; none: the newest that differs.
    pub to: Option<u64>,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The revision that the change builds on, as in [`DeployRequest`].
    pub expected: Option<u64>,
}

/// Why a deployment stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// No such component or version.
    #[error(transparent)]
    NotFound(#[from] ResolveError),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// Somebody else changed it first.
    #[error("the deployment is at revision {current}, not at {expected}: read it again, then decide")]
    Conflict {
        /// What is current.
        current: u64,
        /// What the request was built on.
        expected: u64,
    },
    /// A rollout is in the way, or has ended meanwhile.
    #[error("{0}")]
    Rollout(String),
    /// A version may not take traffic.
    #[error(transparent)]
    Refused(#[from] StandingError),
    /// A version asks for more than it is granted.
    #[error(transparent)]
    Ungranted(#[from] Ungranted),
    /// A version imports of other components what it would not get.
    #[error(transparent)]
    Composition(#[from] CompositionError),
    /// A version does not load.
    #[error("{version} cannot run here: {source}")]
    Load {
        /// Which.
        version: Version,
        /// Why.
        source: Arc<LoadError>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

impl Catalog {
    /// Gives traffic to versions. Each is loaded before it takes any, so that no call waits or fails for the change: calls that
    /// have begun end on the version they began with, the next one sees the new shares. A running rollout ends.
    pub async fn deploy(&self, request: DeployRequest) -> Result<Arc<Deployment>, DeployError> {
        self.change_deployment(request.into()).await
    }

    /// Goes back to the state of an earlier revision: its shares, and each tenant to the version it had. It is a new revision
    /// itself. Without a revision named it is the newest with other traffic that was no step of the rollout that led to the
    /// current one, and without versions that a rollout or a rollback took traffic from since; during a rollout, that rollout's
    /// end.
    pub async fn rollback(&self, request: RollbackRequest) -> Result<Arc<Deployment>, DeployError> {
        let RollbackRequest { component, to, actor, reason, expected } = request;
        let (current, rollout) = {
            let snapshot = self.snapshot();
            let found = snapshot.find(&component)?;
            (found.deployment.clone(), found.rollout.clone())
        };
        let Some(current) = current else {
            let detail = format!("{component} was never deployed; there is nothing to go back to");
            return Err(DeployError::Invalid(detail));
        };
        if rollout.is_some() && to.is_none() {
            return self.abort_rollout(&component, actor, reason, expected).await;
        }
        let Way { target, is_unwanted } = self.way_back(&current, to).await?;
        // Who names a state that was left goes back on having left it: what is there now was good before.
        let left = current.traffic.keys().filter(|version| !is_unwanted && !target.traffic.contains_key(version));
        let rejects = left.cloned().collect();
        let reason = reason.or_else(|| Some(format!("rollback to revision {}", target.revision)));
        let shadow = target.shadow.filter(|shadow| self.snapshot().check_shadow(&component, shadow).is_ok());
        self.change_deployment(NewRevision {
            component,
            traffic: target.traffic,
            stickiness: target.stickiness,
            places: target.places,
            shadow,
            actor,
            reason,
            expected: expected.or(Some(current.revision)),
            rollout: RolloutChange::Supersede,
            evidence: None,
            rejects,
        })
        .await
    }

    /// One revision of a deployment.
    pub async fn revision(&self, component: &ComponentName, revision: u64) -> Result<Deployment, DeployError> {
        let found = self.store().deployment_history(component, 1, Some(revision.saturating_add(1))).await;
        let found = found.map_err(DeployError::Store)?.pop().filter(|found| found.revision == revision);
        found.ok_or_else(|| {
            let detail = format!("there is no revision {revision} of {component}; see the deployment's history");
            DeployError::Invalid(detail)
        })
    }

    /// The state that a rollback leads to.
    async fn way_back(&self, current: &Deployment, to: Option<u64>) -> Result<Way, DeployError> {
        let named = match to {
            Some(revision) => Some(self.revision(&current.component, revision).await?),
            None => None,
        };
        let mut search = WayBack::from(current, named);
        let mut before = current.revision;
        loop {
            let page = self.store().deployment_history(&current.component, HISTORY_PAGE, Some(before)).await;
            let page = page.map_err(DeployError::Store)?;
            let last = page.last().map(|last| last.revision);
            if let Some(found) = page.into_iter().find_map(|state| search.look(state)) {
                return Ok(found);
            }
            before = match last {
                Some(last) => last,
                None => return search.end(),
            };
        }
    }

    /// Checks a new revision, loads its versions, and puts it in place.
    pub(crate) async fn change_deployment(&self, revision: NewRevision) -> Result<Arc<Deployment>, DeployError> {
        check_shape(&revision)?;
        let shadow = revision.shadow.iter().map(|shadow| &shadow.version);
        let mut new = Vec::new();
        for version in revision.traffic.keys().chain(shadow) {
            let entry = self.snapshot().usable(&revision.component, version)?;
            self.live(&entry).await.map_err(|source| DeployError::Load { version: version.clone(), source })?;
            if !self.has_traffic(&entry) {
                new.push(entry);
            }
        }
        let snapshot = Arc::clone(&self.snapshot());
        self.check_composition(&snapshot, &revision, &new).await?;
        let changing = self.change().await;
        self.commit(&changing, revision).await
    }

    async fn commit(
        &self,
        changing: &MutexGuard<'_, ()>,
        mut revision: NewRevision,
    ) -> Result<Arc<Deployment>, DeployError> {
        // Once more: what may take traffic can have changed while the versions were loaded.
        let running = self.snapshot().settle_revision(&mut revision)?;
        let (expected, change) = (revision.expected, revision.rollout.clone());
        let deployment = self.store().set_deployment(revision).await.map_err(|error| refused(error, expected))?;
        self.take_over(changing, running.as_deref(), &change, deployment.clone(), |_| {});
        Ok(Arc::new(deployment))
    }

    /// Has a revision that is stored take effect, with what else it brings; `running` is the rollout that it found.
    pub(crate) fn take_over(
        &self,
        changing: &MutexGuard<'_, ()>,
        running: Option<&Rollout>,
        change: &RolloutChange,
        deployment: Deployment,
        edit: impl FnOnce(&mut Snapshot),
    ) {
        let rollout = Rollout::after(running, change, &deployment, &self.tending);
        if running.is_some() {
            telemetry::rollout_ended(change);
        }
        self.publish_snapshot(changing, |next| {
            edit(next);
            next.put_rollout(&deployment.component, rollout);
            next.deployed(deployment);
        });
        self.tending.notify_one();
    }

    fn has_traffic(&self, version: &VersionEntry) -> bool {
        let snapshot = self.snapshot();
        let deployment = snapshot.component(&version.record.component).and_then(|entry| entry.deployment.as_ref());
        deployment.is_some_and(|now| now.traffic.contains_key(&version.record.version))
    }
}

/// Why the store did not take a revision.
pub(crate) fn refused(error: StoreError, expected: Option<u64>) -> DeployError {
    match error {
        StoreError::RevisionConflict { current } => {
            DeployError::Conflict { current, expected: expected.unwrap_or_default() }
        }
        ended @ StoreError::RolloutEnded { .. } => DeployError::Rollout(ended.to_string()),
        other => DeployError::Store(other),
    }
}

impl Snapshot {
    /// Checks what may have changed since a revision was checked first, and says which version has which place. Returns the
    /// rollout that runs.
    pub(crate) fn settle_revision(&self, revision: &mut NewRevision) -> Result<Option<Arc<Rollout>>, DeployError> {
        for version in revision.traffic.keys() {
            self.usable(&revision.component, version)?;
        }
        self.check_circle(revision)?;
        if let Some(shadow) = &revision.shadow {
            self.check_shadow(&revision.component, shadow)?;
        }
        let component = self.find(&revision.component)?;
        if revision.places.is_none() {
            let previous = component.deployment.as_deref();
            revision.places = Some(places::allot(&revision.component, previous, &revision.traffic));
        }
        Ok(component.rollout.clone())
    }

    /// The version, if it may take traffic: one that is held back may not, and one that is yanked only if it does so already.
    pub(crate) fn usable(
        &self,
        component: &ComponentName,
        version: &Version,
    ) -> Result<Arc<VersionEntry>, DeployError> {
        let entry = self.find_version(component, version)?;
        let deployment = self.find(component)?.deployment.as_ref();
        // A version that has traffic may be given more or less of it, by a rollout that goes wrong too.
        if deployment.is_some_and(|now| now.traffic.contains_key(version)) {
            self.check_runs(entry)?;
            return Ok(Arc::clone(entry));
        }
        self.check_deploys(entry)?;
        self.check_granted(entry)?;
        if entry.record.yanked_at.is_some() {
            return Err(DeployError::Invalid(format!("{version} is yanked; deploy another version")));
        }
        Ok(Arc::clone(entry))
    }

    fn check_shadow(&self, component: &ComponentName, shadow: &ShadowTraffic) -> Result<(), DeployError> {
        let ShadowTraffic { version, percent } = shadow;
        if !(1..=100).contains(percent) {
            return Err(DeployError::Invalid(format!("shadow.percent = {percent} is not from 1 to 100")));
        }
        let entry = self.usable(component, version)?;
        if entry.imports_others() {
            return Err(DeployError::Invalid(format!(
                "{version} calls other components, whose calls would be counted and billed a second time: it takes no shadow \
                 traffic"
            )));
        }
        if !entry.summary.pure {
            return Err(DeployError::Invalid(format!(
                "{version} does not declare itself pure, so that its calls may have effects and are not made twice: a pure \
                 component says `pure = true` in its manifest, under [component]"
            )));
        }
        if let Some(capability) = entry.summary.asked.manifest.as_ref().and_then(Capabilities::effect) {
            return Err(DeployError::Invalid(format!(
                "{version} declares itself pure, but asks for `{capability}`, by which its calls may have effects: it takes no \
                 shadow traffic"
            )));
        }
        Ok(())
    }

    /// Puts a new deployment in place and notes which versions have now been deployed.
    pub(crate) fn deployed(&mut self, deployment: Deployment) {
        for version in deployment.traffic.keys() {
            let Some(entry) = self.version(&deployment.component, version) else { continue };
            if entry.record.deployed_at.is_none() {
                let mut record = entry.record.clone();
                record.deployed_at = Some(deployment.at);
                let entry = Arc::new(entry.with_record(record));
                self.put_version(entry);
            }
        }
        self.put_deployment(deployment);
    }
}

pub(crate) fn check_shape(request: &NewRevision) -> Result<(), DeployError> {
    let invalid = |detail: String| Err(DeployError::Invalid(detail));
    if request.traffic.is_empty() || request.traffic.len() > VERSIONS_MAX {
        return invalid(format!("traffic names {} versions; name 1 to {VERSIONS_MAX}", request.traffic.len()));
    }
    if let Some((version, _)) = request.traffic.iter().find(|(_, share)| **share == 0) {
        return invalid(format!("{version} has a share of 0; leave it out instead"));
    }
    let total = request.traffic.values().fold(0u32, |total, share| total.saturating_add(*share));
    if total != SHARES_TOTAL {
        return invalid(format!("the shares add up to {total}; they must add up to {SHARES_TOTAL}"));
    }
    request.reason.as_deref().map_or(Ok(()), check_reason).map_err(|bad| DeployError::Invalid(bad.to_string()))
}
