//! Whether a rollout goes on, waits, or goes back.

use wares_model::rollout::{Observed, WallMeasure};
use wares_model::{Evidence, RolloutPlan};

/// Before a step has its fewest calls, an error rate is over its bound only if chance would bring it there less than once in so
/// many times. It is looked at again after every error, so that a smaller number would too often be chance.
const CHANCE: f64 = 10_000.0;

/// What to do.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// Not enough is known, or the step has not lasted long enough.
    Wait,
    /// The new version held to the plan in this step.
    Advance,
    /// It did not, and this is why.
    Back(String),
}

pub(super) fn judge(plan: &RolloutPlan, evidence: &Evidence) -> Verdict {
    let Evidence { new, old, seconds, .. } = evidence;
    let enough = new.calls >= plan.calls_min;
    if let Some(why) = too_many_errors(plan, new, old, enough) {
        return Verdict::Back(why);
    }
    if enough
        && old.calls >= plan.calls_min
        && let Some(why) = too_slow(plan, new, old)
    {
        return Verdict::Back(why);
    }
    if enough && *seconds >= plan.step_seconds { Verdict::Advance } else { Verdict::Wait }
}

fn too_many_errors(plan: &RolloutPlan, new: &Observed, old: &Observed, enough: bool) -> Option<String> {
    let bound = old.error_percent() + plan.error_points_max;
    let is_over = new.error_percent() > bound && (enough || is_beyond_chance(new, bound / 100.0));
    is_over.then(|| {
        let words = |seen: &Observed| {
            format!("{} failed {} of {} calls ({:.1}%)", seen.version, seen.errors, seen.calls, seen.error_percent())
        };
        format!("{}, {}: more than {} points above", words(new), words(old), plan.error_points_max)
    })
}

fn too_slow(plan: &RolloutPlan, new: &Observed, old: &Observed) -> Option<String> {
    let (seen, before) = (new.wall_us(plan.wall_measure), old.wall_us(plan.wall_measure));
    let slack_us = plan.wall_slack_ms.saturating_mul(1_000);
    let is_over = seen as f64 > before as f64 * plan.wall_ratio_max && seen > before.saturating_add(slack_us);
    is_over.then(|| {
        let what = match plan.wall_measure {
            WallMeasure::Mean => "mean",
            WallMeasure::P95 => "95th percentile of the",
        };
        format!(
            "the {what} wall time of {} is {seen} µs in {} calls, of {} {before} µs in {}: more than {} times as long",
            new.version, new.calls, old.version, old.calls, plan.wall_ratio_max
        )
    })
}

/// Whether so many errors are more than chance makes of a rate of `bound`, by Chernoff's bound of the binomial distribution.
fn is_beyond_chance(seen: &Observed, bound: f64) -> bool {
    let rate = seen.error_percent() / 100.0;
    let part = |seen: f64, bound: f64| if seen > 0.0 { seen * (seen / bound).ln() } else { 0.0 };
    let divergence = part(rate, bound) + part(1.0 - rate, 1.0 - bound);
    seen.calls as f64 * divergence > CHANCE.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(version: &str, calls: u64, errors: u64, wall_us: u64) -> Observed {
        Observed { version: version.parse().unwrap(), calls, errors, wall_mean_us: wall_us, wall_p95_us: wall_us }
    }

    #[test]
    fn a_version_goes_on_waits_or_goes_back() {
        let plan = r#"{"version": "1.1.0", "calls-min": 100, "step-seconds": 60, "error-points-max": 2}"#;
        let plan: RolloutPlan = serde_json::from_str(plan).unwrap();
        // Calls, errors and wall time of the new version, of the old one, seconds, and what follows.
        let cases = [
            ((0, 0, 0), (0, 0, 0), 1_000, "wait"),
            ((99, 0, 100), (1_000, 0, 100), 1_000, "wait"),
            ((100, 0, 100), (1_000, 0, 100), 59, "wait"),
            ((100, 0, 100), (1_000, 0, 100), 60, "advance"),
            ((100, 2, 100), (1_000, 0, 100), 60, "advance"),
            ((100, 3, 100), (1_000, 0, 100), 1, "failed 3 of 100 calls (3.0%)"),
            ((100, 3, 100), (1_000, 20, 100), 60, "advance"),
            ((1, 1, 100), (1_000, 0, 100), 1, "wait"),
            ((2, 2, 100), (1_000, 0, 100), 1, "wait"),
            ((3, 3, 100), (1_000, 0, 100), 1, "failed 3 of 3"),
            ((30, 3, 100), (1_000, 0, 100), 1, "wait"),
            ((20, 1, 100), (1_000, 0, 100), 1, "wait"),
            ((50, 10, 100), (1_000, 0, 100), 1, "failed 10 of 50"),
            ((50, 10, 100), (1_000, 200, 100), 1, "wait"),
            ((100, 3, 100), (0, 0, 0), 60, "failed 3"),
            ((100, 0, 300_000), (1_000, 0, 100_000), 1, "times as long"),
            ((100, 0, 4_000), (1_000, 0, 1_000), 60, "advance"),
            ((100, 0, 300_000), (99, 0, 100_000), 60, "advance"),
        ];
        for (new, old, seconds, expected) in cases {
            let (new, old) = (observed("1.1.0", new.0, new.1, new.2), observed("1.0.0", old.0, old.1, old.2));
            let verdict = judge(&plan, &Evidence { step: 1, share: 5, seconds, new, old });
            let fits = match (&verdict, expected) {
                (Verdict::Wait, "wait") | (Verdict::Advance, "advance") => true,
                (Verdict::Back(why), words) => why.contains(words),
                _ => false,
            };
            assert!(fits, "{verdict:?} is not {expected:?}");
        }
    }

    #[test]
    fn where_no_error_is_allowed_one_is_enough() {
        assert!(is_beyond_chance(&observed("1.1.0", 1_000, 1, 1), 0.0));
        assert!(!is_beyond_chance(&observed("1.1.0", 1_000, 0, 1), 0.0));
    }
}
