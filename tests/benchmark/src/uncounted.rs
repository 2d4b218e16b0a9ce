//! Wares without what it does beside running calls: no ledger, no metrics, no tracing. Only to see what these cost.

use anyhow::Result;
use async_trait::async_trait;
use metrics_exporter_prometheus::PrometheusBuilder;
use std::sync::Arc;
use std::time::Duration;
use wares_call::{Calls, Capacity};
use wares_catalog::ledger::Ledger;
use wares_catalog::{Catalog, Policy, Role};
use wares_engine::{Engine, EngineConfig, KeepBounds, WorkerCommand};
use wares_http::server::{Connections, serve};
use wares_http::{App, Draining};
use wares_model::{LedgerEntry, Limits, limits};
use wares_store::{Artifacts, DataDir, LedgerStore, SqliteOptions, Store, StoreError};

/// Takes entries and forgets them.
struct NoLedger;

#[async_trait]
impl LedgerStore for NoLedger {
    async fn append_entries(&self, _entries: &[LedgerEntry]) -> Result<(), StoreError> {
        Ok(())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Runs the host until the process ends, and prints the lines that `wares serve` prints.
pub async fn run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data_dir = DataDir::open(dir.path())?;
    let store: Arc<dyn Store> = Arc::new(wares_store::open_sqlite(&data_dir, SqliteOptions::default()).await?);
    let calls_max = u32::try_from(limits::HOST_CONCURRENCY_MAX)?;
    let engine = Engine::new(EngineConfig {
        native_dir: data_dir.native(),
        key_file: data_dir.native_key(),
        worker: WorkerCommand { program: wares_it::host::binary()?, args: vec!["compile-worker".into()] },
        calls_max,
        memory_bytes_max: Limits::CEILING.memory_bytes_max,
        keep: KeepBounds::NONE,
    })?;
    let policy = Policy {
        limits_default: Limits::DEFAULT,
        limits_ceiling: Limits::CEILING,
        tenant_concurrency_max: u64::from(calls_max),
        loaded_max: limits::LOADED_VERSIONS_MAX,
    };
    let catalog = Arc::new(Catalog::open(store, Artifacts::open(&data_dir.artifacts())?, engine, policy).await?);
    let capacity = Capacity {
        shadows_max: 0,
        running_max: usize::try_from(calls_max)?,
        waiting_max: usize::try_from(limits::QUEUE_LENGTH_MAX)?,
        wait_max: Duration::from_millis(limits::QUEUE_MS_MAX),
    };
    let (ledger, _writer) = Ledger::start(Arc::new(NoLedger), capacity.running_max);
    let calls = Calls::new(Arc::clone(&catalog), ledger, capacity);
    let admin_key = catalog.create_key(Role::Admin).await?;
    // A recorder that nobody installed: every metric goes nowhere.
    let metrics = PrometheusBuilder::new().build_recorder().handle();
    let router = wares_http::router(App::new(catalog, calls, metrics, Draining::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("admin key: {}", admin_key.text);
    println!("listening: http://{}", listener.local_addr()?);
    let minute = Duration::from_secs(60);
    let connections =
        Connections { open_max: 4_096, head_timeout: minute, body_timeout: minute, drain_timeout: minute };
    serve(listener, router, connections, Draining::default(), std::future::pending()).await;
    Ok(())
}
