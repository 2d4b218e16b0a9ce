//! Components that are dear to read: each is refused soon, and nobody else feels it.

use super::bounds;
use super::wasm::{
    component, core_types, custom, leb, list, module, nested_components, nested_lists, nested_types, section, text,
};
use crate::watch::{Neighbour, Watch};
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};
use wares_it::guests;
use wares_it::host::{Host, code, problem};

/// In which such a component is refused.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);
/// By which the host may grow meanwhile, its bytes included.
const RSS_GROWTH_MAX: u64 = 64 << 20;
/// Bytes of what it is answered with.
const DETAIL_BYTES_MAX: usize = 5_000;

/// An attack, and a word of what it is answered with.
type Attack = (&'static str, &'static str, fn() -> Vec<u8>);

const ATTACKS: [Attack; 21] = [
    ("component types, 966 deep", "types written within each other", || {
        include_bytes!("deep-component-types.wasm").to_vec()
    }),
    ("component types, 600,000 deep", "types written within each other", || nested_types(0x41, 600_000)),
    ("instance types, 966 deep", "types written within each other", || nested_types(0x42, 966)),
    ("instance types, 65 deep", "types written within each other", || nested_types(0x42, 65)),
    ("types in types, each with others before it", "types written within each other", || {
        let level = [0x42, 3, 0, 0x60, 0, 0, 1, 0x70, 0x7d, 1];
        component(&[list(7, 1, &[level.repeat(1_000).as_slice(), &[0x42, 0]].concat())])
    }),
    ("component types in a nested component", "types written within each other", || {
        component(&[section(4, &nested_types(0x41, 5_000))])
    }),
    ("components, 40,000 deep", "components within each other", || nested_components(40_000)),
    ("components, 65 deep", "components within each other", || nested_components(65)),
    ("60,000 components beside each other", "modules and components", || {
        component(&[section(4, &component(&[])).repeat(60_000)])
    }),
    ("60,000 modules beside each other", "modules and components", || {
        component(&[section(1, &module(&[])).repeat(60_000)])
    }),
    ("lists of lists, 10,000 deep", "type nesting is too deep", || nested_lists(10_000)),
    ("20 million types of core modules", "types of core modules", || core_types(20, 1_000_000)),
    ("core types of the component", "bytes of types", || component(&[list(3, 900_000, &[0x60, 0, 0].repeat(900_000))])),
    ("aliases", "bytes of types", || {
        let aliases = [3, 2, 0, 0].repeat(600_000);
        component(&[list(7, 1, &[0x70, 0x7d]), list(6, 600_000, &aliases)])
    }),
    ("imports with long names", "", || {
        let name = text(&"a".repeat(99_000));
        let import = [&[0], name.as_slice(), &[1, 0]].concat();
        component(&[list(7, 1, &[0x40, 0, 1, 0]), list(10, 20, &import.repeat(20))])
    }),
    ("exports", "bytes of types", || {
        let exports: Vec<u8> =
            (0..200_000).flat_map(|n| [&[0], text(&format!("f{n}")).as_slice(), &[1, 0, 0]].concat()).collect();
        component(&[list(7, 1, &[0x40, 0, 1, 0]), list(10, 1, b"\0\x01g\x01\0"), list(11, 200_000, &exports)])
    }),
    ("an instance of many types, imported often", "", || {
        let of_type = |n: usize| {
            let name = text(&format!("t{n}"));
            [&[1, 0x70, 0x7d, 4, 0], name.as_slice(), &[3, 0], &leb(2 * n)].concat()
        };
        let types: Vec<u8> = (0..40_000).flat_map(of_type).collect();
        let import = |n: usize| [&[0], text(&format!("i{n}")).as_slice(), &[5, 0]].concat();
        let imports: Vec<u8> = (0..900).flat_map(import).collect();
        let instance = [&[0x42], leb(80_000).as_slice(), &types].concat();
        component(&[list(7, 1, &instance), list(10, 900, &imports)])
    }),
    ("a core module of a million imports", "", || {
        let imports = [0, 0, 0, 0].repeat(1_000_000);
        let module = module(&[list(1, 1, &[0x60, 0, 0]), list(2, 1_000_000, &imports)]);
        component(&[section(1, &module).repeat(10)])
    }),
    ("custom sections", "", || component(&[custom("a", b"").repeat(8_000_000), b"no section".to_vec()])),
    ("a manifest of one long key", "manifest", || {
        component(&[custom("wares:manifest", format!("a{} = 1", ".a".repeat(500_000)).as_bytes())])
    }),
    ("a manifest of lists in lists", "manifest", || {
        component(&[custom("wares:manifest", format!("a = {}", "[".repeat(1_000_000)).as_bytes())])
    }),
];

