//! What survives a crash: every call whose answer was received, and the shelf.

use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use rustix::process::Signal;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wares_it::guests;
use wares_it::host::Host;
use wares_it::wait;

const CALLERS: usize = 32;
/// Calls answered before the host is killed.
const CALLS_BEFORE: usize = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn every_answered_call_is_in_the_ledger_after_a_kill() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(Host::start(dir.path()).await?);
    let key = Arc::new(host.tenant("district").await?);
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;

    let answered = Arc::new(AtomicUsize::new(0));
    let callers = (0..CALLERS).map(|_| {
        let (host, key, answered) = (Arc::clone(&host), Arc::clone(&key), Arc::clone(&answered));
        tokio::spawn(async move {
            let mut calls = Vec::new();
            // Ends when the host is gone.
            while let Ok(response) = host.call("test/swap/numbers/number", &key, &json!({})).await {
                let Some(call) =
                    response.headers().get("wares-call-id").and_then(|id| id.to_str().ok()).map(str::to_owned)
                else {
                    break;
                };
                if response.status().is_success() && response.bytes().await.is_ok() {
                    calls.push(call);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }
            calls
        })
    });
    let callers: Vec<_> = callers.collect();
    wait::holds("calls are answered", || answered.load(Ordering::SeqCst) >= CALLS_BEFORE).await?;
    host.signal(Signal::KILL)?;
    let calls: Vec<String> = join_all(callers).await.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
    ensure!(calls.len() >= CALLS_BEFORE);
    let admin_key = host.admin_key.clone();
    drop(host);

    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    for call in &calls {
        let entry = host.get(&format!("/v1/calls/{call}")).await.with_context(|| format!("{call} was answered"))?;
        assert_eq!(entry["outcome"], "ok");
    }
    let usage = host.get("/v1/usage").await?;
    let counted = usage["items"][0]["calls"].as_u64().context("calls")?;
    // Calls whose answers were on their way when the host died are counted too, at most one per caller.
    ensure!((calls.len() as u64..=(calls.len() + CALLERS) as u64).contains(&counted), "{counted} of {}", calls.len());

    let shelf = host.get("/v1/components/test/swap").await?;
    assert_eq!(shelf["deployment"]["traffic"], json!({"1.0.0": 100}));
    let answer = host.call("test/swap/numbers/number", &key, &json!({})).await?;
    assert_eq!(answer.text().await?, "7");
    Ok(())
}
