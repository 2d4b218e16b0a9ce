//! What the shelf takes and what it refuses.

use anyhow::{Context as _, Result};
use serde_json::json;
use std::path::Path;
use wares_it::guests;
use wares_it::host::{Host, code, problem};
use wares_model::limits::COMPONENT_BYTES_MAX;

#[tokio::test]
async fn versions_are_immutable() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let first = host.publish(guests::number(1)?, "name=test:swap&version=1.0.0").await?;
    assert_eq!(first.status(), 201);
    let again = host.publish(guests::number(1)?, "name=test:swap&version=1.0.0").await?;
    assert_eq!(again.status(), 200);
    let (status, document) = problem(host.publish(guests::number(2)?, "name=test:swap&version=1.0.0").await?).await?;
    assert_eq!((status, code(&document)), (409, "conflict"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_run_is_refused_with_its_reason_and_leaves_nothing_behind() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let before = files_of(dir.path())?;

    let mut truncated = guests::number(1)?;
    truncated.truncate(truncated.len() / 2);
    let cases = [
        ("no wasm", b"hello".to_vec(), 422, "invalid-component", "wasm"),
        ("nothing", Vec::new(), 422, "invalid-component", "wasm"),
        ("a core module", wat::parse_str("(module)")?, 422, "invalid-component", "module"),
        ("a truncated component", truncated, 422, "invalid-component", ""),
        ("an unknown import", guests::text("unknown-import")?, 422, "invalid-component", "wasi:nn/tensor@0.2.0"),
        ("65 MiB", vec![0; COMPONENT_BYTES_MAX as usize + (1 << 20)], 413, "too-large", "bytes"),
        ("a huge function", huge_function()?, 422, "invalid-component", ""),
        ("very many functions", very_many_functions()?, 422, "invalid-component", ""),
    ];
    for (what, wasm, status, expected, word) in cases {
        let (got, document) = problem(host.publish(wasm, "name=test:bad&version=1.0.0").await?).await.context(what)?;
        assert_eq!((got, code(&document)), (status, expected), "{what}: {document:#}");
        assert!(document["detail"].as_str().unwrap_or_default().contains(word), "{what}: {document:#}");
        let answer = host.call("test/swap/numbers/number", &key, &json!({})).await?;
        assert_eq!(answer.text().await?, "7", "after {what}");
    }
    let (_, document) = problem(host.publish(guests::number(1)?, "").await?).await?;
    assert!(document["detail"].as_str().unwrap_or_default().contains("?name="), "{document:#}");
    assert_eq!(files_of(dir.path())?, before, "refused components left files behind");
    let shelf = host.get("/v1/components").await?;
    assert_eq!(shelf["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

/// One function that takes the compiler far longer than it may take.
fn huge_function() -> Result<Vec<u8>> {
    let mut body = String::new();
    for _ in 0..3_000 {
        body.push_str("(block (loop (br_if 0 (i32.eqz (local.get 0))) (br_table 0 1 0 1 (local.tee 0 (i32.mul (local.get 0) (local.get 1))))))");
    }
    let nested = "(i32.add (local.get 0) (i32.mul (local.get 1) (i32.xor (local.get 0) (i32.const 3))))";
    let locals = "(local i32 i32 i64 i64)";
    let sets = format!("(local.set 0 {nested})").repeat(700_000);
    component(&format!("(func (param i32 i32) {locals} {sets} {body})"))
}

/// More functions than a module may have.
fn very_many_functions() -> Result<Vec<u8>> {
    component(&"(func)".repeat(1_000_001))
}

fn component(functions: &str) -> Result<Vec<u8>> {
    let text = format!(
        "(component (core module $m {functions} (func (export \"nothing\")))
           (core instance $i (instantiate $m))
           (func (export \"nothing\") (canon lift (core func $i \"nothing\"))))"
    );
    Ok(wat::parse_str(text)?)
}

/// Artifacts and native code below the data directory.
fn files_of(data_dir: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let mut folders = vec![data_dir.join("artifacts"), data_dir.join("native")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path.display().to_string()) }
        }
    }
    files.sort();
    Ok(files)
}
