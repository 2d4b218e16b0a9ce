//! Rollouts: a new version takes over step by step, is watched against the old one, and loses its traffic when it is worse.
//!
//! Every step is a revision of the deployment, written together with where the rollout stands, so that a host that starts again
//! goes on with the step it was in; what is counted in a step begins anew then. The host goes on and back by itself, in
//! [`Catalog::tend_rollouts`].

mod judge;
mod tend;
mod watch;

pub use watch::Watch;

use crate::deploy::{DeployError, SHARES_TOTAL};
use crate::{Catalog, ResolveError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;
use wares_model::{ComponentName, Evidence, RolloutPlan, RolloutState, Timestamp, Version};
use wares_store::{Deployment, NewRevision, RolloutChange, RolloutRecord};

/// A rollout to start.
#[derive(Debug, Clone)]
pub struct RolloutRequest {
    /// Of which component.
    pub component: ComponentName,
    /// What the new version must hold to.
    pub plan: RolloutPlan,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The revision that it builds on. Another one current: it is refused.
    pub expected: Option<u64>,
}

/// A rollout as it stands, and what is seen of its versions in the current step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RolloutView {
    /// It.
    #[serde(flatten)]
    pub record: RolloutRecord,
    /// What is seen, while it runs.
    pub observed: Option<Evidence>,
}

/// A running rollout.
pub struct Rollout {
    /// What the store has of it.
    pub record: RolloutRecord,
    /// What its versions are seen to do.
    pub watch: Arc<Watch>,
}

impl Rollout {
    /// One that the store says is running.
    pub(crate) fn resume(record: RolloutRecord, wake: &Arc<Notify>) -> Self {
        let watch = Arc::new(Watch::new(&record, Arc::clone(wake)));
        Self { record, watch }
    }

    /// The rollout that runs after a new revision of the deployment.
    pub(crate) fn after(
        running: Option<&Self>,
        change: &RolloutChange,
        deployment: &Deployment,
        wake: &Arc<Notify>,
    ) -> Option<Arc<Self>> {
        match change {
            RolloutChange::Supersede | RolloutChange::End { .. } => None,
            RolloutChange::Start { plan, old } => {
                let record = RolloutRecord {
                    component: deployment.component.clone(),
                    id: deployment.revision,
                    base: deployment.revision.saturating_sub(1),
                    old: old.clone(),
                    plan: plan.clone(),
                    step: 1,
                    step_started_at: deployment.at,
                    state: RolloutState::Running,
                    started_at: deployment.at,
                    ended_at: None,
                    actor: deployment.actor.clone(),
                    reason: deployment.reason.clone(),
                    note: None,
                    evidence: None,
                };
                Some(Arc::new(Self::resume(record, wake)))
            }
            RolloutChange::Step { step, .. } => running.map(|running| {
                running.watch.begin_step();
                let (step, step_started_at, evidence) = (*step, deployment.at, deployment.evidence.clone());
                let record = RolloutRecord { step, step_started_at, evidence, ..running.record.clone() };
                Arc::new(Self { record, watch: Arc::clone(&running.watch) })
            }),
        }
    }

    /// What is seen of the versions in the current step.
    fn evidence(&self) -> Evidence {
        let RolloutRecord { plan, step, step_started_at, .. } = &self.record;
        let micros = Timestamp::now().as_micros().saturating_sub(step_started_at.as_micros());
        let (new, old) = self.watch.observed();
        let seconds = u64::try_from(micros).unwrap_or_default() / 1_000_000;
        Evidence { step: *step, share: share(plan, *step), seconds, new, old }
    }
}

