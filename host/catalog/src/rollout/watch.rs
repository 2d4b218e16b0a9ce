//! What the two versions of a running rollout are seen to do, counted as their calls end.

use parking_lot::Mutex;
use sketches_ddsketch::{Config, DDSketch};
use std::sync::Arc;
use tokio::sync::Notify;
use wares_model::rollout::Observed;
use wares_model::{Outcome, Version};
use wares_store::RolloutRecord;

/// Counts calls of both versions that the deployment's shares sent there.
pub struct Watch {
    new: Version,
    old: Version,
    calls_min: u64,
    component_errors: bool,
    tallies: Mutex<Tallies>,
    wake: Arc<Notify>,
}

#[derive(Default)]
struct Tallies {
    /// In this step.
    new: Tally,
    /// In this step.
    old: Tally,
    /// In all steps since the host runs.
    old_in_all: Tally,
}

/// Calls of one version.
struct Tally {
    calls: u64,
    errors: u64,
    walls_us: DDSketch,
}

impl Default for Tally {
    fn default() -> Self {
        Self { calls: 0, errors: 0, walls_us: DDSketch::new(Config::defaults()) }
    }
}

impl Watch {
    pub(super) fn new(record: &RolloutRecord, wake: Arc<Notify>) -> Self {
        let (plan, old) = (&record.plan, record.old.clone());
        let (calls_min, component_errors) = (plan.calls_min, plan.component_errors);
        let tallies = Mutex::default();
        Self { new: plan.version.clone(), old, calls_min, component_errors, tallies, wake }
    }

    /// Counts a call that has ended. Whoever decides on the rollout is woken when there may be something to decide: at an
    /// error of the new version, and each time that it has had another `calls_min` calls.
    pub fn count(&self, version: &Version, outcome: Outcome, wall_us: u64) {
        let is_error = self.is_error(outcome);
        let mut tallies = self.tallies.lock();
        if *version == self.new {
            tallies.new.add(is_error, wall_us);
            let is_due = is_error || tallies.new.calls.is_multiple_of(self.calls_min);
            drop(tallies);
            if is_due {
                self.wake.notify_one();
            }
        } else if *version == self.old {
            tallies.old.add(is_error, wall_us);
            tallies.old_in_all.add(is_error, wall_us);
        }
    }

    fn is_error(&self, outcome: Outcome) -> bool {
        match outcome {
            // A caller that goes away says nothing of errors; how long it waited is counted.
            Outcome::Ok | Outcome::Cancelled => false,
            // The component's own answer.
            Outcome::ComponentError => self.component_errors,
            Outcome::Trap
            | Outcome::LimitCpu
            | Outcome::LimitWall
            | Outcome::LimitMemory
            | Outcome::LimitOutput
            | Outcome::HostError => true,
        }
    }

    /// The new version in this step, and the old one: in this step too if it had enough calls, else in all steps.
    pub(super) fn observed(&self) -> (Observed, Observed) {
        let tallies = self.tallies.lock();
        let old = if tallies.old.calls >= self.calls_min { &tallies.old } else { &tallies.old_in_all };
        (tallies.new.observed(&self.new), old.observed(&self.old))
    }

    /// Starts counting anew.
    pub(super) fn begin_step(&self) {
        let mut tallies = self.tallies.lock();
        tallies.new = Tally::default();
        tallies.old = Tally::default();
    }
}

impl Tally {
    fn add(&mut self, is_error: bool, wall_us: u64) {
        self.calls += 1;
        self.errors += u64::from(is_error);
        self.walls_us.add(wall_us as f64);
    }

    fn observed(&self, version: &Version) -> Observed {
        // Conversions from floats saturate.
        let mean = self.walls_us.sum().unwrap_or_default() / self.calls.max(1) as f64;
        let p95 = self.walls_us.quantile(0.95).ok().flatten().unwrap_or_default();
        Observed {
            version: version.clone(),
            calls: self.calls,
            errors: self.errors,
            wall_mean_us: mean as u64,
            wall_p95_us: p95 as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wares_model::{RolloutPlan, RolloutState, Timestamp};

    fn watch(component_errors: bool) -> (Watch, Version, Version) {
        let (old, new) = (Version::new(1, 0, 0), Version::new(1, 1, 0));
        let plan = format!(r#"{{"version": "{new}", "calls-min": 2, "component-errors": {component_errors}}}"#);
        let plan: RolloutPlan = serde_json::from_str(&plan).unwrap();
        let record = RolloutRecord {
            component: "a:b".parse().unwrap(),
            id: 2,
            base: 1,
            old: old.clone(),
            plan,
            step: 1,
            step_started_at: Timestamp::now(),
            state: RolloutState::Running,
            started_at: Timestamp::now(),
            ended_at: None,
            actor: "test".to_owned(),
            reason: None,
            note: None,
            evidence: None,
        };
        (Watch::new(&record, Arc::default()), old, new)
    }

    #[test]
    fn errors_are_those_of_the_version_and_the_host() {
        for (component_errors, expected) in [(false, 6), (true, 7)] {
            let (watch, _, new) = watch(component_errors);
            for outcome in Outcome::ALL {
                watch.count(&new, outcome, 1_000);
            }
            let (new, old) = watch.observed();
            assert_eq!((new.calls, new.errors, old.calls), (Outcome::ALL.len() as u64, expected, 0));
        }
    }

    #[test]
    fn each_step_counts_anew_and_the_old_version_is_remembered() {
        let (watch, old, new) = watch(false);
        for wall_us in 1..=100 {
            watch.count(&new, Outcome::Ok, wall_us);
        }
        for outcome in [Outcome::Ok, Outcome::Ok, Outcome::Trap] {
            watch.count(&old, outcome, 7);
        }
        watch.count(&Version::new(9, 0, 0), Outcome::Trap, 7);
        let (seen, _) = watch.observed();
        assert!((49..=51).contains(&seen.wall_mean_us) && (93..=97).contains(&seen.wall_p95_us), "{seen:?}");

        watch.begin_step();
        let (seen, before) = watch.observed();
        assert_eq!((seen.calls, before.calls, before.errors), (0, 3, 1));
        watch.count(&old, Outcome::Ok, 7);
        assert_eq!(watch.observed().1.calls, 4, "one call in this step is not enough");
        watch.count(&old, Outcome::Ok, 7);
        assert_eq!(watch.observed().1.calls, 2, "two are");
    }

    #[tokio::test]
    async fn whoever_decides_is_woken_when_there_may_be_something_to_decide() {
        let is_woken = |watch: &Watch| {
            let mut woken = std::pin::pin!(watch.wake.notified());
            woken.as_mut().enable()
        };
        let (watch, old, new) = watch(false);
        watch.count(&old, Outcome::Trap, 1);
        watch.count(&new, Outcome::Ok, 1);
        assert!(!is_woken(&watch), "one call of two");
        watch.count(&new, Outcome::Ok, 1);
        assert!(is_woken(&watch), "enough calls");
        watch.count(&new, Outcome::Trap, 1);
        assert!(is_woken(&watch), "an error");
    }
}
