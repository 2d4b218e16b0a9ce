//! What is done for the shelf beside its calls, once a minute: what is too old or too much is removed.
//!
//! What is removed for its age is judged by [`Catalog::judged_now`], which does not follow a clock that jumps. Beyond the bounds
//! in bytes logs go, the oldest first; entries never do, and the operator is warned.

use crate::Catalog;
use metrics::gauge;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::watch;
use wares_model::Timestamp;
use wares_model::limits::KEPT_ANSWERS_SECONDS;
use wares_model::time::{ABSENCE_BELIEVED_MAX, judged};
use wares_store::{DatabaseSize, LogBounds, StoreError};

/// Time between two looks at what is too old or too much.
pub const INTERVAL: Duration = Duration::from_secs(60);
/// Tenants that warnings name.
const TENANTS_NAMED: u32 = 3;
/// Of a bound, in percent, from which on the operator is warned.
const WARNED_PERCENT: u64 = 90;

/// What an operator sets for it.
#[derive(Debug, Clone, Copy)]
pub struct UpkeepPolicy {
    /// How long single entries are kept.
    pub retention: Duration,
    /// Bytes of the whole database from which on logs make room for entries.
    pub ledger_bytes_max: u64,
    /// How many bytes of logs are kept, for each tenant and in total.
    pub logs: LogBounds,
}

/// When ages were judged last, by this process's own clock.
#[derive(Default)]
pub(crate) struct Judging(tokio::sync::Mutex<Option<Instant>>);

impl Catalog {
    /// The time by which the age of what is kept is judged.
    pub async fn judged_now(&self) -> Result<Timestamp, StoreError> {
        let mut last = self.judging.0.lock().await;
        let running = last.map(|last| last.elapsed()).unwrap_or_default();
        let (now, before) = (Timestamp::now(), self.store.judged_at().await?);
        let at = judged(now, before, running);
        if now.since(at) > Duration::ZERO {
            let days = now.since(at).as_secs() / 86_400;
            tracing::warn!(
                days,
                "the clock has jumped ahead; nothing is removed for its age before it is caught up with"
            );
        }
        self.store.set_judged_at(at).await?;
        *last = Some(Instant::now());
        Ok(at)
    }

    /// One run. It is to have a thread that may block.
    pub async fn tidy(&self, policy: &UpkeepPolicy) -> Result<(), StoreError> {
        self.store.set_log_bounds(policy.logs);
        self.store_key_uses().await?;
        let at = self.judged_now().await?;
        match self.store.prune_entries(at.minus(policy.retention)).await? {
            0 => {}
            entries => tracing::info!(entries, "removed ledger entries past their retention; aggregates stay"),
        }
        self.store.prune_answers(at.minus(Duration::from_secs(KEPT_ANSWERS_SECONDS))).await?;
        let size = self.store.size(TENANTS_NAMED).await?;
        let over = size.bytes.saturating_sub(policy.ledger_bytes_max).min(size.log_bytes);
        let over = over.max(size.log_bytes.saturating_sub(policy.logs.bytes_max));
        let size = match over {
            0 => size,
            _ => {
                let bytes = self.store.remove_oldest_logs(over).await?;
                tracing::warn!(bytes, "removed the oldest logs of calls to make room; their entries stay");
                self.store.size(TENANTS_NAMED).await?
            }
        };
        gauge!("wares_database_bytes").set(size.bytes as f64);
        gauge!("wares_log_bytes").set(size.log_bytes as f64);
        let late = Timestamp::now().since(at) > ABSENCE_BELIEVED_MAX;
        self.condition.warn(warnings(&size, policy, late));
        Ok(())
    }

    /// Runs again and again, on a thread that may block, as the policy of the moment says.
    pub async fn keep_tidy(self: Arc<Self>, policy: watch::Receiver<UpkeepPolicy>) {
        let mut ticks = tokio::time::interval(INTERVAL);
        loop {
            ticks.tick().await;
            let (catalog, runtime, policy) = (Arc::clone(&self), Handle::current(), *policy.borrow());
            let run = tokio::task::spawn_blocking(move || runtime.block_on(catalog.tidy(&policy)));
            match run.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "upkeep failed; it is tried again"),
                Err(error) => tracing::error!(%error, "upkeep failed"),
            }
        }
    }
}

/// What the operator should know before it is too late.
fn warnings(size: &DatabaseSize, policy: &UpkeepPolicy, late: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut check = |what: &str, setting: &str, then: &str, bytes: u64, bytes_max: u64| {
        let percent = u128::from(bytes) * 100 / u128::from(bytes_max.max(1));
        if percent >= u128::from(WARNED_PERCENT) {
            warnings.push(format!("{what}: {bytes} bytes, {percent}% of {setting}; {then}"));
        }
    };
    let entries_stay =
        "logs make room, entries are never removed for it: give it more room or keep entries for fewer days";
    check("the database", "ledger.bytes-max", entries_stay, size.bytes, policy.ledger_bytes_max);
    let oldest_go = "the oldest go first";
    check("logs of all tenants", "logs.bytes-max", oldest_go, size.log_bytes, policy.logs.bytes_max);
    for (tenant, bytes) in &size.largest {
        let what = format!("logs of tenant {tenant}");
        check(&what, "logs.tenant-bytes-max", oldest_go, *bytes, policy.logs.tenant_bytes_max);
    }
    if late {
        warnings
            .push("the clock has jumped ahead: what is too old is removed slowly, until that is caught up with".into());
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_say_what_is_near_its_bound() {
        let bounds = LogBounds { bytes_max: 1_000, tenant_bytes_max: 500 };
        let policy = UpkeepPolicy { retention: Duration::ZERO, ledger_bytes_max: 10_000, logs: bounds };
        let size = |bytes, log_bytes, tenant| DatabaseSize {
            bytes,
            log_bytes,
            largest: vec![("north".parse().unwrap(), tenant)],
        };
        assert!(warnings(&size(8_999, 899, 449), &policy, false).is_empty());
        let all = warnings(&size(9_000, 900, 450), &policy, true);
        let words = ["90% of ledger.bytes-max", "90% of logs.bytes-max", "tenant north", "the clock"];
        assert!(all.len() == 4 && all.iter().zip(words).all(|(warning, word)| warning.contains(word)), "{all:?}");
    }
}