/// What is refused only when it has used up what there is for reading one component: the CPU time, or the memory.
const SPENDERS: [Attack; 4] = [
    ("core modules of many imports", "reading the component took more than", || {
        let imports: Vec<u8> =
            (0..90_000).flat_map(|n| [text("m"), text(&format!("f{n}")), vec![0, 0]].concat()).collect();
        let module = module(&[list(1, 1, &[0x60, 0, 0]), list(2, 90_000, &imports)]);
        component(&[section(1, &module).repeat(40)])
    }),
    ("core modules of many exports", "reading the component took more than", || {
        let exports: Vec<u8> = (0..90_000).flat_map(|n| [text(&format!("e{n}")), vec![3, 0]].concat()).collect();
        let module = module(&[list(6, 1, &[0x7f, 0, 0x41, 0, 0x0b]), list(7, 90_000, &exports)]);
        component(&[section(1, &module).repeat(50)])
    }),
    ("core modules of many functions", "reading the component took more than", || {
        let functions = 900_000;
        let module = module(&[
            list(1, 1, &[0x60, 0, 0]),
            list(3, functions, &vec![0; functions]),
            list(10, functions, &[2, 0, 0x0b].repeat(functions)),
        ]);
        component(&[section(1, &module).repeat(15)])
    }),
    ("core modules of many globals", "reading the component took more than", || {
        let module = module(&[list(6, 900_000, &[0x7f, 0, 0x41, 0, 0x0b].repeat(900_000))]);
        component(&[section(1, &module).repeat(14)])
    }),
];

/// A host, somebody else on it, and a key that publishes into `test`.
async fn host_and_vendor(dir: &Path) -> Result<(Host, Neighbour, String)> {
    let host = Host::start(dir).await?;
    let vendor = host.post("/v1/keys", json!({"role": "publisher", "namespace": "test"})).await?;
    let vendor = vendor["key"].as_str().context("key")?.to_owned();
    // What any publication takes once is taken by the neighbour's.
    let neighbour = Neighbour::new(&host).await?;
    Ok((host, neighbour, vendor))
}

/// Publishes it, watches what is felt of it, and checks that it is refused. How long that took.
async fn refused(host: &Host, neighbour: &Neighbour, vendor: &str, (what, word, wasm): Attack) -> Result<Duration> {
    let wasm = wasm();
    let watch = Watch::begin(host, neighbour).await?;
    let began = Instant::now();
    let request = host.request(Method::POST, "/v1/components?name=test:attack&version=1.0.0", vendor);
    let answer = request.body(wasm).send().await.with_context(|| what.to_owned())?;
    let (status, document) = problem(answer).await.with_context(|| what.to_owned())?;
    let took = began.elapsed();
    let detail = document["detail"].as_str().unwrap_or_default();
    println!("{what}: {took:?}, {detail:.200}");
    assert_eq!((status, code(&document)), (422, "invalid-component"), "{what}: {detail:.200}");
    assert!(detail.contains(word), "{what}: {detail:.200}");
    assert!(detail.len() < DETAIL_BYTES_MAX, "{what}: {} bytes of detail", detail.len());
    watch.end(what, bounds(RSS_GROWTH_MAX)).await?;
    Ok(took)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dear_to_read_is_refused_soon_and_felt_by_nobody() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, neighbour, vendor) = host_and_vendor(dir.path()).await?;
    for attack in ATTACKS {
        let took = refused(&host, &neighbour, &vendor, attack).await?;
        ensure!(took < REFUSED_WITHIN, "{}: refused after {took:?}", attack.0);
    }
    // Nothing is left of them, and the next is read as ever.
    host.publish(guests::number(2)?, "name=test:last&version=1.0.0").await?.error_for_status()?;
    Ok(())
}

/// Each worker is given seconds of the CPU, which take longer where others have it too.
#[tokio::test(flavor = "multi_thread")]
async fn what_spends_all_that_reading_has_is_felt_by_nobody() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, neighbour, vendor) = host_and_vendor(dir.path()).await?;
    for attack in SPENDERS {
        refused(&host, &neighbour, &vendor, attack).await?;
    }
    Ok(())
}
