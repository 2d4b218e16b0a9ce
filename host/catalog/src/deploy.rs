//! Which versions take traffic: the hot swap.

use crate::resolve::ResolveError;
use crate::snapshot::Snapshot;
use crate::{Catalog, LoadError};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::MutexGuard;
use wares_model::{ComponentName, Version};
use wares_store::{Deployment, NewRevision, StoreError};

/// What the shares of a deployment add up to.
pub const SHARES_TOTAL: u32 = 100;
/// Versions in one deployment.
const VERSIONS_MAX: usize = 16;
/// Characters of a reason.
const REASON_CHARS_MAX: usize = 1_000;
/// Revisions that a rollback looks back over.
const HISTORY_MAX: u32 = 1_000;

/// A change of a deployment.
#[derive(Debug, Clone)]
pub struct DeployRequest {
    /// Of which component.
    pub component: ComponentName,
    /// Shares by version; they add up to 100.
    pub traffic: BTreeMap<Version, u32>,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The revision that the change builds on; 0 for none. Another one current: it is refused.
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
    /// have begun end on the version they began with, the next one sees the new shares.
    pub async fn deploy(&self, request: DeployRequest) -> Result<Arc<Deployment>, DeployError> {
        check_shape(&request)?;
        for version in request.traffic.keys() {
            let entry = Arc::clone(self.snapshot().find_version(&request.component, version)?);
            if entry.record.yanked_at.is_some() {
                return Err(DeployError::Invalid(format!("{version} is yanked; deploy another version")));
            }
            self.live(&entry).await.map_err(|source| DeployError::Load { version: version.clone(), source })?;
        }
        let changing = self.change().await;
        self.commit(&changing, request).await
    }

    /// Goes back to the traffic of revision `to`, or of the newest revision that differs from the current one. It is a new
    /// revision itself.
    pub async fn rollback(
        &self,
        component: &ComponentName,
        to: Option<u64>,
        actor: String,
        reason: Option<String>,
    ) -> Result<Arc<Deployment>, DeployError> {
        self.snapshot().find(component)?;
        let history =
            self.store().deployment_history(component, HISTORY_MAX, None).await.map_err(DeployError::Store)?;
        let Some(current) = history.first() else {
            return Err(DeployError::Invalid(format!(
                "{component} was never deployed; there is nothing to go back to"
            )));
        };
        let target = match to {
            Some(revision) => history.iter().find(|state| state.revision == revision),
            None => history.iter().find(|state| state.traffic != current.traffic),
        };
        let target = target.ok_or_else(|| {
            DeployError::Invalid(match to {
                Some(revision) => {
                    format!("there is no revision {revision} of {component}; see the deployment's history")
                }
                None => format!("{component} has had no other traffic than now; name a revision or deploy a version"),
            })
        })?;
        let reason = reason.or_else(|| Some(format!("rollback to revision {}", target.revision)));
        let (traffic, expected) = (target.traffic.clone(), Some(current.revision));
        self.deploy(DeployRequest { component: component.clone(), traffic, actor, reason, expected }).await
    }

    async fn commit(
        &self,
        changing: &MutexGuard<'_, ()>,
        request: DeployRequest,
    ) -> Result<Arc<Deployment>, DeployError> {
        let DeployRequest { component, traffic, actor, reason, expected } = request;
        let revision = NewRevision { component, traffic, actor, reason, expected };
        let deployment = self.store().set_deployment(revision).await.map_err(|error| match error {
            StoreError::RevisionConflict { current } => {
                DeployError::Conflict { current, expected: expected.unwrap_or_default() }
            }
            other => DeployError::Store(other),
        })?;
        self.publish_snapshot(changing, |next| next.deployed(deployment.clone()));
        Ok(Arc::new(deployment))
    }
}

impl Snapshot {
    /// Puts a new deployment in place and notes which versions have now been deployed.
    fn deployed(&mut self, deployment: Deployment) {
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

fn check_shape(request: &DeployRequest) -> Result<(), DeployError> {
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
    if request.reason.as_ref().is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return invalid(format!("the reason is over {REASON_CHARS_MAX} characters"));
    }
    Ok(())
}
