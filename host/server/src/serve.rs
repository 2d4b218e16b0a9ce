//! One running host: every part made from the configuration and wired to the next, then served until told to stop.

use crate::config::{Config, SECRETS_KEY};
use crate::reload::{Reload, Reloaded};
use crate::tls::Certificate;
use crate::{descriptors, observe};
use anyhow::Context as _;
use listenfd::ListenFd;
use metrics_exporter_prometheus::PrometheusHandle;
use std::collections::HashMap;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use wares_call::jobs::{JobPolicy, Jobs};
use wares_call::{Calls, Capacity, OpenBounds};
use wares_catalog::examples::RUNNING_MAX;
use wares_catalog::ledger::Ledger;
use wares_catalog::tenancy::KeyTerms;
use wares_catalog::upkeep::UpkeepPolicy;
use wares_catalog::{Catalog, KeySource, Policy, Role, Vault};
use wares_engine::{Buckets, Engine, EngineConfig, Files, KeepBounds, Outbound, Services, WorkerCommand};
use wares_http::server::{Connections, Listener, PeerBounds};
use wares_http::{App, Draining};
use wares_store::{Artifacts, DataDir, KeyValueStore, RedisStore, SqliteOptions, SqliteStore, Store};

/// How often instances that were kept too long are dropped.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// What the first admin key is for, as histories name it.
const FIRST_KEY: &str = "first key";
/// For the ledger to be written when the host ends.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// What a host that has just come up tells whoever started it.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Whether connections to it are encrypted.
    pub is_encrypted: bool,
    /// The first admin key, when the shelf was new; it is not shown again.
    pub admin_key: Option<String>,
}

/// Runs a host until `stop` completes, then drains it. `ready` is called once it answers.
pub async fn serve(
    config: &Config,
    reload: Option<Reload>,
    ready: impl FnOnce(Running),
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    descriptors::prepare(config);
    // One host per data directory. Held until the process ends: so may be some work that cannot be stopped before.
    let data_dir = ManuallyDrop::new(DataDir::open(&config.data_dir)?);
    let database = open_store(config, &data_dir).await?;
    let store: Arc<dyn Store> = database.clone();
    let vault = Arc::new(Vault::open(Arc::clone(&store), key_source(config, &data_dir)).await?);
    let services = services(config, &data_dir, database, Arc::clone(&vault))?;
    let capacity = capacity(config);
    let engine = start_engine(config, &data_dir, services, &capacity)?;
    let catalog = Arc::new(open_catalog(config, &data_dir, Arc::clone(&store), engine.clone(), vault).await?);

    let entries_max = capacity.running_max + capacity.shadows_max + capacity.instances_below();
    let (ledger, writer) = Ledger::start(store, entries_max);
    let calls = Calls::new(Arc::clone(&catalog), ledger, capacity, open_bounds(config));
    let metrics = observe::install()?;
    let drain = Drain::of(config);

    let certificate = Certificate::open(&config.tls)?;
    let listener = listen(config, certificate.as_ref()).await?;
    let (addr, is_encrypted) = (listener.socket.local_addr()?, listener.tls.is_some());
    // Only now: a key that was made before a start that failed would never be shown.
    let admin_key = first_admin_key(&catalog).await?;
    let draining = Draining::default();
    let (jobs, worker) = Jobs::start(calls.clone(), job_policy(config), drain.requests).await?;
    // Not before: jobs that ran when the host ended are looked up in the ledger.
    let reload = reload.map(|reload| (reload, certificate));
    let beside = work_beside(config, reload, &catalog, &jobs, engine, metrics.clone());
    let stopped = Arc::<OnceLock<Instant>>::default();
    let stop = {
        let (jobs, draining, stopped) = (jobs.clone(), draining.clone(), Arc::clone(&stopped));
        async move {
            stop.await;
            draining.announce();
            tokio::time::sleep(drain.delay).await;
            let _ = stopped.set(Instant::now());
            jobs.close();
        }
    };
    let shelf = Arc::clone(&catalog);
    let app = App::new(catalog, calls, jobs, metrics, draining);
    tracing::info!(%addr, data_dir = %config.data_dir.display(), "serving");
    ready(Running { addr, is_encrypted, admin_key });

    if !wares_http::server::serve(listener, app, connections(config, drain), stop).await {
        tracing::warn!(seconds = config.drain_seconds_max, "some requests did not end in time and were cut off");
    }
    // It has been draining since the stop, and cuts off by itself what does not end.
    let waited = stopped.get().map(Instant::elapsed).unwrap_or_default();
    match timeout((drain.requests + FLUSH_MAX).saturating_sub(waited), worker).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the worker of jobs failed"),
        Err(_) => tracing::warn!("the worker of jobs did not end"),
    }
    drop(beside);
    if let Err(error) = shelf.store_key_uses().await {
        tracing::warn!(%error, "when keys were used last is known to the minute before only");
    }
    drop(shelf);
    // The writer ends when the last request has dropped its end of the ledger.
    if timeout(FLUSH_MAX, writer).await.is_err() {
        tracing::warn!("the ledger's writer was still waiting for calls");
    }
    tracing::info!("stopped");
    Ok(())
}

