//! Rollouts: the host takes a good version forward and a bad one back by itself, and a crash changes nothing.

use crate::command::client;
use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::task::JoinHandle;
use wares_it::guests::{self, Echo};
use wares_it::host::{Host, problem, success};
use wares_it::wait;

const ROLLOUT: &str = "/v1/components/test/echo/rollout";
const DEPLOYMENT: &str = "/v1/components/test/echo/deployment";
const OLD: &str = "1.0.0";
const NEW: &str = "1.1.0";

/// A host on which the old version has all traffic.
async fn shelf(dir: &tempfile::TempDir, new: Echo<'_>) -> Result<Host> {
    let host = Host::start(dir.path()).await?;
    host.publish(Echo::new(OLD).wasm()?, "deploy=true").await?.error_for_status()?;
    host.publish(new.wasm()?, "").await?.error_for_status()?;
    Ok(host)
}

/// Callers that go on until they are told to stop: per caller, which versions served it, in order.
struct Callers {
    stop: Arc<AtomicBool>,
    numbers: Arc<AtomicU32>,
    calls: Vec<JoinHandle<Result<Vec<String>>>>,
}

impl Callers {
    fn start(host: &Arc<Host>, keys: Vec<String>) -> Self {
        let (stop, numbers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(1)));
        let start = |key: String| {
            let (host, stop, numbers) = (Arc::clone(host), Arc::clone(&stop), Arc::clone(&numbers));
            tokio::spawn(async move {
                let mut versions = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    versions.push(call(&host, &key, numbers.fetch_add(1, Ordering::SeqCst)).await?);
                }
                Ok(versions)
            })
        };
        let calls = keys.into_iter().map(start).collect();
        Self { stop, numbers, calls }
    }

    /// Waits until they have made so many calls in all.
    async fn until(&self, calls: u32) -> Result<()> {
        let are_all_done = || self.calls.iter().all(|caller| caller.is_finished());
        wait::holds("calls are made", || self.numbers.load(Ordering::SeqCst) >= calls || are_all_done()).await
    }

    async fn stop(self) -> Result<Vec<Vec<String>>> {
        self.stop.store(true, Ordering::SeqCst);
        try_join_all(self.calls).await?.into_iter().collect()
    }
}

/// Calls with `n`, and returns which version served it. Only the new version may trap.
async fn call(host: &Host, key: &str, n: u32) -> Result<String> {
    let response = host.call("test/echo/echoes/echo", key, &json!({"n": n})).await?;
    let version = response.headers().get("wares-version").context("wares-version")?.to_str()?.to_owned();
    if response.status() == 500 {
        let (_, problem) = problem(response).await?;
        ensure!(version == NEW && n.is_multiple_of(5), "{version} trapped at {n}: {problem}");
    } else {
        assert_eq!(success(response).await?, json!(n));
    }
    Ok(version)
}

async fn start(host: &Host, plan: Value) -> Result<Value> {
    host.post(ROLLOUT, plan).await
}

fn has_ended(rollout: &Value) -> bool {
    rollout["state"] != "running"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_traps_in_a_fifth_of_its_calls_goes_back_without_a_hand() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(shelf(&dir, Echo { every: 5, ..Echo::new(NEW) }).await?);
    let callers = Callers::start(&host, host.tenants(16).await?);
    let plan = json!({"version": NEW, "steps": [25, 50, 100], "step-seconds": 0, "calls-min": 500,
        "error-points-max": 5, "wall-ratio-max": 100, "stickiness": "call", "reason": "new rules"});
    let started = start(&host, plan).await?;
    assert_eq!(
        (&started["state"], &started["step"], &started["reason"]),
        (&json!("running"), &json!(1), &json!("new rules"))
    );
    let ended = host.until(ROLLOUT, has_ended).await?;
    callers.until(1_000).await?;
    let served = callers.stop().await?.concat();

    assert_eq!((&ended["state"], &ended["step"]), (&json!("rolled-back"), &json!(1)), "{ended}");
    let saw_it = served.iter().filter(|version| *version == NEW).count();
    ensure!(saw_it > 0 && saw_it * 4 < served.len(), "{saw_it} of {} calls saw it", served.len());

    let history = host.get(&format!("{DEPLOYMENT}/history")).await?;
    let newest = &history["items"][0];
    assert_eq!(newest["traffic"], json!({OLD: 100}));
    assert_eq!(newest["actor"], "host");
    let evidence = &newest["evidence"];
    let [calls, errors] = ["calls", "errors"].map(|what| evidence["new"][what].as_u64().unwrap_or_default());
    ensure!(errors > 0 && calls >= errors && calls <= saw_it as u64, "{evidence}");
    assert_eq!(evidence["old"]["errors"], 0);
    for version in ["new", "old"] {
        ensure!(evidence[version]["wall-p95-us"].as_u64() > Some(0), "{evidence}");
    }
    let reason = format!("{NEW} failed {errors} of {calls} calls");
    ensure!(newest["reason"].as_str().is_some_and(|text| text.contains(&reason)), "{newest}");
    let key = host.tenant("later").await?;
    for n in 1..100 {
        assert_eq!(call(&host, &key, n).await?, OLD);
    }
    Ok(())
}

