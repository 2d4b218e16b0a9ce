//! `./tests/bench`: Wares beside its peers, in turn, in one run.
//!
//! Ratios are what to read: the machine's own speed cancels out. `--json FILE` writes all figures.

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use wares_bench::contender::{self, Contender, Running};
use wares_bench::load::{self, Figures, Pace, Request};
use wares_bench::report::{CALLERS, Paces, Ratios, Report, Row};
use wares_bench::work::Work;
use wares_bench::{by_hand, chain, mirror, process, shelf, swap};
use wares_it::guests;

/// The release of wasmtime's own server to measure: the line that the host is built with.
const WASMTIME_CLI: &str = "48.0.8";
const WASMTIME_CLI_FEATURES: &str = "run,serve,wasi-http,cranelift,compile,pooling-allocator,component-model,component-model-async,parallel-compilation,cache,wat";
/// What draws the plot.
const MATPLOTLIB: &str = "matplotlib==3.10.*";
/// Time for which a contender is called before it is measured.
const WARM_UP: Duration = Duration::from_millis(500);
/// Connections that keep an overload coming.
const OVERLOAD_CALLERS: usize = 1_024;
/// Rounds of `mix` to find out how many take a millisecond.
const ROUNDS_TRIED: u32 = 1_000_000;

/// Measures JSON calls and HTTP components against a bare echo, a hand-written loop and `wasmtime serve`.
#[derive(Debug, Parser)]
struct Options {
    /// Callers at once [default: 1,64; long: 1,16,64,256]
    #[arg(long, value_delimiter = ',')]
    callers: Vec<usize>,
    /// Seconds per measurement [default: 2; long: 5]
    #[arg(long)]
    seconds: Option<u64>,
    /// Turns of all contenders; the medians are reported [default: 3; long: 5]
    #[arg(long)]
    turns: Option<usize>,
    /// Versions on the full shelf
    #[arg(long, default_value_t = 10_000)]
    versions: usize,
    /// Measure longer, with more numbers of callers
    #[arg(long)]
    long: bool,
    /// Measure deployments on a shelf of many components and copies of it, and nothing else
    #[arg(long)]
    swap: bool,
    /// Measure components that call each other, and nothing else
    #[arg(long)]
    chain: bool,
    /// Write all figures to this file
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw the plots PATH.svg and PATH.png
    #[arg(long, default_value = "target/bench/calls", value_name = "PATH")]
    plot: PathBuf,
    /// Serve one contender; the benchmark starts itself this way
    #[arg(long, hide = true)]
    serve: Option<Contender>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(contender) = options.serve {
        return contender::serve(contender).await;
    }
    if options.swap {
        let figures = serde_json::json!({"swap": swap::measure().await?, "mirror": mirror::measure().await?});
        println!("{}", serde_json::to_string_pretty(&figures)?);
        return Ok(());
    }
    if options.chain {
        println!("{}", serde_json::to_string_pretty(&chain::measure(&[1, 16]).await?)?);
        return Ok(());
    }
    let plot = options.plot.clone();
    prepare()?;
    let rounds = rounds_of_a_millisecond().await?;
    let mut running = Vec::new();
    for contender in Contender::ALL {
        running.push(contender.start().await?);
    }
    let calls = measure_calls(&options, &running, rounds).await?;
    let paces = measure_paces(&running, rounds, &calls).await?;
    drop(running);
    let shelf = shelf::measure(options.versions).await?;
    let (swap, mirror) = (swap::measure().await?, mirror::measure().await?);
    let report = Report { ratios: Ratios::of(&calls, &paces, &shelf)?, calls, paces, shelf, swap, mirror };
    report.print()?;
    let json = options.json.unwrap_or_else(|| plot.with_extension("json"));
    for path in [&json, &plot] {
        std::fs::create_dir_all(path.parent().context("a path without a folder")?)?;
    }
    std::fs::write(&json, serde_json::to_vec_pretty(&report)?).with_context(|| json.display().to_string())?;
    draw(&json, &plot)
}

