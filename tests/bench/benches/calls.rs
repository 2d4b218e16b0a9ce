//! `cargo bench -p wares-bench`: Wares beside its peers, in turn, in one run.
//!
//! Ratios are what to read: the machine's own speed cancels out. `--json FILE` writes all figures.

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use serde::Serialize;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use wares_bench::contender::{self, Contender, Running};
use wares_bench::load::{self, Figures};
use wares_bench::shelf;
use wares_it::guests;

/// The release of wasmtime's own server to measure: the line that the host is built with.
const WASMTIME_CLI: &str = "48.0.8";
const WASMTIME_CLI_FEATURES: &str = "run,serve,wasi-http,cranelift,compile,pooling-allocator,component-model,component-model-async,parallel-compilation,cache,wat";
/// Time for which a contender is called before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// Measures a JSON call on a fresh instance against a bare echo, a hand-written loop and `wasmtime serve`.
#[derive(Debug, Parser)]
struct Options {
    /// Callers at once.
    #[arg(long, value_delimiter = ',', default_value = "1,64")]
    callers: Vec<usize>,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Turns of all contenders; the medians are reported.
    #[arg(long, default_value_t = 3)]
    turns: usize,
    /// Versions on the shelf for the restart.
    #[arg(long, default_value_t = 1_000)]
    versions: usize,
    /// Writes all figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Serves one contender; the benchmark starts itself this way.
    #[arg(long, hide = true)]
    serve: Option<Contender>,
    /// What `cargo bench` passes.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Serialize)]
struct Row {
    contender: &'static str,
    callers: usize,
    #[serde(flatten)]
    figures: Figures,
}

#[derive(Debug, Serialize)]
struct Report {
    ratios: Ratios,
    calls: Vec<Row>,
    shelf: shelf::Figures,
}

/// Calls per second of Wares with 64 callers, or the most that were measured, over a contender's.
#[derive(Debug, Serialize)]
struct Ratios {
    fresh_vs_axum_echo: f64,
    fresh_vs_by_hand: f64,
    fresh_vs_wasmtime_serve: f64,
}

const ALL: [Contender; 4] = [Contender::AxumEcho, Contender::ByHand, Contender::WasmtimeServe, Contender::Wares];

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(contender) = options.serve {
        return contender::serve(contender).await;
    }
    prepare()?;
    let calls = measure_calls(&options).await?;
    let shelf = shelf::measure(options.versions).await?;
    let report = Report { ratios: ratios(&calls)?, calls, shelf };
    print(&report);
    if let Some(path) = &options.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Builds what is measured: the host, the guests, and wasmtime's own server, which is kept for later runs.
fn prepare() -> Result<()> {
    let root = guests::root();
    run(Command::new("cargo").args(["build", "--release"]).current_dir(&root))?;
    run(Command::new(wares_it::host::binary()?).args(["build", "tests/guests"]).current_dir(&root))?;
    let tools = root.join("target/tools");
    if !tools.join("bin/wasmtime").is_file() {
        eprintln!("building wasmtime-cli {WASMTIME_CLI}, once; this takes minutes");
        let mut install = Command::new("cargo");
        install.args(["install", "--locked", "--quiet", "wasmtime-cli", "--version", WASMTIME_CLI]);
        install.args(["--no-default-features", "--features", WASMTIME_CLI_FEATURES, "--root"]).arg(&tools);
        run(&mut install)?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}

/// All contenders in turn, so that a change of the machine's speed meets them all.
async fn measure_calls(options: &Options) -> Result<Vec<Row>> {
    let time = Duration::from_secs(options.seconds);
    let mut running: Vec<(Contender, Running)> = Vec::new();
    for contender in ALL {
        running.push((contender, contender.start().await?));
    }
    let mut rows = Vec::new();
    for callers in &options.callers {
        let mut turns: Vec<Vec<Figures>> = vec![Vec::new(); running.len()];
        for _ in 0..options.turns {
            for ((_, running), figures) in running.iter().zip(&mut turns) {
                load::run(&running.request, *callers, WARM_UP).await?;
                figures.push(load::run(&running.request, *callers, time).await?);
            }
        }
        for ((contender, _), figures) in running.iter().zip(turns) {
            rows.push(Row { contender: contender.name(), callers: *callers, figures: median(&figures) });
        }
    }
    Ok(rows)
}

fn median(turns: &[Figures]) -> Figures {
    let middle = |of: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = turns.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Figures {
        calls_per_second: middle(|figures| figures.calls_per_second),
        p50_us: middle(|figures| figures.p50_us),
        p99_us: middle(|figures| figures.p99_us),
    }
}

fn ratios(rows: &[Row]) -> Result<Ratios> {
    let most = rows.iter().map(|row| row.callers).max().context("no callers")?;
    let callers = if rows.iter().any(|row| row.callers == 64) { 64 } else { most };
    let speed = |contender: Contender| {
        let row = rows.iter().find(|row| row.contender == contender.name() && row.callers == callers);
        row.map(|row| row.figures.calls_per_second).context("a contender was not measured")
    };
    let wares = speed(Contender::Wares)?;
    Ok(Ratios {
        fresh_vs_axum_echo: wares / speed(Contender::AxumEcho)?,
        fresh_vs_by_hand: wares / speed(Contender::ByHand)?,
        fresh_vs_wasmtime_serve: wares / speed(Contender::WasmtimeServe)?,
    })
}

fn print(report: &Report) {
    println!("{:<26} {:>8} {:>10} {:>10} {:>10}", "contender", "callers", "calls/s", "p50 µs", "p99 µs");
    for row in &report.calls {
        let Figures { calls_per_second, p50_us, p99_us } = row.figures;
        println!("{:<26} {:>8} {calls_per_second:>10.0} {p50_us:>10.0} {p99_us:>10.0}", row.contender, row.callers);
    }
    let Ratios { fresh_vs_axum_echo, fresh_vs_by_hand, fresh_vs_wasmtime_serve } = report.ratios;
    println!(
        "\nwares over bare axum echo {fresh_vs_axum_echo:.2}, over by hand {fresh_vs_by_hand:.2}, over wasmtime serve {fresh_vs_wasmtime_serve:.2}"
    );
    let shelf = &report.shelf;
    println!(
        "publish {:.0} ms, deploy {:.1} ms, first call {:.1} ms, {:.0} MiB resident",
        shelf.publish_ms, shelf.deploy_ms, shelf.first_call_ms, shelf.memory_mib
    );
    println!(
        "with {} versions: {:.0} MiB resident; restart to first answer {:.0} ms, then {:.0} MiB",
        shelf.versions, shelf.memory_full_mib, shelf.restart_ms, shelf.memory_restarted_mib
    );
}
