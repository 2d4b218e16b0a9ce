//! What an attack does to everybody else: the host's memory, its health, and a neighbour's calls, all the while.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, Method};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use wares_it::guests;
use wares_it::host::{Host, client};
use wares_it::wait;

/// Longest wait for what the host does by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// For nine of ten looks at the host's health.
const HEALTH_WAIT_MAX: Duration = Duration::from_millis(100);

/// A host with a component that takes and gives in bulk, its attacker, and somebody else.
pub(super) struct Scene {
    pub(super) host: Host,
    /// The attacker's key.
    pub(super) key: String,
    neighbour: String,
    _data: tempfile::TempDir,
}

/// Looks at the host until it is asked what it saw.
pub(super) struct Watch {
    end: CancellationToken,
    seen: AbortOnDropHandle<Result<Seen>>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Bytes of the host's memory, more than when the look began.
    pub(super) growth_bytes: u64,
    waits: Vec<Duration>,
    calls: usize,
}

impl Scene {
    pub(super) async fn new(settings: &[(&str, &str)]) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let host = Host::start_in(data.path(), None, &[], settings).await?;
        host.publish_and_deploy(guests::text("bulk")?, "test:bulk", "1.0.0").await?;
        let (key, neighbour) = (host.tenant("attacker").await?, host.tenant("neighbour").await?);
        let scene = Self { host, key, neighbour, _data: data };
        scene.is_normal().await?;
        Ok(scene)
    }

    /// The head of a request with the attacker's key, without its last line.
    pub(super) fn head(&self, line: &str) -> String {
        format!("{line} HTTP/1.1\r\nhost: shelf\r\nauthorization: Bearer {}\r\n", self.key)
    }

    /// Both have their calls answered, large ones too.
    pub(super) async fn is_normal(&self) -> Result<()> {
        for key in [&self.key, &self.neighbour] {
            for (function, arguments, length) in [
                ("take", json!({"bytes": vec![7; 100_000]}), "100000".len()),
                ("give", json!({"length": 1_000_000}), 1_000_002),
            ] {
                let answer = self.host.call(&format!("test/bulk/{function}"), key, &arguments).await?;
                let answer = answer.error_for_status()?.bytes().await?;
                assert_eq!(answer.len(), length, "{function}");
            }
        }
        Ok(())
    }

    /// The same, as soon as the host has let go of what it was given; and then it holds nothing any more.
    pub(super) async fn until_normal(&self) -> Result<()> {
        let normal = wait::until("the host is as before", async || Ok(self.is_normal().await));
        tokio::time::timeout(PATIENCE, normal).await.context("the host does not recover")??;
        let nothing = self.host.until_metric("wares_requests_held_bytes", |held| held == 0.0);
        tokio::time::timeout(PATIENCE, nothing).await.context("the host still holds something")?
    }

    /// Begins to look.
    pub(super) fn watch(&self) -> Result<Watch> {
        let pid = self.host.pid().context("pid")?;
        // Each look has a connection of its own, as a load balancer's has.
        let fresh = Client::builder().pool_max_idle_per_host(0).build()?;
        let (url, neighbour, clients) = (self.host.url.clone(), self.neighbour.clone(), (fresh, client()?));
        let end = CancellationToken::new();
        let ended = end.clone();
        let seen = AbortOnDropHandle::new(tokio::spawn(async move {
            let (mut seen, before) = (Seen::default(), resident_bytes(pid).await?);
            let (fresh, kept) = clients;
            while !ended.is_cancelled() {
                let began = Instant::now();
                fresh.get(format!("{url}/healthz")).send().await?.error_for_status()?;
                seen.waits.push(began.elapsed());
                let call = kept.request(Method::POST, format!("{url}/v1/call/test/bulk/give"));
                let answer = call.bearer_auth(&neighbour).json(&json!({"length": 3})).send().await?;
                ensure!(answer.status() == 200, "the neighbour: {}", answer.text().await?);
                seen.calls += 1;
                seen.growth_bytes = seen.growth_bytes.max(resident_bytes(pid).await?.saturating_sub(before));
            }
            Ok(seen)
        }));
        Ok(Watch { end, seen })
    }
}

impl Watch {
    /// Nobody else was harmed, and the host's memory grew by so much at most.
    pub(super) async fn nobody_was_harmed(self, growth_bytes_max: u64) -> Result<()> {
        self.end.cancel();
        let mut seen = self.seen.await??;
        seen.waits.sort();
        let wait = seen.waits.get(seen.waits.len() * 9 / 10).copied().unwrap_or_default();
        let (growth, worst) = (seen.growth_bytes >> 20, seen.waits.last());
        println!("memory +{growth} MiB, health {wait:?} (worst {worst:?}), {} calls of a neighbour", seen.calls);
        ensure!(seen.growth_bytes <= growth_bytes_max, "the host's memory grew by {growth} MiB");
        ensure!(wait <= HEALTH_WAIT_MAX, "the host's health took {wait:?}");
        Ok(())
    }
}

/// Memory of a process.
async fn resident_bytes(pid: u32) -> Result<u64> {
    let status = tokio::fs::read_to_string(format!("/proc/{pid}/status")).await?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
}
