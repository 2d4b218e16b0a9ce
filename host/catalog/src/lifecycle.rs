//! What becomes of a version after it was published: deprecated, yanked, stopped.
//!
//! A deprecated version serves as before and tells its callers. A yanked one is not begun with: it is not deployed anew, and
//! callers with a requirement get it only where it takes traffic or nothing else will do. A stopped one serves nobody: its share
//! of the traffic goes to the others, and calls that have begun end. All of it can be taken back.

use crate::deploy::SHARES_TOTAL;
use crate::places;
use crate::snapshot::{Snapshot, VersionEntry};
use crate::tenancy::check_reason;
use crate::{Catalog, ResolveError};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::MutexGuard;
use wares_model::{ComponentName, Version};
use wares_store::{Deployment, NewRevision, RolloutChange, StoreError, Transition, VersionChange, VersionRecord};

/// Something to do to a version.
#[derive(Debug, Clone)]
pub struct LifecycleRequest {
    /// Of which component.
    pub component: ComponentName,
    /// The version.
    pub version: Version,
    /// What.
    pub transition: Transition,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

/// What a transition did.
#[derive(Debug)]
pub struct Changed {
    /// The versions as they are now.
    pub versions: Vec<Arc<VersionEntry>>,
    /// The deployments that are new by it.
    pub deployments: Vec<Deployment>,
}

/// Why a version stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// No such component or version.
    #[error(transparent)]
    NotFound(#[from] ResolveError),
    /// The request makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// It does not go with what the version is now.
    #[error("{0}")]
    Conflict(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Catalog {
    /// Does it. What is so already changes nothing and leaves nothing in the version's history. A version that was stopped gets
    /// back what the stop took; if it does not, the answer says why.
    pub async fn change_version(
        &self,
        request: LifecycleRequest,
    ) -> Result<(Arc<VersionEntry>, Option<String>), LifecycleError> {
        check_words(&request)?;
        let (component, version) = (request.component.clone(), request.version.clone());
        let resumed = (request.transition == Transition::Resume).then(|| request.clone());
        let changed = {
            let changing = self.change().await;
            let entry = Arc::clone(self.snapshot().find_version(&component, &version)?);
            if !changes(&request.transition, &entry.record)? {
                return Ok((entry, None));
            }
            let LifecycleRequest { transition, actor, reason, .. } = request;
            self.transition(&changing, vec![entry], transition, actor, reason).await?
        };
        let unrestored = match resumed {
            Some(request) => self.give_back_traffic(request).await?,
            None => None,
        };
        // One version went in.
        let changed = changed.versions.into_iter().next();
        let changed = changed.ok_or(StoreError::UnknownVersion { component, version })?;
        Ok((changed, unrestored))
    }

    /// Gives a version that is stopped no more the traffic that its stop took, if the deployment is as the stop left it.
    async fn give_back_traffic(&self, request: LifecycleRequest) -> Result<Option<String>, LifecycleError> {
        let LifecycleRequest { component, version, actor, reason, .. } = request;
        let events = self.store().version_events(&component, &version).await?;
        let stop = events.iter().find(|event| event.event == Transition::Stop.event());
        let Some(revision) = stop.and_then(|stop| stop.revision) else { return Ok(None) };
        let current = self.snapshot().find(&component)?.deployment.clone();
        let unrestored = |why: String| Ok(Some(format!("{version} has not got back its traffic: {why}")));
        if current.is_none_or(|current| current.revision != revision) {
            return unrestored("the deployment was changed since then; deploy the version".to_owned());
        }
        let before = match self.revision(&component, revision.saturating_sub(1)).await {
            Ok(before) => before,
            Err(error) => return unrestored(error.to_string()),
        };
        let stopped: BTreeSet<&Version> = {
            let snapshot = self.snapshot();
            let is_stopped = |version: &&Version| {
                snapshot.version(&component, version).is_none_or(|entry| entry.record.stopped_at.is_some())
            };
            before.traffic.keys().filter(is_stopped).collect()
        };
        let given = self.change_deployment(NewRevision {
            component,
            traffic: without(&before.traffic, &stopped),
            stickiness: before.stickiness,
            places: before.places.clone().filter(|_| stopped.is_empty()),
            shadow: before.shadow.clone().filter(|shadow| !stopped.contains(&shadow.version)),
            actor,
            reason: Some(reason.unwrap_or_else(|| format!("{version} is stopped no more"))),
            expected: Some(revision),
            rollout: RolloutChange::Supersede,
            evidence: None,
            rejects: Vec::new(),
        });
        match given.await {
            Ok(_) => Ok(None),
            Err(error) => unrestored(error.to_string()),
        }
    }

    /// Writes a transition of versions, and what it does to the traffic, all of it or nothing.
    pub(crate) async fn transition(
        &self,
        changing: &MutexGuard<'_, ()>,
        versions: Vec<Arc<VersionEntry>>,
        transition: Transition,
        actor: String,
        reason: Option<String>,
    ) -> Result<Changed, StoreError> {
        let stops = transition == Transition::Stop;
        let deployments = match stops {
            true => self.snapshot().revisions_without(&versions, &actor, reason.as_deref()),
            false => Vec::new(),
        };
        let named = |entry: &Arc<VersionEntry>| (entry.record.component.clone(), entry.record.version.clone());
        let named = versions.iter().map(named).collect();
        let change = VersionChange { versions: named, transition, actor, reason, deployments };
        let (records, deployments) = self.store().change_versions(change).await?;
        let changed = versions.iter().zip(records).map(|(entry, record)| Arc::new(entry.with_record(record)));
        let versions: Vec<_> = changed.collect();
        self.publish_snapshot(changing, |next| {
            for version in &versions {
                next.put_version(Arc::clone(version));
            }
            for deployment in &deployments {
                next.put_rollout(&deployment.component, None);
                next.put_deployment(deployment.clone());
            }
        });
        if stops {
            self.tending.notify_one();
            for version in &versions {
                self.unload(version).await;
            }
        }
        Ok(Changed { versions, deployments })
    }
}

impl Snapshot {
    /// A revision for every deployment that gives traffic to one of these versions, or repeats calls in it, without them. A
    /// running rollout of such a component ends.
    fn revisions_without(&self, stopped: &[Arc<VersionEntry>], actor: &str, reason: Option<&str>) -> Vec<NewRevision> {
        let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        let mut by_component: BTreeMap<&ComponentName, BTreeSet<&Version>> = BTreeMap::new();
        for entry in stopped {
            by_component.entry(&entry.record.component).or_default().insert(&entry.record.version);
        }
        let revisions = by_component.into_iter().filter_map(|(name, gone)| {
            let now = self.component(name)?.deployment.as_ref()?;
            let shadow = now.shadow.clone().filter(|shadow| !gone.contains(&shadow.version));
            let traffic = without(&now.traffic, &gone);
            if traffic == now.traffic && shadow == now.shadow {
                return None;
            }
            let names = gone.iter().map(|version| version.to_string()).collect::<Vec<_>>().join(", ");
            let verb = if gone.len() == 1 { "was" } else { "were" };
            Some(NewRevision {
                component: now.component.clone(),
                places: Some(places::allot(&now.component, Some(now), &traffic)),
                traffic,
                stickiness: now.stickiness,
                shadow,
                actor: actor.to_owned(),
                reason: Some(format!("{names} {verb} stopped{why}")),
                expected: Some(now.revision),
                rollout: RolloutChange::Supersede,
                evidence: None,
                rejects: Vec::new(),
            })
        });
        revisions.collect()
    }
}

/// Whether the transition changes anything, or why it cannot be.
fn changes(transition: &Transition, now: &VersionRecord) -> Result<bool, LifecycleError> {
    let (yanked, stopped) = (now.yanked_at.is_some(), now.stopped_at.is_some());
    match transition {
        Transition::Yank => Ok(!yanked),
        Transition::Unyank if stopped => Err(LifecycleError::Conflict(format!(
            "{}@{} is stopped: take that back first, then the yank",
            now.component, now.version
        ))),
        Transition::Unyank => Ok(yanked),
        Transition::Stop => Ok(!stopped),
        Transition::Resume => Ok(stopped),
        Transition::Deprecate(deprecation) => Ok(now.deprecation.as_ref() != Some(deprecation)),
        Transition::Undeprecate => Ok(now.deprecation.is_some()),
    }
}

fn check_words(request: &LifecycleRequest) -> Result<(), LifecycleError> {
    let invalid = |detail: String| Err(LifecycleError::Invalid(detail));
    let deprecation = match &request.transition {
        Transition::Deprecate(deprecation) => Some(deprecation),
        _ => None,
    };
    let reasons = [request.reason.as_ref(), deprecation.and_then(|deprecation| deprecation.reason.as_ref())];
    let checked = reasons.into_iter().flatten().try_for_each(|reason| check_reason(reason));
    checked.map_err(|bad| LifecycleError::Invalid(bad.to_string()))?;
    match deprecation.and_then(|deprecation| Some((deprecation.at, deprecation.sunset?))) {
        Some((at, sunset)) if sunset < at => {
            invalid(format!("the sunset ({sunset}) is before the deprecation ({at}): callers need time in between"))
        }
        _ => Ok(()),
    }
}

/// The shares of the versions that stay, grown in proportion to take up those of the others; nothing if none stays.
fn without(traffic: &BTreeMap<Version, u32>, gone: &BTreeSet<&Version>) -> BTreeMap<Version, u32> {
    let staying: Vec<_> = traffic.iter().filter(|(version, _)| !gone.contains(version)).collect();
    let total: u64 = staying.iter().map(|(_, share)| u64::from(**share)).sum();
    let scaled = |share: u32| u64::from(share) * u64::from(SHARES_TOTAL);
    let whole = |share: u32| scaled(share).checked_div(total).and_then(|share| u32::try_from(share).ok());
    let mut shares: BTreeMap<Version, u32> =
        staying.iter().map(|(version, share)| ((*version).clone(), whole(**share).unwrap_or_default())).collect();
    // What rounding left over goes to the largest remainders.
    let left = SHARES_TOTAL.saturating_sub(shares.values().sum());
    let mut by_remainder = staying;
    by_remainder.sort_by_key(|(_, share)| Reverse(scaled(**share).checked_rem(total)));
    for (version, _) in by_remainder.into_iter().take(usize::try_from(left).unwrap_or_default()) {
        if let Some(share) = shares.get_mut(version) {
            *share += 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_stopped_versions_go_to_the_others_in_proportion() {
        let version = |minor: usize| Version::new(1, minor as u64, 0);
        let traffic = |shares: &[u32]| -> BTreeMap<Version, u32> {
            shares.iter().enumerate().map(|(at, share)| (version(at), *share)).filter(|(_, share)| *share > 0).collect()
        };
        let cases: [(&[u32], &[usize], &[u32]); 9] = [
            (&[100], &[1], &[100]),
            (&[100], &[0], &[]),
            (&[90, 10], &[0], &[0, 100]),
            (&[40, 30, 30], &[0], &[0, 50, 50]),
            (&[30, 60, 10], &[2], &[33, 67]),
            (&[1, 1, 1, 97], &[3], &[34, 33, 33]),
            (&[1, 98, 1], &[2], &[1, 99]),
            (&[97, 1, 2], &[0], &[0, 33, 67]),
            (&[20, 30, 10, 40], &[0, 3], &[0, 75, 25]),
        ];
        for (before, gone, after) in cases {
            let gone: Vec<_> = gone.iter().map(|at| version(*at)).collect();
            let found = without(&traffic(before), &gone.iter().collect());
            assert_eq!(found, traffic(after), "{before:?} without {gone:?}");
        }
    }
}
