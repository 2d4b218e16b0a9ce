//! The one engine of a host: compiles, keeps native code, loads. It has wasmtime in two configurations.

use crate::compile::{CompileError, Compiler};
use crate::component::Component;
use crate::concurrency::{Concurrency, Each};
use crate::config;
use crate::kept::{KeepBounds, KeptInstances};
use crate::native::{NativeCache, NativeFile};
use crate::process::WorkerCommand;
use crate::queue::Lane;
use crate::read::Reader;
use crate::ticker;
use crate::turns::Turns;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use wares_capabilities::{ImportError, Services, VersionConfig, Wiring, WiringError, link_shelf};
use wares_model::Digest;
use wares_typed::Description;
use wasmtime::component::Linker;

/// How an engine is set up.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where native code is kept. Made if missing; nobody else may write to it.
    pub native_dir: PathBuf,
    /// The key that native code is sealed with. Made if missing; it must stay on this host.
    pub key_file: PathBuf,
    /// The process that reads and compiles.
    pub worker: WorkerCommand,
    /// Calls at once for which there must be room.
    pub calls_max: u32,
    /// The highest `memory_bytes_max` of any call.
    pub memory_bytes_max: u64,
    /// Instances kept for further calls of the same owner; they take places of their own in the pool.
    pub keep: KeepBounds,
}

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// More instances at once than the address space holds.
    #[error(
        "{asked} instances at once, running and kept, do not fit into the address space: at most {} do",
        config::CALLS_MAX
    )]
    CallsMax {
        /// What was asked for.
        asked: u32,
    },
    /// More memory than a 32-bit guest can have.
    #[error("{asked} bytes of memory are more than a guest can address: at most {} are", config::MEMORY_BYTES_MAX)]
    MemoryMax {
        /// What was asked for.
        asked: u64,
    },
    /// The native code cache cannot be used.
    #[error("the native code cache: {0}")]
    Cache(#[source] io::Error),
    /// wasmtime does not start.
    #[error("starting the engine: {0}")]
    Start(String),
}

/// Why a version cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its bytes could not be had.
    #[error("the component's bytes: {0}")]
    Wasm(String),
    /// Its bytes are not those that were published.
    #[error("the component's bytes do not have the digest {0}: restore the artifact from a backup")]
    Digest(Digest),
    /// It could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It imports what this host does not give.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A capability cannot be had as the version asks for it.
    #[error("{0}")]
    Configure(String),
}

/// The engine of a host. Clones share everything.
#[derive(Clone)]
pub struct Engine(Arc<Shared>, Arc<Services>);

struct Shared {
    wasmtime: Each<wasmtime::Engine>,
    native: NativeCache,
    reader: Reader,
    compiler: Compiler,
    kept: Arc<KeptInstances>,
    turns: Arc<Turns>,
    /// Digests that are being worked on: of several at once, one compiles and the others find its result.
    working: Mutex<HashMap<Digest, Weak<AsyncMutex<()>>>>,
}

impl Engine {
    /// Starts an engine: reserves the pool's address space and starts the epoch's thread. Guests draw on `services`.
    pub fn new(config: EngineConfig, services: Services) -> Result<Self, EngineError> {
        let EngineConfig { native_dir, key_file, worker, calls_max, memory_bytes_max, keep } = config;
        let instances_max = calls_max.saturating_add(keep.instances_max);
        if u64::from(instances_max) > config::CALLS_MAX {
            return Err(EngineError::CallsMax { asked: instances_max });
        }
        if memory_bytes_max > config::MEMORY_BYTES_MAX {
            return Err(EngineError::MemoryMax { asked: memory_bytes_max });
        }
        let wasmtime = Each::try_new(|concurrency| {
            wasmtime::Engine::new(&config::running(concurrency, instances_max, memory_bytes_max))
        });
        let wasmtime = wasmtime.map_err(|error| EngineError::Start(format!("{error:#}")))?;
        let native = NativeCache::open(native_dir, &key_file, &wasmtime).map_err(EngineError::Cache)?;
        ticker::start(&wasmtime).map_err(|error| EngineError::Start(format!("the epoch's thread: {error}")))?;
        let kept = Arc::new(KeptInstances::new(keep));
        let (reader, compiler) = (Reader::new(worker.clone()), Compiler::new(worker));
        let (turns, working) = (Arc::new(Turns::new()), Mutex::default());
        let shared = Shared { wasmtime, native, reader, compiler, kept, turns, working };
        Ok(Self(Arc::new(shared), Arc::new(services)))
    }

