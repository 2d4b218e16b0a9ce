//! A host of the real binary on a free port, and requests to it.

use crate::wait;
use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// How long calls wait for a slot or for a version to be loaded, unless a test says otherwise: a machine that is busy with other
/// tests is no reason to refuse one.
const QUEUE: (&str, &str) = ("WARES_CALLS_QUEUE_MS_MAX", "60000");
/// The library that sets a program's clock, where Debian has it, by machine.
const FAKETIME: [&str; 2] =
    ["/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1"];

/// The `wares` binary that was built with these tests.
pub fn binary() -> Result<PathBuf> {
    let tests = std::env::current_exe()?;
    let folder = tests.ancestors().find(|folder| folder.join("wares").is_file());
    Ok(folder.context("the wares binary: build it with `cargo build --release`")?.join("wares"))
}

/// A client that keeps as many connections as the tests have callers.
pub fn client() -> Result<Client> {
    // Without effect after the first time.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(Client::builder().pool_max_idle_per_host(512).build()?)
}

/// A running host.
pub struct Host {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    /// The key that the host printed when the shelf was new, or that the test passed on.
    pub admin_key: String,
    client: Client,
    process: Child,
}

impl Host {
    /// Starts a host on a new shelf in `data_dir`.
    pub async fn start(data_dir: &Path) -> Result<Self> {
        Self::start_with(data_dir, None, &[]).await
    }

    /// Starts a host, on a shelf whose admin key is known from an earlier start, with further flags of `wares serve`.
    pub async fn start_with(data_dir: &Path, admin_key: Option<&str>, flags: &[&str]) -> Result<Self> {
        Self::start_in(data_dir, admin_key, flags, &[]).await
    }

    /// The same, with settings as environment variables.
    pub async fn start_in(
        data_dir: &Path,
        admin_key: Option<&str>,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        Self::run(Self::command(data_dir, flags, variables)?, admin_key).await
    }

