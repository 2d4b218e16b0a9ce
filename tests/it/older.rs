//! Shelves of older releases: the present host brings each up to date, and what was there is there and works.
//!
//! A new release adds its own shelf to `older`, where none is ever changed again. With this release's binary and guests built:
//! `cargo nextest run -p wares-it --run-ignored only -E 'test(a_shelf_of_this_release_is_kept)'`.

use crate::command::run;
use crate::jobs::{later, with_manifest};
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wares_it::guests::{self, Echo};
use wares_it::host::{Host, success};
use wares_model::{Digest, PrivateKey, Release};

/// When the shelf was made, so that nothing of it ever grows too old to be kept.
const MADE_AT: &str = "2026-11-25 03:00:00";
/// When it is looked at: as after any start, nothing of what a host only remembers is there.
const LOOKED_AT: &str = "2026-11-25 03:01:30";
/// When it is opened again: what waits for something waits still.
const OPENED_AT: &str = "2026-11-25 03:03:00";
/// Just before the schedule is due.
const DUE_AT: &str = "2026-11-25 03:59:50";
/// What a shelf answered when it was made, beside its data.
const KNOWN: &str = "known.json";
/// An older shelf is part of every clone.
const ARCHIVE_BYTES_MAX: u64 = 200_000;

fn folder() -> PathBuf {
    guests::root().join("tests/it/older")
}

fn tar(args: &[&str], archive: &Path, folder: &Path) -> Result<()> {
    let ended = run(Command::new("tar").args(args).arg("--file").arg(archive).arg("--directory").arg(folder).arg("."));
    let ended = ended?;
    ensure!(ended.code == 0, "{}", ended.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn shelves_of_older_releases_are_brought_up_to_date() -> Result<()> {
    let mut opened = 0;
    for archive in fs::read_dir(folder())? {
        let archive = archive?.path();
        open(&archive).await.with_context(|| archive.display().to_string())?;
        opened += 1;
    }
    ensure!(opened > 0, "there is no older shelf");
    Ok(())
}

async fn open(archive: &Path) -> Result<()> {
    let dir = tempfile::tempdir()?;
    tar(&["--extract", "--gzip"], archive, dir.path())?;
    let known: Value = serde_json::from_str(&fs::read_to_string(dir.path().join(KNOWN))?)?;
    let text = |name: &str| known[name].as_str().with_context(|| name.to_owned());
    let (admin, north) = (text("admin-key")?, text("north-key")?);
    let data = dir.path().join("data");
    let host = Host::start_at(OPENED_AT, &data, Some(admin), &[]).await?;
    for (path, then) in known["answers"].as_object().context("answers")? {
        let now = host.get(path).await?;
        includes(&now, then).with_context(|| format!("{path} was {then:#}\nand is {now:#}"))?;
    }
    use_all(&host, north).await?;
    host.kill().await?;

    let host = Host::start_at(DUE_AT, &data, Some(admin), &[]).await?;
    let retried = |job: &Value| job["state"] == "dead" && job["attempts"] == 2;
    host.until(text("waiting-job")?, retried).await?;
    let is_nightly = |job: &Value| job["schedule"] == "nightly" && job["state"] == "succeeded";
    host.until("/v1/jobs", |jobs| jobs["items"].as_array().into_iter().flatten().any(is_nightly)).await?;
    Ok(())
}

/// What is derived of types may be written in another way.
const REWRITTEN: [&str; 3] = ["arguments-schema", "result-schema", "error-schema"];

/// Whether all that was is: there may be more in an object by now.
fn includes(now: &Value, then: &Value) -> Result<()> {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            // A kind of problem has the status that this release gives it.
            let is_problem =
                then.get("type").and_then(Value::as_str).is_some_and(|kind| kind.starts_with("/problems/"));
            let may_change = |name: &str| REWRITTEN.contains(&name) || (is_problem && name == "status");
            for (name, then) in then.iter().filter(|(name, _)| !may_change(name)) {
                includes(now.get(name).unwrap_or(&Value::Null), then).with_context(|| name.clone())?;
            }
        }
        (Value::Array(now), Value::Array(then)) if now.len() == then.len() => {
            for (at, (now, then)) in now.iter().zip(then).enumerate() {
                includes(now, then).with_context(|| format!("number {at}"))?;
            }
        }
        // Days are told as such by now.
        (Value::String(now), Value::String(then)) if *then == format!("{now}T00:00:00.000000Z") => {}
        _ => ensure!(now == then, "{then} has become {now}"),
    }
    Ok(())
}

async fn call(host: &Host, key: &str, path: &str, arguments: Value) -> Result<Value> {
    success(host.call(path, key, &arguments).await?).await
}

