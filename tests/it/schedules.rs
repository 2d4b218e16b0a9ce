//! Calls at set times: for whom an operator enabled them, once for each due time. The host's clock is set by `faketime`.

use crate::command::done;
use crate::jobs::{later, with_manifest};
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wares_it::guests;
use wares_it::host::{Host, code, problem};

const SCHEDULES: &str = "/v1/tenants/north/schedules";
const NIGHTLY: &str = "/v1/tenants/north/schedules/test/swap/nightly";

/// Three schedules of which two are due at noon of Shanghai, and one every minute.
const MANIFEST: &str = "
    [component]
    name = 'test:swap'
    version = 'VERSION'
    [[schedules]]
    name = 'nightly'
    cron = 'CRON'
    time-zone = 'Asia/Shanghai'
    interface = 'numbers'
    function = 'number'
    [[schedules]]
    name = 'caught-up'
    cron = '0 12 * * *'
    time-zone = 'Asia/Shanghai'
    interface = 'numbers'
    function = 'number'
    missed = 'run-once'
    [[schedules]]
    name = 'minutely'
    cron = '* * * * *'
    interface = 'numbers'
    function = 'number'
";

fn scheduled(version: &str, cron: &str) -> Result<Vec<u8>> {
    let manifest = MANIFEST.replace("VERSION", version).replace("CRON", cron);
    Ok(guests::with_section(guests::number(7)?, "wares:manifest", manifest.as_bytes()))
}

/// The due times that a schedule has had jobs for, newest first.
async fn due(host: &Host, schedule: &str) -> Result<Vec<String>> {
    let jobs = host.get("/v1/jobs?limit=1000").await?;
    let of = jobs["items"].as_array().into_iter().flatten().filter(|job| job["schedule"] == schedule);
    Ok(of.filter_map(|job| job["due-at"].as_str().map(str::to_owned)).collect())
}

/// Waits until the job of a due time has succeeded.
async fn until_done(host: &Host, schedule: &str, at: &str) -> Result<()> {
    let done = |job: &&Value| job["schedule"] == schedule && job["due-at"] == at && job["state"] == "succeeded";
    host.until("/v1/jobs?limit=1000", |jobs| jobs["items"].as_array().into_iter().flatten().any(|job| done(&job)))
        .await
        .map(drop)
}

