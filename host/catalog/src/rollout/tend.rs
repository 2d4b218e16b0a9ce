//! The host's own hand in rollouts: it looks at each when there may be something to decide, and decides.

use super::judge::{Verdict, judge};
use super::{Rollout, share, step_reason, traffic};
use crate::deploy::{DeployError, SHARES_TOTAL};
use crate::{Catalog, LoadError};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wares_model::{Evidence, RolloutState};
use wares_store::{Deployment, NewRevision, RolloutChange, RolloutEnd, StoreError};

/// Who histories say it was.
const ACTOR: &str = "host";
/// How soon a decision that could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// The longest time without a look.
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(60);

impl Catalog {
    /// Takes every running rollout forward or back for as long as the host runs.
    pub async fn tend_rollouts(&self) {
        loop {
            let woken = self.tending.notified();
            let mut next = LOOK_INTERVAL_MAX;
            let running: Vec<Arc<Rollout>> = self.snapshot().rollouts().cloned().collect();
            for rollout in running {
                next = next.min(self.tend(&rollout).await);
            }
            tokio::select! {
                () = woken => {}
                () = tokio::time::sleep_until(Instant::now() + next) => {}
            }
        }
    }

    /// Looks at one rollout and decides. Returns after which time to look again if nothing wakes it.
    async fn tend(&self, rollout: &Rollout) -> Duration {
        let record = &rollout.record;
        let evidence = rollout.evidence();
        let left = Duration::from_secs(record.plan.step_seconds.saturating_sub(evidence.seconds));
        let done = match judge(&record.plan, &evidence) {
            Verdict::Wait if left.is_zero() => return LOOK_INTERVAL_MAX,
            Verdict::Wait => return left,
            Verdict::Advance => self.advance(rollout, evidence).await,
            Verdict::Back(why) => {
                tracing::warn!(component = %record.component, version = %record.plan.version, why, "rolling back");
                self.roll_back(rollout, why, evidence).await
            }
        };
        match done {
            Ok(()) => Duration::ZERO,
            // Somebody else changed the deployment; the next look sees what is there then.
            Err(DeployError::Conflict { .. } | DeployError::Rollout(_)) => RETRY,
            Err(error) if is_of_the_store(&error) => {
                tracing::error!(component = %record.component, %error, "a rollout's decision could not be written");
                RETRY
            }
            Err(error) => self.halt(rollout, &error).await,
        }
    }

    async fn advance(&self, rollout: &Rollout, evidence: Evidence) -> Result<(), DeployError> {
        let record = &rollout.record;
        let (plan, step) = (&record.plan, record.step.saturating_add(1));
        if share(plan, record.step) == SHARES_TOTAL {
            return self.end(rollout, RolloutState::Completed, None, Some(evidence)).await;
        }
        let current = self.current(rollout)?;
        let stickiness = match share(plan, step) {
            // With one version there is nothing to stick to: what was set before the rollout stands again.
            SHARES_TOTAL => self.revision(&record.component, record.base).await?.stickiness,
            _ => plan.stickiness,
        };
        let revision = NewRevision {
            component: record.component.clone(),
            traffic: traffic(plan, &record.old, step),
            stickiness,
            places: None,
            shadow: current.shadow.clone(),
            actor: ACTOR.to_owned(),
            reason: Some(step_reason(plan, step)),
            expected: Some(current.revision),
            rollout: RolloutChange::Step { id: record.id, step },
            evidence: Some(evidence),
            rejects: Vec::new(),
        };
        tracing::info!(component = %record.component, version = %plan.version, step, "rollout goes on");
        self.change_deployment(revision).await.map(drop)
    }

    async fn roll_back(&self, rollout: &Rollout, why: String, evidence: Evidence) -> Result<(), DeployError> {
        let current = self.current(rollout)?;
        let (state, expected) = (RolloutState::RolledBack, Some(current.revision));
        self.go_back(rollout, state, ACTOR.to_owned(), why, evidence, expected).await.map(drop)
    }

    /// The deployment, if it is still a step of this rollout.
    fn current(&self, rollout: &Rollout) -> Result<Arc<Deployment>, DeployError> {
        let current = self.snapshot().find(&rollout.record.component)?.deployment.clone();
        let current = current.filter(|current| current.rollout == Some(rollout.record.id));
        current.ok_or_else(|| DeployError::Rollout("the deployment is no step of the rollout any more".to_owned()))
    }

    /// Neither forward nor back: what is deployed stays until an operator decides.
    async fn halt(&self, rollout: &Rollout, error: &DeployError) -> Duration {
        tracing::error!(component = %rollout.record.component, %error, "a rollout is halted; an operator has to decide");
        let ended = self.end(rollout, RolloutState::Halted, Some(error.to_string()), Some(rollout.evidence())).await;
        if ended.is_err() { RETRY } else { Duration::ZERO }
    }

    /// Ends a rollout and leaves the deployment as it is.
    async fn end(
        &self,
        rollout: &Rollout,
        state: RolloutState,
        note: Option<String>,
        evidence: Option<Evidence>,
    ) -> Result<(), DeployError> {
        let component = rollout.record.component.clone();
        let changing = self.change().await;
        let end = RolloutEnd { component: component.clone(), id: rollout.record.id, state, note, evidence };
        match self.store().end_rollout(end).await {
            Ok(_) => {}
            Err(ended @ StoreError::RolloutEnded { .. }) => return Err(DeployError::Rollout(ended.to_string())),
            Err(other) => return Err(DeployError::Store(other)),
        }
        tracing::info!(%component, version = %rollout.record.plan.version, %state, "rollout ended");
        self.publish_snapshot(&changing, |next| next.put_rollout(&component, None));
        Ok(())
    }
}

/// Whether it may succeed when it is tried again.
fn is_of_the_store(error: &DeployError) -> bool {
    match error {
        DeployError::Store(_) => true,
        DeployError::Load { source, .. } => matches!(**source, LoadError::Store(_)),
        _ => false,
    }
}
