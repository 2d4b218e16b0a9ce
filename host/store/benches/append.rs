//! Prints how many ledger entries per second one writer commits, by batch size and by how far a commit reaches, and the CPU time
//! that one entry takes, which other work on the machine hardly changes.
//!
//! Run it with `cargo bench --profile release -p wares-store`; `-- --quick` makes it short.

#![expect(clippy::unwrap_used, reason = "a measurement stops at the first error")]

use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wares_model::{CallId, LedgerEntry, Outcome, Timestamp, Usage};
use wares_store::{DataDir, LedgerStore as _, SqliteOptions, SqliteSync, open_sqlite};

const BATCHES: [usize; 5] = [1, 16, 64, 256, 512];
/// Different (tenant, function) pairs that the entries are spread over, as on a busy shelf.
const TENANTS: usize = 20;
const FUNCTIONS: usize = 10;

#[tokio::main]
async fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let span = Duration::from_millis(if quick { 300 } else { 3_000 });
    println!("{:>8} {:>8} {:>12} {:>14} {:>18}", "sync", "batch", "entries/s", "us per batch", "CPU us per entry");
    for sync in [SqliteSync::Normal, SqliteSync::Full] {
        for batch in BATCHES {
            let Measured { entries, elapsed, cpu } = measure(sync, batch, span).await;
            let (entries, seconds) = (entries as f64, elapsed.as_secs_f64());
            let (rate, per_batch) = (entries / seconds, seconds * 1e6 * batch as f64 / entries);
            let cpu = cpu.as_secs_f64() * 1e6 / entries;
            println!("{:>8} {batch:>8} {rate:>12.0} {per_batch:>14.0} {cpu:>18.1}", format!("{sync:?}"));
        }
    }
}

struct Measured {
    entries: usize,
    elapsed: Duration,
    cpu: Duration,
}

/// CPU time of all threads of this process.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

/// Appends batches for `span` to a new database. Making the entries is not counted.
async fn measure(sync: SqliteSync, batch: usize, span: Duration) -> Measured {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(dir.path()).unwrap();
    let store = open_sqlite(&data_dir, SqliteOptions { sync, ..SqliteOptions::default() }).await.unwrap();
    let subjects = Subjects::new();
    let (mut entries, mut elapsed, mut cpu) = (0, Duration::ZERO, Duration::ZERO);
    while elapsed < span {
        let group: Vec<_> = (0..batch).map(|i| subjects.entry(entries + i)).collect();
        let (start, cpu_start) = (Instant::now(), cpu_time());
        store.append_entries(&group).await.unwrap();
        elapsed += start.elapsed();
        cpu += cpu_time() - cpu_start;
        entries += batch;
    }
    Measured { entries, elapsed, cpu }
}

/// Texts that entries share, as calls of one host do.
struct Subjects {
    applications: Vec<Arc<str>>,
    interface: Arc<str>,
    functions: Vec<Arc<str>>,
}

impl Subjects {
    fn new() -> Self {
        Self {
            applications: (0..TENANTS).map(|i| format!("application-{i}").into()).collect(),
            interface: "benefit:matching/matching@1.0.0".into(),
            functions: (0..FUNCTIONS).map(|i| format!("function-{i}").into()).collect(),
        }
    }

    fn entry(&self, number: usize) -> LedgerEntry {
        let (tenant, function) = (number % TENANTS, number / TENANTS % FUNCTIONS);
        LedgerEntry {
            call: CallId::generate(),
            tenant: format!("tenant-t{tenant}").parse().unwrap(),
            application: self.applications.get(tenant).unwrap().clone(),
            component: "benefit:matching".parse().unwrap(),
            version: "1.2.3".parse().unwrap(),
            interface: self.interface.clone(),
            function: self.functions.get(function).unwrap().clone(),
            outcome: if number.is_multiple_of(20) { Outcome::ComponentError } else { Outcome::Ok },
            detail: None,
            started: Timestamp::now(),
            usage: Usage { cpu_us: 180, wall_us: 220, memory_peak_bytes: 1 << 21, bytes_in: 300, bytes_out: 900 },
            parent: None,
            logs: None,
            log_marks: Vec::new(),
            shadow: None,
            request_id: None,
            answer: None,
            kept: None,
        }
    }
}
