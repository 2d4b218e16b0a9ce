//! One shelf follows another: what is copied, what is not, and what an interruption leaves.

use crate::command::{Ended, wares};
use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use wares_it::guests;
use wares_it::host::Host;
use wares_it::wait;

const PATH: &str = "test/swap";
/// Two shelves: one with versions, one that follows it.
struct Shelves {
    from: Host,
    here: Host,
    _data: [tempfile::TempDir; 2],
}

impl Shelves {
    async fn new() -> Result<Self> {
        let data = [tempfile::tempdir()?, tempfile::tempdir()?];
        let [from, here] = &data;
        Ok(Self { from: Host::start(from.path()).await?, here: Host::start(here.path()).await?, _data: data })
    }

    fn mirror(&self, folder: &Path, flags: &[&str]) -> Result<Ended> {
        let place = ["mirror", &self.from.url, "--from-key", &self.from.admin_key, "--json"];
        let access = ["--host", &self.here.url, "--key", &self.here.admin_key];
        wares(folder, place.iter().chain(&access).chain(flags))
    }

    async fn publish(&self, number: u32, version: &str) -> Result<()> {
        let answer = self.from.publish(guests::number(number)?, &format!("name=test:swap&version={version}")).await?;
        answer.error_for_status()?;
        Ok(())
    }
}