    /// The same engine, for guests that draw on something else.
    pub fn with_services(&self, services: Services) -> Self {
        Self(Arc::clone(&self.0), Arc::new(services))
    }

    /// What guests draw on.
    pub fn services(&self) -> &Services {
        &self.1
    }

    /// Reads components in bounded processes, in the same queue as compilations.
    pub fn reader(&self) -> &Reader {
        &self.0.reader
    }

    /// Checks that this host gives everything that a component imports.
    pub fn check_imports(&self, description: &Description) -> Result<(), ImportError> {
        wares_capabilities::check_imports(&description.imports)
    }

    /// Makes the component's native code, unless there is some, and makes sure that it loads and links here. Who waits no longer
    /// ends the work.
    pub async fn compile(
        &self,
        lane: &Lane,
        digest: &Digest,
        wasm: &Bytes,
        concurrency: Concurrency,
    ) -> Result<(), CompileError> {
        let working = self.working(digest);
        let _alone = working.lock().await;
        let native = match self.read(digest, concurrency).await? {
            Some(native) => native,
            None => self.make_alone(lane, *digest, wasm, concurrency).await?,
        };
        let linked = self.link(native, concurrency, VersionConfig { config: Arc::default() }).await?;
        linked.map(drop).map_err(|error| CompileError::Unlinked(error.to_string()))
    }

    /// Loads a version. Its bytes are asked for only if there is no good native code; then it is compiled to its end, whoever
    /// still waits for it.
    pub async fn load<E: fmt::Display>(
        &self,
        lane: Lane,
        digest: &Digest,
        wasm: impl AsyncFnOnce() -> Result<Bytes, E>,
        description: Arc<Description>,
        config: Arc<BTreeMap<String, String>>,
    ) -> Result<Arc<Component>, LoadError> {
        self.check_imports(&description)?;
        let working = self.working(digest);
        let alone = working.lock_owned().await;
        let concurrency = Concurrency::of(&description);
        let native = match self.read(digest, concurrency).await? {
            Some(native) => native,
            None => {
                tracing::info!(%digest, "compiling: there is no native code for this engine");
                let wasm = wasm().await.map_err(|error| LoadError::Wasm(error.to_string()))?;
                let (wasm, found) = blocking(move || (wasm.clone(), Digest::of(&wasm))).await?;
                if found != *digest {
                    return Err(LoadError::Digest(*digest));
                }
                self.make(lane, digest, wasm, concurrency, alone).await?
            }
        };
        match self.link(native, concurrency, VersionConfig { config }).await? {
            Ok(component) => Ok(Arc::new(component)),
            Err(WiringError::Import(error)) => Err(error.into()),
            Err(WiringError::Configure(error)) => Err(LoadError::Configure(error.to_string())),
            Err(error @ WiringError::Link(_)) => Err(CompileError::Unlinked(error.to_string()).into()),
        }
    }

    /// Drops kept instances and workers that are too old to serve again. To be called now and then.
    pub fn sweep(&self) {
        self.0.reader.sweep();
        self.0.kept.sweep();
    }

    /// Instances that are kept for further calls now.
    pub fn instances_kept(&self) -> u32 {
        self.0.kept.count()
    }

