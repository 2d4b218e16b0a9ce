//! Keys: what they are for, until when, when they were used last, and what to do when the last one is lost.

use crate::command::{client, done, wares};
use anyhow::{Context as _, Result};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

fn text(value: &Value, name: &str) -> Result<String> {
    Ok(value[name].as_str().with_context(|| format!("{name} in {value:#}"))?.to_owned())
}

/// The key of this label in the list.
async fn listed(host: &Host, label: &str) -> Result<Value> {
    let keys = host.get("/v1/keys").await?;
    let mut keys = keys["items"].as_array().context("items")?.iter();
    keys.find(|key| key["label"] == label).cloned().with_context(|| format!("no key {label}"))
}

#[tokio::test]
async fn a_key_that_has_expired_is_refused_and_told_so() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start_at("2026-11-25 12:00:00", dir.path(), None, &[]).await?;
    host.post("/v1/tenants", json!({"id": "district"})).await?;
    let body = json!({"application": "registry", "label": "登记系统", "expires-at": "2026-11-27"});
    let key = host.post("/v1/tenants/district/keys", body).await?;
    // The day begins at midnight in China.
    assert_eq!((&key["label"], &key["expires-at"]), (&json!("登记系统"), &json!("2026-11-26T16:00:00.000000Z")));
    let key = text(&key, "key")?;
    let ask = async |host: &Host| anyhow::Ok(host.request(Method::GET, "/v1/components", &key).send().await?);
    assert_eq!(ask(&host).await?.status(), 200);
    for (body, word) in [
        (json!({"role": "admin", "expires-at": "2026-11-25"}), "is past"),
        (json!({"role": "admin", "expires-at": "soon"}), "2026-11-24"),
        (json!({"role": "admin", "label": " "}), "label"),
        (json!({"role": "admin", "label": "x".repeat(200)}), "label"),
    ] {
        let refused = host.request(Method::POST, "/v1/keys", &host.admin_key).json(&body).send().await?;
        let (status, document) = problem(refused).await?;
        assert_eq!((status, code(&document)), (400, "bad-request"), "{body}: {document:#}");
        assert!(document["detail"].as_str().is_some_and(|detail| detail.contains(word)), "{body}: {document:#}");
    }
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_at("2026-11-27 12:00:00", dir.path(), Some(&admin_key), &[]).await?;
    let (status, document) = problem(ask(&host).await?).await?;
    assert_eq!((status, code(&document)), (401, "unauthenticated"));
    assert!(
        document["detail"].as_str().is_some_and(|detail| detail.contains("expired at 2026-11-26T16")),
        "{document:#}"
    );
    Ok(())
}

#[tokio::test]
async fn when_a_key_was_used_last_is_known_and_outlives_the_host() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut host = Host::start(dir.path()).await?;
    let key = host.post("/v1/keys", json!({"role": "reviewer", "label": "the reviewer"})).await?;
    assert_eq!(listed(&host, "the reviewer").await?["last-used-at"], Value::Null);
    host.request(Method::GET, "/v1/components", &text(&key, "key")?).send().await?.error_for_status()?;
    let used = text(&listed(&host, "the reviewer").await?, "last-used-at")?;
    assert!(used.parse::<wares_model::Timestamp>().is_ok(), "{used}");
    host.signal(Signal::TERM)?;
    host.wait().await?;
    let host = Host::start_with(dir.path(), Some(&host.admin_key.clone()), &[]).await?;
    assert_eq!(text(&listed(&host, "the reviewer").await?, "last-used-at")?, used);
    let table = done(dir.path(), &host, &host.admin_key, &["keys", "list"])?;
    assert!(table.contains("LAST USED") && table.contains("first key") && table.contains("the reviewer"), "{table}");
    Ok(())
}

#[tokio::test]
async fn histories_name_a_key_by_its_label() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let made = done(
        dir.path(),
        &host,
        &host.admin_key,
        &["keys", "create", "--admin", "--label", "Li at the desk", "--expires", "2127-01-01"],
    )?;
    let key = made.trim();
    let id = text(&listed(&host, "Li at the desk").await?, "id")?;
    let name = format!("Li at the desk (key {id})");
    let send = async |method: Method, path: &str, body: Value| {
        success(host.request(method, path, key).json(&body).send().await?).await
    };
    let publish = host.request(Method::POST, "/v1/components?name=test:swap&version=1.0.0&deploy=true", key);
    let publish = publish.header("content-type", "application/wasm").body(guests::number(1)?);
    let version = success(publish.send().await?).await?;
    assert_eq!(version["publisher"], name.as_str(), "{version:#}");
    const COMPONENT: &str = "/v1/components/test/swap";
    send(Method::PUT, &format!("{COMPONENT}/grants"), json!({"grants": {}, "reason": "none"})).await?;
    send(Method::POST, &format!("{COMPONENT}/versions/1.0.0/deprecate"), json!({})).await?;
    send(Method::PUT, "/v1/providers/test:swap/numbers", json!({"component": "test:swap"})).await?;
    // A history names it when it is gone, too.
    done(dir.path(), &host, &host.admin_key, &["keys", "revoke", &id])?;
    for (path, pointer) in [
        (format!("{COMPONENT}/deployment/history"), "/items/0/actor"),
        (format!("{COMPONENT}/grants/history"), "/items/0/actor"),
        (format!("{COMPONENT}/versions/1.0.0/events"), "/0/actor"),
        ("/v1/providers/test:swap/numbers/history".to_owned(), "/items/0/actor"),
    ] {
        let history = host.get(&path).await?;
        assert_eq!(history.pointer(pointer), Some(&json!(name)), "{path}: {history:#}");
    }
    Ok(())
}

#[tokio::test]
async fn a_lost_admin_key_is_made_anew_on_the_host_s_own_machine() -> Result<()> {
    let (dir, elsewhere) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let data_dir = dir.path().to_str().context("a path")?;
    let recover =
        |flags: &[&str]| wares(elsewhere.path(), [&["keys", "recover", "--data-dir", data_dir], flags].concat());
    let nothing = recover(&[])?;
    assert_eq!((nothing.code, nothing.stderr.contains("--data-dir")), (4, true), "{}", nothing.stderr);
    let host = Host::start(dir.path()).await?;
    let lost = host.admin_key.clone();
    let running = recover(&[])?;
    assert_eq!((running.code, running.stderr.contains("stop it")), (1, true), "{}", running.stderr);
    host.kill().await?;

    let first = recover(&["--label", "Wang"])?;
    assert_eq!(first.code, 0, "{}", first.stderr);
    let second = recover(&["--revoke-others"])?;
    assert_eq!((second.code, second.stderr.matches("revoked ").count()), (0, 2), "{}", second.stderr);
    let host = Host::start_with(dir.path(), Some(second.stdout.trim()), &[]).await?;
    assert_eq!(listed(&host, "recovered").await?["role"], "admin");
    for gone in [lost.as_str(), first.stdout.trim()] {
        assert_eq!(client(dir.path(), &host, gone, &["keys", "list"])?.code, 5);
    }
    Ok(())
}
