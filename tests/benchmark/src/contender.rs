//! Who is measured: each contender is a process of its own that answers over HTTP.

use crate::by_hand;
use crate::load::Request;
use crate::work::Work;
use anyhow::{Context as _, Result, bail, ensure};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use wares_it::guests;
use wares_it::host::Host;

/// Flags of the hosts that are measured; the defaults otherwise, with room for as many callers as there are.
const HOST_FLAGS: [&str; 2] = ["--log", "warn"];
/// A setting: calls of one tenant at once, because all callers of the benchmark are one tenant.
const TENANT_CONCURRENCY: (&str, &str) = ("WARES_CALLS_TENANT_CONCURRENCY_MAX", "256");
/// A setting: how long calls wait for a slot, as a host has it by itself. Those of tests wait longer.
const QUEUE: (&str, &str) = ("WARES_CALLS_QUEUE_MS_MAX", "1000");

/// A contender that is up.
pub struct Running {
    addr: SocketAddr,
    key: Option<String>,
    pid: u32,
    kind: Contender,
    _process: Process,
}

enum Process {
    Child { _child: Child },
    Host { _host: Box<Host>, _data: tempfile::TempDir },
}

/// Who is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Contender {
    /// Bare axum that answers with the JSON it got: the ceiling of any HTTP server here.
    AxumEcho,
    /// wasmtime in axum by hand, a fresh instance per call, nothing limited and nothing counted: the floor of the technique.
    ByHand,
    /// `wasmtime serve` with an HTTP component that does the same.
    WasmtimeServe,
    /// Wares with fresh instances.
    Fresh,
    /// Wares with instances that serve further calls of the tenant.
    Kept,
    /// Wares serving the HTTP component.
    Http,
    /// The engine and the JSON mapping of Wares with fresh instances, without keys, admission, ledger, metrics and tracing.
    Uncounted,
}

impl Contender {
    /// All, in the order in which they take turns.
    pub const ALL: [Self; 7] =
        [Self::AxumEcho, Self::ByHand, Self::WasmtimeServe, Self::Fresh, Self::Kept, Self::Http, Self::Uncounted];

    /// How tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::AxumEcho => "bare axum echo",
            Self::ByHand => "wasmtime + axum by hand",
            Self::WasmtimeServe => "wasmtime serve",
            Self::Fresh => "wares, fresh",
            Self::Kept => "wares, kept per tenant",
            Self::Http => "wares, HTTP component",
            Self::Uncounted => "wares, uncounted",
        }
    }

    /// Whether it can do this work.
    pub fn does(self, work: Work) -> bool {
        match self {
            Self::AxumEcho => !matches!(work, Work::Mix(_) | Work::Add),
            Self::ByHand | Self::WasmtimeServe | Self::Http | Self::Uncounted => work == Work::Upper,
            Self::Fresh | Self::Kept => true,
        }
    }

    /// Starts it.
    pub async fn start(self) -> Result<Running> {
        match self {
            Self::AxumEcho | Self::ByHand => self.own().await,
            Self::WasmtimeServe => self.wasmtime_serve().await,
            Self::Fresh | Self::Kept | Self::Http => self.wares().await,
            Self::Uncounted => self.uncounted().await,
        }
    }

    fn running(self, addr: SocketAddr, key: Option<String>, pid: Option<u32>, process: Process) -> Result<Running> {
        let pid = pid.context("a contender has ended")?;
        Ok(Running { addr, key, pid, kind: self, _process: process })
    }

    /// One of the servers of this crate, as a child process of the benchmark.
    async fn own(self) -> Result<Running> {
        let (child, lines) = spawn(itself(self)?, &["listening: http://"]).await?;
        self.running(address(&lines)?, None, child.id(), Process::Child { _child: child })
    }

    async fn wasmtime_serve(self) -> Result<Running> {
        let mut command = Command::new(guests::root().join("target/tools/bin/wasmtime"));
        command.args(["serve", "-O", "pooling-allocator", "-S", "cli", "--addr", "127.0.0.1:0"]);
        command.arg(guest("bench-http")?).stderr(Stdio::piped());
        let (child, lines) = spawn(command, &["Serving HTTP on http://"]).await?;
        self.running(address(&lines)?, None, child.id(), Process::Child { _child: child })
    }

    async fn wares(self) -> Result<Running> {
        let data = tempfile::tempdir()?;
        let host = start_host(data.path()).await?;
        let key = host.tenant("bench").await?;
        host.publish(std::fs::read(self.guest()?)?, "deploy=true").await?.error_for_status()?;
        let addr = host.url.trim_start_matches("http://").parse()?;
        let pid = host.pid();
        self.running(addr, Some(key), pid, Process::Host { _host: Box::new(host), _data: data })
    }

    async fn uncounted(self) -> Result<Running> {
        let program = wares_it::host::binary()?.with_file_name("wares-uncounted");
        let (child, lines) = spawn(Command::new(program), &["listening: http://"]).await?;
        self.running(address(&lines)?, None, child.id(), Process::Child { _child: child })
    }

    fn guest(self) -> Result<PathBuf> {
        guest(match self {
            Self::Kept => "bench-kept",
            Self::Http => "bench-http",
            _ => "bench-text",
        })
    }
}

