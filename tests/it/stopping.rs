//! A host that stops: nobody is turned away for it, and it ends in time whatever runs.

use crate::faults::copy;
use crate::raw::Raw;
use crate::recovery::{readiness, until};
use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use reqwest::{Client, Method};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use wares_it::guests;
use wares_it::host::{Host, binary, client, success};
use wares_model::Digest;

const CALLERS: usize = 8;
/// Calls that are answered before anything happens, and again after it.
const CALLS: u64 = 100;
const NUMBER: &str = "/v1/call/test/swap/numbers/number";

/// Callers that call one after the other until they are told to stop, over connections of their own.
struct Callers {
    answered: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<Result<()>>>,
}

impl Callers {
    fn start(clients: Vec<Client>, base: &str, key: &str) -> Self {
        let (answered, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let tasks = clients.into_iter().map(|client| {
            let (answered, stop) = (Arc::clone(&answered), Arc::clone(&stop));
            let request = client.post(format!("{base}{NUMBER}")).bearer_auth(key).json(&json!({}));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    let request = request.try_clone().context("request")?;
                    success(request.send().await?).await?;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                anyhow::Ok(())
            })
        });
        Self { tasks: tasks.collect(), answered, stop }
    }

    /// Waits for so many more calls, or a failed one.
    async fn more(&self) -> Result<()> {
        let enough = self.answered.load(Ordering::SeqCst) + CALLS;
        let so = async || {
            let failed = self.tasks.iter().any(JoinHandle::is_finished);
            Ok(failed || self.answered.load(Ordering::SeqCst) >= enough)
        };
        until("more calls", so).await.map(drop)
    }

    /// How many were answered; none failed.
    async fn end(self) -> Result<u64> {
        self.stop.store(true, Ordering::SeqCst);
        for ended in join_all(self.tasks).await {
            ended?.context("a call failed")?;
        }
        Ok(self.answered.load(Ordering::SeqCst))
    }
}

