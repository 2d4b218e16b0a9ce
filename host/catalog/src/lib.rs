//! The shelf: versions, deployments, tenants and keys, read from an immutable snapshot and changed through the store.
//!
//! Readers never wait: [`Catalog::snapshot`] is one atomic load. Every change is made durable first and published as a new
//! snapshot after, under one lock, so that snapshots appear in the order of the changes. Beside it stands the [`ledger`].

pub mod backup;
pub mod compatibility;
pub mod condition;
pub mod config;
pub mod deploy;
pub mod examples;
pub mod garbage;
pub mod grants;
pub mod graph;
mod key_uses;
mod launch;
pub mod ledger;
pub mod lifecycle;
pub mod namespaces;
pub mod nearest;
mod places;
pub mod providers;
pub mod publish;
mod pull;
pub mod rehearsal;
pub mod reports;
pub mod resolve;
pub mod review;
pub mod rollout;
pub mod secrets;
pub mod slots;
pub mod snapshot;
pub mod standing;
mod telemetry;
pub mod tenancy;
pub mod trial;
pub mod upkeep;
pub mod used;
pub mod vetting;
mod way_back;
pub mod webhooks;
pub mod wipe;
pub mod wit_diff;

use arc_swap::{ArcSwap, Guard};
use condition::Condition;
use moka::future::Cache;
use moka::policy::EvictionPolicy;
use snapshot::{Live, Snapshot, VersionEntry};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, Notify, RwLock, Semaphore};
use upkeep::Judging;
use wares_engine::{Engine, Lane, ReadError};
use wares_model::{ComponentName, Limits, Namespace, Version, Zone};
use wares_store::{ArtifactReader, Artifacts, Store, StoreError};
use wares_typed::Description;

pub use config::{ConfigError, ConfigRequest};
pub use deploy::{DeployError, DeployRequest, RollbackRequest};
pub use garbage::{Garbage, GarbageError};
pub use grants::{GrantError, GrantsRequest, Ungranted};
pub use graph::CompositionError;
pub use lifecycle::{LifecycleError, LifecycleRequest};
pub use namespaces::NamespaceError;
pub use providers::ProviderError;
pub use publish::{Preparation, Prepared, PublishError, PublishRequest, Published};
pub use pull::PullError;
pub use resolve::{ResolveError, Resolved, Target, Undeployed};
pub use review::ReviewError;
pub use rollout::{RolloutRequest, RolloutView};
pub use secrets::{KeySource, SecretsError, Vault};
pub use standing::StandingError;
pub use telemetry::describe_metrics;
pub use tenancy::{Caller, Role, TenancyError};
pub use used::{Used, UsedCalls};

/// The types of a version's functions, as they are stored.
pub struct StoredDescription(String);

impl StoredDescription {
    /// What is in it.
    pub fn read(&self) -> Result<Description, LoadError> {
        serde_json::from_str(&self.0).map_err(|error| LoadError::Engine(format!("stored description: {error}")))
    }
}

/// What an operator sets for the shelf.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Limits of a call whose manifest asks for nothing.
    pub limits_default: Limits,
    /// What a manifest may ask for.
    pub limits_ceiling: Limits,
    /// Calls of one tenant running at once.
    pub tenant_concurrency_max: u64,
    /// Versions loaded at once; beyond it the one that was not called for longest is unloaded.
    pub loaded_max: u64,
    /// Whether callers may name versions that were never deployed.
    pub undeployed: Undeployed,
    /// Where months, days and hours are counted.
    pub time_zone: Zone,
}

/// The shelf of one host.
pub struct Catalog {
    store: Arc<dyn Store>,
    artifacts: Artifacts,
    engine: Engine,
    policy: ArcSwap<Policy>,
    snapshot: ArcSwap<Snapshot>,
    /// By the version's serial number.
    loaded: Cache<u64, Arc<Live>>,
    changing: Mutex<()>,
    /// Wakes whoever decides on rollouts.
    tending: Arc<Notify>,
    /// Shared by publications, from their artifact to their record; what removes files is alone.
    publishing: RwLock<()>,
    /// Held while a backup is taken.
    backing_up: Arc<Mutex<()>>,
    /// Examples of submissions that run now.
    examples: Semaphore,
    /// What the last calls used.
    used: Arc<UsedCalls>,
    vault: Arc<Vault>,
    condition: Condition,
    judging: Judging,
}