/// Builds what is measured beside the host: the guests, and wasmtime's own server, which is kept for later runs.
fn prepare() -> Result<()> {
    let root = guests::root();
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

/// Draws the plots, with matplotlib in a folder of its own.
fn draw(json: &Path, plot: &Path) -> Result<()> {
    let root = guests::root();
    let python = root.join("target/tools/plot");
    if !python.join("bin/python").is_file() {
        run(Command::new("python3").args(["-m", "venv"]).arg(&python))
            .context("making a Python environment: install python3 with venv (apt-get install python3-venv)")?;
        run(Command::new(python.join("bin/pip")).args(["install", "--quiet", MATPLOTLIB]))?;
    }
    let (svg, png) = (plot.with_extension("svg"), plot.with_extension("png"));
    let script = root.join("tests/benchmark/plot.py");
    run(Command::new(python.join("bin/python")).arg(script).arg(json).arg(&svg).arg(&png))?;
    println!("\nfigures: {}\nplots: {}, {}", json.display(), svg.display(), png.display());
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}

async fn rounds_of_a_millisecond() -> Result<u32> {
    let time = by_hand::time_of_mix(ROUNDS_TRIED).await?;
    Ok((f64::from(ROUNDS_TRIED) * 1e-3 / time.as_secs_f64()) as u32)
}

/// All contenders in turn, so that a change of the machine's speed meets them all.
async fn measure_calls(options: &Options, running: &[Running], rounds: u32) -> Result<Vec<Row>> {
    let time = Duration::from_secs(options.seconds.unwrap_or(if options.long { 5 } else { 2 }));
    let turns = options.turns.unwrap_or(if options.long { 5 } else { 3 });
    let callers = match (options.callers.is_empty(), options.long) {
        (false, _) => options.callers.clone(),
        (true, true) => vec![1, 16, CALLERS, 256],
        (true, false) => vec![1, CALLERS],
    };
    let mut rows = Vec::new();
    for work in [Work::Upper, Work::Add, Work::Rank, Work::Mix(rounds)] {
        let able: Vec<&Running> = running.iter().filter(|running| running.contender().does(work)).collect();
        // The ratios are of `Upper`; of other work one number of callers says enough, unless more is asked for.
        let callers = if work == Work::Upper || options.long { callers.clone() } else { vec![CALLERS] };
        for callers in callers {
            rows.extend(take_turns(&able, work, callers, turns, time).await?);
        }
    }
    Ok(rows)
}

async fn take_turns(able: &[&Running], work: Work, callers: usize, turns: usize, time: Duration) -> Result<Vec<Row>> {
    let mut measured: Vec<Vec<(Figures, f64)>> = vec![Vec::new(); able.len()];
    for _ in 0..turns {
        for (running, measured) in able.iter().zip(&mut measured) {
            let request = running.request(work).await?;
            load::run(&request, callers, Pace::Closed, WARM_UP).await?;
            let cpu = process::cpu_time(running.pid())?;
            let figures = load::run(&request, callers, Pace::Closed, time).await?;
            let cpu = (process::cpu_time(running.pid())? - cpu).as_secs_f64() * 1e6;
            measured.push((figures, cpu / (figures.calls_per_second * time.as_secs_f64())));
        }
    }
    let row = |(running, measured): (&&Running, Vec<(Figures, f64)>)| Row {
        contender: running.contender().name(),
        work: work.name(),
        callers,
        figures: Figures {
            calls_per_second: median(&measured, |(figures, _)| figures.calls_per_second),
            p50_us: median(&measured, |(figures, _)| figures.p50_us),
            p99_us: median(&measured, |(figures, _)| figures.p99_us),
            refused_per_second: median(&measured, |(figures, _)| figures.refused_per_second),
        },
        cpu_us_per_call: median(&measured, |(_, cpu)| *cpu),
    };
    Ok(able.iter().zip(measured).map(row).collect())
}

fn median<T>(measured: &[T], of: impl Fn(&T) -> f64) -> f64 {
    let mut values: Vec<f64> = measured.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

async fn measure_paces(running: &[Running], rounds: u32, calls: &[Row]) -> Result<Paces> {
    let time = Duration::from_secs(4);
    let fresh = running.iter().find(|running| running.contender() == Contender::Fresh).context("no contender")?;
    let most = calls.iter().find(|row| {
        row.contender == Contender::Fresh.name() && row.work == Work::Upper.name() && row.callers == CALLERS
    });
    let most = most.context("no figure of a full load")?.figures.calls_per_second;
    let request = fresh.request(Work::Upper).await?;
    let half_load = load::run(&request, CALLERS, Pace::Open(most / 2.0), time).await?;
    let busy = fresh.request(Work::Mix(rounds)).await?;
    let at_capacity = load::run(&busy, CALLERS, Pace::Closed, time).await?;
    let three_times = Pace::Open(3.0 * at_capacity.calls_per_second);
    load::run(&busy, OVERLOAD_CALLERS, three_times, WARM_UP).await?;
    let overload = load::run(&busy, OVERLOAD_CALLERS, three_times, time * 2).await?;
    let native_us = by_hand::time_of_mix(rounds).await?.as_secs_f64() * 1e6;
    Ok(Paces { half_load, at_capacity, overload, native_us, run_us: run_us(&busy).await? })
}

/// The shortest of several runs, as the host reports them.
async fn run_us(request: &Request) -> Result<f64> {
    let mut shortest = f64::INFINITY;
    for _ in 0..50 {
        let timing = request.header("server-timing").await?;
        let run = timing.split(", ").find_map(|part| part.strip_prefix("run;dur=")).context("run")?;
        shortest = shortest.min(run.parse::<f64>()? * 1e3);
    }
    Ok(shortest)
}
