//! All figures of a run, the ratios between them, and their table.

use crate::contender::Contender;
use crate::load::Figures;
use crate::work::Work;
use crate::{mirror, shelf, swap};
use anyhow::{Context as _, Result};
use serde::Serialize;

/// Callers with which ratios are taken.
pub const CALLERS: usize = 64;

/// One contender at one work with so many callers.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Who.
    pub contender: &'static str,
    /// At what.
    pub work: &'static str,
    /// Callers at once.
    pub callers: usize,
    /// The medians over all turns.
    #[serde(flatten)]
    pub figures: Figures,
    /// CPU time of the contender per answer, in microseconds.
    pub cpu_us_per_call: f64,
}

/// Wares under loads that are not as much as it can take.
#[derive(Debug, Serialize)]
pub struct Paces {
    /// At half of what it answers at most.
    pub half_load: Figures,
    /// The CPU-bound function with as many callers as may run at once.
    pub at_capacity: Figures,
    /// The CPU-bound function at three times the rate of `at_capacity`.
    pub overload: Figures,
    /// What the function takes in plain wasmtime, in microseconds.
    pub native_us: f64,
    /// What the host says that it ran, in microseconds.
    pub run_us: f64,
}

/// Everything that a run measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// What to read: the machine's own speed cancels out.
    pub ratios: Ratios,
    /// Calls per second and latencies.
    pub calls: Vec<Row>,
    /// Half load and overload.
    pub paces: Paces,
    /// Memory and time of the shelf.
    pub shelf: shelf::Figures,
    /// Deploying on a shelf of many components.
    pub swap: swap::Figures,
    /// Following another shelf.
    pub mirror: mirror::Figures,
}

/// Calls per second over a contender's with [`CALLERS`] callers, unless the name says otherwise.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "each is what its name says")]
pub struct Ratios {
    pub fresh_vs_axum_echo: f64,
    pub reuse_vs_axum_echo: f64,
    pub fresh_vs_by_hand: f64,
    pub fresh_vs_wasmtime_serve: f64,
    pub http_vs_wasmtime_serve: f64,
    pub ledger_on_vs_off: f64,
    pub p99_half_load_vs_p50: f64,
    pub p99_10000_vs_10_versions: f64,
    pub p99_overload_vs_capacity: f64,
    pub cpu_guest_vs_native_time: f64,
}

impl Ratios {
    /// The ratios of these figures.
    pub fn of(calls: &[Row], paces: &Paces, shelf: &shelf::Figures) -> Result<Self> {
        let speed = |contender: Contender| {
            let name = contender.name();
            let row = calls
                .iter()
                .find(|row| row.contender == name && row.work == Work::Upper.name() && row.callers == CALLERS);
            row.map(|row| row.figures.calls_per_second).with_context(|| format!("{name} was not measured"))
        };
        let (fresh, serve, echo) =
            (speed(Contender::Fresh)?, speed(Contender::WasmtimeServe)?, speed(Contender::AxumEcho)?);
        Ok(Self {
            fresh_vs_axum_echo: fresh / echo,
            reuse_vs_axum_echo: speed(Contender::Kept)? / echo,
            fresh_vs_by_hand: fresh / speed(Contender::ByHand)?,
            fresh_vs_wasmtime_serve: fresh / serve,
            http_vs_wasmtime_serve: speed(Contender::Http)? / serve,
            ledger_on_vs_off: fresh / speed(Contender::Uncounted)?,
            p99_half_load_vs_p50: paces.half_load.p99_us / paces.half_load.p50_us,
            p99_10000_vs_10_versions: shelf.p99_many_us / shelf.p99_few_us,
            p99_overload_vs_capacity: paces.overload.p99_us / paces.at_capacity.p99_us,
            cpu_guest_vs_native_time: paces.run_us / paces.native_us,
        })
    }
}

impl Report {
    /// Prints it for people.
    pub fn print(&self) -> Result<()> {
        println!(
            "{:<24} {:<12} {:>7} {:>9} {:>9} {:>9} {:>12}",
            "contender", "work", "callers", "calls/s", "p50 µs", "p99 µs", "CPU µs/call"
        );
        for row in &self.calls {
            let Figures { calls_per_second, p50_us, p99_us, .. } = row.figures;
            println!(
                "{:<24} {:<12} {:>7} {calls_per_second:>9.0} {p50_us:>9.0} {p99_us:>9.0} {:>12.1}",
                row.contender, row.work, row.callers, row.cpu_us_per_call
            );
        }
        for (title, figures) in [
            ("ratios", serde_json::to_value(&self.ratios)?),
            ("paces", serde_json::to_value(&self.paces)?),
            ("shelf", serde_json::to_value(&self.shelf)?),
            ("swap", serde_json::to_value(&self.swap)?),
            ("mirror", serde_json::to_value(&self.mirror)?),
        ] {
            println!("\n{title}");
            for (name, value) in figures.as_object().into_iter().flatten() {
                match value.as_object() {
                    None => println!("  {name:<28} {:>10.2}", value.as_f64().unwrap_or_default()),
                    Some(parts) => {
                        let parts = parts
                            .iter()
                            .map(|(part, value)| format!("{part} {:.0}", value.as_f64().unwrap_or_default()));
                        println!("  {name:<28} {}", parts.collect::<Vec<_>>().join(", "));
                    }
                }
            }
        }
        Ok(())
    }
}
