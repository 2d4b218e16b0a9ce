//! Versions that are called before they are loaded.

use anyhow::{Context as _, Result};
use serde_json::json;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};
use wares_it::wait;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_waits_for_a_load_as_for_a_slot_and_the_load_goes_on() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    // It has to be compiled again, which takes longer than the wait.
    for file in std::fs::read_dir(data.path().join("native"))? {
        std::fs::remove_file(file?.path())?;
    }
    let host = Host::start_in(data.path(), Some(&admin_key), &[], &[("WARES_CALLS_QUEUE_MS_MAX", "1")]).await?;
    let call = async || host.call("test/swap/numbers/number", &key, &json!({})).await;
    let first = call().await?;
    assert_eq!(first.headers().get("retry-after").context("retry-after")?, "1");
    let (status, document) = problem(first).await?;
    assert_eq!((status, code(&document)), (503, "overloaded"), "{document:#}");

    let loaded = wait::until("it is loaded", async || {
        let answer = call().await?;
        match answer.status().as_u16() {
            503 => Ok(Err(answer.text().await?)),
            _ => success(answer).await.map(Ok),
        }
    });
    assert_eq!(loaded.await?, json!(7));
    Ok(())
}
