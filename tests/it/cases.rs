//! What components may bring with them, each with the right answer: numbers, lists of a fixed length, seeds, large memories, and
//! what is refused, with what to change.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::path::Path;
use wares_it::host::{Host, code, problem, success};

/// A component of one function `f` that gives its argument back.
fn identity(ty: &str, core: &str) -> Result<Vec<u8>> {
    Ok(wat::parse_str(format!(
        "(component
           (core module $m (func (export \"f\") (param {core}) (result {core}) (local.get 0)))
           (core instance $i (instantiate $m))
           (func (export \"f\") (param \"x\" {ty}) (result {ty}) (canon lift (core func $i \"f\"))))"
    ))?)
}

#[tokio::test]
async fn whole_numbers_are_taken_in_any_notation() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    for (ty, core) in [("u8", "i32"), ("u64", "i64"), ("s64", "i64")] {
        host.publish_and_deploy(identity(ty, core)?, &format!("same:{ty}"), "1.0.0").await?;
    }
    let call = async |ty: &str, number: &str| {
        let path = format!("/v1/call/same/{ty}/f");
        let request = host.request(reqwest::Method::POST, &path, &key).header("content-type", "application/json");
        request.body(format!("{{\"x\": {number}}}")).send().await
    };
    for (ty, number, answer) in [
        ("u8", "6", "6"),
        ("u8", "6.0", "6"),
        ("u8", "1.0", "1"),
        ("u8", "1e2", "100"),
        ("u8", "2.55E2", "255"),
        ("u64", "1.8446744073709551615e19", "18446744073709551615"),
        ("u64", "18446744073709551615.000", "18446744073709551615"),
        ("u64", "9007199254740993.0", "9007199254740993"),
        ("s64", "-9.223372036854775808e18", "-9223372036854775808"),
    ] {
        let response = call(ty, number).await?;
        assert!(response.status().is_success(), "{ty} {number}: {}", response.status());
        assert_eq!(response.text().await?, answer, "{ty} {number}");
    }
    for (ty, number, word) in
        [("u8", "1.5", "fraction"), ("u8", "2.56e2", "range"), ("u64", "1.8446744073709551616e19", "range")]
    {
        let (status, refused) = problem(call(ty, number).await?).await?;
        assert_eq!((status, code(&refused)), (400, "bad-arguments"), "{ty} {number}: {refused:#}");
        assert!(refused["detail"].as_str().unwrap_or_default().contains(word), "{ty} {number}: {refused:#}");
    }
    Ok(())
}

/// Gives back a list of four bytes in the opposite order. The other parameter makes both pass through memory.
const FIXED: &str = r#"(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
    (func (export "key") (param $at i32) (result i32)
      (i32.store8 (i32.const 8) (i32.load8_u offset=3 (local.get $at)))
      (i32.store8 (i32.const 9) (i32.load8_u offset=2 (local.get $at)))
      (i32.store8 (i32.const 10) (i32.load8_u offset=1 (local.get $at)))
      (i32.store8 (i32.const 11) (i32.load8_u (local.get $at)))
      (i32.const 8))
    (func (export "sum") (param i32 i32 i32) (result i32)
      (i32.add (local.get 0) (i32.add (local.get 1) (local.get 2)))))
  (core instance $i (instantiate $m))
  (type $pad (option (tuple u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64)))
  (func $key (param "x" (list u8 4)) (param "pad" $pad) (result (list u8 4))
    (canon lift (core func $i "key") (memory $i "memory") (realloc (func $i "realloc"))))
  (func $sum (param "x" (list u32 3)) (result u32) (canon lift (core func $i "sum")))
  (instance $f (export "key" (func $key)) (export "sum" (func $sum)))
  (export "mine:fixed/f@1.0.0" (instance $f)))"#;

#[tokio::test]
async fn lists_of_a_fixed_length_are_arrays_of_that_length() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(wat::parse_str(FIXED)?, "mine:fixed", "1.0.0").await?;
    let call =
        async |function: &str, arguments: Value| host.call(&format!("mine/fixed/f/{function}"), &key, &arguments).await;
    for given in [json!([1, 2, 3, 4]), json!("AQIDBA==")] {
        assert_eq!(success(call("key", json!({"x": given})).await?).await?, "BAMCAQ==");
    }
    assert_eq!(success(call("sum", json!({"x": [1, 2, 3]})).await?).await?, 6);
    for (function, given) in [("key", json!([1, 2, 3])), ("key", json!("AQID")), ("sum", json!([1, 2, 3, 4]))] {
        let (status, refused) = problem(call(function, json!({"x": given})).await?).await?;
        assert_eq!((status, code(&refused)), (400, "bad-arguments"), "{refused:#}");
        assert!(refused["detail"].as_str().unwrap_or_default().contains("elements"), "{refused:#}");
    }
    let shown = host.get("/v1/components/mine/fixed/versions/1.0.0").await?.to_string();
    assert!(shown.contains("list<u8, 4>") && shown.contains("\"minItems\":3"), "{shown}");
    Ok(())
}

/// Asks twice for the seed: 1 if both are the same and not nothing.
const SEEDED: &str = r#"(component
  (import "wasi:random/insecure-seed@0.2.6" (instance $seed (export "insecure-seed" (func (result (tuple u64 u64))))))
  (core module $memory (memory (export "memory") 1))
  (core instance $memory (instantiate $memory))
  (core func $seed (canon lower (func $seed "insecure-seed") (memory $memory "memory")))
  (core module $m
    (import "memory" "memory" (memory 1))
    (import "seed" "seed" (func $seed (param i32)))
    (func (export "f") (result i32)
      (call $seed (i32.const 0))
      (call $seed (i32.const 16))
      (i32.and
        (i64.ne (i64.load (i32.const 0)) (i64.const 0))
        (i32.and
          (i64.eq (i64.load (i32.const 0)) (i64.load (i32.const 16)))
          (i64.eq (i64.load (i32.const 8)) (i64.load (i32.const 24)))))))
  (core instance $i (instantiate $m
    (with "memory" (instance $memory)) (with "seed" (instance (export "seed" (func $seed))))))
  (func (export "f") (result u32) (canon lift (core func $i "f"))))"#;

