//! What an attack does to everybody else: the host's memory and that of its children, its health, and a neighbour's calls, all
//! the while and afterwards.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Client, RequestBuilder};
use serde_json::json;
use std::fs;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use wares_it::guests;
use wares_it::host::{Host, client};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Looks when the attack is over.
const LOOKS_AFTER: usize = 100;

/// What may be felt at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes by which the host's resident memory may grow.
    pub(crate) growth_bytes: u64,
    /// Of 100 looks at `/healthz`, 99 are answered in this time.
    pub(crate) health: Duration,
    /// Of 100 calls of a neighbour, 99 are answered in this time.
    pub(crate) neighbour: Duration,
}

/// Somebody else, whose calls are to be answered as ever.
pub(crate) struct Neighbour {
    key: String,
}

impl Neighbour {
    /// A tenant with a component of its own.
    pub(crate) async fn new(host: &Host) -> Result<Self> {
        host.publish_and_deploy(guests::number(1)?, "watch:neighbour", "1.0.0").await?;
        Ok(Self { key: host.tenant("watched").await? })
    }

    /// Its application's key.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }
}

/// Watches a host until it is told to end.
pub(crate) struct Watch {
    pid: u32,
    rss_before: u64,
    stop: oneshot::Sender<()>,
    looking: AbortOnDropHandle<Result<(Looks, Looks)>>,
}

impl Watch {
    /// Begins; the highest memory so far is forgotten.
    pub(crate) async fn begin(host: &Host, neighbour: &Neighbour) -> Result<Self> {
        let pid = host.pid().context("the host has ended")?;
        let looker = Looker::new(host, neighbour)?;
        // What a first connection and a first call take is taken.
        looker.look(&mut Looks::default()).await?;
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        let rss_before = status_bytes(pid, "VmRSS")?;
        let (stop, stopped) = oneshot::channel();
        let looking = AbortOnDropHandle::new(tokio::spawn(looker.until(stopped)));
        Ok(Self { pid, rss_before, stop, looking })
    }

    /// Ends a while after the attack, and checks that neither memory nor answers went beyond their bounds.
    pub(crate) async fn end(self, what: &str, bounds: Bounds) -> Result<()> {
        let Self { pid, rss_before, stop, looking } = self;
        let _ = stop.send(());
        let (mut during, mut after) = looking.await?.with_context(|| what.to_owned())?;
        let growth = status_bytes(pid, "VmHWM")?.saturating_sub(rss_before);
        let left = status_bytes(pid, "VmRSS")?.saturating_sub(rss_before);
        println!(
            "{what}: host +{} MiB, then +{} MiB; children {} MiB",
            growth >> 20,
            left >> 20,
            during.children_rss >> 20
        );
        ensure!(growth <= bounds.growth_bytes, "{what}: the host grew by {growth} bytes");
        for (when, looks) in [("meanwhile", &mut during), ("afterwards", &mut after)] {
            for (of, times, most) in [
                ("/healthz", &mut looks.health, bounds.health),
                ("a neighbour", &mut looks.neighbour, bounds.neighbour),
            ] {
                times.sort_unstable();
                let p99 = times.get(times.len().saturating_sub(1) * 99 / 100).context("nothing was looked at")?;
                println!("{what}: {of} {when}: p99 {p99:?}, at most {:?}, of {}", times.last(), times.len());
                ensure!(*p99 <= most, "{what}: {of} was answered in {p99:?} {when}, at most {most:?} is asked");
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Looks {
    health: Vec<Duration>,
    neighbour: Vec<Duration>,
    children_rss: u64,
}

struct Looker {
    /// Each look has a connection of its own, as a load balancer's has.
    fresh: Client,
    kept: Client,
    url: String,
    key: String,
    pid: u32,
}

impl Looker {
    fn new(host: &Host, neighbour: &Neighbour) -> Result<Self> {
        Ok(Self {
            fresh: Client::builder().pool_max_idle_per_host(0).build()?,
            kept: client()?,
            url: host.url.clone(),
            key: neighbour.key.clone(),
            pid: host.pid().context("the host has ended")?,
        })
    }

    async fn until(self, mut stopped: oneshot::Receiver<()>) -> Result<(Looks, Looks)> {
        let (mut during, mut after) = (Looks::default(), Looks::default());
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        while stopped.try_recv().is_err() {
            ticks.tick().await;
            self.look(&mut during).await?;
        }
        for _ in 0..LOOKS_AFTER {
            ticks.tick().await;
            self.look(&mut after).await?;
        }
        Ok((during, after))
    }

    async fn look(&self, looks: &mut Looks) -> Result<()> {
        looks.health.push(timed(self.fresh.get(format!("{}/healthz", self.url))).await.context("the host's health")?);
        let call = self.kept.post(format!("{}/v1/call/watch/neighbour/numbers/number", self.url));
        let call = call.bearer_auth(&self.key).json(&json!({}));
        looks.neighbour.push(timed(call).await.context("a neighbour's call")?);
        let children = children(self.pid)?.into_iter().filter_map(|child| status_bytes(child, "VmRSS").ok()).sum();
        looks.children_rss = looks.children_rss.max(children);
        Ok(())
    }
}

/// How long it takes until all of the answer is there.
async fn timed(request: RequestBuilder) -> Result<Duration> {
    let began = Instant::now();
    request.send().await?.error_for_status()?.bytes().await?;
    Ok(began.elapsed())
}

/// The processes that a process has started and that run still.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let of_task = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        children.extend(of_task.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(children)
}

/// Bytes that `/proc` says of a process under this name, as `VmRSS`.
pub(crate) fn status_bytes(pid: u32, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).with_context(|| name.to_owned())?;
    Ok(kib.trim().parse::<u64>()? << 10)
}
