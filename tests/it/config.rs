//! Values that an operator sets over those of a manifest: the nearest counts, from the next call on.

use crate::command::client;
use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use wares_it::guests;
use wares_it::host::{Host, problem, success};

async fn seen(host: &Host, key: &str, function: &str) -> Result<Value> {
    let path = format!("test/confides/confidant/{function}");
    success(host.call(&path, key, &json!({"key": "rate"})).await?).await
}

async fn put(host: &Host, place: &str, value: &str) -> Result<Value> {
    host.put(&format!("/v1/components/test/confides/config/{place}"), json!({"value": value})).await
}

async fn start(data: &std::path::Path) -> Result<Host> {
    let host = Host::start(data).await?;
    let grants = json!({"grants": {"secrets": ["token", "spare"]}});
    host.put("/v1/components/test/confides/grants", grants).await?;
    host.publish(guests::built("test-confides")?, "deploy=true").await?.error_for_status()?;
    Ok(host)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_value_counts_before_the_versions_the_components_and_the_manifests() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = start(data.path()).await?;
    let city = host.tenant("city").await?;
    host.post("/v1/tenants", json!({"id": "street", "parent": "city"})).await?;
    let street = host.post("/v1/tenants/street/keys", json!({"application": "tests"})).await?;
    let street = street["key"].as_str().context("key")?;
    let other = host.tenant("other").await?;
    let steps: [(&str, [&str; 3]); 6] = [
        ("", ["1", "1", "1"]),
        ("rate", ["c", "c", "c"]),
        ("rate?version=2.0.0", ["c", "c", "c"]),
        ("rate?version=1.0.0", ["v", "v", "v"]),
        ("rate?tenant=city", ["t", "t", "v"]),
        ("rate?tenant=street", ["t", "s", "v"]),
    ];
    for ((place, expected), value) in steps.into_iter().zip(["", "c", "x", "v", "t", "s"]) {
        if !place.is_empty() {
            put(&host, place, value).await?;
        }
        for (key, expected) in [&city, street, &other].into_iter().zip(expected) {
            assert_eq!(seen(&host, key, "setting").await?, json!(expected), "after {place:?}");
            // An instance that is kept and remembers what it saw is not asked any more.
            assert_eq!(seen(&host, key, "first-setting").await?, json!(expected), "after {place:?}");
        }
    }
    let all = success(host.call("test/confides/confidant/settings", street, &json!({})).await?).await?;
    // They come in no order.
    let all: BTreeSet<_> = all.as_array().context("settings")?.iter().filter_map(Value::as_str).collect();
    assert_eq!(all, BTreeSet::from(["rate=s", "unit=kg"]));
    for (place, expected) in
        [("rate?tenant=street", "t"), ("rate?tenant=city", "v"), ("rate?version=1.0.0", "c"), ("rate", "1")]
    {
        let path = format!("/v1/components/test/confides/config/{place}");
        assert_eq!(host.request(Method::DELETE, &path, &host.admin_key).send().await?.status(), 204);
        assert_eq!(seen(&host, street, "setting").await?, json!(expected), "without {place:?}");
    }
    let (status, _) = problem(
        host.request(Method::DELETE, "/v1/components/test/confides/config/rate", &host.admin_key).send().await?,
    )
    .await?;
    assert_eq!(status, 404);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn values_stay_over_a_restart_and_the_command_line_sets_them() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = start(data.path()).await?;
    let (key, admin) = (host.tenant("north").await?, host.admin_key.clone());
    let set =
        client(data.path(), &host, &admin, &["config", "set", "test:confides", "rate", "2", "--tenant", "north"])?;
    assert_eq!((set.code, set.stdout.as_str()), (0, "rate = 2\n"), "{}", set.stderr);
    assert_eq!(seen(&host, &key, "setting").await?, json!("2"));
    let listed = client(data.path(), &host, &admin, &["config", "list", "test:confides", "--json"])?;
    let listed: Value = serde_json::from_str(&listed.stdout)?;
    assert_eq!((&listed[0]["tenant"], &listed[0]["value"]), (&json!("north"), &json!("2")));
    host.kill().await?;
    let host = Host::start_with(data.path(), Some(&admin), &[]).await?;
    assert_eq!(seen(&host, &key, "setting").await?, json!("2"));
    let unset = client(data.path(), &host, &admin, &["config", "unset", "test:confides", "rate", "--tenant", "north"])?;
    assert_eq!(unset.code, 0, "{}", unset.stderr);
    assert_eq!(seen(&host, &key, "setting").await?, json!("1"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_could_see_has_a_bound() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = start(data.path()).await?;
    host.tenant("city").await?;
    host.post("/v1/tenants", json!({"id": "street", "parent": "city"})).await?;
    let half = "x".repeat(33 << 10);
    put(&host, "a?tenant=city", &half).await?;
    let refused = async |place: &str, value: &str| {
        let path = format!("/v1/components/test/confides/config/{place}");
        let request = host.request(Method::PUT, &path, &host.admin_key).json(&json!({"value": value}));
        problem(request.send().await?).await
    };
    for (place, value, status, words) in [
        ("b?tenant=street", &*half, 400, "bytes"),
        ("b", &half, 400, "bytes"),
        ("b?tenant=nowhere", "x", 404, "no tenant nowhere"),
        ("b?tenant=city&version=1.0.0", "x", 400, "not for both"),
        ("a%0Ab", "x", 400, "control characters"),
    ] {
        let (found, refusal) = refused(place, value).await?;
        assert!(found == status && refusal["detail"].to_string().contains(words), "{place}: {refusal}");
    }
    Ok(())
}
