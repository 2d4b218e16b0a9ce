//! Components whose documents would be large: what anybody may ask for stays within bounds.

use super::bounds;
use crate::watch::{Neighbour, Watch};
use anyhow::Result;
use std::fmt::Write as _;
use wares_it::host::{Host, code, problem, success};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// By which the host may grow while it makes the largest documents.
const RSS_GROWTH_MAX: u64 = 128 << 20;

/// A component that implements the only world of `wit`.
fn of_wit(wit: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("world.wit", wit)?;
    let world = resolve.select_world(&[package], None)?;
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.encode()
}

/// Functions that all take and give one variant of many records.
fn sharing(records: usize, functions: usize) -> Result<Vec<u8>> {
    let fields = (0..8).map(|field| format!("field{field}: u64")).collect::<Vec<_>>().join(", ");
    let cases = (0..records).map(|n| format!("case{n}(record{n})")).collect::<Vec<_>>().join(", ");
    let mut wit = format!("package a:b; interface i {{ variant every {{ {cases} }}\n");
    for n in 0..records {
        writeln!(wit, "record record{n} {{ {fields} }}")?;
    }
    for n in 0..functions {
        writeln!(wit, "call{n}: func(it: list<every>) -> list<every>;")?;
    }
    wit.push_str("} world w { export i; }");
    of_wit(&wit)
}

/// Functions that take what has no name and has to be written out.
fn unnamed(functions: usize) -> Result<Vec<u8>> {
    let tuple = vec!["u64"; 100].join(", ");
    let mut wit = "package a:b; interface i {\n".to_owned();
    for n in 0..functions {
        writeln!(wit, "call{n}: func(it: tuple<{tuple}>);")?;
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
    assert_eq!(argument, "#/$defs/every-input", "{shown:#}");
    assert!(shown["$defs"]["record0-input"].is_object() && shown["$defs"]["record0"].is_object(), "{shown:#}");

    // About as many places of types as a component may have at all.
    success(host.publish(sharing(60, 300)?, "name=test:many&version=1.0.0&compile=later").await?).await?;
    let watch = Watch::begin(&host, &Neighbour::new(&host).await?).await?;
    for path in ["/v1/components/test/many/versions/1.0.0", "/v1/components/test/many/openapi.json"] {
        host.get(path).await?;
    }
    watch.end("documents of 300 functions", bounds(RSS_GROWTH_MAX)).await?;

    let refused = host.publish(unnamed(600)?, "name=test:more&version=1.0.0&compile=later").await?;
    let (status, document) = problem(refused).await?;
    assert_eq!((status, code(&document)), (422, "invalid-component"), "{document:#}");
    let detail = document["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("places of types in its schemas"), "{document:#}");
    Ok(())
}
