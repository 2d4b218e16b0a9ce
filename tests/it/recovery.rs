//! What fails recovers by itself: after a fault of the disk everything works again, without a restart, and nothing is lost or
//! made up meanwhile.

mod changes;
mod damage;
mod disk;
mod shelf;

use crate::faults::attach;
use anyhow::{Context as _, Result};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use wares_it::host::Host;
use wares_it::wait;

/// In which a host works again after a fault.
const RECOVERY_MAX: Duration = Duration::from_secs(5);
/// For a tracer to let go of what it traces when it is asked to.
const LIFT_MAX: Duration = Duration::from_secs(5);
/// Longest wait for a tracer, and for what a host does by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so, and says how long that took.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> Result<bool>) -> Result<Duration> {
    let began = Instant::now();
    wait::until(what, async || Ok(is_so().await?.then_some(()).ok_or("that it is not so"))).await?;
    Ok(began.elapsed())
}

/// What `/readyz` says: the status and the whole document.
pub(crate) async fn readiness(host: &Host) -> Result<(u16, Value)> {
    let answer = reqwest::get(format!("{}/readyz", host.url)).await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

/// Calls of the kernel that fail for a process, until this is dropped or released.
pub(crate) struct Fault {
    tracer: Child,
    report: PathBuf,
}

impl Fault {
    /// Has these calls of the host fail: `pwrite64:error=ENOSPC:when=2`, as strace's `--inject` takes it.
    pub(crate) async fn inject(host: &Host, injection: &str, report: &Path) -> Result<Self> {
        let pid = host.pid().context("pid")?.to_string();
        let calls = injection.split(':').next().context("calls")?;
        let mut command = Command::new("strace");
        command.args(["-f", "-e", &format!("trace={calls}"), "-e", &format!("inject={injection}"), "-p", &pid, "-o"]);
        command.arg(report);
        let tracer = attach(command).await?;
        Ok(Self { tracer, report: report.to_owned() })
    }

    /// Ends it, and says how many calls failed.
    pub(crate) async fn lift(mut self) -> Result<usize> {
        let pid = self.tracer.id().and_then(|pid| rustix::process::Pid::from_raw(pid.try_into().ok()?));
        rustix::process::kill_process(pid.context("the tracer has ended")?, rustix::process::Signal::INT)?;
        if tokio::time::timeout(LIFT_MAX, self.tracer.wait()).await.is_err() {
            // It waits for a process that was being started just then. What it traces goes on when it is killed.
            self.tracer.kill().await?;
        }
        Ok(tokio::fs::read_to_string(&self.report).await?.matches("(INJECTED)").count())
    }
}
