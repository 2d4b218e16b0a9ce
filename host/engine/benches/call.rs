//! How long a call of a tiny guest takes: fresh instance, function, removal. `cargo bench -p wares-engine`

use anyhow::{Context as _, Result};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wares_engine::{
    CallContext, Component, Engine, EngineConfig, Invocation, KeepBounds, Lane, Meter, Services, WorkerCommand,
};
use wares_model::{Digest, Limits};
use wasmtime::component::Val;

/// Instances are kept for many calls.
const KEEP: KeepBounds =
    KeepBounds { instances_max: 1, calls_max: u64::MAX, age_max: Duration::from_secs(600), memory_bytes_max: 64 << 20 };
const CALLS: u32 = 50_000;
/// Calls before the clock starts.
const WARM_UP: u32 = 2_000;

fn main() -> Result<()> {
    let dir = tempfile::TempDir::new()?;
    let engine = Engine::new(
        EngineConfig {
            native_dir: dir.path().join("native"),
            key_file: dir.path().join("native.key"),
            worker: WorkerCommand { program: env!("CARGO_BIN_EXE_wares-compile-worker").into(), args: Vec::new() },
            calls_max: 256,
            memory_bytes_max: Limits::CEILING.memory_bytes_max,
            keep: KEEP,
        },
        Services::default(),
    )?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let plain = runtime.block_on(load(&engine, "harmful"))?;
    let wasi = runtime.block_on(load(&engine, "wasi"))?;
    let add = [Val::U32(2), Val::U32(3)];
    runtime.block_on(measure("no imports", &plain, "add", &add, None))?;
    runtime.block_on(measure("WASI imported, not used", &wasi, "roll", &[Val::U64(0)], None))?;
    runtime.block_on(measure("WASI used: a line printed", &wasi, "print", &[], None))?;
    runtime.block_on(measure("no imports, instance kept", &plain, "add", &add, Some("owner")))?;
    Ok(())
}

async fn load(engine: &Engine, name: &str) -> Result<Arc<Component>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests").join(format!("{name}.wat"));
    let wasm = Bytes::from(wat::parse_str(std::fs::read_to_string(path)?.replace("VERSION", "0.2.6"))?);
    let lane = Lane::Operator(None);
    let description = Arc::new(engine.reader().describe(&lane, &wasm).await?);
    let digest = Digest::of(&wasm);
    Ok(engine.load(lane, &digest, async || anyhow::Ok(wasm), description, Arc::default()).await?)
}

async fn measure(
    what: &str,
    component: &Arc<Component>,
    function: &'static str,
    arguments: &[Val],
    owner: Option<&'static str>,
) -> Result<()> {
    let context = Arc::new(CallContext::unshelved());
    let calls = async |times: u32| {
        let (component, arguments, context) = (Arc::clone(component), arguments.to_vec(), Arc::clone(&context));
        // As a task, as a host runs it.
        let task = tokio::spawn(async move {
            for _ in 0..times {
                let invocation = Invocation {
                    interface: None,
                    function,
                    arguments: arguments.clone().into(),
                    limits: &Limits::DEFAULT,
                    meter: Arc::new(Meter::default()),
                    context: Arc::clone(&context),
                    owner,
                };
                component.call(invocation).await.result.ok().context("the call failed")?;
            }
            anyhow::Ok(())
        });
        task.await?
    };
    calls(WARM_UP).await?;
    let began = Instant::now();
    calls(CALLS).await?;
    println!("{what}: {:.2} us per call", began.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS));
    Ok(())
}
