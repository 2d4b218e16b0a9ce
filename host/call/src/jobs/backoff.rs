//! How long to wait before a job is tried again.

use backon::{BackoffBuilder as _, ExponentialBuilder};
use std::time::Duration;
use wares_model::Retry;

/// The waits of a job that was not let in: the host or the tenant has too much to do.
const REFUSED_FIRST: Duration = Duration::from_secs(1);
const REFUSED_MAX: Duration = Duration::from_secs(60);

/// Doublings after which any first wait has become the longest.
const DOUBLINGS_MAX: usize = 64;

/// The wait after so many attempts.
pub(super) fn after_attempts(retry: &Retry, attempts: u32) -> Duration {
    let (first, most) = (Duration::from_millis(retry.backoff_ms_first), Duration::from_millis(retry.backoff_ms_max));
    wait(first, most, attempts)
}

/// The wait after so many refusals in a row.
pub(super) fn after_refusals(refusals: u32) -> Duration {
    wait(REFUSED_FIRST, REFUSED_MAX, refusals)
}

/// The `count`-th of waits that double from `first` to half of `most`, each with a random part of up to itself added, so that
/// jobs that failed together do not come back together.
fn wait(first: Duration, most: Duration, count: u32) -> Duration {
    let longest = most / 2;
    let waits = ExponentialBuilder::new().with_min_delay(first.min(longest)).with_max_delay(longest).with_factor(2.0);
    let waits = waits.with_jitter();
    let nth = usize::try_from(count.saturating_sub(1)).unwrap_or(DOUBLINGS_MAX).min(DOUBLINGS_MAX);
    waits.without_max_times().build().nth(nth).map_or(most, |wait| wait.min(most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn waits_double_up_to_their_bound() {
        let retry = Retry { backoff_ms_first: 100, backoff_ms_max: 1_000, ..Retry::default() };
        let seen: Vec<_> = (1..=5).map(|attempts| after_attempts(&retry, attempts).as_millis()).collect();
        for (wait, least) in seen.iter().zip([100, 200, 400, 500, 500]) {
            assert!((least..=(2 * least).min(1_000)).contains(wait), "{seen:?}");
        }
        assert!(after_refusals(1) >= REFUSED_FIRST && after_refusals(100) <= REFUSED_MAX);
    }

    #[test]
    fn the_longest_waits_differ_too() {
        let waits: HashSet<_> = (0..20).map(|_| after_refusals(u32::MAX)).collect();
        assert!(
            waits.len() > 1 && waits.iter().all(|wait| *wait >= REFUSED_MAX / 2 && *wait <= REFUSED_MAX),
            "{waits:?}"
        );
    }
}
