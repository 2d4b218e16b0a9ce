//! Metrics of the host as a whole: what it is, what its process takes, and what it has room for.

use anyhow::Context as _;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;
use rustix::fs::statvfs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wares_catalog::Catalog;
use wares_engine::Engine;

/// Bounds of the buckets of time metrics, in seconds: from a warm call to the longest wall time.
const SECONDS_BUCKETS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// How often is looked at what changes by itself.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Looks from one folding of metrics to the next.
const LOOKS_PER_FOLD: u32 = 60;

/// Begins to collect metrics, and says what they mean.
pub fn install() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .install_recorder()
        .context("metrics")?;
    wares_http::describe_metrics();
    wares_call::describe_metrics();
    wares_catalog::describe_metrics();
    wares_engine::describe_metrics();
    crate::traces::describe_metrics();
    Collector::default().describe();
    describe_gauge!("wares_build_info", "1, with the version of this program as a label");
    describe_gauge!("wares_instances_kept", "Instances kept for further calls of the tenant they served");
    describe_gauge!("wares_disk_free_bytes", "Bytes that the host may still write where its data directory is");
    gauge!("wares_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
    Ok(handle)
}

/// Looks at what changes by itself, and folds what was collected.
pub async fn keep_up(metrics: PrometheusHandle, engine: Engine, catalog: Arc<Catalog>, data_dir: PathBuf) {
    let (process, data_dir) = (Collector::default(), Arc::<std::path::Path>::from(data_dir));
    let mut ticks = tokio::time::interval(LOOK_INTERVAL);
    for look in 0_u32.. {
        ticks.tick().await;
        gauge!("wares_instances_kept").set(engine.instances_kept());
        catalog.show_metrics();
        let (process, data_dir, metrics) = (process.clone(), Arc::clone(&data_dir), metrics.clone());
        // It reads files of the system, and a disk may keep one waiting.
        let looked = tokio::task::spawn_blocking(move || {
            process.collect();
            if let Ok(disk) = statvfs(&*data_dir) {
                // Exact up to 2^53.
                gauge!("wares_disk_free_bytes").set((disk.f_bavail * disk.f_frsize) as f64);
            }
            if look % LOOKS_PER_FOLD == 0 {
                metrics.run_upkeep();
            }
        });
        let _ = looked.await;
    }
}