impl Catalog {
    /// Reads the shelf from the store. Components are not loaded before their first call.
    pub async fn open(
        store: Arc<dyn Store>,
        artifacts: Artifacts,
        engine: Engine,
        policy: Policy,
        vault: Arc<Vault>,
    ) -> Result<Self, StoreError> {
        let tending = Arc::<Notify>::default();
        let snapshot = Snapshot::read(store.as_ref(), &policy, &tending).await?;
        let snapshot = ArcSwap::from_pointee(snapshot);
        let loaded = Cache::builder().max_capacity(policy.loaded_max).eviction_policy(EvictionPolicy::lru()).build();
        let examples = Semaphore::new(examples::RUNNING_MAX as usize);
        Ok(Self {
            store,
            artifacts,
            engine,
            policy: ArcSwap::from_pointee(policy),
            snapshot,
            loaded,
            changing: Mutex::new(()),
            tending,
            publishing: RwLock::new(()),
            backing_up: Arc::default(),
            examples,
            used: Arc::default(),
            vault,
            condition: Condition::default(),
            judging: Judging::default(),
        })
    }

    /// The shelf as it stands now.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        rehearsal::changed().map_or_else(|| self.snapshot.load(), Guard::from_inner)
    }

    /// The store behind the shelf, for what is read rarely (usage, calls, history).
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// What the last calls used of what they are granted.
    pub fn used(&self) -> &Arc<UsedCalls> {
        &self.used
    }

    /// The secrets of components.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// What the operator set.
    pub fn policy(&self) -> Guard<Arc<Policy>> {
        self.policy.load()
    }

    /// Sets it anew, but for how many versions are loaded. Limits count for what is published from then on; calls that run go
    /// on.
    pub async fn set_policy(&self, policy: Policy) {
        let changing = self.change().await;
        for tenant in self.snapshot().tenants.values() {
            tenant.slots.resize(usize::try_from(policy.tenant_concurrency_max).unwrap_or(usize::MAX));
        }
        let undeployed = policy.undeployed;
        self.policy.store(Arc::new(policy));
        self.publish_snapshot(&changing, |snapshot| snapshot.undeployed = undeployed);
    }

    /// The version ready to run: its types read, its native code mapped. It is loaded at the first call or deployment, once
    /// however many ask at the same time, and again when it is called after it was unloaded.
    pub async fn live(&self, version: &VersionEntry) -> Result<Arc<Live>, Arc<LoadError>> {
        match self.loaded.get(&version.serial()).await {
            Some(live) => Ok(live),
            None => self.loaded.try_get_with(version.serial(), self.load(version)).await,
        }
    }

    /// The same for a call that waits no longer than this: nothing if it takes longer. The load goes on without it.
    pub async fn live_within(
        self: &Arc<Self>,
        version: &Arc<VersionEntry>,
        patience: Duration,
    ) -> Option<Result<Arc<Live>, Arc<LoadError>>> {
        if let Some(live) = self.loaded.get(&version.serial()).await {
            return Some(Ok(live));
        }
        let load = async {
            // One task for all calls that wait: the others find what it has loaded.
            let alone = Arc::clone(&version.loading).lock_owned().await;
            let (catalog, version) = (Arc::clone(self), Arc::clone(version));
            let loading = tokio::spawn(async move {
                let _alone = alone;
                catalog.live(&version).await
            });
            let failed = |error| Err(Arc::new(LoadError::Engine(format!("the task that loads: {error}"))));
            loading.await.unwrap_or_else(failed)
        };
        tokio::time::timeout(patience, load).await.ok()
    }

    async fn load(&self, version: &VersionEntry) -> Result<Arc<Live>, LoadError> {
        self.snapshot().check_runs(version)?;
        let (description, wasm) = match version.trust.signature {
            None => (self.description(&version.record.component, &version.record.version).await?, None),
            Some(_) => self.signed(version).await?,
        };
        let description = Arc::new(description);
        let digest = version.record.digest;
        let config = description.manifest.as_ref().map(|manifest| manifest.config.clone()).unwrap_or_default();
        let wasm = async || match wasm {
            Some(wasm) => Ok(wasm),
            None => self.wasm(version).await.map_err(|error| error.to_string()),
        };
        let lane = Lane::Load(Namespace::of(&version.record.component));
        let component = self
            .engine
            .load(lane, &digest, wasm, Arc::clone(&description), Arc::new(config))
            .await
            .map_err(|error| LoadError::Engine(error.to_string()))?;
        Ok(Arc::new(Live { description, component }))
    }

    /// What was signed: the bytes as they are stored now, and what they say of themselves. Nothing that is stored about them is
    /// relied on.
    async fn signed(&self, version: &VersionEntry) -> Result<(Description, Option<bytes::Bytes>), LoadError> {
        let untrusted = |error: &dyn std::fmt::Display| StandingError::Untrusted(format!("{version:?}: {error}"));
        let wasm = self.wasm(version).await.map_err(|error| match error {
            LoadError::Store(error @ StoreError::CorruptArtifact(_)) => untrusted(&error).into(),
            other => other,
        })?;
        let lane = Lane::Load(Namespace::of(&version.record.component));
        let read = self.engine.reader().describe(&lane, &wasm).await;
        let description = read.map_err(|error| match error {
            ReadError::Host(_) | ReadError::Overloaded(_) => LoadError::Engine(error.to_string()),
            refused => untrusted(&refused).into(),
        })?;
        Ok((description, Some(wasm)))
    }

    /// Forgets what is loaded of a version; calls that have begun keep theirs.
    async fn unload(&self, version: &VersionEntry) {
        if rehearsal::is_rehearsal() {
            return;
        }
        self.loaded.invalidate(&version.serial()).await;
    }

    /// The types of a version's functions.
    pub async fn description(&self, component: &ComponentName, version: &Version) -> Result<Description, LoadError> {
        self.stored_description(component, version).await?.read()
    }

    /// The same as it is stored. Reading it takes longer the more there is in it.
    pub async fn stored_description(
        &self,
        component: &ComponentName,
        version: &Version,
    ) -> Result<StoredDescription, LoadError> {
        let detail = self.store.version_detail(component, version).await?;
        detail
            .map(StoredDescription)
            .ok_or_else(|| LoadError::Missing(format!("the description of {component}@{version}")))
    }

    /// The bytes that were published.
    pub async fn wasm(&self, version: &VersionEntry) -> Result<bytes::Bytes, LoadError> {
        let found = self.artifacts.get(&version.record.digest).await?;
        found.ok_or_else(|| LoadError::missing_artifact(version))
    }

    /// The same, to be read piece by piece.
    pub async fn download(&self, version: &VersionEntry) -> Result<ArtifactReader, LoadError> {
        let found = self.artifacts.read(&version.record.digest).await?;
        found.ok_or_else(|| LoadError::missing_artifact(version))
    }

    /// Waits for other changes to end. What is read from the snapshot under the guard cannot change meanwhile.
    async fn change(&self) -> MutexGuard<'_, ()> {
        self.changing.lock().await
    }

    /// Publishes a snapshot that differs by `edit`. Call it only under [`Catalog::change`].
    fn publish_snapshot(&self, _changing: &MutexGuard<'_, ()>, edit: impl FnOnce(&mut Snapshot)) {
        let mut next = Snapshot::clone(&self.snapshot());
        edit(&mut next);
        if let Some(next) = rehearsal::take(next) {
            self.snapshot.store(Arc::new(next));
        }
    }
}

/// Why a version that is on the shelf cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A part of the version is gone.
    #[error("{0} is missing from the store; restore it from a backup")]
    Missing(String),
    /// It was not approved, was stopped, or is not what was signed.
    #[error(transparent)]
    Refused(#[from] StandingError),
    /// The engine refused it.
    #[error("{0}")]
    Engine(String),
}

impl LoadError {
    fn missing_artifact(version: &VersionEntry) -> Self {
        Self::Missing(format!("the artifact {}", version.record.digest))
    }
}
