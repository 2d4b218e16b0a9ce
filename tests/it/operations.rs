//! A host's own life: one per data directory, ready or not, draining, and what it tells machines.

use crate::command::wares;
use anyhow::Result;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use std::sync::Arc;
use wares_it::guests;
use wares_it::host::Host;

#[tokio::test]
async fn a_second_host_and_an_older_program_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let host = Host::start(&data).await?;
    let start = || wares(dir.path(), ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"]);
    let second = start()?;
    assert_ne!(second.code, 0);
    assert!(second.stderr.contains("another host") && second.stderr.contains("--data-dir"), "{}", second.stderr);
    host.kill().await?;

    std::fs::write(data.join("format"), "999")?;
    let older = start()?;
    assert_ne!(older.code, 0);
    assert!(older.stderr.contains("newer version"), "{}", older.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_told_to_stop_finishes_what_it_has_begun() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    let request = host.request(Method::POST, "/v1/call/test/hostile/sleep", &key).json(&json!({"milliseconds": 4_000}));
    let sleeping = tokio::spawn(request.send());
    // A sleeping call has no entry yet; it runs once the version has been loaded for it, which its slot shows.
    host.until_running(1).await?;
    host.signal(Signal::TERM)?;
    assert_eq!(sleeping.await??.status(), 200, "the call that had begun is answered");
    assert!(host.wait().await?.success());
    Ok(())
}

#[tokio::test]
async fn machines_learn_how_it_is() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(Host::start(dir.path()).await?);
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    assert_eq!(host.get("/readyz").await?["status"], "ready");
    for _ in 0..3 {
        host.call("test/swap/numbers/number", &key, &json!({})).await?.error_for_status()?;
    }
    let refused = host.request(Method::POST, "/v1/call/test/swap/numbers/nothing", &key).send().await?;
    assert_eq!(refused.status(), 404);
    let metrics = host.metrics().await?;
    for line in [
        r#"wares_calls_total{component="test:swap",version="1.0.0",outcome="ok"} 3"#,
        r#"wares_calls_refused_total{code="not-found"} 1"#,
        "wares_calls_running 0",
    ] {
        assert!(metrics.contains(line), "no {line:?} in\n{metrics}");
    }
    Ok(())
}
