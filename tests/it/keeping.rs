//! How much is kept, and for how long: a clock that jumps removes nothing, and logs make room for entries.

use crate::jobs::later;
use crate::recovery::{readiness, until};
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use wares_it::guests;
use wares_it::host::{Host, success};

async fn shelf(host: &Host) -> Result<String> {
    host.publish_and_deploy(guests::text("writes")?, "test:writes", "1.0.0").await?;
    host.tenant("north").await
}

/// Has a call write so many bytes, and returns its id.
async fn write(host: &Host, key: &str, bytes: usize) -> Result<String> {
    let answer = host.call("test/writes/writer/write", key, &json!({"bytes": bytes})).await?.error_for_status()?;
    Ok(answer.headers()["wares-call-id"].to_str()?.to_owned())
}

/// Bytes of what is kept of a call's log; nothing where its entry is gone.
async fn kept(host: &Host, call: &str) -> Result<Option<usize>> {
    let entry = host.request(Method::GET, &format!("/v1/calls/{call}"), &host.admin_key).send().await?;
    if entry.status() == 404 {
        return Ok(None);
    }
    success(entry).await?;
    let logs = host.get(&format!("/v1/logs?call={call}")).await?;
    let lines = logs["items"].as_array().context("items")?;
    Ok(Some(lines.iter().filter_map(|line| line["message"].as_str()).map(str::len).sum()))
}

/// Waits until what is too old or too much was looked for.
async fn until_tidy(host: &Host) -> Result<()> {
    host.until_metric("wares_database_bytes", |_| true).await
}

async fn start_at(time: &str, data: &Path, admin_key: &str) -> Result<Host> {
    let host = Host::start_at(time, data, Some(admin_key), &[]).await?;
    until_tidy(&host).await?;
    Ok(host)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_ahead_removes_nothing_and_time_that_passes_does() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_at("2026-11-25 12:00:00", data.path(), None, &[]).await?;
    let key = shelf(&host).await?;
    let call = write(&host, &key, 1_000).await?;
    let job = later(&host, &key, "/v1/call/test/writes/writer/write", &json!({"bytes": 10})).await?;
    host.until(&job, |job| job["state"] == "succeeded").await?;
    until_tidy(&host).await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;

    // Past everything's time: 90 days for entries, 3 for jobs.
    for time in ["2027-03-05 12:00:00", "2036-11-25 12:00:00"] {
        let host = start_at(time, data.path(), &admin_key).await?;
        assert_eq!(kept(&host, &call).await?, Some(1_000), "at {time}");
        host.get(&job).await?;
        let (status, document) = readiness(&host).await?;
        ensure!(status == 200 && document["detail"].to_string().contains("the clock has jumped"), "{document}");
        host.kill().await?;
    }
    let host = start_at("2026-11-25 13:00:00", data.path(), &admin_key).await?;
    assert_eq!(kept(&host, &call).await?, Some(1_000));
    assert_eq!(readiness(&host).await?, (200, json!({"status": "ready"})));
    host.kill().await?;

    // A host that runs at least once a week goes by the clock.
    let weeks = async |days: &[&str]| {
        for day in days {
            start_at(&format!("{day} 12:00:00"), data.path(), &admin_key).await?.kill().await?;
        }
        anyhow::Ok(())
    };
    weeks(&["2026-12-02", "2026-12-09", "2026-12-16", "2026-12-23", "2026-12-30", "2027-01-06"]).await?;
    let host = start_at("2027-01-13 12:00:00", data.path(), &admin_key).await?;
    assert_eq!(kept(&host, &call).await?, Some(1_000));
    let is_gone = async || Ok(host.request(Method::GET, &job, &admin_key).send().await?.status() == 404);
    until("three days have passed for the job", is_gone).await?;
    host.kill().await?;
    weeks(&["2027-01-20", "2027-01-27", "2027-02-03", "2027-02-10", "2027-02-17"]).await?;
    let host = start_at("2027-02-24 12:00:00", data.path(), &admin_key).await?;
    assert_eq!(kept(&host, &call).await?, None, "ninety days have passed");
    Ok(())
}

