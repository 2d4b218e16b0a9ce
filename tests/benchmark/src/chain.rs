//! Components that call each other: what a hop of a chain costs beside a call from outside.

use crate::contender::start_host;
use crate::load::{self, Pace, Request};
use anyhow::{Result, ensure};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use wares_it::guests;

/// Components of the chain.
const LENGTH: u32 = 5;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(3);
/// Turns of both; the medians are reported.
const TURNS: usize = 5;

/// Times in microseconds.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Callers at once.
    pub callers: usize,
    /// A call of the chain's end alone: the time of one call, over all callers.
    pub direct_us: f64,
    /// A call of the whole chain.
    pub chain_us: f64,
    /// What one more component adds.
    pub hop_us: f64,
    /// The same in direct calls.
    pub hop_ratio: f64,
}

/// Measures a chain on a new shelf.
pub async fn measure(callers: &[usize]) -> Result<Vec<Figures>> {
    let data = tempfile::tempdir()?;
    let host = start_host(data.path()).await?;
    let key = host.tenant("bench").await?;
    let link = |at: u32| format!("link{at}");
    let end = link(LENGTH - 1);
    host.publish_and_deploy(guests::link_end(&end, 0, "")?, &format!("test:{end}"), "1.0.0").await?;
    for at in (0..LENGTH - 1).rev() {
        let (own, next) = (link(at), link(at + 1));
        let grants = json!({"grants": {"components": [format!("test:{next}")]}});
        host.put(&format!("/v1/components/test/{own}/grants"), grants).await?;
        host.publish_and_deploy(guests::link(&own, &next, 1)?, &format!("test:{own}"), "1.0.0").await?;
    }
    let addr = host.url.trim_start_matches("http://").parse()?;
    let request = |at| Request::new(addr, &format!("/v1/call/test/{}/links/go", link(at)), Some(&key), "{\"n\":0}");
    let (direct, chain) = (request(LENGTH - 1), request(0));
    ensure!(chain.once().await?.trim() == (LENGTH - 1).to_string(), "the chain answers");
    let mut figures = Vec::new();
    for callers in callers {
        let (mut direct_us, mut chain_us) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            direct_us.push(time(&direct, *callers).await?);
            chain_us.push(time(&chain, *callers).await?);
        }
        let (direct_us, chain_us) = (median(direct_us), median(chain_us));
        let hop_us = (chain_us - direct_us) / f64::from(LENGTH - 1);
        figures.push(Figures { callers: *callers, direct_us, chain_us, hop_us, hop_ratio: hop_us / direct_us });
    }
    Ok(figures)
}

/// Microseconds per call, over all callers.
async fn time(request: &Request, callers: usize) -> Result<f64> {
    load::run(request, callers, Pace::Closed, WARM_UP).await?;
    let figures = load::run(request, callers, Pace::Closed, MEASURED).await?;
    ensure!(figures.refused_per_second == 0.0, "calls were refused");
    Ok(1e6 / figures.calls_per_second)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