#[tokio::test]
async fn an_instance_has_one_seed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(wat::parse_str(SEEDED)?, "test:seeded", "1.0.0").await?;
    assert_eq!(success(host.call("test/seeded/f", &key, &json!({})).await?).await?, 1);
    Ok(())
}

#[tokio::test]
async fn what_is_refused_is_told_what_to_change() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let with_memory = |pages: u32| {
        format!(
            "(component (core module $m (memory {pages}) (func (export \"f\"))) (core instance $i (instantiate $m))
               (func (export \"f\") (canon lift (core func $i \"f\"))))"
        )
    };
    let missing = r#"(component (import "wasi:cli/stdout@0.2.6" (instance (export "no-such" (func)))))"#;
    let renamed = r#"(component (import "primary" (implements "wasi:cli/environment@0.2.6") (instance)))"#;
    let cases: [(&str, String, &[&str]); 7] = [
        ("a memory of 4 GiB", with_memory(65_536), &["4294967296 bytes", "67108864 bytes", "memory-bytes-max"]),
        ("a memory of 65 MiB", with_memory(1_040), &["68157440 bytes", "67108864 bytes"]),
        ("a missing function", missing.to_owned(), &["wasi:cli/stdout@0.2.6", "no-such"]),
        (
            "a slip",
            r#"(component (import "wasi:cli/stdot@0.2.6" (instance)))"#.to_owned(),
            &["did you mean wasi:cli/stdout@"],
        ),
        (
            "nobody's",
            r#"(component (import "wasi:nn/tensor@0.2.0" (instance)))"#.to_owned(),
            &["`wasi:nn/tensor@0.2.0` (unknown; build"],
        ),
        (
            "a name of its own",
            renamed.to_owned(),
            &["`primary`", "named in full, as namespace:package/interface@version"],
        ),
        ("threads", "(component (core module (memory 1 1 shared)))".to_owned(), &["threads"]),
    ];
    for (what, text, words) in cases {
        let wasm = wat::parse_str(text).context(what)?;
        let (status, refused) =
            problem(host.publish(wasm, "name=test:bad&version=1.0.0").await?).await.context(what)?;
        assert_eq!((status, code(&refused)), (422, "invalid-component"), "{what}: {refused:#}");
        let detail = refused["detail"].as_str().unwrap_or_default();
        for word in words {
            assert!(detail.contains(word), "{what}: {word}: {detail}");
        }
        assert!(!detail.contains("cannot be compiled"), "{what}: {detail}");
    }
    Ok(())
}

/// An export under a name of its own is called by that.
const RENAMED: &str = r#"(component
  (core module $m (func (export "f") (result i32) (i32.const 5)))
  (core instance $i (instantiate $m))
  (func $f (result u32) (canon lift (core func $i "f")))
  (instance $n (export "f" (func $f)))
  (export "primary" (implements "acme:some/numbers@1.0.0") (instance $n)))"#;

#[tokio::test]
async fn an_interface_under_a_name_of_its_own_is_called_by_that() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(wat::parse_str(RENAMED)?, "test:renamed", "1.0.0").await?;
    assert_eq!(success(host.call("test/renamed/primary/f", &key, &json!({})).await?).await?, 5);
    Ok(())
}

#[tokio::test]
async fn exceptions_are_refused_with_what_to_change() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases/exceptions.wat");
    let (status, refused) =
        problem(host.publish(wat::parse_file(path)?, "name=test:exceptions&version=1.0.0").await?).await?;
    assert_eq!((status, code(&refused)), (422, "invalid-component"), "{refused:#}");
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("exceptions") && detail.contains("build it without"), "{detail}");
    Ok(())
}
