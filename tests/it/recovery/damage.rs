//! A database that is damaged, and what is on the disk when a change is answered.

use super::{PATIENCE, RECOVERY_MAX, readiness, until};
use crate::faults::attach;
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use rusqlite::Connection;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::json;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use tokio::process::Command;
use wares_it::guests;
use wares_it::host::Host;

/// Overwrites the first page of a part of the database that nothing uses meanwhile.
fn damage(database: &Path, part: &str) -> Result<()> {
    let connection = Connection::open(database)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    let page: u32 =
        connection.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?", [part], |row| row.get(0))?;
    let bytes: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    drop(connection);
    let file = File::options().write(true).open(database)?;
    Ok(file.write_all_at(&vec![0xff; usize::try_from(bytes)?], u64::from(page - 1) * u64::from(bytes))?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_damaged_is_told_of_after_a_crash() -> Result<()> {
    let data = tempfile::tempdir()?;
    let mut host = Host::start(data.path()).await?;
    let admin_key = host.admin_key.clone();
    host.signal(Signal::TERM)?;
    ensure!(host.wait().await?.success());
    damage(&data.path().join("wares.sqlite"), "jobs_key")?;
    // Nothing meets the damage, and nobody looks for it after an orderly end.
    let host = Host::start_with(data.path(), Some(&admin_key), &[]).await?;
    host.tenant("district").await?;
    assert_eq!(readiness(&host).await?.0, 200);
    host.kill().await?;
    let host = Host::start_with(data.path(), Some(&admin_key), &[]).await?;
    until("/readyz says so", async || Ok(readiness(&host).await?.0 == 503)).await?;
    let (_, document) = readiness(&host).await?;
    let detail = document["detail"][0].as_str().unwrap_or_default();
    ensure!(detail.contains("the database is damaged") && detail.contains("restore a backup"), "{document:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_on_the_disk_when_it_is_answered() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    host.tenant("district").await?;
    let keys = host.get("/v1/tenants/district/keys").await?;
    let id = keys["items"][0]["id"].as_str().context("a key")?.to_owned();
    let report = data.path().join("report");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-e", "trace=fsync,fdatasync", "-p", &host.pid().context("pid")?.to_string(), "-o"]);
    command.arg(&report);
    let mut tracer = attach(command).await?;
    let revoked = host.request(Method::DELETE, &format!("/v1/keys/{id}?yes=true"), &host.admin_key).send().await?;
    assert_eq!(revoked.status(), 204);
    let tracing = tracer.id().and_then(|pid| Pid::from_raw(pid.try_into().ok()?)).context("the tracer has ended")?;
    kill_process(tracing, Signal::INT)?;
    tokio::time::timeout(PATIENCE, tracer.wait()).await??;
    let report = fs::read_to_string(report)?;
    ensure!(report.lines().any(|line| line.contains("wares.sqlite-wal") && line.contains("= 0")), "{report}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_may_not_grow_any_more_is_a_full_disk() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let call = async || host.call("test/swap/numbers/number", &key, &json!({})).await;
    let pid = Pid::from_raw(host.pid().context("pid")?.try_into()?).context("pid")?;
    let limit = |bytes: Option<u64>| prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None });
    limit(Some(4_096))?;
    until("a call is refused", async || Ok(call().await?.status() == 503)).await?;
    limit(None)?;
    let took = until("calls are answered again", async || Ok(call().await?.status() == 200)).await?;
    ensure!(took < RECOVERY_MAX, "it took {took:?}");
    Ok(())
}
