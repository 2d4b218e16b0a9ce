//! wasmtime in axum as one would write it by hand, nothing limited and nothing counted; and a function's own time in wasmtime.

use crate::contender::guest;
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use std::path::Path;
use std::time::{Duration, Instant};
use wasmtime::component::{Component, Func, Instance, InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

struct Wasi {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Wasi {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

/// The server: a fresh instance per request.
pub fn router() -> wasmtime::Result<Router> {
    let instance = load(&guest("bench-text").map_err(|error| wasmtime::Error::msg(error.to_string()))?)?;
    Ok(Router::new().route("/upper", post(upper)).with_state(instance))
}

#[expect(clippy::disallowed_methods, reason = "by hand is what it is for")]
fn load(component: &Path) -> wasmtime::Result<InstancePre<Wasi>> {
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::pooling());
    let engine = Engine::new(&config)?;
    let mut linker = Linker::<Wasi>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    linker.instantiate_pre(&Component::from_file(&engine, component)?)
}

fn store(pre: &InstancePre<Wasi>) -> Store<Wasi> {
    Store::new(pre.engine(), Wasi { wasi: WasiCtx::builder().build(), table: ResourceTable::new() })
}

fn function(store: &mut Store<Wasi>, instance: &Instance, name: &str) -> wasmtime::Result<Func> {
    let interface = instance.get_export_index(&mut *store, None, "bench:text/text");
    let index = instance.get_export_index(&mut *store, interface.as_ref(), name);
    index.and_then(|index| instance.get_func(store, index)).ok_or_else(|| wasmtime::Error::msg("no such function"))
}

async fn upper(State(pre): State<InstancePre<Wasi>>, Json(body): Json<Text>) -> Result<Json<String>, String> {
    let run = async {
        let mut store = store(&pre);
        let instance = pre.instantiate_async(&mut store).await?;
        let upper = function(&mut store, &instance, "upper")?.typed::<(&str,), (String,)>(&store)?;
        let (text,) = upper.call_async(&mut store, (&body.text,)).await?;
        wasmtime::error::Ok(text)
    };
    run.await.map(Json).map_err(|error| error.to_string())
}

/// The time that `mix` takes for so many rounds in plain wasmtime: the fastest of several.
pub async fn time_of_mix(rounds: u32) -> anyhow::Result<Duration> {
    let run = async {
        let pre = load(&guest("bench-text").map_err(|error| wasmtime::Error::msg(error.to_string()))?)?;
        let mut store = store(&pre);
        let instance = pre.instantiate_async(&mut store).await?;
        let mix = function(&mut store, &instance, "mix")?.typed::<(u32,), (u64,)>(&store)?;
        let mut fastest = Duration::MAX;
        for _ in 0..50 {
            let began = Instant::now();
            mix.call_async(&mut store, (rounds,)).await?;
            fastest = fastest.min(began.elapsed());
        }
        wasmtime::error::Ok(fastest)
    };
    run.await.map_err(|error| anyhow::anyhow!("{error:?}"))
}
