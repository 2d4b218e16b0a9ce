//! The host killed at each of its durable writes in turn: after the restart a step has happened or it has not.
//!
//! `strace` kills it as one of its threads enters its n-th call of the kernel that makes something durable, for n = 1, 2, 3 and
//! on until the step gets through, and for each such call by itself. So no write is left out because nobody thought of it.

use crate::command::wares;
use anyhow::{Context as _, Result, bail, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wares_it::guests;
use wares_it::host::{Host, success};
use wares_it::wait;

/// The calls that make something durable, or take it away.
const DURABLE: [&str; 11] = [
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "renameat",
    "renameat2",
    "link",
    "linkat",
    "unlink",
    "unlinkat",
];
/// A step that has more of one call than this does not end.
const POINTS_MAX: usize = 100;
/// Kills that every step must have been put to.
const KILLS_MIN: usize = 3;
const COMPONENT: &str = "/v1/components/test/swap";

/// A shelf with two versions, of which one takes all traffic, and an artifact that no version has.
struct Shelf {
    data: tempfile::TempDir,
    admin_key: String,
    tenant_key: String,
}

impl Shelf {
    async fn new() -> Result<Self> {
        let data = tempfile::tempdir()?;
        let host = Host::start(data.path()).await?;
        let tenant_key = host.tenant("district").await?;
        host.publish_and_deploy(guests::number(10)?, "test:swap", "1.0.0").await?;
        success(host.publish(guests::number(20)?, "name=test:swap&version=2.0.0").await?).await?;
        let stray = data.path().join("artifacts/sha256/00");
        std::fs::create_dir_all(&stray)?;
        std::fs::write(stray.join("0".repeat(64)), "stray")?;
        let admin_key = host.admin_key.clone();
        host.kill().await?;
        Ok(Self { data, admin_key, tenant_key })
    }

    async fn start(&self, data: &Path) -> Result<Host> {
        Host::start_with(data, Some(&self.admin_key), &[]).await
    }

    /// Does a step with the host killed at each of its writes, and looks at the shelf after each restart: whether the step
    /// answered that it was done is told.
    async fn kill_at_each_write(
        &self,
        step: impl AsyncFn(&Host) -> Result<()>,
        look: impl AsyncFn(&Host, bool) -> Result<()>,
    ) -> Result<()> {
        let mut kills = 0;
        for call in DURABLE {
            let mut points = 1..=POINTS_MAX;
            loop {
                let point = points.next().with_context(|| format!("{POINTS_MAX} of {call} were not enough"))?;
                let killed = || format!("killed at {call} number {point}");
                let dir = tempfile::tempdir()?;
                copy(self.data.path(), dir.path())?;
                let host = self.start(dir.path()).await?;
                let tracer = kill_at(&host, call, point).await?;
                let done = step(&host).await.is_ok();
                drop(tracer);
                host.kill().await?;
                let host = self.start(dir.path()).await.with_context(killed)?;
                look(&host, done).await.with_context(|| format!("{}, done: {done}", killed()))?;
                self.look_at_the_rest(&host).await.with_context(killed)?;
                if done {
                    break;
                }
                kills += 1;
            }
        }
        ensure!(kills >= KILLS_MIN, "the step was interrupted only {kills} times");
        Ok(())
    }

    /// What no step may touch.
    async fn look_at_the_rest(&self, host: &Host) -> Result<()> {
        for (version, number) in [("1.0.0", 10), ("2.0.0", 20)] {
            let at = format!("{COMPONENT}/versions/{version}/wasm");
            let wasm =
                host.request(Method::GET, &at, &host.admin_key).send().await?.error_for_status()?.bytes().await?;
            ensure!(wasm == guests::number(number)?, "the bytes of {version}");
        }
        let before = counted(host).await?;
        let answer = host.call("test/swap/numbers/number", &self.tenant_key, &json!({})).await?;
        ensure!([10, 20].map(|number| json!(number)).contains(&success(answer).await?));
        ensure!(counted(host).await? == before + 1, "one call, one entry");
        Ok(())
    }
}

async fn counted(host: &Host) -> Result<u64> {
    let usage = host.get("/v1/usage").await?;
    Ok(usage["items"][0]["calls"].as_u64().unwrap_or_default())
}

/// Has the host killed as a thread of it enters its n-th such call of the kernel from now on.
async fn kill_at(host: &Host, call: &str, point: usize) -> Result<Child> {
    let pid = host.pid().context("pid")?.to_string();
    let kill = format!("inject={call}:signal=SIGKILL:when={point}");
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &kill, "-p", &pid]);
    attach(command).await
}