    /// Native code that none of the `needed` components is run with, as this engine is now. What is being made is needed.
    pub async fn unneeded_native(&self, mut needed: HashSet<Digest>) -> io::Result<Vec<NativeFile>> {
        let is_held = |lock: &Weak<AsyncMutex<()>>| lock.strong_count() > 0;
        needed.extend(self.0.working.lock().iter().filter(|(_, lock)| is_held(lock)).map(|(digest, _)| *digest));
        let shared = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || shared.native.unneeded(&needed)).await?
    }

    /// Removes native code that was found unneeded.
    pub async fn remove_native(&self, files: Vec<NativeFile>) -> io::Result<()> {
        let shared = Arc::clone(&self.0);
        tokio::task::spawn_blocking(move || files.iter().try_for_each(|file| shared.native.remove(file))).await?
    }

    /// The lock of a digest. It lives as long as somebody holds it.
    fn working(&self, digest: &Digest) -> Arc<AsyncMutex<()>> {
        let mut working = self.0.working.lock();
        working.retain(|_, lock| lock.strong_count() > 0);
        let known = working.get(digest).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let lock = Arc::default();
            working.insert(*digest, Arc::downgrade(&lock));
            lock
        })
    }

    async fn read(&self, digest: &Digest, concurrency: Concurrency) -> Result<Option<Native>, CompileError> {
        let (shared, digest) = (Arc::clone(&self.0), *digest);
        let load = move || shared.native.load(&digest, concurrency, shared.wasmtime.get(concurrency));
        let loaded = blocking(load).await?;
        // Sealed code that wasmtime refuses exceeds a bound of the pool, which compiling again does not change.
        loaded.map_err(|error| CompileError::Invalid(format!("{error:#}")))
    }

    /// Makes native code in a task of its own, which holds the digest's lock: whoever asks again finds what was made.
    async fn make(
        &self,
        lane: Lane,
        digest: &Digest,
        wasm: Bytes,
        concurrency: Concurrency,
        alone: OwnedMutexGuard<()>,
    ) -> Result<Native, CompileError> {
        let (engine, owned) = (self.clone(), *digest);
        let making = tokio::spawn(async move {
            let _alone = alone;
            engine.make_alone(&lane, owned, &wasm, concurrency).await
        });
        making.await.map_err(|error| CompileError::Host(format!("the task that compiles: {error}")))?
    }

    async fn make_alone(
        &self,
        lane: &Lane,
        digest: Digest,
        wasm: &Bytes,
        concurrency: Concurrency,
    ) -> Result<Native, CompileError> {
        let host = |error: io::Error| CompileError::Host(format!("the native code cache: {error}"));
        let native = self.0.native.begin().map_err(host)?;
        self.0.compiler.compile(lane, wasm, concurrency, native.reopen().map_err(host)?).await?;
        let shared = Arc::clone(&self.0);
        blocking(move || shared.native.keep(&digest, concurrency, native)).await?.map_err(host)?;
        let made = self.read(&digest, concurrency).await?;
        made.ok_or_else(|| CompileError::Host("native code that was just made has a bad seal".to_owned()))
    }

    /// Links what the component imports and finds what it exports: work that grows with its types.
    async fn link(
        &self,
        native: Native,
        concurrency: Concurrency,
        version: VersionConfig,
    ) -> Result<Result<Component, WiringError>, CompileError> {
        let (shared, services) = (Arc::clone(&self.0), Arc::clone(&self.1));
        let link = move || {
            let wasmtime = shared.wasmtime.get(concurrency);
            let imports: Vec<_> = native.component_type().imports(wasmtime).map(|(name, _)| name.to_owned()).collect();
            let mut linker = Linker::new(wasmtime);
            let wiring = Wiring::new(&mut linker, &imports, &version)?;
            let shelf = link_shelf(&mut linker, &native)?;
            let pre = linker.instantiate_pre(&native).map_err(WiringError::Link)?;
            native.initialize_copy_on_write_image().map_err(WiringError::Link)?;
            let (kept, turns) = (Arc::clone(&shared.kept), Arc::clone(&shared.turns));
            Ok(Component::new(pre, concurrency, wiring, shelf, services, kept, turns))
        };
        blocking(link).await
    }
}

type Native = wasmtime::component::Component;

/// Reading, hashing and mapping files, away from the threads that run calls.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, CompileError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| CompileError::Host(format!("a thread for files: {error}")))
}
