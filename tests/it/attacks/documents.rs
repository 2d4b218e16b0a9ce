//! Components whose documents would be large: what anybody may ask for stays within bounds.

use super::measure::Watch;
use anyhow::Result;
use std::fmt::Write as _;
use std::time::Duration;
use wares_it::host::{Host, code, problem, success};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// By which the host may grow while it makes the largest documents.
const RSS_GROWTH_MAX: u64 = 128 << 20;
/// In which others are answered meanwhile.
const HEALTH_MAX: Duration = Duration::from_millis(100);

/// A component that implements the only world of `wit`.
fn of_wit(wit: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("world.wit", wit)?;
    let world = resolve.select_world(&[package], None)?;
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.encode()
}

/// Functions that all take and give the last of many types, each of which holds the one before.
fn sharing(types: usize, functions: usize) -> Result<Vec<u8>> {
    let mut wit = "package a:b; interface i { record t0 { x: u64 }\n".to_owned();
    for n in 1..types {
        let before = n - 1;
        let fields = (0..8).map(|field| format!("field-{field}: t{before}")).collect::<Vec<_>>().join(", ");
        writeln!(wit, "record t{n} {{ here: u64, {fields} }}")?;
    }
    for n in 0..functions {
        writeln!(wit, "call{n}: func(it: list<t{0}>) -> list<t{0}>;", types - 1)?;
    }
    wit.push_str("} world w { export i; }");
    of_wit(&wit)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_functions_share_is_written_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let publish = "name=test:sharing&version=1.0.0&compile=later";
    success(host.publish(sharing(5, 2)?, publish).await?).await?;
    let path = "/v1/components/test/sharing/versions/1.0.0";
    let shown = host.get(path).await?;
    let argument = &shown["functions"][1]["arguments-schema"]["properties"]["it"]["items"]["$ref"];
    assert_eq!(argument, "#/$defs/t4-input", "{shown:#}");
    assert!(shown["$defs"]["t0-input"].is_object() && shown["$defs"]["t0"].is_object(), "{shown:#}");

    // As many types and functions as the bounds of documents leave room for.
    success(host.publish(sharing(60, 1_500)?, "name=test:many&version=1.0.0&compile=later").await?).await?;
    let watch = Watch::begin(&host).await?;
    for path in ["/v1/components/test/many/versions/1.0.0", "/v1/components/test/many/openapi.json"] {
        host.get(path).await?;
    }
    watch.end().await?.within("documents of 1,500 functions", RSS_GROWTH_MAX, HEALTH_MAX)?;

    let (status, document) =
        problem(host.publish(sharing(6_000, 1_900)?, "name=test:more&version=1.0.0&compile=later").await?).await?;
    assert_eq!((status, code(&document)), (422, "invalid-component"), "{document:#}");
    Ok(())
}