    /// The command that starts a host on a free port, for tests that change it before [`Host::run`].
    pub fn command(data_dir: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Result<Command> {
        let mut command = Command::new(binary()?);
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).args(flags);
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WARES_")) {
            command.env_remove(name);
        }
        command.envs([QUEUE]).envs(variables.iter().copied());
        Ok(command)
    }

    /// Runs a host by this command until it is up.
    pub async fn run(mut command: Command, admin_key: Option<&str>) -> Result<Self> {
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = process.stdout.take().context("stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let introduction = introduction(&mut lines, admin_key.is_none());
        let (url, printed_key) = wait::patiently("the host does not come up", introduction).await??;
        // What it prints later must not block it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let admin_key = admin_key.map(str::to_owned).or(printed_key).context("the host printed no admin key")?;
        let client = client()?;
        Ok(Self { url, admin_key, client, process })
    }

    /// The same host, spoken to by another client.
    pub fn through(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// Starts a host whose clock says this time in UTC (`2026-11-25 12:00:00`) when it starts, and goes on from there.
    pub async fn start_at(
        time: &str,
        data_dir: &Path,
        admin_key: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Self> {
        let library = FAKETIME.into_iter().find(|path| Path::new(path).exists());
        let (library, clock) = (library.context("libfaketime: install the package faketime")?, format!("@{time}"));
        let set = [
            ("LD_PRELOAD", library),
            ("FAKETIME", clock.as_str()),
            // What waits is not hurried.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("TZ", "UTC"),
        ];
        Self::start_in(data_dir, admin_key, &[], &[&set, variables].concat()).await
    }

    /// A request with this key; the caller adds a body and sends it.
    pub fn request(&self, method: Method, path: &str, key: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url)).bearer_auth(key)
    }

    /// Gets JSON as the operator.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let response = self.request(Method::GET, path, &self.admin_key).send().await?;
        success(response).await
    }

    /// Posts JSON as the operator.
    pub async fn post(&self, path: &str, body: Value) -> Result<Value> {
        success(self.request(Method::POST, path, &self.admin_key).json(&body).send().await?).await
    }

    /// Makes a tenant with a key of its own.
    pub async fn tenant(&self, id: &str) -> Result<String> {
        self.post("/v1/tenants", json!({"id": id})).await?;
        let key = self.post(&format!("/v1/tenants/{id}/keys"), json!({"application": "tests"})).await?;
        Ok(key.get("key").and_then(Value::as_str).context("key")?.to_owned())
    }

    /// Publishes a component and returns the host's answer.
    pub async fn publish(&self, wasm: Vec<u8>, query: &str) -> Result<Response> {
        let request = self.request(Method::POST, &format!("/v1/components?{query}"), &self.admin_key);
        Ok(request.header("content-type", "application/wasm").body(wasm).send().await?)
    }

    /// Publishes `name` (`namespace:name`) at `version` and gives it all traffic.
    pub async fn publish_and_deploy(&self, wasm: Vec<u8>, name: &str, version: &str) -> Result<Value> {
        success(self.publish(wasm, &format!("name={name}&version={version}&deploy=true")).await?).await
    }

    /// Gives all traffic of `path` (`namespace/name`) to one version.
    pub async fn deploy(&self, path: &str, version: &str) -> Result<Value> {
        let path = format!("/v1/components/{path}/deployment");
        let body = json!({"traffic": {version: 100}});
        success(self.request(Method::PUT, &path, &self.admin_key).json(&body).send().await?).await
    }

    /// Puts JSON as the operator.
    pub async fn put(&self, path: &str, body: Value) -> Result<Value> {
        success(self.request(Method::PUT, path, &self.admin_key).json(&body).send().await?).await
    }

    /// Makes so many tenants with a key each.
    pub async fn tenants(&self, count: usize) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        for number in 0..count {
            keys.push(self.tenant(&format!("street{number}")).await?);
        }
        Ok(keys)
    }

    /// Reads JSON as the operator again and again until it is as wanted.
    pub async fn until(&self, path: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let look = async || {
            let last = self.get(path).await?;
            Ok(if is_wanted(&last) { Ok(last) } else { Err(last) })
        };
        wait::until(&format!("{path} is as wanted"), look).await
    }

    /// The ledger's entry of a call, as soon as there is one: after an answer at once, for a caller that has gone soon.
    pub async fn entry(&self, call: &str) -> Result<Value> {
        let path = format!("/v1/calls/{call}");
        let look = async || {
            let response = self.request(Method::GET, &path, &self.admin_key).send().await?;
            match response.status() {
                StatusCode::NOT_FOUND => Ok(Err("no entry")),
                _ => success(response).await.map(Ok),
            }
        };
        wait::until(&path, look).await
    }

    /// All metrics.
    pub async fn metrics(&self) -> Result<String> {
        let response = self.request(Method::GET, "/metrics", &self.admin_key).send().await?;
        Ok(response.error_for_status()?.text().await?)
    }

    /// The value of a metric: of its first line if the name comes without labels. None as long as it is not shown.
    pub async fn metric(&self, name: &str) -> Result<Option<f64>> {
        let metrics = self.metrics().await?;
        let rest = metrics.lines().filter_map(|line| line.strip_prefix(name));
        let value = rest.filter(|rest| rest.starts_with([' ', '{'])).find_map(|rest| rest.rsplit(' ').next());
        Ok(value.map(str::parse).transpose()?)
    }

    /// Reads a metric again and again until its value is as wanted.
    pub async fn until_metric(&self, name: &str, is_wanted: impl Fn(f64) -> bool) -> Result<()> {
        let look = async || {
            let last = self.metric(name).await?;
            Ok(if last.is_some_and(&is_wanted) { Ok(()) } else { Err(format!("{last:?}")) })
        };
        wait::until(name, look).await
    }

    /// Waits until so many calls run.
    pub async fn until_running(&self, count: u32) -> Result<()> {
        self.until_metric("wares_calls_running", |running| running == f64::from(count)).await
    }

    /// Calls `path` (below `/v1/call/`) with a tenant's key.
    pub async fn call(&self, path: &str, key: &str, arguments: &Value) -> Result<Response> {
        Ok(self.request(Method::POST, &format!("/v1/call/{path}"), key).json(arguments).send().await?)
    }

    /// The process id.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)).context("pid")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(mut self) -> Result<()> {
        self.process.kill().await?;
        Ok(())
    }

    /// Waits for it to end by itself.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        Ok(wait::patiently("the host does not end", self.process.wait()).await??)
    }
}

/// Where the host says it listens, and the admin key that it prints if the shelf is new.
async fn introduction(lines: &mut Lines<BufReader<ChildStdout>>, with_key: bool) -> Result<(String, Option<String>)> {
    let (mut url, mut key) = (None, None);
    loop {
        let line = lines.next_line().await?.context("the host ended before it listened")?;
        if let Some(value) = line.strip_prefix("listening: ") {
            url = Some(value.to_owned());
        } else if let Some(value) = line.strip_prefix("admin key: ") {
            key = Some(value.to_owned());
        }
        match url.take() {
            Some(url) if key.is_some() || !with_key => return Ok((url, key)),
            waiting => url = waiting,
        }
    }
}

/// The JSON of a successful answer.
pub async fn success(response: Response) -> Result<Value> {
    let status = response.status();
    let text = response.text().await?;
    ensure!(status.is_success(), "{status}: {text}");
    Ok(serde_json::from_str(&text)?)
}

/// The problem document of a failed answer, with its status.
pub async fn problem(response: Response) -> Result<(u16, Value)> {
    let status = response.status().as_u16();
    let kind =
        response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    let text = response.text().await?;
    ensure!(kind == "application/problem+json", "{status}, {kind}: {text}");
    Ok((status, serde_json::from_str(&text)?))
}

/// The code of a problem document.
pub fn code(problem: &Value) -> &str {
    problem["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/")).unwrap_or_default()
}