fn report(ended: &Ended) -> Result<Value> {
    serde_json::from_str(&ended.stdout).with_context(|| format!("{}{}", ended.stdout, ended.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_come_over_with_what_is_said_of_them_and_traffic_does_not() -> Result<()> {
    let (shelves, work) = (Shelves::new().await?, tempfile::tempdir()?);
    let Shelves { from, here, .. } = &shelves;
    for (number, version) in [(1, "1.0.0"), (2, "1.1.0"), (3, "2.0.0")] {
        shelves.publish(number, version).await?;
    }
    from.publish(guests::number(9)?, "name=other:swap&version=1.0.0").await?.error_for_status()?;
    from.deploy(PATH, "2.0.0").await?;
    let version = |version: &str| format!("/v1/components/{PATH}/versions/{version}");
    from.post(&format!("{}/yank", version("1.1.0")), json!({})).await?;
    let deprecation = json!({"at": "2026-12-01T00:00:00Z", "sunset": "2027-12-01T00:00:00Z", "reason": "use 2.0.0"});
    from.post(&format!("{}/deprecate", version("1.0.0")), deprecation).await?;

    let ended = shelves.mirror(work.path(), &["--namespace", "test"])?;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(report(&ended)?, json!({"components": 1, "copied": 3, "already-there": 0, "refused": []}));
    for at in ["1.0.0", "1.1.0", "2.0.0"] {
        let (there, copy) = (from.get(&version(at)).await?, here.get(&version(at)).await?);
        for field in ["digest", "wit", "interfaces", "deprecation", "manifest", "metadata"] {
            assert_eq!(there[field], copy[field], "{field} of {at}");
        }
        assert_eq!(there["yanked-at"].is_null(), copy["yanked-at"].is_null(), "{at}");
    }
    assert!(here.get("/v1/components/other/swap").await.is_err(), "another namespace");
    assert!(here.get(&format!("/v1/components/{PATH}/deployment")).await.is_err(), "each shelf deploys by itself");

    // Nothing was compiled yet; the first deployment does it.
    here.deploy(PATH, "2.0.0").await?;
    let key = here.tenant("district").await?;
    assert_eq!(here.call("test/swap/numbers/number", &key, &json!({})).await?.text().await?, "3");

    // Again: nothing; then only what is new.
    assert_eq!(report(&shelves.mirror(work.path(), &["--namespace", "test"])?)?["copied"], 0);
    shelves.publish(4, "2.1.0").await?;
    let again = report(&shelves.mirror(work.path(), &["--component", "test:swap"])?)?;
    assert_eq!((&again["copied"], &again["already-there"]), (&json!(1), &json!(3)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_are_named_and_the_rest_comes_over() -> Result<()> {
    let (shelves, work) = (Shelves::new().await?, tempfile::tempdir()?);
    shelves.publish(1, "1.0.0").await?;
    shelves.publish(2, "1.1.0").await?;
    let own = shelves.here.publish(guests::number(7)?, "name=test:swap&version=1.0.0").await?;
    own.error_for_status()?;
    let ended = shelves.mirror(work.path(), &[])?;
    assert_ne!(ended.code, 0);
    let report = report(&ended)?;
    assert_eq!(report["copied"], 1, "{report:#}");
    assert!(report["refused"][0].as_str().unwrap_or_default().contains("test:swap@1.0.0"), "{report:#}");
    let kept =
        shelves.here.request(Method::GET, "/v1/components/test/swap/versions/1.0.0/wasm", &shelves.here.admin_key);
    assert_eq!(kept.send().await?.bytes().await?, guests::number(7)?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_cut_off_goes_on_where_it_was() -> Result<()> {
    const VERSIONS: u32 = 40;
    let data = [tempfile::tempdir()?, tempfile::tempdir()?];
    let work = tempfile::tempdir()?;
    let [from_data, here_data] = &data;
    let from = Host::start(from_data.path()).await?;
    for number in 0..VERSIONS {
        let query = format!("name=test:swap&version=1.{number}.0");
        from.publish(guests::number(number)?, &query).await?.error_for_status()?;
    }
    let mut here = Host::start(here_data.path()).await?;
    let admin_key = here.admin_key.clone();
    // The host that copies is killed in the middle, again and again.
    for wanted in [5, 17, 29] {
        let mut mirror = tokio::process::Command::new(wares_it::host::binary()?)
            .args(["mirror", &from.url, "--from-key", &from.admin_key, "--host", &here.url, "--key", &admin_key])
            .current_dir(work.path())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        wait::until("versions are copied", async || {
            let listed = here.request(Method::GET, "/v1/components/test/swap/versions?limit=100", &admin_key).send();
            let page: Value = listed.await?.json().await?;
            let copied = page["items"].as_array().map_or(0, Vec::len);
            Ok(if copied >= wanted { Ok(()) } else { Err(copied) })
        })
        .await?;
        here.kill().await?;
        mirror.wait().await?;
        here = Host::start_with(here_data.path(), Some(&admin_key), &[]).await?;
    }
    let shelves = Shelves { from, here, _data: data };
    let ended = shelves.mirror(work.path(), &[])?;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let (copied, there) = (report(&ended)?["copied"].clone(), report(&ended)?["already-there"].clone());
    assert_eq!(copied.as_u64().unwrap_or_default() + there.as_u64().unwrap_or_default(), u64::from(VERSIONS));
    assert!(there.as_u64() >= Some(29), "what was copied was lost: {there}");
    for number in 0..VERSIONS {
        let at = format!("/v1/components/test/swap/versions/1.{number}.0/wasm");
        let wasm = shelves.here.request(Method::GET, &at, &shelves.here.admin_key).send().await?.bytes().await?;
        assert_eq!(wasm, guests::number(number)?, "1.{number}.0");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_copies_are_used_for_is_reported_back_once() -> Result<()> {
    let (shelves, work) = (Shelves::new().await?, tempfile::tempdir()?);
    let Shelves { from, here, .. } = &shelves;
    shelves.publish(1, "1.0.0").await?;
    here.publish(guests::number(5)?, "name=own:swap&version=1.0.0&deploy=true").await?.error_for_status()?;
    let reporter = from.tenant("street").await?;
    let made = wares(work.path(), ["keys", "new-signer", "report.key"])?;
    let run = |key: &str| {
        let flags = ["--from-key", key, "--report-as", "street", "--sign", "report.key"];
        let access = ["--host", &here.url, "--key", &here.admin_key, "--json"];
        wares(work.path(), ["mirror", &from.url, "--component", "test:swap"].iter().chain(&flags).chain(&access))
    };
    let set = json!({"key": made.stdout.trim()});
    let set = from.request(Method::PUT, "/v1/tenants/street/reporter", &from.admin_key).json(&set).send().await?;
    set.error_for_status()?;
    assert_eq!((run(&reporter)?.code, rows(&run(&reporter)?)?), (0, 0), "not called yet");

    here.deploy(PATH, "1.0.0").await?;
    let key = here.tenant("school").await?;
    let call = async |path: &str| anyhow::Ok(here.call(path, &key, &json!({})).await?.error_for_status()?);
    for _ in 0..3 {
        call("test/swap/numbers/number").await?;
        call("own/swap/numbers/number").await?;
    }
    let reported = async || {
        let list = from.get("/v1/usage-reports?component=test:swap").await?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        anyhow::Ok(items.iter().map(|row| row["calls"].as_u64().unwrap_or_default()).sum::<u64>())
    };
    for _ in 0..2 {
        let ended = run(&reporter)?;
        assert_eq!((ended.code, rows(&ended)?), (0, 1), "{}", ended.stderr);
        assert_eq!(reported().await?, 3, "said twice, counted once");
    }
    call("test/swap/numbers/number").await?;
    assert_eq!(run(&reporter)?.code, 0);
    assert_eq!(reported().await?, 4);
    assert!(from.get("/v1/usage-reports?component=own:swap").await?["items"].as_array().is_some_and(Vec::is_empty));

    // Another tenant in its name, no signature, and one that was made up.
    let other = from.tenant("other").await?;
    assert_ne!(run(&other)?.code, 0);
    let send = async |signature: Option<&str>| {
        let request = from.request(Method::POST, "/v1/usage-reports", &reporter).body(r#"{"rows":[]}"#);
        let request = signature.into_iter().fold(request, |request, text| request.header("wares-signature", text));
        anyhow::Ok(request.send().await?.status().as_u16())
    };
    assert_eq!(send(None).await?, 403);
    assert_eq!(send(Some(&format!("{}:{}", made.stdout.trim(), "0".repeat(128)))).await?, 403);
    assert_eq!(reported().await?, 4);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_on_ends_when_nobody_reads_any_more() -> Result<()> {
    let shelves = Shelves::new().await?;
    shelves.publish(1, "1.0.0").await?;
    let mut command = tokio::process::Command::new(wares_it::host::binary()?);
    command.args(["mirror", &shelves.from.url, "--every", "1", "--host", &shelves.here.url]);
    command.args(["--key", &shelves.here.admin_key]).env("WARES_MIRROR_KEY", &shelves.from.admin_key);
    let mut mirror = command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn()?;
    drop(mirror.stdout.take());
    let ended = wait::patiently("it goes on", mirror.wait()).await??;
    assert_eq!(ended.code(), Some(0));
    shelves.here.get("/v1/components/test/swap/versions/1.0.0").await?;
    Ok(())
}

/// Rows of usage that a run reported.
fn rows(ended: &Ended) -> Result<u64> {
    report(ended)?["reported"].as_u64().context("no report")
}