const BOUNDS: [(&str, &str); 2] = [("WARES_LOGS_TENANT_BYTES_MAX", "100000"), ("WARES_LOGS_BYTES_MAX", "250000")];

#[tokio::test(flavor = "multi_thread")]
async fn logs_have_a_bound_for_each_tenant_and_in_total_and_entries_stay() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_in(data.path(), None, &[], &BOUNDS).await?;
    let north = shelf(&host).await?;
    let south = host.tenant("south").await?;
    let first = write(&host, &south, 20_000).await?;
    let mut calls = Vec::new();
    for _ in 0..12 {
        calls.push(write(&host, &north, 20_000).await?);
    }
    let sizes = async |host: &Host, calls: &[String]| {
        let mut sizes = Vec::new();
        for call in calls {
            sizes.push(kept(host, call).await?.context("an entry is gone")?);
        }
        anyhow::Ok(sizes)
    };
    // With what is noted of each line five are too many.
    let found = sizes(&host, &calls).await?;
    ensure!(found.starts_with(&[0; 8]) && found.ends_with(&[20_000; 4]), "the oldest go, the newest stay: {found:?}");
    assert_eq!(kept(&host, &first).await?, Some(20_000), "another tenant's logs are its own");

    let mut others = vec![first];
    for tenant in ["a", "b", "c"] {
        let key = host.tenant(tenant).await?;
        for _ in 0..4 {
            others.push(write(&host, &key, 20_000).await?);
        }
    }
    let all: Vec<_> = calls.iter().chain(&others).cloned().collect();
    let found = sizes(&host, &all).await?;
    let total: usize = found.iter().sum();
    ensure!((200_000..=250_000).contains(&total), "{total} bytes of all: {found:?}");
    ensure!(found.first() == Some(&0) && found.last() == Some(&20_000), "{found:?}");
    assert_eq!(host.get("/v1/usage").await?["items"][0]["calls"], json!(all.len()));

    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_in(data.path(), Some(&admin_key), &[], &BOUNDS).await?;
    until_tidy(&host).await?;
    let (status, document) = readiness(&host).await?;
    let detail = document["detail"].to_string();
    ensure!(status == 200 && detail.contains("% of logs.bytes-max"), "{document}");
    assert_eq!(sizes(&host, &all).await?, found, "the sums are as durable as the logs");
    host.kill().await?;

    // A bound that is lowered counts for what is there.
    let lower = [("WARES_LOGS_BYTES_MAX", "50000")];
    let host = Host::start_in(data.path(), Some(&admin_key), &[], &lower).await?;
    until_tidy(&host).await?;
    ensure!(sizes(&host, &all).await?.iter().sum::<usize>() <= 50_000);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_make_room_for_entries_when_the_whole_database_is_at_its_bound() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let key = shelf(&host).await?;
    let mut calls = Vec::new();
    for _ in 0..60 {
        calls.push(write(&host, &key, 60_000).await?);
    }
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_in(data.path(), Some(&admin_key), &[], &[("WARES_LEDGER_BYTES_MAX", "2000000")]).await?;
    until_tidy(&host).await?;
    let first = calls.first().context("call")?;
    assert_eq!(kept(&host, first).await?, Some(0), "the oldest log made room, and its entry is there");
    let newest = calls.last().context("call")?;
    assert_eq!(kept(&host, newest).await?, Some(60_000));
    let (status, document) = readiness(&host).await?;
    ensure!(status == 200 && document["detail"].to_string().contains("ledger.bytes-max"), "{document}");
    let entries = host.get("/v1/usage").await?["items"][0]["calls"].clone();
    assert_eq!(entries, Value::from(calls.len()));
    Ok(())
}
