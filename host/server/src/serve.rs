//! One running host: every part made from the configuration and wired to the next, then served until told to stop.

use crate::config::{Config, SECRETS_KEY};
use crate::descriptors;
use anyhow::Context as _;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use wares_call::jobs::Jobs;
use wares_call::{Calls, Capacity, OpenBounds};
use wares_catalog::examples::RUNNING_MAX;
use wares_catalog::ledger::Ledger;
use wares_catalog::{Catalog, KeySource, Policy, Role, Vault};
use wares_engine::{Buckets, Engine, EngineConfig, Files, KeepBounds, Outbound, Services, WorkerCommand};
use wares_http::server::{Connections, PeerBounds};
use wares_http::{App, Draining};
use wares_model::Timestamp;
use wares_model::time::DAY_US;
use wares_store::{Artifacts, DataDir, KeyValueStore, RedisStore, SqliteOptions, SqliteStore, Store};

/// Bounds of the buckets of time metrics, in seconds: from a warm call to the longest wall time.
const SECONDS_BUCKETS: [f64; 14] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];
/// How often instances that were kept too long are dropped.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How often metrics are folded and old ledger entries removed.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What a host that has just come up tells whoever started it.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The first admin key, when the shelf was new; it is not shown again.
    pub admin_key: Option<String>,
}

/// Runs a host until `stop` completes, then drains it. `ready` is called once it answers.
pub async fn serve(config: &Config, ready: impl FnOnce(Running), stop: impl Future<Output = ()>) -> anyhow::Result<()> {
    descriptors::prepare(config);
    // Held to the end: one host per data directory.
    let data_dir = DataDir::open(&config.data_dir)?;
    let database = open_store(config, &data_dir).await?;
    let store: Arc<dyn Store> = database.clone();
    let vault = Arc::new(Vault::open(Arc::clone(&store), key_source(config, &data_dir)).await?);
    let services = services(config, &data_dir, database, Arc::clone(&vault))?;
    let capacity = capacity(config);
    let engine = start_engine(config, &data_dir, services, &capacity)?;
    let catalog = Arc::new(open_catalog(config, &data_dir, Arc::clone(&store), engine.clone(), vault).await?);

    let entries_max = capacity.running_max + capacity.shadows_max + capacity.instances_below();
    let (ledger, writer) = Ledger::start(store.clone(), entries_max);
    let calls = Calls::new(Arc::clone(&catalog), ledger, capacity, open_bounds(config));
    let metrics = install_metrics()?;
    let drain_timeout = Duration::from_secs(config.drain_seconds_max);
    let sweeper = tokio::spawn(sweep(engine));
    let rollouts = tokio::spawn({
        let catalog = Arc::clone(&catalog);
        async move { catalog.tend_rollouts().await }
    });

    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}: choose another address with --listen", config.listen))?;
    let addr = listener.local_addr()?;
    // Only now: a key that was made before a start that failed would never be shown.
    let admin_key = first_admin_key(&catalog).await?;
    let (jobs, worker) = Jobs::start(calls.clone(), (&config.jobs).into(), drain_timeout).await?;
    // Not before: jobs that ran when the host ended are looked up in the ledger.
    let upkeep = tokio::spawn(keep_up(metrics.clone(), store, config.ledger.retention_days));
    let stop = {
        let jobs = jobs.clone();
        async move {
            stop.await;
            jobs.close();
        }
    };
    let app = App::new(catalog, calls, jobs, metrics, Draining::default());
    tracing::info!(%addr, data_dir = %config.data_dir.display(), "serving");
    ready(Running { addr, admin_key });

    if !wares_http::server::serve(listener, app, connections(config), stop).await {
        tracing::warn!(seconds = config.drain_seconds_max, "some requests did not end in time and were cut off");
    }
    // It has been draining since the stop, and cuts off by itself what does not end.
    if let Err(error) = worker.await {
        tracing::error!(%error, "the worker of jobs failed");
    }
    upkeep.abort();
    sweeper.abort();
    rollouts.abort();
    // The writer ends when the last request has dropped its end of the ledger; requests that were cut off keep theirs.
    if tokio::time::timeout(drain_timeout, writer).await.is_err() {
        tracing::warn!("the ledger's writer was still waiting for calls");
    }
    tracing::info!("stopped");
    Ok(())
}

async fn open_store(config: &Config, data_dir: &DataDir) -> anyhow::Result<Arc<SqliteStore>> {
    let options = SqliteOptions { sync: config.ledger.sync.into() };
    let store = wares_store::open_sqlite(data_dir, options).await;
    Ok(Arc::new(store.with_context(|| format!("the database in {}", config.data_dir.display()))?))
}

fn capacity(config: &Config) -> Capacity {
    Capacity {
        running_max: config.calls.concurrency_max,
        waiting_max: config.calls.queue_length_max,
        wait_max: Duration::from_millis(config.calls.queue_ms_max),
        shadows_max: config.calls.shadows_max,
        composed_max: config.calls.composed_max.min(config.calls.concurrency_max),
    }
}

