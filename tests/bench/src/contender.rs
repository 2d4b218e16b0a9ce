//! What is measured: each contender is a process of its own that upper-cases the text of a JSON object over HTTP.

use crate::load::Request;
use anyhow::{Context as _, Result, bail};
use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wares_it::guests;
use wares_it::host::Host;
use wasmtime::component::{Component, InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// The text that callers send: a line as forms have it.
const TEXT: &str = "one district builds a component, every district reuses it";

/// A contender that is up.
pub struct Running {
    /// What callers send to it.
    pub request: Request,
    _process: Process,
}

enum Process {
    Child { _child: Child },
    Host { _host: Box<Host>, _data: tempfile::TempDir },
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Contender {
    /// Bare axum that answers with the body it got: the ceiling of any HTTP server here.
    AxumEcho,
    /// wasmtime in axum by hand, a fresh instance per call, nothing limited and nothing counted: the floor of the technique.
    ByHand,
    /// `wasmtime serve` with an HTTP component that does the same.
    WasmtimeServe,
    /// Wares, with all limits and the ledger.
    Wares,
}

#[derive(Debug, Serialize, Deserialize)]
struct Body {
    text: String,
}

impl Contender {
    /// How tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AxumEcho => "bare axum echo",
            Self::ByHand => "wasmtime + axum by hand",
            Self::WasmtimeServe => "wasmtime serve",
            Self::Wares => "wares",
        }
    }

    /// Starts it and checks that it answers right.
    pub async fn start(self) -> Result<Running> {
        let running = match self {
            Self::AxumEcho => own("axum-echo").await?,
            Self::ByHand => own("by-hand").await?,
            Self::WasmtimeServe => wasmtime_serve().await?,
            Self::Wares => wares().await?,
        };
        let answer = running.request.once().await.with_context(|| self.name())?;
        let expected = if self == Self::AxumEcho { TEXT.to_owned() } else { TEXT.to_uppercase() };
        anyhow::ensure!(answer.contains(&expected), "{} answered {answer}", self.name());
        Ok(running)
    }
}

fn request(addr: SocketAddr, path: &str, key: Option<String>) -> Result<Request> {
    Ok(Request { addr, path: path.to_owned(), key, body: serde_json::to_string(&Body { text: TEXT.to_owned() })? })
}

/// One of the servers of this file, as a child process of the benchmark.
async fn own(name: &str) -> Result<Running> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--serve", name]);
    let (child, addr) = spawn(command, "listening: ").await?;
    Ok(Running { request: request(addr, "/upper", None)?, _process: Process::Child { _child: child } })
}

async fn wasmtime_serve() -> Result<Running> {
    let tool = guests::root().join("target/tools/bin/wasmtime");
    let guest = guest("bench-http")?;
    let mut command = Command::new(tool);
    command.args(["serve", "-O", "pooling-allocator", "-S", "cli", "--addr", "127.0.0.1:0"]).arg(guest);
    command.stderr(Stdio::piped());
    let (child, addr) = spawn(command, "Serving HTTP on http://").await?;
    Ok(Running { request: request(addr, "/upper", None)?, _process: Process::Child { _child: child } })
}

async fn wares() -> Result<Running> {
    let data = tempfile::tempdir()?;
    let host = Host::start_with(data.path(), None, &["--log", "warn"]).await?;
    let key = host.tenant("bench").await?;
    host.publish(std::fs::read(guest("bench-text")?)?, "deploy=true").await?.error_for_status()?;
    let addr = host.url.trim_start_matches("http://").parse()?;
    let request = request(addr, "/v1/call/bench/text/text/upper", Some(key))?;
    Ok(Running { request, _process: Process::Host { _host: Box::new(host), _data: data } })
}

/// Starts a server and waits for the line that says where it listens, on standard output or standard error.
async fn spawn(mut command: Command, prefix: &str) -> Result<(Child, SocketAddr)> {
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().context("starting a contender")?;
    let out = child.stdout.take().context("stdout")?;
    let lines = match child.stderr.take() {
        None => BufReader::new(Box::new(out) as Box<dyn tokio::io::AsyncRead + Unpin + Send>).lines(),
        Some(err) => BufReader::new(Box::new(err) as Box<dyn tokio::io::AsyncRead + Unpin + Send>).lines(),
    };
    let mut lines = lines;
    while let Some(line) = lines.next_line().await? {
        if let Some(addr) = line.strip_prefix(prefix) {
            let addr = addr.trim_end_matches('/').parse()?;
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((child, addr));
        }
    }
    bail!("a contender ended before it listened")
}

/// The built component of `tests/guests/NAME`.
pub fn guest(name: &str) -> Result<PathBuf> {
    let path = guests::root().join("tests/guests/target/wares").join(format!("{name}.wasm"));
    anyhow::ensure!(path.is_file(), "{} is missing: build it with `wares build tests/guests`", path.display());
    Ok(path)
}

/// Serves one of this file's own contenders until the process is ended.
pub async fn serve(contender: Contender) -> Result<()> {
    let router = match contender {
        Contender::AxumEcho => Router::new().route("/upper", post(async |Json(body): Json<Body>| Json(body))),
        Contender::ByHand => by_hand(&guest("bench-text")?).map_err(|error| anyhow::anyhow!("{error:?}"))?,
        other => bail!("{} is a program of its own", other.name()),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening: {}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}

struct Wasi {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Wasi {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn by_hand(component: &Path) -> wasmtime::Result<Router> {
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::pooling());
    let engine = Engine::new(&config)?;
    let mut linker = Linker::<Wasi>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let instance = linker.instantiate_pre(&Component::from_file(&engine, component)?)?;
    Ok(Router::new().route("/upper", post(upper)).with_state(instance))
}

async fn upper(State(pre): State<InstancePre<Wasi>>, Json(body): Json<Body>) -> Result<Json<String>, String> {
    let run = async {
        let state = Wasi { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
        let mut store = Store::new(pre.engine(), state);
        let instance = pre.instantiate_async(&mut store).await?;
        let interface = instance.get_export_index(&mut store, None, "bench:text/text");
        let function = instance.get_export_index(&mut store, interface.as_ref(), "upper");
        let function = function.ok_or_else(|| wasmtime::Error::msg("no function upper"))?;
        let function = instance.get_typed_func::<(&str,), (String,)>(&mut store, function)?;
        let (text,) = function.call_async(&mut store, (&body.text,)).await?;
        wasmtime::error::Ok(text)
    };
    run.await.map(Json).map_err(|error| error.to_string())
}
