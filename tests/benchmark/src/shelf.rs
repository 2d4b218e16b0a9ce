//! Figures of the shelf: publishing, the first call, deploying; memory, latency and restart as versions become many.

use crate::contender::{guest, start_host};
use crate::load::{self, Pace, Request};
use crate::process::resident_kib;
use crate::work::Work;
use anyhow::{Context as _, Result};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::Serialize;
use serde_json::json;
use std::time::{Duration, Instant};
use wares_it::guests;
use wares_it::host::{Host, success};

/// Tenants whose instances are kept, to see what one takes.
const KEPT: usize = 32;
/// Publications under way at once.
const PUBLISHERS: usize = 4;
/// Versions with which a shelf is small.
const FEW: usize = 10;

/// Times in milliseconds, memory in KiB resident.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Publishing the text component, compilation included.
    pub publish_ms: f64,
    /// Giving it all traffic.
    pub deploy_ms: f64,
    /// Its first call.
    pub first_call_ms: f64,
    /// Memory of the host with it on the shelf.
    pub memory_kib: f64,
    /// What one more kept instance takes.
    pub kept_instance_kib: f64,
    /// Versions on the full shelf.
    pub versions: usize,
    /// What one more version takes that is deployed and not called.
    pub idle_version_kib: f64,
    /// 99th percentile of a warm call with few versions, in microseconds.
    pub p99_few_us: f64,
    /// The same on the full shelf.
    pub p99_many_us: f64,
    /// A search over the catalog of the full shelf.
    pub search_ms: f64,
    /// A deployment on the full shelf.
    pub deploy_many_ms: f64,
    /// From the start of the process to the first answer on the full shelf.
    pub restart_ms: f64,
    /// The first call of a version after that.
    pub cold_call_ms: f64,
    /// Memory after the restart.
    pub memory_restarted_kib: f64,
}

/// Measures a new shelf, then one with `versions` versions, then its restart.
pub async fn measure(versions: usize) -> Result<Figures> {
    let data = tempfile::tempdir()?;
    let host = start_host(data.path()).await?;
    let key = host.tenant("bench").await?;
    let wasm = std::fs::read(guest("bench-text")?)?;

    let (publish_ms, _) = timed(async { Ok(host.publish(wasm, "").await?.error_for_status()?) }).await?;
    let (deploy_ms, _) = timed(host.deploy("bench/text", "1.0.0")).await?;
    let call = || async { success(host.call("bench/text/text/upper", &key, &Work::Upper.arguments()).await?).await };
    let (first_call_ms, _) = timed(call()).await?;
    let memory_kib = memory(&host)?;
    let kept_instance_kib = kept_instance(&host).await?;

    publish(&host, 0..FEW).await?;
    let warm = warm_request(&host, &key)?;
    let p99_few_us = p99(&warm).await?;
    let before = memory(&host)?;
    publish(&host, FEW..versions).await?;
    let idle_version_kib = (memory(&host)? - before) / (versions - FEW) as f64;
    let p99_many_us = p99(&warm).await?;
    let search = || host.get("/v1/components?q=number77&limit=50");
    search().await?;
    let (search_ms, _) = timed(search()).await?;
    let (deploy_many_ms, _) = timed(host.deploy("bench/text", "1.0.0")).await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;

    let started = Instant::now();
    let host = Host::start_with(data.path(), Some(&admin_key), &["--log", "warn"]).await?;
    success(host.call("bench/number0/numbers/number", &key, &json!({})).await?).await?;
    let restart_ms = started.elapsed().as_secs_f64() * 1e3;
    let cold = async { success(host.call("bench/text/text/upper", &key, &Work::Upper.arguments()).await?).await };
    let (cold_call_ms, _) = timed(cold).await?;
    let memory_restarted_kib = memory(&host)?;
    Ok(Figures {
        publish_ms,
        deploy_ms,
        first_call_ms,
        memory_kib,
        kept_instance_kib,
        versions,
        idle_version_kib,
        p99_few_us,
        p99_many_us,
        search_ms,
        deploy_many_ms,
        restart_ms,
        cold_call_ms,
        memory_restarted_kib,
    })
}

/// Publishes and deploys small components, each under a name of its own.
pub(crate) async fn publish(host: &Host, numbers: std::ops::Range<usize>) -> Result<()> {
    let wasm = guests::number(1)?;
    let one = async |number: usize| {
        let query = format!("name=bench:number{number}&version=1.0.0&deploy=true");
        host.publish(wasm.clone(), &query).await?.error_for_status()?;
        anyhow::Ok(())
    };
    stream::iter(numbers.map(anyhow::Ok)).try_for_each_concurrent(PUBLISHERS, one).await
}

/// Memory per kept instance: one tenant after the other calls a component whose instances are kept.
async fn kept_instance(host: &Host) -> Result<f64> {
    host.publish(std::fs::read(guest("bench-kept")?)?, "deploy=true").await?.error_for_status()?;
    let call = async |at: usize| {
        let key = host.tenant(&format!("bench{at}")).await?;
        success(host.call("bench/kept/text/upper", &key, &Work::Upper.arguments()).await?).await
    };
    call(0).await?;
    let before = memory(host)?;
    for at in 1..=KEPT {
        call(at).await?;
    }
    Ok((memory(host)? - before) / KEPT as f64)
}

fn warm_request(host: &Host, key: &str) -> Result<Request> {
    let addr = host.url.trim_start_matches("http://").parse()?;
    Ok(Request::new(addr, "/v1/call/bench/text/text/upper", Some(key), &Work::Upper.arguments().to_string()))
}

/// The median of several measurements, because the 99th percentile of one is what the machine did meanwhile.
async fn p99(request: &Request) -> Result<f64> {
    load::run(request, 16, Pace::Closed, Duration::from_millis(500)).await?;
    let measured = stream::iter(0..5).then(|_| load::run(request, 16, Pace::Closed, Duration::from_secs(1)));
    let mut p99s: Vec<f64> = measured.map_ok(|figures| figures.p99_us).try_collect().await?;
    p99s.sort_by(f64::total_cmp);
    p99s.get(p99s.len() / 2).copied().context("no measurement")
}

pub(crate) async fn timed<T>(work: impl Future<Output = Result<T>>) -> Result<(f64, T)> {
    let started = Instant::now();
    let done = work.await?;
    Ok((started.elapsed().as_secs_f64() * 1e3, done))
}

fn memory(host: &Host) -> Result<f64> {
    resident_kib(host.pid().context("the host has ended")?)
}
