//! What a host feels of what is done to it: its memory, that of its children, and how soon it answers others.

use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wares_it::host::{Host, client};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// What was felt while a host was watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Felt {
    /// Bytes by which the host's resident memory was above what it was before, at its highest.
    pub(crate) rss_growth: u64,
    /// Bytes of resident memory of all its children together, at their highest.
    pub(crate) children_rss: u64,
    /// The longest that `/healthz` took of 99 in 100 times.
    pub(crate) health_p99: Duration,
    /// The longest of all.
    pub(crate) health_max: Duration,
    /// How often it was asked.
    pub(crate) looks: usize,
}

/// Watches a host until it is told to end.
pub(crate) struct Watch {
    pid: u32,
    rss_before: u64,
    stop: oneshot::Sender<()>,
    looking: JoinHandle<Result<(Vec<Duration>, u64)>>,
}

impl Watch {
    /// Begins; the highest memory so far is forgotten.
    pub(crate) async fn begin(host: &Host) -> Result<Self> {
        let pid = host.pid().context("the host has ended")?;
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        let rss_before = status(pid, "VmRSS")?;
        let (stop, stopped) = oneshot::channel();
        let looking = tokio::spawn(look(format!("{}/healthz", host.url), pid, stopped));
        Ok(Self { pid, rss_before, stop, looking })
    }

    /// Ends, and says what was felt.
    pub(crate) async fn end(self) -> Result<Felt> {
        let Self { pid, rss_before, stop, looking } = self;
        let _ = stop.send(());
        let (mut times, children_rss) = looking.await??;
        times.sort_unstable();
        let health_max = *times.last().context("the host was not asked once")?;
        let p99 = times.get(times.len().saturating_sub(1) * 99 / 100).context("p99")?;
        let rss_growth = status(pid, "VmHWM")?.saturating_sub(rss_before);
        Ok(Felt { rss_growth, children_rss, health_p99: *p99, health_max, looks: times.len() })
    }
}

impl Felt {
    /// Checks that neither memory nor answers went beyond these bounds.
    pub(crate) fn within(&self, what: &str, rss_growth: u64, health: Duration) -> Result<()> {
        println!(
            "{what}: host +{} MiB, children {} MiB, /healthz p99 {:?}, at most {:?}, asked {} times",
            self.rss_growth >> 20,
            self.children_rss >> 20,
            self.health_p99,
            self.health_max,
            self.looks
        );
        ensure!(self.rss_growth <= rss_growth, "{what}: the host grew by {} bytes: {self:?}", self.rss_growth);
        ensure!(self.health_p99 <= health, "{what}: /healthz took {:?}: {self:?}", self.health_p99);
        Ok(())
    }
}

async fn look(url: String, pid: u32, mut stopped: oneshot::Receiver<()>) -> Result<(Vec<Duration>, u64)> {
    let client = client()?;
    let (mut times, mut children_rss) = (Vec::new(), 0);
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    loop {
        ticks.tick().await;
        let began = Instant::now();
        client.get(&url).send().await?.error_for_status()?.bytes().await?;
        times.push(began.elapsed());
        let now = children(pid)?.into_iter().filter_map(|child| status(child, "VmRSS").ok()).sum();
        children_rss = children_rss.max(now);
        if stopped.try_recv().is_ok() {
            return Ok((times, children_rss));
        }
    }
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

/// Bytes that `/proc` says of a process under this name.
fn status(pid: u32, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")).with_context(|| name.to_owned())?;
    Ok(kib.trim().parse::<u64>()? << 10)
}
