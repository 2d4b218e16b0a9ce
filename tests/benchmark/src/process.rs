//! What a measured process uses: CPU time and memory, as the kernel counts them.

use anyhow::{Context as _, Result};
use std::time::Duration;

/// CPU time of a process, in user and kernel mode, over all its threads.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The command's name, in parentheses, may hold anything; times are fields 14 and 15 of proc_pid_stat(5).
    let (_, fields) = stat.rsplit_once(')').context("stat")?;
    let ticks: Vec<u64> = fields.split_whitespace().skip(11).take(2).map(str::parse).collect::<Result<_, _>>()?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks.iter().sum::<u64>() as f64 / per_second as f64))
}

/// Memory of a process that is resident, in KiB.
pub fn resident_kib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
