//! Whether the shelf is in order: deployed artifacts that are missing or damaged, and what the operator is warned of.
//!
//! Files are looked for every few seconds, which reads nothing. Their bytes are read at the start and once a day, one file after
//! another and slowly, so that calls do not notice.

use crate::Catalog;
use crate::snapshot::{Snapshot, VersionEntry};
use arc_swap::ArcSwap;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::MissedTickBehavior;
use wares_model::Digest;
use wares_model::limits::COMPONENT_BYTES_MAX;
use wares_store::StoreError;

/// Between two looks at which files are there.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Between two times that their bytes are read.
const READ_INTERVAL: Duration = Duration::from_secs(86_400);
/// Bytes that are read in a second.
const READ_BYTES_PER_SECOND: u64 = 32 << 20;
/// Versions that are named at most.
const NAMED_MAX: usize = 10;

/// What is known of it.
#[derive(Default)]
pub struct Condition {
    faults: ArcSwap<Vec<String>>,
    warnings: ArcSwap<Vec<String>>,
}

impl Condition {
    /// What keeps the shelf from serving all that is deployed.
    pub fn faults(&self) -> Arc<Vec<String>> {
        self.faults.load_full()
    }

    /// What is well now and will not stay so.
    pub fn warnings(&self) -> Arc<Vec<String>> {
        self.warnings.load_full()
    }

    pub(crate) fn warn(&self, warnings: Vec<String>) {
        for warning in warnings.iter().filter(|warning| !self.warnings.load().contains(warning)) {
            tracing::warn!("{warning}");
        }
        self.warnings.store(Arc::new(warnings));
    }

    fn found(&self, faults: Vec<String>) {
        let before = self.faults.load();
        for fault in faults.iter().filter(|fault| !before.contains(fault)) {
            tracing::error!("{fault}");
        }
        if faults.is_empty() && !before.is_empty() {
            tracing::info!("all artifacts that are deployed are there again");
        }
        self.faults.store(Arc::new(faults));
    }
}

/// When the bytes of an artifact were read, and what was wrong with them.
struct Read {
    at: Instant,
    fault: Option<&'static str>,
}

impl Catalog {
    /// What is known of the shelf's condition.
    pub fn condition(&self) -> &Condition {
        &self.condition
    }

    /// Watches over the artifacts of all that takes traffic.
    pub async fn watch_artifacts(&self) {
        let mut ticks = tokio::time::interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut known = BTreeMap::new();
        loop {
            ticks.tick().await;
            let deployed = deployed(&self.snapshot());
            known.retain(|digest, _| deployed.contains_key(digest));
            self.read_next(&deployed, &mut known).await;
            self.condition.found(self.faults(&deployed, &known).await);
        }
    }

    /// Reads the artifacts whose time has come, for as long as it is until the next look. Those with a fault come each time, so
    /// that it is noticed when they are mended.
    async fn read_next(&self, deployed: &Deployed, known: &mut BTreeMap<Digest, Read>) {
        let began = Instant::now();
        let is_due = |read: &Read| read.fault.is_some() || read.at.elapsed() > READ_INTERVAL;
        let due: Vec<_> = deployed.keys().filter(|digest| known.get(digest).is_none_or(is_due)).copied().collect();
        for digest in due {
            if began.elapsed() > LOOK_INTERVAL {
                return;
            }
            let (bytes, fault) = match self.artifacts.check(&digest).await {
                Ok(Some(bytes)) => (bytes, None),
                Ok(None) => (0, Some("missing")),
                Err(StoreError::CorruptArtifact(_)) => (COMPONENT_BYTES_MAX, Some("damaged")),
                Err(_) => (0, Some("unreadable")),
            };
            known.insert(digest, Read { at: Instant::now(), fault });
            tokio::time::sleep(Duration::from_millis(bytes * 1_000 / READ_BYTES_PER_SECOND)).await;
        }
    }

    /// What is wrong with the artifacts, as far as it is known.
    async fn faults(&self, deployed: &Deployed, known: &BTreeMap<Digest, Read>) -> Vec<String> {
        let mut faults = Vec::new();
        for (digest, version) in deployed {
            let fault = match self.artifacts.contains(digest).await {
                Ok(true) => known.get(digest).and_then(|read| read.fault),
                Ok(false) => Some("missing"),
                Err(_) => Some("unreadable"),
            };
            faults.extend(
                fault.map(|fault| format!("the artifact of {version:?}, which takes traffic, is {fault}: {digest}")),
            );
        }
        let more = faults.len().saturating_sub(NAMED_MAX);
        if more > 0 {
            faults.truncate(NAMED_MAX);
            faults.push(format!("and {more} more artifacts"));
        }
        faults
    }
}

/// Artifacts of versions that take traffic, each with one of those versions.
type Deployed = BTreeMap<Digest, Arc<VersionEntry>>;

fn deployed(snapshot: &Snapshot) -> Deployed {
    let components = snapshot.components();
    let components = components.filter_map(|(_, component)| Some((component, component.deployment.as_ref()?)));
    let versions = components.flat_map(|(component, deployment)| {
        deployment.traffic.keys().filter_map(|version| component.versions.get(version))
    });
    versions.map(|version| (version.record.digest, Arc::clone(version))).collect()
}
