//! Components that a generator makes, deep and wide: each is taken or refused soon, and nobody else feels it.

use super::bounds;
use crate::watch::{Neighbour, Watch};
use anyhow::{Context as _, Result, ensure};
use arbitrary::Unstructured;
use std::time::{Duration, Instant};
use wares_it::host::Host;
use wares_model::Digest;
use wasm_smith::{Component, Config};

/// Components that are tried.
const COUNT: usize = 60;
/// Bytes that a component is made from.
const CHOICES_BYTES: usize = 256 << 10;
/// In which each is answered.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
/// By which the host may grow meanwhile.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// Bytes like random ones, always the same for a number.
fn choices(number: usize) -> Vec<u8> {
    let part = |at: usize| Digest::of(format!("{number}/{at}").as_bytes()).hex();
    (0..CHOICES_BYTES / 64).flat_map(|at| part(at).into_bytes()).collect()
}

/// More of everything than components that people make have.
fn component(number: usize) -> Option<Vec<u8>> {
    let config = Config {
        max_aliases: 10_000,
        max_components: 1_000,
        max_exports: 1_000,
        max_imports: 1_000,
        max_instances: 1_000,
        max_modules: 100,
        max_nesting_depth: 200,
        max_type_size: 100_000,
        max_types: 10_000,
        ..Config::default()
    };
    let choices = choices(number);
    Some(Component::new(config, &mut Unstructured::new(&choices)).ok()?.to_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_components_are_answered_soon_and_felt_by_nobody() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let watch = Watch::begin(&host, &Neighbour::new(&host).await?).await?;
    let (mut tried, mut bytes) = (0, 0);
    for number in 0..COUNT {
        let Some(wasm) = component(number) else { continue };
        (tried, bytes) = (tried + 1, bytes + wasm.len());
        let began = Instant::now();
        let query = format!("name=test:made{number}&version=1.0.0&compile=later");
        let answer = host.publish(wasm, &query).await.with_context(|| format!("component {number}"))?;
        let took = began.elapsed();
        ensure!(matches!(answer.status().as_u16(), 201 | 422), "component {number}: {}", answer.text().await?);
        ensure!(took < ANSWERED_WITHIN, "component {number} was answered after {took:?}");
    }
    println!("{tried} components of {bytes} bytes");
    ensure!(tried > COUNT / 2, "only {tried} components could be made");
    watch.end("generated components", bounds(GROWTH_BYTES_MAX)).await
}