impl Running {
    /// What callers send to have this work done, once it is known that the answer is right.
    pub async fn request(&self, work: Work) -> Result<Request> {
        let path = match self.kind {
            Contender::AxumEcho => "/echo".to_owned(),
            Contender::ByHand | Contender::WasmtimeServe | Contender::Uncounted => "/upper".to_owned(),
            Contender::Http => "/serve/bench/http/upper".to_owned(),
            Contender::Fresh => format!("/v1/call/bench/text/text/{}", work.function()),
            Contender::Kept => format!("/v1/call/bench/kept/text/{}", work.function()),
        };
        let request = Request::new(self.addr, &path, self.key.as_deref(), &work.arguments().to_string());
        let answer = request.once().await.with_context(|| self.kind.name())?;
        ensure!(work.is_answered_by(&answer), "{} answered {answer}", self.kind.name());
        Ok(request)
    }

    /// Who it is.
    pub fn contender(&self) -> Contender {
        self.kind
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

/// A host of the real binary, as contenders are.
pub async fn start_host(data_dir: &std::path::Path) -> Result<Host> {
    Host::start_in(data_dir, None, &HOST_FLAGS, &[TENANT_CONCURRENCY, QUEUE]).await
}

fn itself(contender: Contender) -> Result<Command> {
    let name = clap::ValueEnum::to_possible_value(&contender).context("a contender without a name")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--serve", name.get_name()]);
    Ok(command)
}

fn address(lines: &[String]) -> Result<SocketAddr> {
    Ok(lines.last().context("no address")?.trim_end_matches('/').parse()?)
}

/// Starts a server and waits for lines with these beginnings, on standard output or standard error; returns their rests.
async fn spawn(mut command: Command, beginnings: &[&str]) -> Result<(Child, Vec<String>)> {
    let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().context("starting a contender")?;
    let out: Box<dyn AsyncRead + Unpin + Send> = match child.stderr.take() {
        Some(err) => Box::new(err),
        None => Box::new(child.stdout.take().context("stdout")?),
    };
    let mut lines = BufReader::new(out).lines();
    let mut found = Vec::new();
    for beginning in beginnings {
        loop {
            let Some(line) = lines.next_line().await? else { bail!("a contender ended before it listened") };
            if let Some(rest) = line.strip_prefix(beginning) {
                found.push(rest.to_owned());
                break;
            }
        }
    }
    // What it prints later must not block it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, found))
}

/// The built component of `tests/guests/NAME`.
pub fn guest(name: &str) -> Result<PathBuf> {
    let path = guests::root().join("tests/guests/target/wares").join(format!("{name}.wasm"));
    ensure!(path.is_file(), "{} is missing: build it with `wares build tests/guests`", path.display());
    Ok(path)
}

/// Serves one of this crate's own contenders until the process is ended.
pub async fn serve(contender: Contender) -> Result<()> {
    let router = match contender {
        Contender::AxumEcho => Router::new().route("/echo", post(async |Json(body): Json<Value>| Json(body))),
        Contender::ByHand => by_hand::router().map_err(|error| anyhow::anyhow!("{error:?}"))?,
        other => bail!("{} is a program of its own", other.name()),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening: http://{}", listener.local_addr()?);
    axum::serve(listener, router).await?;
    Ok(())
}