async fn entries(host: &Host) -> Result<u64> {
    let usage = host.get("/v1/usage").await?;
    Ok(usage["items"][0]["calls"].as_u64().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_taken_while_it_is_announced_that_the_host_stops() -> Result<()> {
    let data = tempfile::tempdir()?;
    let variables = [("WARES_DRAIN_DELAY_SECONDS", "600")];
    let mut host = Host::start_in(data.path(), None, &[], &variables).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    host.signal(Signal::TERM)?;
    let told = async || Ok(readiness(&host).await? == (503, json!({"status": "draining"})));
    until("/readyz says that the host drains", told).await?;
    let answer = host.request(Method::POST, NUMBER, &key).json(&json!({})).send().await?;
    assert_eq!(answer.headers().get("connection").context("connection")?, "close");
    assert_eq!(success(answer).await?, 7);
    ensure!(host.get("/v1/components").await?["items"].as_array().is_some_and(|all| all.len() == 1));
    // A second signal ends it at once.
    host.signal(Signal::TERM)?;
    ensure!(!host.wait().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_ends_in_time_though_a_thread_of_it_waits_for_the_disk_and_its_client_is_gone() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut host = Host::start_in(data.path(), None, &[], &[("WARES_DRAIN_SECONDS_MAX", "2")]).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    success(host.request(Method::POST, NUMBER, &key).json(&json!({})).send().await?).await?;
    // Whoever opens it waits for somebody to write, and nobody does.
    let wasm = guests::number(8)?;
    success(host.publish(wasm.clone(), "name=test:slow&version=1.0.0").await?).await?;
    let hex = Digest::of(&wasm).hex();
    let artifact = data.path().join("artifacts/sha256").join(&hex[..2]).join(&hex);
    std::fs::remove_file(&artifact)?;
    ensure!(std::process::Command::new("mkfifo").arg(&artifact).status()?.success());
    let request = host.request(Method::GET, "/v1/components/test/slow/versions/1.0.0/wasm", &host.admin_key);
    let reading = tokio::spawn(request.send());
    let pid = host.pid().context("pid")?;
    until("a thread waits for the disk", async || waits_for_a_writer(pid)).await?;
    reading.abort();
    let began = Instant::now();
    host.signal(Signal::TERM)?;
    ensure!(host.wait().await?.success());
    let took = began.elapsed();
    println!("it ended after {took:?}");
    ensure!(took < Duration::from_secs(3), "it took {took:?}");
    let host = Host::start_with(data.path(), Some(&host.admin_key), &[]).await?;
    assert_eq!(entries(&host).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_begins_a_request_keeps_no_host_from_ending() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut host = Host::start(data.path()).await?;
    let mut strangers = Vec::new();
    for beginning in ["", "G", "GET / HTTP/1.1\r\nhost: shelf\r\n", "PRI * HTTP/2.0\r\n\r\n"] {
        let mut raw = Raw::connect(&host).await?;
        raw.send(beginning).await?;
        strangers.push(raw);
    }
    // One that has been served before, and begins again.
    let mut raw = Raw::connect(&host).await?;
    raw.send("GET /healthz HTTP/1.1\r\nhost: shelf\r\n\r\nGET /heal").await?;
    raw.until("ok\n").await?;
    let began = Instant::now();
    host.signal(Signal::TERM)?;
    ensure!(host.wait().await?.success());
    let took = began.elapsed();
    println!("it ended after {took:?}");
    ensure!(took < Duration::from_secs(10), "it took {took:?}");
    drop((strangers, raw));
    Ok(())
}

/// Whether a thread of the process opens a pipe that nobody writes to.
fn waits_for_a_writer(pid: u32) -> Result<bool> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"))?.filter_map(Result::ok);
    let mut places = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("wchan")).ok());
    Ok(places.any(|place| place.contains("fifo") || place.contains("wait_for_partner")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_does_not_end_in_time_is_cut_off_and_has_its_entry() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut host = Host::start_in(data.path(), None, &[], &[("WARES_DRAIN_SECONDS_MAX", "1")]).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    for function in ["sleep", "spin"] {
        let arguments = if function == "sleep" { json!({"milliseconds": 9_000}) } else { json!({}) };
        let request = host.request(Method::POST, &format!("/v1/call/test/hostile/{function}"), &key).json(&arguments);
        tokio::spawn(request.send());
    }
    let metrics = async || host.request(Method::GET, "/metrics", &host.admin_key).send().await?.text().await;
    until("both run", async || Ok(metrics().await?.contains("wares_calls_running 2"))).await?;
    host.signal(Signal::TERM)?;
    ensure!(host.wait().await?.success());
    let host = Host::start_with(data.path(), Some(&host.admin_key), &[]).await?;
    let usage = host.get("/v1/usage?group_by=outcome").await?;
    let of = |outcome: &str| {
        let rows = usage["items"].as_array().into_iter().flatten();
        rows.filter(|row| row["outcome"] == outcome).filter_map(|row| row["calls"].as_u64()).sum::<u64>()
    };
    assert_eq!(of("cancelled") + of("limit-cpu"), 2, "{usage:#}");
    ensure!(of("cancelled") >= 1, "{usage:#}");
    Ok(())
}

/// A proxy before two hosts, reached by a socket in the file system.
struct Proxy {
    process: Child,
    socket: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Proxy {
    async fn start(program: &str, config: impl Fn(&Path, &Path) -> String) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (socket, file) = (folder.path().join("proxy.sock"), folder.path().join("proxy.conf"));
        std::fs::write(&file, config(folder.path(), &socket))?;
        let mut command = Command::new(program);
        match program {
            "nginx" => command.arg("-c").arg(&file).arg("-p").arg(folder.path()).args(["-e", "stderr"]),
            _ => command.arg("-db").arg("-f").arg(&file),
        };
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let command = command.env("PATH", path).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().with_context(|| format!("{program}: install the package of this name"))?;
        Ok(Self { process, socket, _folder: folder })
    }

    fn client(&self) -> Result<Client> {
        client()?;
        Ok(Client::builder().unix_socket(self.socket.clone()).build()?)
    }
}

/// A file that operators start from, with the addresses of these hosts.
fn example(file: &str, hosts: &[Host; 2]) -> Result<String> {
    let mut text = std::fs::read_to_string(guests::root().join("host/deploy").join(file))?;
    for (host, address) in hosts.iter().zip(["127.0.0.1:8787", "127.0.0.1:8788"]) {
        ensure!(text.contains(address), "{file} names no {address}");
        text = text.replace(address, &host.url.replace("http://", ""));
    }
    Ok(text)
}

fn nginx(hosts: &[Host; 2]) -> Result<impl Fn(&Path, &Path) -> String + use<>> {
    let example = example("nginx.conf", hosts)?;
    ensure!(example.contains("listen 80;"), "{example}");
    Ok(move |folder: &Path, socket: &Path| {
        let example = example.replace("listen 80;", &format!("listen unix:{};", socket.display()));
        let folder = folder.display();
        format!(
            "daemon off; master_process off; pid {folder}/pid; events {{}}
            http {{
                access_log off;
                client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
                uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
                {example}
            }}"
        )
    })
}

fn haproxy(hosts: &[Host; 2]) -> Result<impl Fn(&Path, &Path) -> String + use<>> {
    let example = example("haproxy.cfg", hosts)?;
    ensure!(example.contains("bind :80"), "{example}");
    Ok(move |_: &Path, socket: &Path| example.replace("bind :80", &format!("bind unix@{}", socket.display())))
}

/// Callers behind a proxy see nothing of it when one of two hosts stops.
async fn one_of_two_stops(
    program: &str,
    delay_seconds: &str,
    config: impl FnOnce(&[Host; 2]) -> Result<Box<dyn Fn(&Path, &Path) -> String>>,
) -> Result<()> {
    let data = [tempfile::tempdir()?, tempfile::tempdir()?];
    let variables = [("WARES_DRAIN_DELAY_SECONDS", delay_seconds)];
    let first = Host::start_in(data[0].path(), None, &[], &variables).await?;
    let tenant = first.tenant("district").await?;
    first.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let admin_key = first.admin_key.clone();
    first.kill().await?;
    // The other host is a copy of the first one.
    copy(data[0].path(), data[1].path())?;
    let mut hosts = [
        Host::start_in(data[0].path(), Some(&admin_key), &[], &variables).await?,
        Host::start_in(data[1].path(), Some(&admin_key), &[], &variables).await?,
    ];
    let mut proxy = Proxy::start(program, config(&hosts)?).await?;
    let answers = async || {
        ensure!(proxy.process.try_wait()?.is_none(), "{program} has ended");
        let request = proxy.client()?.get("http://shelf/healthz").send().await;
        Ok(request.is_ok_and(|answer| answer.status() == 200))
    };
    until(&format!("{program} answers"), answers).await?;
    let clients = (0..CALLERS).map(|_| proxy.client()).collect::<Result<_>>()?;
    let callers = Callers::start(clients, "http://shelf", &tenant);
    callers.more().await?;
    ensure!(entries(&hosts[0]).await? > 0 && entries(&hosts[1]).await? > 0, "both take calls");
    hosts[0].signal(Signal::TERM)?;
    ensure!(hosts[0].wait().await?.success());
    callers.more().await?;
    let answered = callers.end().await?;
    let first = Host::start_with(data[0].path(), Some(&admin_key), &[]).await?;
    let counted = entries(&first).await? + entries(&hosts[1]).await?;
    println!("behind {program}: {answered} calls, none failed, {counted} counted");
    assert_eq!(answered, counted, "each call is made once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_behind_nginx_lose_no_call_when_a_host_stops() -> Result<()> {
    one_of_two_stops("nginx", "1", |hosts| Ok(Box::new(nginx(hosts)?))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_behind_haproxy_lose_no_call_when_a_host_stops() -> Result<()> {
    one_of_two_stops("haproxy", "2", |hosts| Ok(Box::new(haproxy(hosts)?))).await
}

/// A host that serves a socket which somebody else holds, as systemd does.
async fn on_socket(socket: &TcpListener, data: &Path, admin_key: Option<&str>) -> Result<Host> {
    let serve = Host::command(data, &[], &[("WARES_DRAIN_DELAY_SECONDS", "1")])?;
    let mut command = Command::new("sh");
    // The process has the shell's number.
    let script = "exec 3<&0 </dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$@\"";
    command.args(["-c", script, "sh"]).arg(binary()?).args(serve.as_std().get_args());
    for (name, value) in serve.as_std().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::from(OwnedFd::from(socket.try_clone()?)));
    Host::run(command, admin_key).await
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_socket_that_is_passed_on_lose_no_call_when_the_host_is_started_anew() -> Result<()> {
    let data = tempfile::tempdir()?;
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let mut host = on_socket(&socket, data.path(), None).await?;
    assert_eq!(host.url, format!("http://{}", socket.local_addr()?));
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let clients = (0..CALLERS).map(|_| client()).collect::<Result<_>>()?;
    let callers = Callers::start(clients, &host.url, &key);
    callers.more().await?;
    let began = Instant::now();
    host.signal(Signal::TERM)?;
    ensure!(host.wait().await?.success());
    let stopped = began.elapsed();
    let host = on_socket(&socket, data.path(), Some(&host.admin_key)).await?;
    callers.more().await?;
    let answered = callers.end().await?;
    println!("{answered} calls through a restart, none failed; it stopped within {stopped:?}");
    assert_eq!(entries(&host).await?, answered);
    Ok(())
}

/// Where the host writes what it logs.
async fn logged(data: &Path, config: &Path, log: &Path) -> Result<Host> {
    let flags = ["--config", config.to_str().context("path")?];
    let mut command = Host::command(data, &flags, &[("WARES_CALLS_QUEUE_MS_MAX", "0")])?;
    command.stderr(std::fs::File::create(log)?);
    Host::run(command, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_again_on_a_hangup_and_nothing_ends() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (config, log) = (data.path().join("host.toml"), data.path().join("log"));
    std::fs::write(&config, "[calls]\n")?;
    let host = logged(&data.path().join("data"), &config, &log).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    let limit = async |version: &str| -> Result<Value> {
        let version = host.get(&format!("/v1/components/test/hostile/versions/{version}")).await?;
        Ok(version["limits"]["cpu-ms-max"].clone())
    };
    assert_eq!(limit("1.0.0").await?, 1_000);
    let hang_up = async |text: &str, word: &str| -> Result<String> {
        let before = std::fs::read_to_string(&log)?.len();
        std::fs::write(&config, text)?;
        host.signal(Signal::HUP)?;
        let tail = || anyhow::Ok(std::fs::read_to_string(&log)?.get(before..).unwrap_or_default().to_owned());
        until(&format!("the log says {word:?}"), async || Ok(tail()?.contains(word))).await?;
        tail()
    };
    let sleep = || {
        let request = host.request(Method::POST, "/v1/call/test/hostile/sleep", &key);
        tokio::spawn(request.json(&json!({"milliseconds": 2_000})).send())
    };
    let metrics = async || host.request(Method::GET, "/metrics", &host.admin_key).send().await?.text().await;
    let sleeps = sleep();
    until("a call runs", async || Ok(metrics().await?.contains("wares_calls_running 1"))).await?;

    let text = "[calls]\ntenant-concurrency-max = 1\n[log]\nfilter = 'debug'\n\
                [limits.default]\ncpu-ms-max = 77\n[http]\nconnections-max = 9";
    let told = hang_up(text, "when the host is started again").await?;
    ensure!(told.contains("the settings were reloaded") && told.contains("http.connections-max"), "{told}");
    // The call that runs has the tenant's only slot now.
    assert_eq!(sleep().await??.status(), 429);
    success(host.publish(guests::text("hostile")?, "name=test:hostile&version=1.0.1").await?).await?;
    assert_eq!((limit("1.0.0").await?, limit("1.0.1").await?), (json!(1_000), json!(77)));
    ensure!(std::fs::read_to_string(&log)?.contains(" DEBUG "), "more is logged");

    let told = hang_up("[limits.default]\ncpu-ms = 1", "were not reloaded").await?;
    ensure!(told.contains("cpu-ms-max") && told.contains("host.toml"), "it says what is wrong and where: {told}");
    success(host.publish(guests::text("hostile")?, "name=test:hostile&version=1.0.2").await?).await?;
    assert_eq!(limit("1.0.2").await?, 77);
    assert_eq!(sleeps.await??.status(), 200, "the call that ran is answered");
    Ok(())
}