fn connections(config: &Config) -> Connections {
    let http = &config.http;
    Connections {
        peers: PeerBounds {
            open_max: http.connections_max,
            peer_max: http.peer_connections_max,
            operators_min: http.operator_connections_min.min(http.connections_max / 2),
        },
        head_timeout: Duration::from_secs(http.head_seconds_max),
        body_timeout: Duration::from_secs(http.body_seconds_max),
        body_bytes_per_second_min: http.body_bytes_per_second_min,
        drain_timeout: Duration::from_secs(config.drain_seconds_max),
    }
}

fn open_bounds(config: &Config) -> OpenBounds {
    OpenBounds {
        host_bytes_max: config.http.held_bytes_max,
        tenant_bytes_max: config.http.tenant_held_bytes_max,
        key_requests_max: config.http.key_requests_max,
    }
}

/// What components may draw on here.
fn services(
    config: &Config,
    data_dir: &DataDir,
    own: Arc<dyn KeyValueStore>,
    secrets: Arc<Vault>,
) -> anyhow::Result<Services> {
    let mut named: HashMap<_, Arc<dyn KeyValueStore>> = HashMap::new();
    for (name, store) in &config.keyvalue.stores {
        let opened = RedisStore::new(&store.url, &store.prefix);
        named.insert(name.clone(), Arc::new(opened.with_context(|| format!("keyvalue.stores.{name}"))?));
    }
    let files = Files::open(&data_dir.files()).context("the folder for components' files")?;
    let outbound = Some(Arc::new(Outbound::new((&config.outbound).into())?));
    let keyvalue = Buckets { own: Some(own), named };
    Ok(Services { secrets: Some(secrets), outbound, keyvalue, files })
}

/// Where the keys of secrets are. The variable is for hosts whose operator keeps keys in a secret store.
fn key_source(config: &Config, data_dir: &DataDir) -> KeySource {
    let given = || std::env::var(SECRETS_KEY).ok().filter(|text| !text.trim().is_empty());
    match config.secrets.key_file.as_str() {
        "" => given().map_or_else(|| KeySource::OwnFile(data_dir.secrets_key()), |text| KeySource::Text(text.into())),
        path => KeySource::File(path.into()),
    }
}

fn start_engine(
    config: &Config,
    data_dir: &DataDir,
    services: Services,
    capacity: &Capacity,
) -> anyhow::Result<Engine> {
    let running = capacity.running_max + capacity.shadows_max + capacity.instances_below();
    let engine = EngineConfig {
        native_dir: data_dir.native(),
        key_file: data_dir.native_key(),
        worker: worker()?,
        // Examples of submissions run beside the calls.
        calls_max: u32::try_from(running)?.saturating_add(RUNNING_MAX),
        memory_bytes_max: config.limits.ceiling.memory_bytes_max,
        keep: KeepBounds {
            instances_max: config.reuse.instances_max,
            calls_max: config.reuse.calls_max,
            age_max: Duration::from_secs(config.reuse.age_seconds_max),
            memory_bytes_max: config.reuse.memory_bytes_max,
        },
    };
    Ok(Engine::new(engine, services)?)
}

async fn open_catalog(
    config: &Config,
    data_dir: &DataDir,
    store: Arc<dyn Store>,
    engine: Engine,
    vault: Arc<Vault>,
) -> anyhow::Result<Catalog> {
    let artifacts = Artifacts::open(&data_dir.artifacts())?;
    let policy = Policy {
        limits_default: config.limits.default,
        limits_ceiling: config.limits.ceiling,
        tenant_concurrency_max: config.calls.tenant_concurrency_max,
        loaded_max: config.calls.loaded_versions_max,
        undeployed: config.calls.undeployed,
    };
    Ok(Catalog::open(store, artifacts, engine, policy, vault).await?)
}

/// Compilation runs in a child process of this same program.
pub fn worker() -> anyhow::Result<WorkerCommand> {
    let program = std::env::current_exe().context("the path of this program")?;
    Ok(WorkerCommand { program, args: vec!["compile-worker".into()] })
}

async fn first_admin_key(catalog: &Catalog) -> anyhow::Result<Option<String>> {
    if catalog.snapshot().has_admin() {
        return Ok(None);
    }
    let key = catalog.create_key(Role::Admin).await?;
    Ok(Some(key.text))
}

fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS_BUCKETS)?
        .install_recorder()
        .context("metrics")?;
    wares_call::describe_metrics();
    wares_engine::describe_metrics();
    crate::traces::describe_metrics();
    describe_gauge!("wares_instances_kept", "Instances kept for further calls of the tenant they served");
    Ok(handle)
}

/// Work that is done beside the calls.
async fn keep_up(metrics: PrometheusHandle, store: Arc<dyn Store>, retention_days: u32) {
    let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
        let before = Timestamp::now().as_micros() - i64::from(retention_days) * DAY_US;
        match store.prune_entries(Timestamp::from_micros(before)).await {
            Ok(0) => {}
            Ok(entries) => tracing::info!(entries, "removed ledger entries past their retention; aggregates stay"),
            Err(error) => tracing::warn!(%error, "old ledger entries could not be removed"),
        }
    }
}

/// Drops instances that were kept for further calls which did not come.
async fn sweep(engine: Engine) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        gauge!("wares_instances_kept").set(engine.instances_kept());
        engine.sweep();
    }
}