/// Starts a tracer, and waits until it traces.
pub(crate) async fn attach(mut command: Command) -> Result<Child> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut tracer = command.spawn().context("strace: install the package of this name")?;
    let mut lines = BufReader::new(tracer.stderr.take().context("stderr")?).lines();
    let attached = async {
        while let Some(line) = lines.next_line().await? {
            if line.contains("attached") {
                return Ok(());
            }
        }
        bail!("strace did not attach to the host; it needs the right to trace")
    };
    wait::patiently("strace does not attach", attached).await??;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(tracer)
}

/// Copies a folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let (path, to) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        match path.is_dir() {
            true => copy(&path, &to)?,
            false => drop(std::fs::copy(&path, &to)?),
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_has_happened_or_not() -> Result<()> {
    let query = "name=test:swap&version=2.1.0";
    let step = async |host: &Host| success(host.publish(guests::number(21)?, query).await?).await.map(drop);
    let look = async |host: &Host, done: bool| {
        let there = host.get(&format!("{COMPONENT}/versions/2.1.0")).await.is_ok();
        ensure!(there || !done, "an answered publication is lost");
        if there {
            let at = format!("{COMPONENT}/versions/2.1.0/wasm");
            let wasm =
                host.request(Method::GET, &at, &host.admin_key).send().await?.error_for_status()?.bytes().await?;
            ensure!(wasm == guests::number(21)?, "a version without its bytes");
        }
        // Again it goes through, and what the first one left is no hindrance.
        step(host).await
    };
    Shelf::new().await?.kill_at_each_write(step, look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_has_happened_or_not() -> Result<()> {
    let shelf = Shelf::new().await?;
    let step = async |host: &Host| host.deploy("test/swap", "2.0.0").await.map(drop);
    let look = async |host: &Host, done: bool| {
        let now = host.get(&format!("{COMPONENT}/deployment")).await?;
        let answer = host.call("test/swap/numbers/number", &shelf.tenant_key, &json!({})).await?;
        let happened = match now["revision"].as_u64() {
            Some(1) => false,
            Some(2) => true,
            _ => bail!("{now:#}"),
        };
        ensure!(happened || !done, "an answered deployment is lost");
        ensure!(success(answer).await? == json!(if happened { 20 } else { 10 }), "the traffic is not the deployment's");
        let history = host.get(&format!("{COMPONENT}/deployment/history")).await?;
        ensure!(history["items"].as_array().map_or(0, Vec::len) == if happened { 2 } else { 1 }, "{history:#}");
        Ok(())
    };
    shelf.kill_at_each_write(step, look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_has_happened_with_its_deployment_or_not() -> Result<()> {
    let shelf = Shelf::new().await?;
    let share = async |host: &Host| {
        let body = json!({"traffic": {"1.0.0": 50, "2.0.0": 50}});
        let request = host.request(Method::PUT, &format!("{COMPONENT}/deployment"), &host.admin_key).json(&body);
        success(request.send().await?).await.map(drop)
    };
    let step = async |host: &Host| {
        share(host).await?;
        host.post(&format!("{COMPONENT}/versions/2.0.0/stop"), json!({"reason": "wrong"})).await.map(drop)
    };
    let look = async |host: &Host, done: bool| {
        let version = host.get(&format!("{COMPONENT}/versions/2.0.0")).await?;
        let traffic = host.get(&format!("{COMPONENT}/deployment")).await?["traffic"].clone();
        let stopped = !version["stopped-at"].is_null();
        ensure!(stopped || !done, "an answered stop is lost");
        let possible: &[Value] = match stopped {
            true => &[json!({"1.0.0": 100})],
            false => &[json!({"1.0.0": 100}), json!({"1.0.0": 50, "2.0.0": 50})],
        };
        ensure!(possible.contains(&traffic), "{traffic:#}, stopped: {stopped}");
        let events = host.get(&format!("{COMPONENT}/versions/2.0.0/events")).await?;
        ensure!(events.as_array().is_some_and(|events| events.len() == usize::from(stopped)), "{events:#}");
        Ok(())
    };
    shelf.kill_at_each_write(step, look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_takes_nothing_that_is_needed() -> Result<()> {
    let step = async |host: &Host| {
        // More than one file goes: the second version's native code too, once it is stopped.
        host.post(&format!("{COMPONENT}/versions/2.0.0/stop"), json!({})).await?;
        success(host.request(Method::DELETE, "/v1/garbage", &host.admin_key).send().await?).await.map(drop)
    };
    let look = async |host: &Host, done: bool| {
        let left = host.get("/v1/garbage").await?;
        let artifacts = left["files"].as_array().context("files")?.iter().filter(|file| file["kind"] == "artifact");
        ensure!(artifacts.count() <= usize::from(!done), "{left:#}");
        Ok(())
    };
    Shelf::new().await?.kill_at_each_write(step, look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_from_another_shelf_goes_on_where_it_was() -> Result<()> {
    let (shelf, work, other) = (Shelf::new().await?, tempfile::tempdir()?, tempfile::tempdir()?);
    let from = Host::start(other.path()).await?;
    for (number, version) in [(1, "1.0.0"), (2, "1.1.0")] {
        success(from.publish(guests::number(number)?, &format!("name=test:copied&version={version}")).await?).await?;
    }
    from.post("/v1/components/test/copied/versions/1.0.0/yank", json!({})).await?;
    let step = async |host: &Host| {
        let place = ["mirror", &from.url, "--from-key", &from.admin_key, "--host", &host.url, "--key", &host.admin_key];
        let ended = wares(work.path(), place)?;
        ensure!(ended.code == 0, "{}", ended.stderr);
        Ok(())
    };
    let look = async |host: &Host, _done: bool| {
        step(host).await?;
        for (number, version) in [(1, "1.0.0"), (2, "1.1.0")] {
            let at = format!("/v1/components/test/copied/versions/{version}");
            ensure!(host.get(&at).await?["yanked-at"].is_null() == (version != "1.0.0"), "the yank of {version}");
            let wasm = host.request(Method::GET, &format!("{at}/wasm"), &host.admin_key).send().await?;
            ensure!(wasm.error_for_status()?.bytes().await? == guests::number(number)?, "the bytes of {version}");
        }
        Ok(())
    };
    shelf.kill_at_each_write(step, look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_job_is_made_and_counted() -> Result<()> {
    let shelf = Shelf::new().await?;
    let done = |job: &Value| job["state"] == "succeeded";
    let accepted = std::cell::RefCell::new(None::<String>);
    let step = async |host: &Host| {
        accepted.take();
        let request = host.request(Method::POST, "/v1/call/test/swap/numbers/number", &shelf.tenant_key);
        let job = success(request.header("prefer", "respond-async").json(&json!({})).send().await?).await?;
        let at = format!("/v1/jobs/{}", job["id"].as_str().context("id")?);
        accepted.replace(Some(at.clone()));
        host.until(&at, done).await.map(drop)
    };
    let look = async |host: &Host, _done: bool| {
        let at = accepted.borrow().clone();
        if let Some(at) = at {
            host.get(&at).await.context("an accepted job is lost")?;
        }
        let jobs =
            host.until("/v1/jobs", |jobs| jobs["items"].as_array().is_some_and(|jobs| jobs.iter().all(done))).await?;
        let jobs = jobs["items"].as_array().context("items")?;
        ensure!(jobs.len() <= 1, "{jobs:?}");
        for job in jobs {
            let job = host.get(&format!("/v1/jobs/{}", job["id"].as_str().context("id")?)).await?;
            let calls = job["calls"].as_array().context("calls")?;
            ensure!(job["result"] == 10 && calls.last().is_some_and(|call| call["outcome"] == "ok"), "{job:#}");
            let call = calls.last().and_then(|call| call["call"].as_str()).context("call")?;
            ensure!(host.get(&format!("/v1/calls/{call}")).await?["outcome"] == "ok");
        }
        Ok(())
    };
    shelf.kill_at_each_write(step, look).await
}