async fn enable(host: &Host, tenant: &str, schedule: &str) -> Result<Value> {
    host.put(&format!("/v1/tenants/{tenant}/schedules/test/swap/{schedule}"), json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_due_time_makes_one_job_for_whom_it_is_enabled_also_over_restarts() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_at("2026-11-25 03:00:00", data.path(), None, &[]).await?;
    host.publish(scheduled("1.0.0", "0 12 * * *")?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("north").await?;
    host.tenant("south").await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_at("2026-11-25 03:59:50", data.path(), Some(&admin_key), &[]).await?;
    let listed = host.get(SCHEDULES).await?;
    let names: Vec<_> = listed["items"].as_array().into_iter().flatten().map(|one| one["name"].clone()).collect();
    assert_eq!(names, ["caught-up", "minutely", "nightly"].map(Value::from));
    ensure!(listed["items"].as_array().into_iter().flatten().all(|one| one["enabled"] == false), "{listed:#}");
    let enabled = enable(&host, "north", "nightly").await?;
    assert_eq!(enabled["next-at"], "2026-11-25T04:00:00.000000Z", "{enabled:#}");
    enable(&host, "north", "minutely").await?;
    let noon = "2026-11-25T04:00:00.000000Z";
    until_done(&host, "nightly", noon).await?;
    until_done(&host, "minutely", noon).await?;
    let shown = host.get(SCHEDULES).await?;
    let nightly = &shown["items"][2];
    assert_eq!((&nightly["last-due-at"], &nightly["next-at"]), (&json!(noon), &json!("2026-11-26T04:00:00.000000Z")));
    let job = host.get(&format!("/v1/jobs/{}", nightly["last-job"].as_str().context("last-job")?)).await?;
    assert_eq!((&job["application"], &job["result"]), (&json!("schedule:nightly"), &json!(7)), "{job:#}");
    assert_eq!(host.get("/v1/jobs?tenant=south").await?["items"], json!([]));

    // The same noon again, by a clock that went back, and a minute that shows that the host has looked.
    host.kill().await?;
    let host = Host::start_at("2026-11-25 03:59:58", data.path(), Some(&admin_key), &[]).await?;
    let ready = host.get(SCHEDULES).await?;
    ensure!(ready["items"][2]["enabled"] == true, "{ready:#}");
    host.kill().await?;
    let host = Host::start_at("2026-11-25 04:00:50", data.path(), Some(&admin_key), &[]).await?;
    until_done(&host, "minutely", "2026-11-25T04:01:00.000000Z").await?;
    assert_eq!(due(&host, "nightly").await?, [noon]);
    assert_eq!(due(&host, "minutely").await?, ["2026-11-25T04:01:00.000000Z", noon]);

    // A schedule that is switched off, and one that the deployed version has at another time.
    host.request(Method::DELETE, &format!("{SCHEDULES}/test/swap/minutely"), &host.admin_key)
        .send()
        .await?
        .error_for_status()?;
    host.publish(scheduled("1.0.1", "2 12 * * *")?, "deploy=true").await?.error_for_status()?;
    let moved = host.get(SCHEDULES).await?;
    assert_eq!(
        (&moved["items"][2]["next-at"], &moved["items"][1]["enabled"]),
        (&json!("2026-11-25T04:02:00.000000Z"), &json!(false))
    );
    let denied = host.request(Method::PUT, NIGHTLY, &key).send().await?;
    assert_eq!(denied.status(), 403, "a tenant enables nothing");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn times_at_which_the_host_was_down_are_skipped_or_made_up_for_once() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_at("2026-11-25 00:00:00", data.path(), None, &[]).await?;
    host.publish(scheduled("1.0.0", "0 12 * * *")?, "deploy=true").await?.error_for_status()?;
    host.tenant("north").await?;
    for schedule in ["nightly", "caught-up"] {
        enable(&host, "north", schedule).await?;
    }
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    // Three noons later.
    let host = Host::start_at("2026-11-28 00:00:00", data.path(), Some(&admin_key), &[]).await?;
    until_done(&host, "caught-up", "2026-11-27T04:00:00.000000Z").await?;
    host.kill().await?;
    // And once more: what was made up for is not again.
    let host = Host::start_at("2026-11-28 03:59:50", data.path(), Some(&admin_key), &[]).await?;
    let noon = "2026-11-28T04:00:00.000000Z";
    until_done(&host, "caught-up", noon).await?;
    until_done(&host, "nightly", noon).await?;
    assert_eq!(due(&host, "caught-up").await?, [noon, "2026-11-27T04:00:00.000000Z"]);
    assert_eq!(due(&host, "nightly").await?, [noon]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_moves_just_before_it_is_due_is_not_skipped() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_at("2026-11-25 03:50:00", data.path(), None, &[]).await?;
    host.publish(scheduled("1.0.0", "0 13 * * *")?, "deploy=true").await?.error_for_status()?;
    host.publish(scheduled("1.0.1", "0 12 * * *")?, "").await?.error_for_status()?;
    host.tenant("north").await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    // Enabling has the host look; it looks again ten seconds later, when the new time is past.
    let host = Host::start_at("2026-11-25 03:59:50", data.path(), Some(&admin_key), &[]).await?;
    enable(&host, "north", "nightly").await?;
    host.deploy("test/swap", "1.0.1").await?;
    until_done(&host, "nightly", "2026-11-25T04:00:00.000000Z").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_due_time_waits_for_room_in_the_tenants_queue() -> Result<()> {
    let data = tempfile::tempdir()?;
    let variables = [("WARES_JOBS_WAITING_MAX", "1")];
    let host = Host::start_at("2026-11-25 03:59:45", data.path(), None, &variables).await?;
    host.publish(scheduled("1.0.0", "0 12 * * *")?, "deploy=true").await?.error_for_status()?;
    // It fails at once, and is not tried again for as long as this test lasts.
    let retry = "[retry]\nbackoff-ms-first = 300000\nbackoff-ms-max = 600000";
    let failing = with_manifest(guests::text("hostile")?, "test:hostile", "1.0.0", retry);
    host.publish(failing, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("north").await?;
    let waits = later(&host, &key, "/v1/call/test/hostile/trap", &json!({})).await?;
    let due_at = enable(&host, "north", "minutely").await?["next-at"].as_str().context("next-at")?.to_owned();
    host.until_metric("wares_jobs_refused_total", |refused| refused > 0.0).await?;
    assert_eq!(due(&host, "minutely").await?, Vec::<String>::new());
    host.post(&format!("{waits}/cancel"), json!({})).await?;
    until_done(&host, "minutely", &due_at).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_has_the_schedules_of_one_version_also_where_calls_draw_theirs() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    host.tenant("north").await?;
    host.publish(scheduled("1.0.0", "0 12 * * *")?, "").await?.error_for_status()?;
    host.publish(guests::number(8)?, "name=test:swap&version=1.1.0").await?.error_for_status()?;
    let shares = json!({"traffic": {"1.0.0": 50, "1.1.0": 50}, "stickiness": "call"});
    host.put("/v1/components/test/swap/deployment", shares).await?;
    let first = host.get(SCHEDULES).await?;
    for _ in 0..20 {
        assert_eq!(host.get(SCHEDULES).await?, first);
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_run_is_refused_with_its_reason() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let key = host.tenant("north").await?;
    host.tenant("south").await?;
    let good = MANIFEST.replace("VERSION", "1.0.0").replace("CRON", "0 12 * * *");
    let cases = [
        (good.replace("0 12 * * *", "0 25 * * *"), "cron"),
        (good.replace("function = 'number'", "function = 'nombre'"), "nombre"),
        (good.replace("missed =", "arguments = '[1]'\n    missed ="), "arguments"),
        (good.replace("Asia/Shanghai", "Mars/Olympus"), "Mars/Olympus"),
        (format!("{good}\n[retry]\nattempts-max = 1000"), "attempts-max"),
    ];
    for (manifest, word) in cases {
        let wasm = guests::with_section(guests::number(7)?, "wares:manifest", manifest.as_bytes());
        let (status, refused) = problem(host.publish(wasm, "").await?).await?;
        assert_eq!((status, code(&refused)), (422, "invalid-component"), "{word}: {refused}");
        ensure!(refused["detail"].as_str().unwrap_or_default().contains(word), "no {word:?} in {refused}");
    }
    host.publish(scheduled("1.0.0", "0 12 * * *")?, "deploy=true").await?.error_for_status()?;
    for (path, word) in [
        ("/v1/tenants/north/schedules/test/swap/nightli", "nightly"),
        ("/v1/tenants/nobody/schedules/test/swap/nightly", "nobody"),
        ("/v1/tenants/north/schedules/test/other/nightly", "test:other"),
    ] {
        let response = host.request(Method::PUT, path, &host.admin_key).send().await?;
        assert_eq!(response.status(), 404, "{path}");
        let text = response.text().await?;
        ensure!(text.contains(word), "no {word:?} in {text}");
    }
    assert_eq!(host.request(Method::DELETE, NIGHTLY, &host.admin_key).send().await?.status(), 404, "it is not enabled");
    let other = host.request(Method::GET, "/v1/tenants/south/schedules", &key).send().await?;
    assert_eq!(other.status(), 403);
    assert_eq!(host.request(Method::GET, SCHEDULES, &key).send().await?.status(), 200);

    let wares = |args: &[&str]| done(data.path(), &host, &host.admin_key, args);
    ensure!(wares(&["schedules", "enable", "north", "test/swap", "nightly"])?.contains("due next at"));
    let listed = wares(&["schedules", "list", "north"])?;
    let line = listed.lines().find(|line| line.contains("nightly")).context("nightly")?;
    ensure!(line.contains("yes") && line.contains("Asia/Shanghai"), "{listed}");
    ensure!(wares(&["schedules", "disable", "north", "test/swap", "nightly"])?.contains("disabled"));
    Ok(())
}