impl Catalog {
    /// Starts a rollout: gives the new version the share of its first step.
    pub async fn start_rollout(&self, request: RolloutRequest) -> Result<RolloutView, DeployError> {
        let RolloutRequest { component, plan, actor, reason, expected } = request;
        plan.check().map_err(|error| DeployError::Invalid(error.to_string()))?;
        let current = {
            let snapshot = self.snapshot();
            let found = snapshot.find(&component)?;
            if let Some(running) = &found.rollout {
                let version = &running.record.plan.version;
                let detail = format!("a rollout of {version} is running: abort it first, or wait for its end");
                return Err(DeployError::Rollout(detail));
            }
            found.deployment.clone()
        };
        let current = current.as_deref().filter(|current| current.traffic.len() == 1);
        let old = current.and_then(|current| current.traffic.keys().next().cloned());
        let (Some(current), Some(old)) = (current, old) else {
            let detail = "a rollout starts from one version that has all traffic: deploy one first".to_owned();
            return Err(DeployError::Invalid(detail));
        };
        if old == plan.version {
            return Err(DeployError::Invalid(format!("{old} has all traffic already")));
        }
        let reason = reason.or_else(|| Some(step_reason(&plan, 1)));
        self.change_deployment(NewRevision {
            component: component.clone(),
            traffic: traffic(&plan, &old, 1),
            stickiness: plan.stickiness,
            places: None,
            shadow: current.shadow.clone(),
            actor,
            reason,
            expected: expected.or(Some(current.revision)),
            rollout: RolloutChange::Start { plan, old },
            evidence: None,
            rejects: Vec::new(),
        })
        .await?;
        self.rollout(&component).await
    }

    /// The newest rollout of a component.
    pub async fn rollout(&self, component: &ComponentName) -> Result<RolloutView, DeployError> {
        let running = self.snapshot().find(component)?.rollout.clone();
        if let Some(running) = running {
            return Ok(RolloutView { record: running.record.clone(), observed: Some(running.evidence()) });
        }
        let latest = self.store().latest_rollout(component).await.map_err(DeployError::Store)?;
        let record = latest.ok_or_else(|| none(format!("there has been no rollout of {component}")))?;
        Ok(RolloutView { record, observed: None })
    }

    /// Ends a rollout and gives the old version all traffic again.
    pub async fn abort_rollout(
        &self,
        component: &ComponentName,
        actor: String,
        reason: Option<String>,
        expected: Option<u64>,
    ) -> Result<Arc<Deployment>, DeployError> {
        let running = self.snapshot().find(component)?.rollout.clone();
        let running = running.ok_or_else(|| none(format!("no rollout of {component} is running")))?;
        let reason = reason.unwrap_or_else(|| format!("rollout of {} aborted", running.record.plan.version));
        self.go_back(&running, RolloutState::Aborted, actor, reason, running.evidence(), expected).await
    }

    /// Gives all traffic back to the version that had it before the rollout, as it was then.
    async fn go_back(
        &self,
        rollout: &Rollout,
        state: RolloutState,
        actor: String,
        reason: String,
        evidence: Evidence,
        expected: Option<u64>,
    ) -> Result<Arc<Deployment>, DeployError> {
        let RolloutRecord { component, id, base, .. } = &rollout.record;
        let base = self.revision(component, *base).await?;
        self.change_deployment(NewRevision {
            component: component.clone(),
            traffic: base.traffic,
            stickiness: base.stickiness,
            places: base.places,
            shadow: None,
            actor,
            reason: Some(reason.clone()),
            expected,
            rollout: RolloutChange::End { id: *id, state, note: Some(reason) },
            evidence: Some(evidence),
            rejects: vec![rollout.record.plan.version.clone()],
        })
        .await
    }
}

fn none(detail: String) -> DeployError {
    DeployError::NotFound(ResolveError::not_found(detail, Vec::new()))
}

/// The new version's share in a step, from 1.
fn share(plan: &RolloutPlan, step: u32) -> u32 {
    let before = usize::try_from(step.saturating_sub(1)).unwrap_or(usize::MAX);
    plan.steps.get(before).copied().unwrap_or(SHARES_TOTAL)
}

fn traffic(plan: &RolloutPlan, old: &Version, step: u32) -> BTreeMap<Version, u32> {
    let share = share(plan, step);
    let shares = [(plan.version.clone(), share), (old.clone(), SHARES_TOTAL.saturating_sub(share))];
    shares.into_iter().filter(|(_, share)| *share > 0).collect()
}

fn step_reason(plan: &RolloutPlan, step: u32) -> String {
    format!("rollout of {}, step {step} of {}: {}%", plan.version, plan.steps.len(), share(plan, step))
}
