//! Settings that take effect while the host runs: on SIGHUP it reads them again, and ends nothing.

use crate::config::Config;
use crate::serve::{job_policy, policy, upkeep_policy};
use crate::telemetry::LogFilter;
use crate::tls::Certificate;
use anyhow::ensure;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use wares_call::jobs::Jobs;
use wares_catalog::Catalog;
use wares_catalog::upkeep::UpkeepPolicy;

/// How the names of settings begin that take effect at once. All others do at the next start.
const RELOADED: [&str; 10] = [
    "calls.tenant-concurrency-max",
    "calls.undeployed",
    "jobs.",
    "ledger.bytes-max",
    "ledger.retention-days",
    "limits.",
    "log.filter",
    "logs.",
    "time-zone",
    "tls.",
];

/// Reads the settings again, from wherever they came from.
pub type Load = Box<dyn Fn() -> anyhow::Result<Config> + Send + Sync>;

/// How a host comes to know of other settings.
pub struct Reload {
    /// Comes when they are to be read again.
    pub asked: Signal,
    /// Reads the settings again from where they came from.
    pub load: Load,
    /// Says which events the log shows, and is set anew.
    pub filter: LogFilter,
}

/// What of a running host goes by settings that are reloaded.
pub struct Reloaded {
    /// The shelf, for limits and concurrency.
    pub catalog: Arc<Catalog>,
    /// The queue of jobs.
    pub jobs: Jobs,
    /// Tells the upkeep how much is kept, and for how long.
    pub upkeep: watch::Sender<UpkeepPolicy>,
    /// What connections are encrypted with, if they are.
    pub certificate: Option<Certificate>,
}

impl Reload {
    /// Reloads whenever that is asked for.
    pub async fn run(mut self, host: Reloaded, mut now: Config) {
        while self.asked.recv().await.is_some() {
            let changed = (self.load)().and_then(|new| {
                host.check(&new)?;
                self.filter.set(&new.log)?;
                Ok(new)
            });
            let new = match changed {
                Ok(new) => new,
                Err(error) => {
                    tracing::error!(error = format!("{error:#}"), "the settings were not reloaded, nothing is changed");
                    continue;
                }
            };
            let (reloaded, waiting): (Vec<_>, Vec<_>) =
                changes(&now, &new).into_iter().partition(|name| is_reloaded(name));
            host.apply(&new).await;
            tracing::info!(settings = reloaded.join(", "), "the settings were reloaded");
            if !waiting.is_empty() {
                tracing::warn!(
                    settings = waiting.join(", "),
                    "these settings take effect when the host is started again"
                );
            }
            now = new;
        }
    }
}

impl Reloaded {
    /// What may be refused: nothing else is changed then.
    fn check(&self, new: &Config) -> anyhow::Result<()> {
        ensure!(
            self.certificate.is_some() == new.tls.files().is_some(),
            "whether connections are encrypted is decided when the host starts"
        );
        self.certificate.as_ref().map_or(Ok(()), |certificate| certificate.reload(&new.tls))
    }

    async fn apply(&self, new: &Config) {
        self.catalog.set_policy(policy(new)).await;
        self.jobs.set_policy(job_policy(new));
        self.upkeep.send_replace(upkeep_policy(new));
    }
}

fn is_reloaded(setting: &str) -> bool {
    RELOADED.iter().any(|start| setting.starts_with(*start))
}

/// The settings that differ, by their names.
fn changes(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (leaves(old), leaves(new));
    let names = old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name));
    let mut names: Vec<_> = names.cloned().collect();
    names.sort();
    names.dedup();
    names
}

fn leaves(config: &Config) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    let mut open = vec![(String::new(), serde_json::to_value(config).unwrap_or_default())];
    while let Some((name, value)) = open.pop() {
        match value {
            Value::Object(table) => open.extend(table.into_iter().map(|(key, value)| match name.as_str() {
                "" => (key, value),
                section => (format!("{section}.{key}"), value),
            })),
            leaf => drop(leaves.insert(name, leaf)),
        }
    }
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named_and_told_apart() {
        let (old, mut new) = (Config::default(), Config::default());
        assert!(changes(&old, &new).is_empty());
        new.limits.default.cpu_ms_max = 7;
        new.log.filter = "debug".to_owned();
        new.http.connections_max = 1;
        let names = changes(&old, &new);
        assert_eq!(names, ["http.connections-max", "limits.default.cpu-ms-max", "log.filter"]);
        assert_eq!(names.iter().map(|name| is_reloaded(name)).collect::<Vec<_>>(), [false, true, true]);
        let known = leaves(&old);
        for start in RELOADED {
            assert!(known.keys().any(|name| name.starts_with(start)), "{start} is no setting");
        }
    }
}
