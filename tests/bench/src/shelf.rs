//! Figures of the shelf: time and memory of publishing, of the first call, of a deployment, and of a restart.

use crate::contender::guest;
use anyhow::{Context as _, Result};
use reqwest::Method;
use serde::Serialize;
use serde_json::json;
use std::time::Instant;
use wares_it::guests;
use wares_it::host::{Host, success};

/// Times in milliseconds, memory in MiB resident.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Publishing the text component, compilation included.
    pub publish_ms: f64,
    /// Giving it all traffic.
    pub deploy_ms: f64,
    /// Its first call.
    pub first_call_ms: f64,
    /// Memory of the host with it on the shelf.
    pub memory_mib: f64,
    /// Versions on the shelf for what follows.
    pub versions: usize,
    /// Memory with as many versions.
    pub memory_full_mib: f64,
    /// From the start of the process to the first answer, with as many versions.
    pub restart_ms: f64,
    /// Memory after the restart.
    pub memory_restarted_mib: f64,
}

/// Measures a new shelf, then one with `versions` versions, then its restart.
pub async fn measure(versions: usize) -> Result<Figures> {
    let data = tempfile::tempdir()?;
    let host = Host::start_with(data.path(), None, &["--log", "warn"]).await?;
    let key = host.tenant("bench").await?;
    let wasm = std::fs::read(guest("bench-text")?)?;

    let (publish_ms, _) = timed(async { Ok(host.publish(wasm, "").await?.error_for_status()?) }).await?;
    let (deploy_ms, _) = timed(host.deploy("bench/text", "1.0.0")).await?;
    let call = async { success(host.call("bench/text/text/upper", &key, &json!({"text": "a"})).await?).await };
    let (first_call_ms, _) = timed(call).await?;
    let memory_mib = resident_mib(&host)?;

    for version in 0..versions {
        let query = format!("name=bench:number{version}&version=1.0.0&deploy=true");
        host.publish(guests::number(1)?, &query).await?.error_for_status()?;
    }
    let memory_full_mib = resident_mib(&host)?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;

    let started = Instant::now();
    let host = Host::start_with(data.path(), Some(&admin_key), &["--log", "warn"]).await?;
    let response = host.request(Method::POST, "/v1/call/bench/number0/numbers/number", &key).send().await?;
    success(response).await?;
    let restart_ms = started.elapsed().as_secs_f64() * 1e3;
    let memory_restarted_mib = resident_mib(&host)?;
    Ok(Figures {
        publish_ms,
        deploy_ms,
        first_call_ms,
        memory_mib,
        versions,
        memory_full_mib,
        restart_ms,
        memory_restarted_mib,
    })
}

async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(f64, T)> {
    let started = Instant::now();
    let done = work.await?;
    Ok((started.elapsed().as_secs_f64() * 1e3, done))
}

fn resident_mib(host: &Host) -> Result<f64> {
    let path = format!("/proc/{}/status", host.pid().context("the host has ended")?);
    let status = std::fs::read_to_string(path)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kib / 1024.0)
}
