//! Calls that are made later: accepted once, tried as often as it takes, never lost.

mod ends;
mod restarts;
mod tenants;

use crate::command::{client, done};
use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

const HOSTILE: &str = "/v1/call/test/hostile";
/// Three attempts, at once after each other.
const QUICK: &str = "[retry]\nattempts-max = 3\nbackoff-ms-first = 1\nbackoff-ms-max = 10";

/// A component with a manifest of its own.
pub(crate) fn with_manifest(wasm: Vec<u8>, name: &str, version: &str, rest: &str) -> Vec<u8> {
    let manifest = format!("[component]\nname = '{name}'\nversion = '{version}'\n{rest}\n");
    guests::with_section(wasm, "wares:manifest", manifest.as_bytes())
}

/// The component of many harms, or the same with a function `trap` that does not.
fn hostile(version: &str, retry: &str, traps: bool) -> Result<Vec<u8>> {
    let text = std::fs::read_to_string(guests::root().join("tests/guests/hostile.wat"))?;
    let text = if traps { text } else { text.replace("(func $inner-failure unreachable)", "(func $inner-failure)") };
    Ok(with_manifest(wat::parse_str(text)?, "test:hostile", version, retry))
}

async fn shelf(data: &Path, retry: &str, variables: &[(&str, &str)]) -> Result<(Host, String)> {
    let host = Host::start_in(data, None, &[], variables).await?;
    host.publish(hostile("1.0.0", retry, true)?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("north").await?;
    Ok((host, key))
}

/// Asks for a call to be made later.
async fn ask(host: &Host, key: &str, path: &str, body: &Value, name: Option<&str>) -> Result<reqwest::Response> {
    let request = host.request(Method::POST, path, key).header("prefer", "respond-async").json(body);
    let request = name.into_iter().fold(request, |request, name| request.header("idempotency-key", name));
    Ok(request.send().await?)
}

/// Has a call made later; the answer is its job's address.
pub(crate) async fn later(host: &Host, key: &str, path: &str, body: &Value) -> Result<String> {
    let response = ask(host, key, path, body, None).await?;
    ensure!(response.status() == 202, "{}: {}", response.status(), response.text().await?);
    let location = response.headers().get("location").and_then(|value| value.to_str().ok());
    Ok(location.context("location")?.to_owned())
}

async fn until_state(host: &Host, job: &str, state: &str) -> Result<Value> {
    host.until(job, |job| job["state"] == state).await
}

fn outcomes(job: &Value) -> Vec<&str> {
    job["calls"].as_array().into_iter().flatten().filter_map(|call| call["outcome"].as_str()).collect()
}

async fn counted(host: &Host) -> Result<u64> {
    Ok(host.get("/v1/usage").await?["items"][0]["calls"].as_u64().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_made_later_and_its_result_is_kept_for_its_tenant() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path(), "", &[]).await?;
    let other = host.tenant("south").await?;
    let response = ask(&host, &key, &format!("{HOSTILE}/add"), &json!({"a": 1, "b": 2}), None).await?;
    assert_eq!(response.headers().get("preference-applied").context("preference-applied")?, "respond-async");
    let accepted = success(response).await?;
    let at = format!("/v1/jobs/{}", accepted["id"].as_str().context("id")?);
    let job = until_state(&host, &at, "succeeded").await?;
    assert_eq!((&job["result"], &job["arguments"]), (&json!(3), &json!({"a": 1, "b": 2})), "{job:#}");
    assert_eq!((&job["tenant"], &job["function"], &job["attempts"]), (&json!("north"), &json!("add"), &json!(1)));
    assert_eq!(outcomes(&job), ["ok"]);
    let entry = host.get(&format!("/v1/calls/{}", job["calls"][0]["call"].as_str().context("call")?)).await?;
    assert_eq!((&entry["outcome"], &entry["application"]), (&json!("ok"), &json!("tests")));
    assert_eq!(counted(&host).await?, 1);

    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let by_interface = later(&host, &key, "/v1/interfaces/test:swap/numbers@1/number", &json!({})).await?;
    let job = until_state(&host, &by_interface, "succeeded").await?;
    assert_eq!((&job["result"], &job["package"], &job["requirement"]), (&json!(7), &json!("test:swap"), &json!("^1")));

    // Others see nothing of it, and operators all.
    let jobs = async |key: &str, query: &str| {
        success(host.request(Method::GET, &format!("/v1/jobs{query}"), key).send().await?).await
    };
    assert_eq!(jobs(&key, "").await?["items"].as_array().map(Vec::len), Some(2));
    assert_eq!(jobs(&other, "").await?["items"], json!([]));
    let first = jobs(&host.admin_key, "?limit=1&state=succeeded&tenant=north").await?;
    let cursor = first["next"].as_str().context("next")?;
    let second = jobs(&host.admin_key, &format!("?limit=1&state=succeeded&cursor={cursor}")).await?;
    assert_eq!((&second["items"][0]["id"], &second["next"]), (&accepted["id"], &Value::Null));
    for (method, path) in [(Method::GET, at.clone()), (Method::POST, format!("{at}/cancel"))] {
        assert_eq!(host.request(method, &path, &other).send().await?.status(), 404, "{path}");
    }
    assert_eq!(host.request(Method::GET, "/v1/jobs?tenant=north", &other).send().await?.status(), 403);
    Ok(())
}

#[tokio::test]
async fn what_would_be_refused_is_refused_at_once() -> Result<()> {
    let data = tempfile::tempdir()?;
    let variables = [("WARES_JOBS_ARGUMENTS_BYTES_MAX", "100"), ("WARES_JOBS_RESULT_BYTES_MAX", "0")];
    let (host, key) = shelf(data.path(), "", &variables).await?;
    let large = json!({"a": 1, "b": 2, "c": "x".repeat(100)});
    let long = "k".repeat(256);
    let add = format!("{HOSTILE}/add");
    let cases = [
        (add.clone(), json!({"a": 1, "b": "two"}), None, "bad-arguments", "integer"),
        (format!("{HOSTILE}/ad"), json!({}), None, "not-found", "ad"),
        ("/v1/call/test/nothing/add".to_owned(), json!({}), None, "not-found", "test:nothing"),
        (add.clone(), large, None, "too-large", "100"),
        (add.clone(), json!({"a": 1, "b": 2}), Some(long.as_str()), "bad-request", "Idempotency-Key"),
        (add.clone(), json!({"a": 1, "b": 2}), Some(""), "bad-request", "Idempotency-Key"),
    ];
    for (path, body, name, expected, word) in cases {
        let (_, refused) = problem(ask(&host, &key, &path, &body, name).await?).await?;
        assert_eq!(code(&refused), expected, "{path} {body}: {refused}");
        ensure!(refused["detail"].as_str().unwrap_or_default().contains(word), "no {word:?} in {refused}");
    }
    assert_eq!(host.get("/v1/jobs").await?["items"], json!([]));
    assert_eq!(host.request(Method::GET, "/v1/jobs?state=done", &key).send().await?.status(), 400);
    // A result that is too large to be kept is said to have been there.
    let job = later(&host, &key, &add, &json!([1, 2])).await?;
    let job = until_state(&host, &job, "succeeded").await?;
    assert_eq!((job.get("result"), &job["result-bytes"]), (None, &json!(1)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_is_the_same_job() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path(), "", &[]).await?;
    let other = host.tenant("south").await?;
    let add = format!("{HOSTILE}/add");
    let queue = async |host: &Host, key: &str| {
        Ok::<_, anyhow::Error>(
            success(ask(host, key, &add, &json!([1, 2]), Some("order 7")).await?).await?["id"].clone(),
        )
    };
    // Asked for many times at once.
    let all = join_all((0..20).map(|_| queue(&host, &key))).await;
    let first = queue(&host, &key).await?;
    for id in all {
        assert_eq!(id?, first);
    }
    assert_ne!(queue(&host, &other).await?, first, "keys are a tenant's own");
    for (path, body) in [(add.clone(), json!([1, 3])), (format!("{HOSTILE}/sleep"), json!([1]))] {
        let (status, refused) = problem(ask(&host, &key, &path, &body, Some("order 7")).await?).await?;
        assert_eq!((status, code(&refused)), (422, "key-reused"), "{refused}");
    }
    let both = |jobs: &Value| jobs["items"].as_array().map(Vec::len) == Some(2);
    host.until("/v1/jobs?state=succeeded", both).await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(data.path(), Some(&admin_key), &[]).await?;
    assert_eq!(queue(&host, &key).await?, first, "after the job's end and a restart");
    ensure!(both(&host.get("/v1/jobs").await?), "no third job");
    assert_eq!(counted(&host).await?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_is_tried_again_and_a_dead_job_can_be_replayed() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path(), QUICK, &[]).await?;
    let at = later(&host, &key, &format!("{HOSTILE}/trap"), &json!({})).await?;
    let dead = until_state(&host, &at, "dead").await?;
    assert_eq!((&dead["attempts"], outcomes(&dead)), (&json!(3), vec!["trap"; 3]), "{dead:#}");
    assert_eq!((code(&dead["problem"]), &dead["problem"]["status"]), ("trap", &json!(500)));
    ensure!(dead["problem"]["backtrace"].as_array().is_some_and(|frames| !frames.is_empty()), "{dead:#}");
    for call in dead["calls"].as_array().into_iter().flatten() {
        let entry = host.get(&format!("/v1/calls/{}", call["call"].as_str().context("call")?)).await?;
        assert_eq!(entry["outcome"], "trap");
    }
    assert_eq!(counted(&host).await?, 3, "one entry per attempt");
    let listed = host.get("/v1/jobs?state=dead").await?;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));

    // It is served by what is deployed when it runs.
    host.publish(hostile("1.0.1", QUICK, false)?, "deploy=true").await?.error_for_status()?;
    host.post(&format!("{at}/replay"), json!({})).await?;
    let job = until_state(&host, &at, "succeeded").await?;
    assert_eq!((&job["attempts"], &job["problem"], &job["result"]), (&json!(1), &Value::Null, &Value::Null));
    assert_eq!(outcomes(&job), ["trap", "trap", "trap", "ok"]);
    let again = host.request(Method::POST, &format!("{at}/replay"), &host.admin_key).send().await?;
    assert_eq!(again.status(), 409, "it succeeded");
    assert_eq!(host.metric(r#"wares_jobs_ended_total{state="dead"}"#).await?, Some(1.0));
    assert_eq!(host.metric(r#"wares_job_attempts_total{outcome="trap"}"#).await?, Some(3.0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_case_of_a_function_is_tried_again_only_if_the_manifest_says_so() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_in(data.path(), None, &[], &[("WARES_JOBS_ATTEMPTS_MAX", "2")]).await?;
    let key = host.tenant("north").await?;
    let asks = format!("{QUICK}\ncomponent-errors = true");
    for (name, retry, attempts) in [("plain", QUICK, 1), ("asks", asks.as_str(), 2)] {
        let wasm = with_manifest(guests::text("refuses")?, &format!("test:{name}"), "1.0.0", retry);
        host.publish(wasm, "deploy=true").await?.error_for_status()?;
        let job = later(&host, &key, &format!("/v1/call/test/{name}/refuse"), &json!({"n": 7})).await?;
        let job = until_state(&host, &job, "dead").await?;
        assert_eq!((code(&job["problem"]), &job["problem"]["error"]), ("component-error", &json!(7)), "{job:#}");
        let listed = host.get("/v1/jobs?state=dead&limit=1").await?;
        let problem = &listed["items"][0]["problem"];
        assert_eq!((code(problem), problem.get("error")), ("component-error", None), "lists leave it out: {problem:#}");
        // The operator allows two attempts, where the manifest asks for three.
        assert_eq!((&job["attempts"], &job["attempts-max"]), (&json!(attempts), &json!(2)), "{job:#}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_finds_no_slot_waits_and_uses_up_no_attempt() -> Result<()> {
    let data = tempfile::tempdir()?;
    let variables = [("WARES_CALLS_TENANT_CONCURRENCY_MAX", "1"), ("WARES_CALLS_QUEUE_MS_MAX", "1")];
    let (host, key) = shelf(data.path(), "[retry]\nattempts-max = 1", &variables).await?;
    let sleep = host.request(Method::POST, &format!("{HOSTILE}/sleep"), &key).json(&json!([4_000]));
    let sleeping = tokio::spawn(sleep.send());
    host.until_running(1).await?;
    let job = later(&host, &key, &format!("{HOSTILE}/add"), &json!([1, 2])).await?;
    let refused = host.until(&job, |job| !job["problem"].is_null()).await?;
    assert_eq!((&refused["state"], code(&refused["problem"])), (&json!("queued"), "rate-limited"), "{refused:#}");
    let job = until_state(&host, &job, "succeeded").await?;
    assert_eq!((&job["attempts"], outcomes(&job)), (&json!(1), vec!["ok"]));
    ensure!(host.metric(r#"wares_job_attempts_total{outcome="refused"}"#).await? > Some(0.0));
    assert_eq!(sleeping.await??.status(), 200);
    assert_eq!(counted(&host).await?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_ended_on_request_and_bounded_per_tenant() -> Result<()> {
    let data = tempfile::tempdir()?;
    let variables = [("WARES_JOBS_TENANT_CONCURRENCY_MAX", "1"), ("WARES_JOBS_WAITING_MAX", "2")];
    let (host, key) = shelf(data.path(), "", &variables).await?;
    let other = host.tenant("south").await?;
    let sleep = format!("{HOSTILE}/sleep");
    let runs = later(&host, &key, &sleep, &json!([9_000])).await?;
    until_state(&host, &runs, "running").await?;
    let waits = later(&host, &key, &sleep, &json!([9_000])).await?;
    let response = ask(&host, &key, &sleep, &json!([9_000]), None).await?;
    assert_eq!(response.headers().get("retry-after").context("retry-after")?, "1");
    let (status, refused) = problem(response).await?;
    assert_eq!((status, code(&refused)), (429, "rate-limited"), "{refused}");
    // Another tenant's turn comes while this one has what it may.
    let job = later(&host, &other, &format!("{HOSTILE}/add"), &json!([1, 2])).await?;
    until_state(&host, &job, "succeeded").await?;

    let waiting = host.post(&format!("{waits}/cancel"), json!({})).await?;
    assert_eq!(waiting["state"], "cancelled");
    host.until_running(1).await?;
    host.post(&format!("{runs}/cancel"), json!({})).await?;
    let ended = until_state(&host, &runs, "cancelled").await?;
    assert_eq!(outcomes(&ended), ["cancelled"]);
    let call = ended["calls"][0]["call"].as_str().context("call")?;
    assert_eq!(host.entry(call).await?["outcome"], "cancelled");
    let again = host.request(Method::POST, &format!("{job}/cancel"), &other).send().await?;
    assert_eq!(again.status(), 409, "it succeeded");
    assert_eq!(host.post(&format!("{runs}/cancel"), json!({})).await?["state"], "cancelled");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_and_tends_jobs() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path(), QUICK, &[]).await?;
    let wares = |key: &str, args: &[&str]| done(data.path(), &host, key, args);
    let call = ["call", "--async", "--idempotency-key", "a", "test/hostile", "trap"];
    let job: Value = serde_json::from_str(&wares(&key, &call)?)?;
    let id = job["id"].as_str().context("id")?;
    until_state(&host, &format!("/v1/jobs/{id}"), "dead").await?;
    let listed = wares(&key, &["jobs", "list", "--state", "dead"])?;
    ensure!(listed.contains(id) && listed.contains("3 of 3") && listed.contains("test:hostile trap"), "{listed}");
    let shown = wares(&host.admin_key, &["jobs", "show", id])?;
    ensure!(shown.contains("state:    dead") && shown.contains("trap: "), "{shown}");
    ensure!(wares(&key, &["jobs", "replay", id])?.contains("queued"));
    until_state(&host, &format!("/v1/jobs/{id}"), "dead").await?;
    let refused = client(data.path(), &host, &key, &["jobs", "cancel", id])?;
    assert_eq!(refused.code, 6, "{}", refused.stderr);
    Ok(())
}