/// How long the end of a host takes.
#[derive(Clone, Copy)]
struct Drain {
    /// From the announcement until nothing new is taken.
    delay: Duration,
    /// From there until requests and jobs are cut off that do not end, early enough for the ledger to be written.
    requests: Duration,
}

impl Drain {
    fn of(config: &Config) -> Self {
        let whole = Duration::from_secs(config.drain_seconds_max);
        let delay = Duration::from_secs(config.drain_delay_seconds);
        Self { delay, requests: whole - (whole / 2).min(2 * FLUSH_MAX) }
    }
}

/// The socket that whoever started this process holds for it, or one of its own.
async fn listen(config: &Config, certificate: Option<&Certificate>) -> anyhow::Result<Listener> {
    let tls = certificate.map(Certificate::server_config).transpose()?;
    if let Some(socket) = ListenFd::from_env().take_tcp_listener(0).context("the socket that was passed on")? {
        socket.set_nonblocking(true)?;
        let socket = TcpListener::from_std(socket).context("the socket that was passed on")?;
        tracing::info!(addr = %socket.local_addr()?, "serving a socket that was passed on; the setting listen is not used");
        return Ok(Listener { socket, is_shared: true, tls });
    }
    let socket = TcpListener::bind(config.listen).await;
    let refused = || format!("cannot listen on {}: choose another address with --listen", config.listen);
    Ok(Listener { socket: socket.with_context(refused)?, is_shared: false, tls })
}

/// What is done beside the calls, until this is dropped.
fn work_beside(
    config: &Config,
    reload: Option<(Reload, Option<Certificate>)>,
    catalog: &Arc<Catalog>,
    jobs: &Jobs,
    engine: Engine,
    metrics: PrometheusHandle,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (upkeep, policy) = watch::channel(upkeep_policy(config));
    tasks.spawn(observe::keep_up(metrics, engine.clone(), Arc::clone(catalog), config.data_dir.clone()));
    tasks.spawn(sweep(engine));
    tasks.spawn(Arc::clone(catalog).keep_tidy(policy));
    let shelf = Arc::clone(catalog);
    tasks.spawn(async move { shelf.tend_rollouts().await });
    let shelf = Arc::clone(catalog);
    tasks.spawn(async move { shelf.watch_artifacts().await });
    if let Some((reload, certificate)) = reload {
        let host = Reloaded { catalog: Arc::clone(catalog), jobs: jobs.clone(), upkeep, certificate };
        tasks.spawn(reload.run(host, config.clone()));
    }
    tasks
}

async fn open_store(config: &Config, data_dir: &DataDir) -> anyhow::Result<Arc<SqliteStore>> {
    let options = SqliteOptions { sync: config.ledger.sync.into(), logs: (&config.logs).into() };
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

fn connections(config: &Config, drain: Drain) -> Connections {
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
        drain_timeout: drain.requests,
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
    Ok(Catalog::open(store, artifacts, engine, policy(config), vault).await?)
}

/// What holds for the shelf.
pub fn policy(config: &Config) -> Policy {
    Policy {
        limits_default: config.limits.default,
        limits_ceiling: config.limits.ceiling,
        tenant_concurrency_max: config.calls.tenant_concurrency_max,
        loaded_max: config.calls.loaded_versions_max,
        undeployed: config.calls.undeployed,
        time_zone: config.time_zone.clone(),
    }
}

/// What holds for jobs.
pub fn job_policy(config: &Config) -> JobPolicy {
    (&config.jobs).into()
}

/// What holds for what is kept.
pub fn upkeep_policy(config: &Config) -> UpkeepPolicy {
    UpkeepPolicy {
        retention: Duration::from_secs(u64::from(config.ledger.retention_days) * 86_400),
        ledger_bytes_max: config.ledger.bytes_max,
        logs: (&config.logs).into(),
    }
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
    let terms = KeyTerms { label: Some(FIRST_KEY.to_owned()), expires_at: None };
    let key = catalog.create_key(Role::Admin, terms).await?;
    Ok(Some(key.text))
}

/// Drops instances that were kept for further calls which did not come.
async fn sweep(engine: Engine) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        ticks.tick().await;
        engine.sweep();
    }
}
