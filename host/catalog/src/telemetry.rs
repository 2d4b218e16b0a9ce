//! What metrics say of the shelf.

use crate::Catalog;
use crate::rehearsal::is_rehearsal;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use wares_model::RolloutState;
use wares_store::RolloutChange;

const ROLLOUTS: &str = "wares_rollouts_running";
const ROLLOUTS_ENDED: &str = "wares_rollouts_ended_total";
const COMPONENTS: &str = "wares_components";
const WARNINGS: &str = "wares_shelf_warnings";
const FAULTS: &str = "wares_shelf_faults";

/// Tells the metrics recorder what the metrics of the shelf mean.
pub fn describe_metrics() {
    describe_gauge!(COMPONENTS, "Components on the shelf");
    describe_gauge!(ROLLOUTS, "Rollouts whose steps go on");
    describe_counter!(ROLLOUTS_ENDED, "Rollouts that came to their end on this host, by state");
    // From the beginning, so that the first one is seen as an increase.
    for state in RolloutState::ALL.into_iter().filter(|state| *state != RolloutState::Running) {
        counter!(ROLLOUTS_ENDED, "state" => state.as_str()).absolute(0);
    }
    describe_gauge!(WARNINGS, "What /readyz warns of");
    describe_gauge!(FAULTS, "Deployed artifacts that are missing or damaged");
    describe_gauge!("wares_database_bytes", "Bytes of all that is in the database");
    describe_gauge!("wares_log_bytes", "Bytes of the logs of calls");
}

/// A revision of a component whose rollout was running.
pub(crate) fn rollout_ended(change: &RolloutChange) {
    let state = match change {
        RolloutChange::Start { .. } | RolloutChange::Step { .. } => return,
        RolloutChange::Supersede => RolloutState::Superseded,
        RolloutChange::End { state, .. } => *state,
    };
    if is_rehearsal() {
        return;
    }
    counter!(ROLLOUTS_ENDED, "state" => state.as_str()).increment(1);
}

impl Catalog {
    /// Shows in metrics how the shelf stands.
    pub fn show_metrics(&self) {
        let snapshot = self.snapshot();
        let (components, rollouts) =
            snapshot.components().fold((0_u32, 0_u32), |(components, rollouts), (_, entry)| {
                (components + 1, rollouts + u32::from(entry.rollout.is_some()))
            });
        gauge!(COMPONENTS).set(components);
        gauge!(ROLLOUTS).set(rollouts);
        // Exact up to 2^53.
        gauge!(WARNINGS).set(self.condition().warnings().len() as f64);
        gauge!(FAULTS).set(self.condition().faults().len() as f64);
    }
}
