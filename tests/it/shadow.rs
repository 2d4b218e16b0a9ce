//! Shadow traffic: another version makes calls again after their answers, and callers see and pay nothing of it.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use wares_it::guests::Echo;
use wares_it::host::{Host, success};

const DEPLOYMENT: &str = "/v1/components/test/echo/deployment";
const REPORT: &str = "/v1/components/test/echo/deployment/shadow";

/// A host on which 1.0.0 serves every call and `other` makes each again.
async fn shelf(dir: &tempfile::TempDir, other: Echo<'_>) -> Result<Host> {
    let host = Host::start(dir.path()).await?;
    host.publish(Echo::new("1.0.0").wasm()?, "deploy=true").await?.error_for_status()?;
    host.publish(other.wasm()?, "").await?.error_for_status()?;
    let shadow = json!({"version": other.version, "percent": 100});
    host.put(DEPLOYMENT, json!({"traffic": {"1.0.0": 100}, "shadow": shadow})).await?;
    Ok(host)
}

async fn call(host: &Host, key: &str, n: u32) -> Result<()> {
    let response = host.call("test/echo/echoes/echo", key, &json!({"n": n})).await?;
    assert_eq!(response.headers().get("wares-version").context("wares-version")?, "1.0.0");
    assert_eq!(success(response).await?, json!(n));
    Ok(())
}

fn made(report: &Value) -> u64 {
    ["matches", "mismatches"].into_iter().filter_map(|what| report[what].as_u64()).sum()
}

async fn calls_billed(host: &Host) -> Result<Value> {
    Ok(host.get("/v1/usage").await?["items"][0]["calls"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_made_again_are_compared_and_billed_to_nobody() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(&dir, Echo { every: 5, ..Echo::new("1.1.0") }).await?;
    let key = host.tenant("district").await?;
    for n in 1..=30 {
        call(&host, &key, n).await?;
        host.until(REPORT, |report| made(report) == u64::from(n)).await?;
    }
    let report = host.get(REPORT).await?;
    assert_eq!((&report["matches"], &report["mismatches"]), (&json!(24), &json!(6)), "{report}");
    assert_eq!((&report["shed"], &report["refused"]), (&json!(0), &json!(0)), "{report}");
    let sample = report["sample"].as_array().context("sample")?;
    assert_eq!(sample.len(), 6);
    let newest = &sample[0];
    assert_eq!(newest["outcome"], "trap");
    assert_eq!(newest["difference"]["arguments"], r#"{"n":30}"#);
    assert_eq!(newest["difference"]["served"], json!({"version": "1.0.0", "outcome": "ok", "json": "30"}));
    assert_eq!(newest["difference"]["shadow"]["outcome"], "trap");

    let entry = host.get(&format!("/v1/calls/{}", newest["call"].as_str().context("call")?)).await?;
    assert_eq!(entry["version"], "1.1.0");
    assert_eq!(entry["shadow"], json!({"call": newest["of"], "revision": 2, "matches": false}));
    let of = host.get(&format!("/v1/calls/{}", newest["of"].as_str().context("of")?)).await?;
    assert_eq!((&of["version"], &of["outcome"], &of["shadow"]), (&json!("1.0.0"), &json!("ok"), &Value::Null));
    assert_eq!(calls_billed(&host).await?, json!(30));

    // Arguments of tenants are for operators only, and what is compared ends with the deployment.
    assert_eq!(host.request(Method::GET, REPORT, &key).send().await?.status(), 403);
    host.deploy("test/echo", "1.0.0").await?;
    assert_eq!(host.request(Method::GET, REPORT, &host.admin_key).send().await?.status(), 404);
    assert_eq!(made(&host.get(&format!("{REPORT}?revision=2")).await?), 30);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_that_hangs_is_left_out_and_fails_no_call() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(&dir, Echo { every: 1, harm: "(loop $again (br $again))", ..Echo::new("1.1.0") }).await?;
    let key = host.tenant("district").await?;
    try_join_all((1..=50).map(|n| call(&host, &key, n))).await?;
    let report = host.until(REPORT, |report| made(report) + report["shed"].as_u64().unwrap_or_default() == 50).await?;
    ensure!(report["shed"].as_u64() >= Some(40), "{report}");
    ensure!(report["mismatches"].as_u64() > Some(0) && report["matches"] == 0, "{report}");
    assert_eq!(report["sample"][0]["outcome"], "limit-cpu");
    assert_eq!(calls_billed(&host).await?, json!(50));
    Ok(())
}

#[tokio::test]
async fn only_a_version_without_effects_makes_calls_again() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    host.publish(Echo::new("1.0.0").wasm()?, "deploy=true").await?.error_for_status()?;
    let grants = json!({"http": [{"allow": "https://api.example"}], "keyvalue": [{"bucket": "seen"}], "files": {"access": "read-write"}});
    host.put("/v1/components/test/echo/grants", json!({"grants": grants})).await?;
    let cases = [
        ("1.1.0", false, "", Some("pure = true")),
        ("1.2.0", true, "http = ['https://api.example']", Some("asks for `http`")),
        ("1.3.0", true, "keyvalue = ['seen']", Some("asks for `keyvalue`")),
        ("1.4.0", true, "files = 'read-write'", Some("asks for `files`")),
        ("1.5.0", true, "files = 'read-only'", None),
    ];
    for (version, pure, asked, refusal) in cases {
        host.publish(Echo { pure, asked, ..Echo::new(version) }.wasm()?, "").await?.error_for_status()?;
        let body = json!({"traffic": {"1.0.0": 100}, "shadow": {"version": version, "percent": 1}});
        let answer = host.request(Method::PUT, DEPLOYMENT, &host.admin_key).json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        match refusal {
            Some(words) => ensure!(status == 400 && text.contains(words), "{version}: {status} {text}"),
            None => ensure!(status == 200, "{version}: {status} {text}"),
        }
    }
    Ok(())
}
