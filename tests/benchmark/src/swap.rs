//! The hot swap on a shelf of many components: from asking for a deployment to the first answer of the version it names.

use crate::contender::start_host;
use crate::shelf::{publish, timed};
use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use serde_json::json;
use std::fmt::Write as _;
use wares_it::guests;
use wares_it::host::{Host, success};

/// Components on the shelf.
const COMPONENTS: usize = 1_000;
/// Deployments measured.
const SWAPS: usize = 1_000;
/// Bytes of a component whose publication is measured.
const PUBLISHED_BYTES: usize = 64 << 10;
/// Publications measured.
const PUBLICATIONS: u32 = 9;

/// Times in milliseconds.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Components on the shelf.
    pub components: usize,
    /// Median of the time from the request for a deployment to the answer of the first call that its version serves.
    pub deploy_to_call_p50_ms: f64,
    /// 99th percentile of the same.
    pub deploy_to_call_p99_ms: f64,
    /// Median of publishing a component of 64 KiB, compilation included.
    pub publish_64k_ms: f64,
}

/// Measures a new shelf.
pub async fn measure() -> Result<Figures> {
    let data = tempfile::tempdir()?;
    let host = start_host(data.path()).await?;
    let key = host.tenant("bench").await?;
    publish(&host, 0..COMPONENTS).await?;
    let mut publications = Vec::new();
    for seed in 1..=PUBLICATIONS {
        let (wasm, query) = (sized(PUBLISHED_BYTES, seed)?, format!("name=bench:sized&version=1.0.{seed}"));
        publications.push(timed(async { Ok(host.publish(wasm, &query).await?.error_for_status()?) }).await?.0);
    }
    for (number, version) in [(1, "1.0.0"), (2, "2.0.0")] {
        host.publish_and_deploy(guests::number(number)?, "bench:swap", version).await?;
    }
    let mut swaps = Vec::new();
    for swap in 0..SWAPS {
        swaps.push(timed(one_swap(&host, &key, swap)).await?.0);
    }
    Ok(Figures {
        components: COMPONENTS,
        deploy_to_call_p50_ms: quantile(&mut swaps, 0.5)?,
        deploy_to_call_p99_ms: quantile(&mut swaps, 0.99)?,
        publish_64k_ms: quantile(&mut publications, 0.5)?,
    })
}

async fn one_swap(host: &Host, key: &str, swap: usize) -> Result<()> {
    let (version, number) = if swap.is_multiple_of(2) { ("1.0.0", 1) } else { ("2.0.0", 2) };
    host.deploy("bench/swap", version).await?;
    let answer = success(host.call("bench/swap/numbers/number", key, &json!({})).await?).await?;
    ensure!(answer == json!(number), "{version} was deployed, and the answer is {answer}");
    Ok(())
}

fn quantile(values: &mut [f64], of: f64) -> Result<f64> {
    values.sort_by(f64::total_cmp);
    values.get((values.len() as f64 * of) as usize).copied().context("no measurement")
}

/// A component of about so many bytes, all of it code; another one for each seed.
fn sized(bytes: usize, seed: u32) -> Result<Vec<u8>> {
    const TRIED: usize = 100;
    let of_one = with_functions(TRIED, seed)?.len() / TRIED;
    with_functions(bytes / of_one, seed)
}

fn with_functions(count: usize, seed: u32) -> Result<Vec<u8>> {
    let mut text = "(component (core module $m (memory 1)".to_owned();
    for number in 0..count {
        let _ = write!(text, "(func $f{number} (param i32) (result i32) (local i32)");
        for line in 0..8 {
            let constant = (number as u32).wrapping_mul(31).wrapping_add(line * 7 + seed) % 8_000;
            let _ = write!(
                text,
                "(local.set 1 (i32.xor (i32.mul (local.get 0) (i32.const {constant})) (i32.load (i32.const {constant}))))"
            );
        }
        text.push_str("(local.get 1))");
    }
    text.push_str(
        "(func (export \"first\") (result i32) (call $f0 (i32.const 1)))) (core instance $i (instantiate $m))",
    );
    text.push_str("(func (export \"first\") (result u32) (canon lift (core func $i \"first\"))))");
    Ok(wat::parse_str(text)?)
}
