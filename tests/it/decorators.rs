//! A component that imports an interface which it exports too: it goes to the next provider, never to itself.

use crate::composition::grant;
use crate::tree;
use anyhow::Result;
use reqwest::Method;
use serde_json::json;
use wares_it::guests;
use wares_it::host::{Host, success};

/// Calls the interface `test:base/links`, whoever provides it here.
async fn by_interface(host: &Host, key: &str) -> Result<serde_json::Value> {
    let request = host.request(Method::POST, "/v1/interfaces/test:base/links/go", key);
    success(request.json(&json!({"n": 1})).send().await?).await
}

#[tokio::test]
async fn a_decorator_goes_to_the_next_provider() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::link_end("base", 100, "")?, "test:base", "1.0.0").await?;
    grant(&host, "test:decorator", &["test:base"]).await?;
    // Adds one, and goes on to whoever provides what it provides itself.
    let decorator = guests::link("base", "base", 1)?;
    host.publish_and_deploy(decorator.clone(), "test:decorator", "1.0.0").await?;
    assert_eq!(by_interface(&host, &key).await?, 101, "the one that is named like the interface");

    host.put("/v1/providers/test:base/links", json!({"component": "test:decorator"})).await?;
    assert_eq!(by_interface(&host, &key).await?, 102, "the chosen one, which goes on to the other");

    // Several stand in a row as they may call each other, whoever is chosen and whatever their names are.
    grant(&host, "test:another", &["test:decorator"]).await?;
    host.publish_and_deploy(decorator, "test:another", "1.0.0").await?;
    host.put("/v1/providers/test:base/links", json!({"component": "test:another"})).await?;
    assert_eq!(by_interface(&host, &key).await?, 103);
    let entries = tree::entries(dir.path())?;
    let another = tree::of(&entries, "test:another")?;
    assert!(entries.iter().any(|entry| entry.parent.as_ref() == Some(&another.call)), "{entries:#?}");
    let graph = host.get("/v1/graph?component=test:another").await?;
    let uses = graph["items"].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(|node| {
        (node["component"].clone(), node["uses"].as_array().and_then(|uses| Some(uses.first()?["provider"].clone())))
    });
    let uses: Vec<_> = uses.collect();
    assert_eq!(
        uses,
        [
            (json!("test:another"), Some(json!("test:decorator"))),
            (json!("test:base"), None),
            (json!("test:decorator"), Some(json!("test:base"))),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_decorator_without_another_provider_takes_no_traffic() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    // Its name is the interface's.
    let wasm = guests::link("base", "base", 1)?;
    let refused = host.publish(wasm, "name=test:base&version=1.0.0&deploy=true").await?;
    assert_eq!(refused.status(), 422);
    let told = refused.text().await?;
    assert!(told.contains("which no deployed component provides"), "{told}");
    assert!(!told.contains("test:base -> test:base"), "{told}");
    Ok(())
}
