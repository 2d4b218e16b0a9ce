//! An engine in a folder of its own, text-format guests, and calls of them.

use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use wares_engine::{
    CallContext, CallReport, CompileError, Component, Concurrency, Engine, EngineConfig, EngineError, Invocation,
    KeepBounds, Lane, LoadError, Meter, Services, WorkerCommand,
};
use wares_model::{Digest, Limits};
use wares_typed::Description;
use wasmtime::component::Val;

/// The longest wait for what must come, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at what cannot be awaited.
const PAUSE: Duration = Duration::from_millis(5);
/// Room for as many calls at once as one test of one guest needs.
const CALLS_MAX: u32 = 4;

/// The worker as a program of its own.
pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_wares-compile-worker");
/// Nobody else is there.
pub(crate) const LANE: Lane = Lane::Operator(None);

/// Bounds of kept instances that tests reach.
pub(crate) const KEEP: KeepBounds =
    KeepBounds { instances_max: 3, calls_max: 5, age_max: Duration::from_secs(600), memory_bytes_max: 4 << 20 };

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) engine: Engine,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with_calls_max(CALLS_MAX)
    }

    pub(crate) fn with_calls_max(calls_max: u32) -> Self {
        let dir = TempDir::new().unwrap();
        let engine = open(dir.path(), calls_max).unwrap();
        Self { dir, engine }
    }

    /// An engine that keeps instances within these bounds.
    pub(crate) fn keeping(keep: KeepBounds) -> Self {
        let dir = TempDir::new().unwrap();
        let engine = Engine::new(EngineConfig { keep, ..config(dir.path(), CALLS_MAX) }, Services::default()).unwrap();
        Self { dir, engine }
    }

    /// Another engine on the same folder, as after a restart.
    pub(crate) fn reopened(self) -> Self {
        let Self { dir, engine } = self;
        drop(engine);
        let engine = open(dir.path(), CALLS_MAX).unwrap();
        Self { dir, engine }
    }

    pub(crate) fn native_dir(&self) -> PathBuf {
        self.dir.path().join("native")
    }

    /// Names in the native cache that end so.
    pub(crate) fn native_files(&self, suffix: &str) -> Vec<PathBuf> {
        let files = std::fs::read_dir(self.native_dir()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect()
    }

    pub(crate) async fn compile(&self, wasm: Vec<u8>) -> Result<(), CompileError> {
        self.engine.compile(&LANE, &Digest::of(&wasm), &Bytes::from(wasm), Concurrency::None).await
    }

    /// What a component's bytes say.
    pub(crate) async fn describe(&self, wasm: &[u8]) -> Arc<Description> {
        Arc::new(self.engine.reader().describe(&LANE, wasm).await.unwrap())
    }

    pub(crate) async fn load(&self, wasm: Vec<u8>) -> Arc<Component> {
        self.load_with(wasm, &[]).await.unwrap()
    }

    pub(crate) async fn load_with(&self, wasm: Vec<u8>, config: &[(&str, &str)]) -> Result<Arc<Component>, LoadError> {
        let description = self.describe(&wasm).await;
        let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let config = Arc::new(config.collect::<BTreeMap<_, _>>());
        let digest = Digest::of(&wasm);
        let wasm = async || Ok::<_, String>(Bytes::from(wasm.clone()));
        self.engine.load(LANE, &digest, wasm, description, config).await
    }

    pub(crate) async fn guest(&self, name: &str) -> Arc<Component> {
        self.load(guest(name)).await
    }
}

pub(crate) fn open(dir: &Path, calls_max: u32) -> Result<Engine, EngineError> {
    Engine::new(config(dir, calls_max), Services::default())
}

pub(crate) fn config(dir: &Path, calls_max: u32) -> EngineConfig {
    EngineConfig {
        native_dir: dir.join("native"),
        key_file: dir.join("native.key"),
        worker: WorkerCommand { program: WORKER.into(), args: Vec::new() },
        calls_max,
        memory_bytes_max: Limits::CEILING.memory_bytes_max,
        keep: KEEP,
    }
}

/// The component `tests/guests/NAME.wat`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    text_guest(name, "", "")
}

/// The component `tests/guests/NAME.wat` with a word replaced.
pub(crate) fn text_guest(name: &str, word: &str, by: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests").join(format!("{name}.wat"));
    let text = std::fs::read_to_string(path).unwrap();
    let text = if word.is_empty() { text } else { text.replace(word, by) };
    wat::parse_str(text).unwrap()
}

/// The component that uses WASI, built for the version that Rust's toolchain uses.
pub(crate) fn wasi_guest() -> Vec<u8> {
    text_guest("wasi", "VERSION", "0.2.6")
}

/// A call that a test makes.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) function: &'static str,
    pub(crate) arguments: Vec<Val>,
    pub(crate) limits: Limits,
    pub(crate) meter: Arc<Meter>,
    pub(crate) owner: Option<&'static str>,
}

pub(crate) fn call(function: &'static str) -> Call {
    let limits = Limits { cpu_ms_max: 200, wall_ms_max: 60_000, ..Limits::DEFAULT };
    Call { function, arguments: Vec::new(), limits, meter: Arc::default(), owner: None }
}

impl Call {
    pub(crate) fn with(mut self, argument: Val) -> Self {
        self.arguments.push(argument);
        self
    }

    pub(crate) fn within(mut self, edit: impl FnOnce(&mut Limits)) -> Self {
        edit(&mut self.limits);
        self
    }

    pub(crate) fn owned_by(mut self, owner: &'static str) -> Self {
        self.owner = Some(owner);
        self
    }

    pub(crate) async fn of(self, component: &Component) -> CallReport {
        let invocation = Invocation {
            interface: None,
            function: self.function,
            arguments: self.arguments.into(),
            limits: &self.limits,
            meter: self.meter,
            context: Arc::new(CallContext::unshelved()),
            owner: self.owner,
        };
        component.call(invocation).await
    }
}

/// Looks every now and then until it is so.
pub(crate) async fn until(is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(PAUSE).await;
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("it never is so");
}

/// What a call of `add` answers.
pub(crate) async fn two_and_three(component: &Component) -> Val {
    let report = call("add").with(Val::U32(2)).with(Val::U32(3)).of(component).await;
    report.result.unwrap().unwrap()
}