/// Calls what is deployed, finds what calls left behind, and changes what can be changed.
async fn use_all(host: &Host, north: &str) -> Result<()> {
    assert_eq!(call(host, north, "test/swap@=1.0.0/numbers/number", json!({})).await?, 10);
    assert_eq!(call(host, north, "test/top/links/go", json!({"n": 1})).await?, json!(202), "by the chosen provider");
    assert_eq!(call(host, north, "signed/swap/numbers/number", json!({})).await?, 5);
    assert_eq!(call(host, north, "test/pairs/pairs/get", json!(["counts", "a"])).await?, "值");
    assert_eq!(call(host, north, "test/pairs/pairs/increment", json!(["counts", "n", 1])).await?, 43);
    assert_eq!(call(host, north, "test/files/files/read", json!(["folder/file"])).await?, "kept");
    assert_eq!(call(host, north, "test/confides/confidant/secret", json!({"name": "token"})).await?, "north's");
    assert_eq!(call(host, north, "test/confides/confidant/secret", json!({"name": "spare"})).await?, "everybody's");

    let at = "/v1/components/test/swap/deployment";
    let back = host.post(&format!("{at}/rollback"), json!({})).await?;
    assert_eq!(back["traffic"], json!({"1.0.0": 100}), "{back:#}");
    host.publish_and_deploy(guests::number(30)?, "test:swap", "3.0.0").await?;
    assert_eq!(call(host, north, "test/swap/numbers/number", json!({})).await?, 30);
    host.deploy("test/swap", "1.1.0").await?;
    let key = host.tenant("newcomer").await?;
    assert_eq!(call(host, &key, "test/swap/numbers/number", json!({})).await?, 11);
    let submissions = host.get("/v1/submissions").await?;
    let waits = submissions["items"].as_array().into_iter().flatten().find(|one| one["state"] == "waiting");
    let id = waits.and_then(|one| one["id"].as_str()).context("a submission that waits")?;
    let approved = host.post(&format!("/v1/submissions/{id}/approve"), json!({"reason": "seen"})).await?;
    assert_eq!(approved["state"], "approved", "{approved:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the shelf of this release for the releases after it"]
async fn a_shelf_of_this_release_is_kept() -> Result<()> {
    let archive = folder().join(concat!(env!("CARGO_PKG_VERSION"), ".tar.gz"));
    ensure!(!archive.exists(), "{} is there already, and stays as it is", archive.display());
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let mut host = Host::start_at(MADE_AT, &data, None, &[]).await?;
    let (north, south) = tenants(&host).await?;
    publish_all(&host).await?;
    trust(&host).await?;
    let waiting = call_all(&host, &north, &south).await?;
    host.signal(Signal::TERM)?;
    ensure!(host.wait().await?.success());
    let mut host = Host::start_at(LOOKED_AT, &data, Some(&host.admin_key), &[]).await?;
    let mut known = json!({"admin-key": host.admin_key, "north-key": north, "waiting-job": waiting});
    known["answers"] = Value::Object(answers(&host).await?);
    host.signal(Signal::TERM)?;
    ensure!(host.wait().await?.success());

    fs::write(dir.path().join(KNOWN), serde_json::to_string(&known)?)?;
    // It is made again from what is there.
    fs::remove_dir_all(data.join("native"))?;
    fs::create_dir_all(folder())?;
    tar(&["--create", "--gzip", "--owner=0", "--group=0", "--sort=name"], &archive, dir.path())?;
    ensure!(fs::metadata(&archive)?.len() <= ARCHIVE_BYTES_MAX, "it is too large for every clone");
    Ok(())
}

async fn tenants(host: &Host) -> Result<(String, String)> {
    host.post("/v1/tenants", json!({"id": "city", "name": "The city"})).await?;
    let mut keys = Vec::new();
    for id in ["north", "south"] {
        host.post("/v1/tenants", json!({"id": id, "parent": "city"})).await?;
        let made = host.post(&format!("/v1/tenants/{id}/keys"), json!({"application": "tests"})).await?;
        keys.push(made["key"].as_str().context("key")?.to_owned());
    }
    let revoked = host.post("/v1/tenants/south/keys", json!({"application": "gone"})).await?;
    let path = format!("/v1/keys/{}", revoked["id"].as_str().context("id")?);
    host.request(Method::DELETE, &path, &host.admin_key).send().await?.error_for_status()?;
    host.post("/v1/keys", json!({"role": "publisher", "namespace": "test"})).await?;
    host.post("/v1/keys", json!({"role": "reviewer"})).await?;
    let south = keys.pop().context("a key")?;
    Ok((keys.pop().context("a key")?, south))
}

/// Versions with schedules, deployments with a history, grants, secrets, settings, a provider that was chosen, a rollout.
async fn publish_all(host: &Host) -> Result<()> {
    let nightly = "[[schedules]]\nname = 'nightly'\ncron = '0 4 * * *'\ninterface = 'numbers'\nfunction = 'number'";
    for (number, version) in [(10, "1.0.0"), (11, "1.1.0"), (20, "2.0.0")] {
        let wasm = with_manifest(guests::number(number)?, "test:swap", version, nightly);
        host.publish(wasm, "deploy=true").await?.error_for_status()?;
    }
    let at = "/v1/components/test/swap";
    let shares = json!({"traffic": {"1.0.0": 60, "2.0.0": 40}, "stickiness": "tenant", "reason": "a pilot"});
    host.put(&format!("{at}/deployment"), shares).await?;
    host.post(&format!("{at}/versions/1.1.0/deprecate"), json!({"reason": "2.0.0 is there"})).await?;
    host.post(&format!("{at}/versions/2.0.0/yank"), json!({"reason": "wrong in May"})).await?;
    host.deploy("test/swap", "1.0.0").await?;
    host.deploy("test/swap", "1.1.0").await?;
    host.put("/v1/tenants/north/schedules/test/swap/nightly", json!({})).await?;

    let grants = json!({"keyvalue": [{"bucket": "counts"}, {"bucket": "common"}, {"bucket": "elsewhere"}]});
    for (component, grants) in [
        ("pairs", grants),
        ("files", json!({"files": {"access": "read-write"}})),
        ("confides", json!({"secrets": ["token", "spare"]})),
        ("top", json!({"components": ["test:base", "test:other"]})),
    ] {
        host.put(&format!("/v1/components/test/{component}/grants"), json!({"grants": grants})).await?;
    }
    for built in ["test-pairs", "test-files", "test-confides"] {
        host.publish(guests::built(built)?, "deploy=true").await?.error_for_status()?;
    }
    let confides = "/v1/components/test/confides";
    host.put(&format!("{confides}/secrets/token?tenant=north"), json!({"value": "north's"})).await?;
    host.put(&format!("{confides}/secrets/spare"), json!({"value": "everybody's"})).await?;
    host.put(&format!("{confides}/config/rate?tenant=north"), json!({"value": "2"})).await?;

    for (name, offset) in [("base", 100), ("other", 200)] {
        host.publish_and_deploy(guests::link_end("base", offset, "")?, &format!("test:{name}"), "1.0.0").await?;
    }
    host.publish_and_deploy(guests::link("top", "base", 1)?, "test:top", "1.0.0").await?;
    let choice = json!({"component": "test:other", "tenant": "city", "reason": "a pilot"});
    host.put("/v1/providers/test:base/links", choice).await?;

    for version in ["1.0.0", "1.1.0"] {
        host.publish(Echo::new(version).wasm()?, "").await?.error_for_status()?;
    }
    host.deploy("test/echo", "1.0.0").await?;
    let rollout = "/v1/components/test/echo/rollout";
    host.post(rollout, json!({"version": "1.1.0", "steps": [50, 100]})).await?;
    host.request(Method::DELETE, rollout, &host.admin_key).send().await?.error_for_status()?;
    let hostile = with_manifest(guests::text("hostile")?, "test:hostile", "1.0.0", RETRY);
    host.publish(hostile, "deploy=true").await?.error_for_status()?;
    host.publish_and_deploy(guests::text("refuses")?, "test:refuses", "1.0.0").await?;
    Ok(())
}

/// It waits for ten minutes after its first attempt.
const RETRY: &str = "[retry]\nattempts-max = 2\nbackoff-ms-first = 600000\nbackoff-ms-max = 600000";

/// A namespace whose versions are signed, one whose versions are reviewed, and another shelf that may report.
async fn trust(host: &Host) -> Result<()> {
    let key = PrivateKey::from_random([7; 32]);
    host.put("/v1/namespaces/signed", json!({"review": false, "signature": true})).await?;
    host.post("/v1/namespaces/signed/signers", json!({"key": key.public()})).await?;
    let wasm = guests::number(5)?;
    let (component, version, digest) = ("signed:swap".parse()?, "1.0.0".parse()?, Digest::of(&wasm));
    let signature = Release { component: &component, version: &version, digest: &digest }.sign(&key).to_string();
    let path = "/v1/components?name=signed:swap&version=1.0.0&deploy=true";
    let request = host.request(Method::POST, path, &host.admin_key).header("wares-signature", signature);
    request.header("content-type", "application/wasm").body(wasm).send().await?.error_for_status()?;

    host.put("/v1/namespaces/reviewed", json!({"review": true, "signature": false})).await?;
    let made = host.post("/v1/keys", json!({"role": "publisher", "namespace": "reviewed"})).await?;
    let publisher = made["key"].as_str().context("key")?;
    for (number, decision) in [(1, Some("approve")), (2, Some("reject")), (3, None)] {
        let stated = "kind=fix&method=by%20hand&basis=decree%2012";
        let path = format!("/v1/components?name=reviewed:swap&version=1.{number}.0&{stated}");
        let request = host.request(Method::POST, &path, publisher).header("content-type", "application/wasm");
        let submitted = request.body(guests::number(number)?).send().await?.error_for_status()?;
        let at = submitted.headers()["location"].to_str()?.to_owned();
        if let Some(decision) = decision {
            host.post(&format!("{at}/{decision}"), json!({"reason": "seen"})).await?;
        }
    }
    let reporter = PrivateKey::from_random([8; 32]);
    host.put("/v1/tenants/south/reporter", json!({"key": reporter.public()})).await?;
    Ok(())
}

/// Calls of every outcome and the traces they leave, and jobs. The answer is the address of the one that waits.
async fn call_all(host: &Host, north: &str, south: &str) -> Result<String> {
    call(host, north, "test/swap/numbers/number", json!({})).await?;
    call(host, south, "test/top/links/go", json!({"n": 1})).await?;
    call(host, north, "test/pairs/pairs/set", json!(["counts", "a", "值"])).await?;
    call(host, north, "test/pairs/pairs/increment", json!(["counts", "n", 42])).await?;
    call(host, south, "test/pairs/pairs/set", json!(["counts", "a", "south's"])).await?;
    call(host, north, "test/files/files/make-directory", json!(["folder"])).await?;
    call(host, north, "test/files/files/write", json!(["folder/file", "kept"])).await?;
    call(host, north, "test/confides/confidant/say", json!({"line": "hello"})).await?;
    for (path, arguments, status) in [
        ("test/refuses/refuse", json!({"n": 7}), 422),
        ("test/hostile/trap", json!({}), 500),
        ("test/hostile/spin", json!({}), 500),
    ] {
        assert_eq!(host.call(path, north, &arguments).await?.status(), status, "{path}");
    }
    let done = later(host, north, "/v1/call/test/swap/numbers/number", &json!({})).await?;
    host.until(&done, |job| job["state"] == "succeeded").await?;
    let waiting = later(host, north, "/v1/call/test/hostile/trap", &json!({})).await?;
    host.until(&waiting, |job| job["state"] == "queued" && job["attempts"] == 1).await?;
    Ok(waiting)
}

/// What the shelf answers about all that is on it.
async fn answers(host: &Host) -> Result<Map<String, Value>> {
    let mut paths: Vec<String> = [
        "components",
        "tenants",
        "tenants/north/keys",
        "tenants/north/schedules",
        "keys",
        "namespaces",
        "graph",
        "namespaces/signed/signers",
        "submissions",
        "providers",
        "providers/test:base/links/history",
        "calls",
        "logs",
        "usage?group_by=tenant,application,component,version,function,outcome,day",
        "jobs",
        "usage-reports",
        "garbage",
        "components/test/confides/secrets",
        "components/test/confides/config",
        "components/test/echo/rollout",
        "components/test/swap/versions/1.1.0/events",
        "components/test/swap/versions/2.0.0/events",
    ]
    .map(|path| format!("/v1/{path}"))
    .into();
    let components = host.get("/v1/components").await?;
    for name in names(&components, "name") {
        let at = format!("/v1/components/{}", name.replace(':', "/"));
        let versions = host.get(&format!("{at}/versions")).await?;
        paths.extend(names(&versions, "version").map(|version| format!("{at}/versions/{version}")));
        paths.extend(
            ["", "/grants", "/grants/history", "/deployment", "/deployment/history"].map(|end| at.clone() + end),
        );
    }
    for (list, item) in [("calls", "call"), ("jobs", "id")] {
        let all = host.get(&format!("/v1/{list}")).await?;
        paths.extend(names(&all, item).map(|id| format!("/v1/{list}/{id}")));
    }
    let mut answers = Map::new();
    for path in paths {
        let response = host.request(Method::GET, &path, &host.admin_key).send().await?;
        if response.status() != 404 {
            answers.insert(path, success(response).await?);
        }
    }
    Ok(answers)
}

/// A text of each item of a list.
fn names<'a>(list: &'a Value, field: &'a str) -> impl Iterator<Item = &'a str> {
    list["items"].as_array().into_iter().flatten().filter_map(move |item| item[field].as_str())
}