/// So many rounds take a fraction of the CPU time that a call may use, and far longer than a call that does nothing.
const SLOW: &str = "(local.set $left (i32.const 50000000))
    (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_slower_goes_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(shelf(&dir, Echo { every: 1, harm: SLOW, ..Echo::new(NEW) }).await?);
    let callers = Callers::start(&host, host.tenants(4).await?);
    let plan = json!({"version": NEW, "steps": [25, 100], "step-seconds": 0, "calls-min": 10, "wall-measure": "mean",
        "wall-slack-ms": 1, "stickiness": "call"});
    start(&host, plan).await?;
    let ended = host.until(ROLLOUT, has_ended).await?;
    callers.stop().await?;
    assert_eq!(ended["state"], "rolled-back", "{ended}");
    ensure!(ended["note"].as_str().is_some_and(|note| note.contains("mean wall time of 1.1.0")), "{ended}");
    let [new, old] = ["new", "old"].map(|version| ended["evidence"][version]["wall-mean-us"].as_u64());
    ensure!(new > old && ended["evidence"]["new"]["errors"] == 0, "{ended}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_that_can_go_neither_on_nor_back_is_halted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(&dir, Echo { every: 1, ..Echo::new(NEW) }).await?;
    let key = host.tenant("district").await?;
    let plan = json!({"version": NEW, "steps": [50, 100], "step-seconds": 0, "calls-min": 20, "stickiness": "call"});
    start(&host, plan).await?;
    let old = host.get(&format!("/v1/components/test/echo/versions/{OLD}")).await?;
    let digest = old["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).context("digest")?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    // The old version is lost: its bytes, and its native code.
    std::fs::remove_file(dir.path().join("artifacts/sha256").join(&digest[..2]).join(digest))?;
    for file in std::fs::read_dir(dir.path().join("native"))? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with(digest) {
            std::fs::remove_file(file.path())?;
        }
    }
    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    for n in 1..=60 {
        host.call("test/echo/echoes/echo", &key, &json!({"n": n})).await?;
    }
    let ended = host.until(ROLLOUT, has_ended).await?;
    assert_eq!((&ended["state"], &ended["step"]), (&json!("halted"), &json!(1)), "{ended}");
    ensure!(ended["note"].as_str().is_some_and(|note| note.contains("1.0.0 cannot run here")), "{ended}");
    assert_eq!(host.get(DEPLOYMENT).await?["traffic"], json!({OLD: 50, NEW: 50}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_version_takes_over_step_by_step_and_no_tenant_goes_back_and_forth() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(shelf(&dir, Echo::new(NEW)).await?);
    let callers = Callers::start(&host, host.tenants(40).await?);
    let plan = json!({"version": NEW, "steps": [25, 50, 100], "step-seconds": 0, "calls-min": 200,
        "wall-ratio-max": 100, "stickiness": "tenant"});
    start(&host, plan).await?;
    let ended = host.until(ROLLOUT, has_ended).await?;
    let served = callers.stop().await?;
    assert_eq!((&ended["state"], &ended["step"]), (&json!("completed"), &json!(3)), "{ended}");
    for versions in &served {
        ensure!(versions.is_sorted(), "a tenant that had the new version got the old one again");
    }
    ensure!(served.iter().all(|versions| versions.last().is_some_and(|last| last == NEW)));

    let history = host.get(&format!("{DEPLOYMENT}/history")).await?;
    let items = history["items"].as_array().context("items")?;
    let shares: Vec<_> = items.iter().map(|item| item["traffic"][NEW].as_u64().unwrap_or_default()).collect();
    assert_eq!(shares, [100, 50, 25, 0]);
    for (item, step) in items.iter().zip([2, 1]) {
        assert_eq!((&item["actor"], &item["evidence"]["step"]), (&json!("host"), &json!(step)));
        ensure!(item["evidence"]["new"]["calls"].as_u64() >= Some(200), "{item}");
    }
    // One step back is the version before, not the last step on the way.
    let back = host.post(&format!("{DEPLOYMENT}/rollback"), json!({})).await?;
    assert_eq!(back["traffic"], json!({OLD: 100}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_goes_on_after_kills() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut host = shelf(&dir, Echo::new(NEW)).await?;
    let key = host.tenant("district").await?;
    let admin_key = host.admin_key.clone();
    let plan = json!({"version": NEW, "steps": [50, 60, 100], "step-seconds": 0, "calls-min": 20,
        "wall-ratio-max": 100, "stickiness": "call"});
    start(&host, plan).await?;
    for step in 1..=3 {
        host.kill().await?;
        host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
        let resumed = host.get(ROLLOUT).await?;
        assert_eq!((&resumed["state"], &resumed["step"]), (&json!("running"), &json!(step)), "{resumed}");
        let share = host.get(DEPLOYMENT).await?["traffic"][NEW].clone();
        assert_eq!(share, resumed["plan"]["steps"][step - 1]);
        let mut n = 1;
        let mut of_new = 0;
        while of_new < 20 {
            of_new += u32::from(call(&host, &key, n).await? == NEW);
            n += 1;
        }
        host.until(ROLLOUT, |rollout| rollout["step"] != step || has_ended(rollout)).await?;
    }
    host.kill().await?;
    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    assert_eq!(host.get(ROLLOUT).await?["state"], "completed");
    assert_eq!(host.get(DEPLOYMENT).await?["traffic"], json!({NEW: 100}));
    Ok(())
}

#[tokio::test]
async fn operators_end_rollouts_by_aborting_deploying_and_rolling_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(&dir, Echo::new(NEW)).await?;
    let plan = json!({"version": NEW, "steps": [50, 100]});
    let ends: [(Method, &str, Value, &str, Value); 4] = [
        (Method::DELETE, ROLLOUT, Value::Null, "aborted", json!({OLD: 100})),
        (Method::POST, &format!("{DEPLOYMENT}/rollback"), json!({}), "aborted", json!({OLD: 100})),
        (Method::PUT, DEPLOYMENT, json!({"traffic": {OLD: 90, NEW: 10}}), "superseded", json!({OLD: 90, NEW: 10})),
        (Method::POST, &format!("{DEPLOYMENT}/rollback"), json!({"to": 1}), "superseded", json!({OLD: 100})),
    ];
    for (method, path, body, state, traffic) in ends {
        host.deploy("test/echo", OLD).await?;
        let started = start(&host, plan.clone()).await?;
        assert_eq!(host.get(DEPLOYMENT).await?["traffic"], json!({OLD: 50, NEW: 50}));
        success(host.request(method.clone(), path, &host.admin_key).json(&body).send().await?).await?;
        let ended = host.get(ROLLOUT).await?;
        assert_eq!((&ended["id"], &ended["state"]), (&started["id"], &json!(state)), "{method} {path}");
        assert_eq!(host.get(DEPLOYMENT).await?["traffic"], traffic, "{method} {path}");
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_rolled_out_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    host.publish(Echo::new(OLD).wasm()?, "").await?.error_for_status()?;
    host.publish(Echo::new(NEW).wasm()?, "").await?.error_for_status()?;
    let post = async |tag: Option<&str>, body: Value| {
        let request = host.request(Method::POST, ROLLOUT, &host.admin_key).json(&body);
        let request = tag.into_iter().fold(request, |request, tag| request.header("if-match", tag));
        problem(request.send().await?).await
    };
    let says = |problem: &Value, words: &str| {
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{problem}");
    };
    let (status, refused) = post(None, json!({"version": NEW})).await?;
    assert_eq!(status, 400);
    says(&refused, "deploy one first");
    let none = host.request(Method::GET, ROLLOUT, &host.admin_key).send().await?;
    assert_eq!(none.status(), 404);

    host.deploy("test/echo", OLD).await?;
    let cases: BTreeMap<&str, (u16, Value)> = BTreeMap::from([
        ("has all traffic already", (400, json!({"version": OLD}))),
        ("no version 9.0.0", (404, json!({"version": "9.0.0"}))),
        ("rise", (400, json!({"version": NEW, "steps": [50, 25, 100]}))),
        ("missing field `version`", (400, json!({}))),
        ("unknown field `stepz`", (400, json!({"version": NEW, "stepz": 1}))),
    ]);
    for (words, (status, body)) in cases {
        let (got, refused) = post(None, body).await?;
        assert_eq!(got, status, "{refused}");
        says(&refused, words);
    }
    assert_eq!(post(Some("\"0\""), json!({"version": NEW})).await?.0, 409);
    start(&host, json!({"version": NEW})).await?;
    let (status, refused) = post(None, json!({"version": NEW})).await?;
    assert_eq!(status, 409);
    says(&refused, "is running");
    Ok(())
}

#[tokio::test]
async fn the_command_line_starts_shows_and_aborts_rollouts() -> Result<()> {
    let (dir, folder) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let host = shelf(&dir, Echo::new(NEW)).await?;
    let admin = |args: &[&str]| client(folder.path(), &host, &host.admin_key, args);
    let said = |args: &[&str], words: &str| -> Result<()> {
        let ended = admin(args)?;
        ensure!(ended.code == 0 && ended.stdout.contains(words), "{args:?}: {}{}", ended.stdout, ended.stderr);
        Ok(())
    };
    let start =
        ["rollout", "start", "test/echo", NEW, "--steps", "50,100", "--if-revision", "1", "--stickiness", "call"];
    said(&start, "1.1.0 takes over from 1.0.0")?;
    said(&["rollout", "show", "test/echo"], "state:   running")?;
    said(&["rollout", "abort", "test/echo", "--reason", "not yet"], "state:   aborted")?;
    said(&["history", "test/echo"], "not yet")?;
    assert_eq!(admin(&start)?.code, 6, "the deployment is at another revision");
    said(&["deploy", "test/echo", OLD, "--shadow", "1.1.0=50", "--if-revision", "3"], "deployed test:echo: 1.0.0")?;
    said(&["shadow", "test/echo"], "1.1.0 made 50% of calls again")?;
    assert_eq!(admin(&["deploy", "test/echo", OLD, "--shadow", "1.1.0=500"])?.code, 2);
    Ok(())
}

/// Core instructions that take some fifty milliseconds at least.
const LONG: &str = "(local.set $left (i32.const 200000000))
    (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";

#[tokio::test]
async fn a_version_is_not_blamed_for_what_its_callers_had_left() -> Result<()> {
    const BASE: &str = "/v1/components/test/base/rollout";
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::link_end("base", 1, "")?, "test:base", OLD).await?;
    let new = host.publish(guests::link_end("base", 1, LONG)?, &format!("name=test:base&version={NEW}")).await?;
    new.error_for_status()?;
    host.put("/v1/components/test/poor/grants", json!({"grants": {"components": ["test:base"]}})).await?;
    let manifest = "[component]\nname = 'test:poor'\nversion = '1.0.0'\n[limits]\ncpu-ms-max = 5";
    let poor = guests::with_section(guests::link("poor", "base", 1)?, "wares:manifest", manifest.as_bytes());
    host.publish(poor, "deploy=true").await?.error_for_status()?;
    let plan = json!({"version": NEW, "steps": [50, 100], "step-seconds": 0, "calls-min": 10, "error-points-max": 5,
        "wall-ratio-max": 1_000_000, "stickiness": "call"});
    host.post(BASE, plan).await?;
    let mut poor = 0;
    for _ in 0..40 {
        let answer = host.call("test/poor/links/go", &key, &json!({"n": 0})).await?;
        poor += u32::from(answer.status() == 500);
    }
    ensure!(poor >= 10, "the new version had {poor} calls with too little CPU time left");
    let rollout = host.get(BASE).await?;
    assert_eq!(rollout["state"], "running", "{rollout:#}");
    // Those who call it with all of its own time see it through.
    let calls = async {
        loop {
            success(host.call("test/base/links/go", &key, &json!({"n": 0})).await?).await?;
            let rollout = host.get(BASE).await?;
            if has_ended(&rollout) {
                return anyhow::Ok(rollout);
            }
        }
    };
    let ended = wait::patiently("it goes on", calls).await??;
    assert_eq!(ended["state"], "completed", "{ended:#}");
    Ok(())
}
