//! Names are those of the component model everywhere, and a name that means two things is refused with both.

use crate::command::client;
use crate::composition::grant;
use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use wares_it::guests::with_section;
use wares_it::host::{Host, code, problem, success};

/// A component that exports a function `f` under each of these names, which adds the number beside it.
fn exporting(interfaces: &[(&str, u32)]) -> Result<Vec<u8>> {
    let mut text = "(component".to_owned();
    for (at, (name, offset)) in interfaces.iter().enumerate() {
        text += &format!(
            "(core module $m{at} (func (export \"f\") (param i32) (result i32)
               (i32.add (local.get 0) (i32.const {offset}))))
             (core instance $c{at} (instantiate $m{at}))
             (func $f{at} (param \"x\" u32) (result u32) (canon lift (core func $c{at} \"f\")))
             (instance $i{at} (export \"f\" (func $f{at})))
             (export \"{name}\" (instance $i{at}))"
        );
    }
    Ok(wat::parse_str(text + ")")?)
}

/// A component that calls `f` of this interface and adds 100.
fn importing(interface: &str) -> Result<Vec<u8>> {
    Ok(wat::parse_str(format!(
        "(component
           (import \"{interface}\" (instance $r (export \"f\" (func (param \"x\" u32) (result u32)))))
           (core func $g (canon lower (func $r \"f\")))
           (core module $m (import \"r\" \"g\" (func $g (param i32) (result i32)))
             (func (export \"a\") (param i32) (result i32) (i32.add (call $g (local.get 0)) (i32.const 100))))
           (core instance $i (instantiate $m (with \"r\" (instance (export \"g\" (func $g))))))
           (func (export \"go\") (param \"x\" u32) (result u32) (canon lift (core func $i \"a\"))))"
    ))?)
}

#[tokio::test]
async fn every_name_of_the_component_model_is_called_imported_and_published() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    let long = "a".repeat(200);
    let (long_interface, long_package) = (format!("acme:five/{long}"), format!("acme:{long}/plain"));
    let interfaces = [
        "acme:two/HTTP",
        "acme:three/http-2",
        "acme:v-4/plain",
        &long_interface,
        &long_package,
        "acme:x2-3d/get-URL-2",
    ];
    for (at, name) in interfaces.into_iter().enumerate() {
        let full = format!("{name}@1.0.0");
        let (provider, user) = (format!("acme:p-{at}"), format!("acme:u-{at}"));
        host.publish_and_deploy(exporting(&[(&full, 1)])?, &provider, "1.0.0").await.context(full.clone())?;
        let by_interface = format!("/v1/interfaces/{name}/f");
        let called = host.request(Method::POST, &by_interface, &key).json(&json!({"x": 1})).send().await?;
        assert_eq!(success(called).await?, 2, "{name}");
        grant(&host, &user, &[&provider]).await?;
        host.publish_and_deploy(importing(&full)?, &user, "1.0.0").await.context(full)?;
        let called = host.call(&format!("acme/u-{at}/go"), &key, &json!({"x": 1})).await?;
        assert_eq!(success(called).await?, 102, "{name}");
    }
    Ok(())
}

/// Interfaces that go by one short name, with what their functions add.
const NAMESAKES: [(&str, u32); 5] = [
    ("acme:shop/cart@0.1.0", 10),
    ("acme:shop/cart@0.2.0", 20),
    ("acme:shop/cart@1.0.0", 30),
    ("acme:shop/cart@2.0.0", 40),
    ("other:pkg/cart", 50),
];

#[tokio::test]
async fn a_name_that_means_several_interfaces_is_refused_with_all_of_them() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(exporting(&NAMESAKES)?, "mine:versions", "1.0.0").await?;
    let call = async |interface: &str| {
        host.call(&format!("mine/versions/{}/f", interface.replace('/', "%2F")), &key, &json!({"x": 1})).await
    };
    for (name, meant) in [("cart", &NAMESAKES[..]), ("acme:shop/cart", &NAMESAKES[..4])] {
        let (status, refused) = problem(call(name).await?).await?;
        assert_eq!((status, code(&refused)), (400, "bad-request"), "{refused:#}");
        for (full, _) in meant {
            assert!(refused["detail"].as_str().unwrap_or_default().contains(full), "{full}: {refused:#}");
        }
    }
    for (full, offset) in NAMESAKES {
        assert_eq!(success(call(full).await?).await?, offset + 1, "{full}");
    }
    let by_interface = async |interface: &str| {
        let path = format!("/v1/interfaces/{interface}/f");
        host.request(Method::POST, &path, &key).json(&json!({"x": 1})).send().await
    };
    let (status, refused) = problem(by_interface("acme:shop/cart").await?).await?;
    assert_eq!((status, code(&refused)), (400, "bad-request"), "{refused:#}");
    for (full, answer) in
        [("acme:shop/cart@0.1", 11), ("acme:shop/cart@1", 31), ("acme:shop/cart@2.0.0", 41), ("other:pkg/cart", 51)]
    {
        assert_eq!(success(by_interface(full).await?).await?, answer, "{full}");
    }
    Ok(())
}

fn short_name(number: u32) -> Result<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("cases/short-name-{number}.wat"));
    let wasm = wat::parse_file(path)?;
    let manifest = format!("[component]\nname = 'my:amb'\nversion = '1.{}.0'\n", number - 1);
    Ok(with_section(wasm, "wares:manifest", manifest.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn publishing_warns_when_a_short_name_becomes_ambiguous() -> Result<()> {
    let (dir, work) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    let first = success(host.publish(short_name(1)?, "deploy=true").await?).await?;
    assert_eq!(first.get("warnings"), None, "{first:#}");
    let called = host.call("my/amb/cart/add", &key, &json!({"x": 1})).await?;
    assert_eq!(success(called).await?, 11);

    std::fs::write(work.path().join("second.wasm"), short_name(2)?)?;
    let published = client(work.path(), &host, &host.admin_key, &["publish", "second.wasm", "--deploy"])?;
    assert_eq!(published.code, 0, "{}", published.stderr);
    let told = format!("{}{}", published.stdout, published.stderr);
    assert!(told.contains("cart means acme:shop/cart@1.0.0 and zeta:shop/cart@1.0.0"), "{told}");
    let (status, refused) = problem(host.call("my/amb/cart/add", &key, &json!({"x": 1})).await?).await?;
    assert_eq!((status, code(&refused)), (400, "bad-request"), "{refused:#}");
    assert_eq!(refused["nearest"], json!(["acme:shop/cart@1.0.0", "zeta:shop/cart@1.0.0"]), "{refused:#}");
    for (full, answer) in [("acme:shop%2Fcart", 2001), ("zeta:shop%2Fcart@1.0.0", 11)] {
        let called = host.call(&format!("my/amb/{full}/add"), &key, &json!({"x": 1})).await?;
        assert_eq!(success(called).await?, Value::from(answer), "{full}");
    }
    Ok(())
}
