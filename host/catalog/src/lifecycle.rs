//! What becomes of a version after it was published: deprecated, yanked, stopped.
//!
//! A deprecated version serves as before and tells its callers. A yanked one is not begun with: it is not deployed anew, and
//! callers with a requirement get it only where it takes traffic or nothing else will do. A stopped one serves nobody: its share
//! of the traffic goes to the others, and calls that have begun end. All of it can be taken back.

use crate::deploy::{REASON_CHARS_MAX, SHARES_TOTAL};
use crate::places;
use crate::snapshot::VersionEntry;
use crate::{Catalog, ResolveError};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use wares_model::{ComponentName, Version};
use wares_store::{NewRevision, RolloutChange, StoreError, Transition, VersionChange, VersionRecord};

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
    /// Does it. What is so already changes nothing and leaves nothing in the version's history.
    pub async fn change_version(&self, request: LifecycleRequest) -> Result<Arc<VersionEntry>, LifecycleError> {
        check_words(&request)?;
        let changing = self.change().await;
        let entry = Arc::clone(self.snapshot().find_version(&request.component, &request.version)?);
        if !changes(&request.transition, &entry.record)? {
            return Ok(entry);
        }
        let deployment = match request.transition {
            Transition::Stop => self.without(&request),
            _ => None,
        };
        let LifecycleRequest { component, version, transition, actor, reason } = request;
        let stopped = transition == Transition::Stop;
        let change = VersionChange { component, version, transition, actor, reason, deployment };
        let (record, deployment) = self.store().change_version(change).await?;
        let entry = Arc::new(entry.with_record(record));
        self.publish_snapshot(&changing, |next| {
            next.put_version(Arc::clone(&entry));
            if let Some(deployment) = deployment {
                next.put_rollout(&deployment.component, None);
                next.put_deployment(deployment);
            }
        });
        if stopped {
            self.loaded.invalidate(&entry.serial()).await;
        }
        Ok(entry)
    }

    /// The deployment as it is without the version, if that takes traffic or repeats calls. A running rollout ends.
    fn without(&self, request: &LifecycleRequest) -> Option<NewRevision> {
        let snapshot = self.snapshot();
        let deployment = snapshot.component(&request.component)?.deployment.as_ref()?;
        let shadow = deployment.shadow.clone().filter(|shadow| shadow.version != request.version);
        let traffic = match without(&deployment.traffic, &request.version) {
            Some(traffic) => traffic,
            None if shadow != deployment.shadow => deployment.traffic.clone(),
            None => return None,
        };
        let why = request.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
        Some(NewRevision {
            component: request.component.clone(),
            stickiness: deployment.stickiness,
            places: Some(places::allot(&request.component, Some(deployment), &traffic)),
            traffic,
            shadow,
            actor: request.actor.clone(),
            reason: Some(format!("{} was stopped{why}", request.version)),
            expected: Some(deployment.revision),
            rollout: RolloutChange::Supersede,
            evidence: None,
        })
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
    if reasons.into_iter().flatten().any(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return invalid(format!("the reason is over {REASON_CHARS_MAX} characters"));
    }
    match deprecation.and_then(|deprecation| Some((deprecation.at, deprecation.sunset?))) {
        Some((at, sunset)) if sunset < at => {
            invalid(format!("the sunset ({sunset}) is before the deprecation ({at}): callers need time in between"))
        }
        _ => Ok(()),
    }
}

/// The shares of the others, grown in proportion to take up this version's; none if it has none.
fn without(traffic: &BTreeMap<Version, u32>, version: &Version) -> Option<BTreeMap<Version, u32>> {
    let mut rest = traffic.clone();
    rest.remove(version)?;
    let (total, before) = (u64::from(SHARES_TOTAL), rest.values().map(|share| u64::from(*share)).sum::<u64>());
    let mut by_remainder = Vec::new();
    let mut missing = total;
    for (version, share) in &mut rest {
        let grown = u64::from(*share) * total;
        let Some(whole) = grown.checked_div(before) else { break };
        *share = u32::try_from(whole).unwrap_or(SHARES_TOTAL);
        missing = missing.saturating_sub(whole);
        by_remainder.push((Reverse(grown.checked_rem(before)), version.clone()));
    }
    // The largest remainders first, so that they add up to the total again.
    by_remainder.sort();
    for (_, version) in by_remainder.into_iter().take(usize::try_from(missing).unwrap_or(0)) {
        if let Some(share) = rest.get_mut(&version) {
            *share += 1;
        }
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(shares: &[(&str, u32)]) -> BTreeMap<Version, u32> {
        shares.iter().map(|(version, share)| (version.parse().unwrap(), *share)).collect()
    }

    #[test]
    fn the_share_of_a_stopped_version_goes_to_the_others_in_proportion() {
        type Shares = &'static [(&'static str, u32)];
        let cases: [(Shares, Option<Shares>); 6] = [
            (&[("1.0.0", 100)], None),
            (&[("2.0.0", 100)], Some(&[])),
            (&[("1.0.0", 90), ("2.0.0", 10)], Some(&[("1.0.0", 100)])),
            (&[("1.0.0", 30), ("1.1.0", 60), ("2.0.0", 10)], Some(&[("1.0.0", 33), ("1.1.0", 67)])),
            (
                &[("1.0.0", 1), ("1.1.0", 1), ("1.2.0", 1), ("2.0.0", 97)],
                Some(&[("1.0.0", 34), ("1.1.0", 33), ("1.2.0", 33)]),
            ),
            (&[("1.0.0", 1), ("1.1.0", 98), ("2.0.0", 1)], Some(&[("1.0.0", 1), ("1.1.0", 99)])),
        ];
        for (before, after) in cases {
            let found = without(&traffic(before), &Version::new(2, 0, 0));
            assert_eq!(found, after.map(traffic), "{before:?}");
        }
    }
}
