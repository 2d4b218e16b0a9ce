//! Work that one publisher causes: others do not wait for it, and it ends with who asked for it.

use super::bounds;
use super::wasm::slow_to_compile;
use crate::watch::{Neighbour, Watch, children};
use anyhow::{Context as _, Result};
use futures::stream::{FuturesUnordered, StreamExt as _};
use reqwest::{Method, Response};
use rustix::process::Signal;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};
use wares_model::limits::WAITING_COMPONENTS_MAX;

/// Longest wait for a worker to begin or to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// What the host holds of four bombs: their bytes.
const RSS_GROWTH_MAX: u64 = 192 << 20;

/// A key that publishes into this namespace.
async fn publisher(host: &Host, namespace: &str) -> Result<String> {
    let key = host.post("/v1/keys", json!({"role": "publisher", "namespace": namespace})).await?;
    Ok(key["key"].as_str().context("key")?.to_owned())
}

fn publish(host: &Host, key: &str, name: &str, wasm: Vec<u8>) -> JoinHandle<reqwest::Result<Response>> {
    let at = format!("/v1/components?name={name}&version=1.0.0");
    tokio::spawn(host.request(Method::POST, &at, key).body(wasm).send())
}

/// Waits until the host has children, or has none: a worker without an order is kept for some seconds.
async fn until_children(host: &Host, some: bool) -> Result<()> {
    let pid = host.pid().context("pid")?;
    let seen = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while children(pid)?.is_empty() == some {
            looks.tick().await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(PATIENCE, seen).await.context("the host's children")?
}

#[tokio::test(flavor = "multi_thread")]
async fn bombs_of_one_publisher_keep_nobody_waiting() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(Host::start(dir.path()).await?);
    let (bad, good) = (publisher(&host, "bad").await?, publisher(&host, "good").await?);
    let watch = Watch::begin(&host, &Neighbour::new(&host).await?).await?;
    let bombs: Vec<_> =
        (0..4).map(|n| publish(&host, &bad, &format!("bad:bomb{n}"), slow_to_compile(1 + n, 400_000))).collect();
    until_children(&host, true).await?;
    let small = || publish(&host, &good, "good:small", b"\0asm\x0d\0\x01\0".to_vec());
    success(small().await??).await?;
    success(host.publish(guests::number(1)?, "name=own:small&version=1.0.0").await?).await?;
    let waiting = bombs.iter().filter(|bomb| !bomb.is_finished()).count();
    assert!(waiting >= 2, "all others waited: {waiting} bombs are left");
    for bomb in bombs {
        bomb.abort();
    }
    until_children(&host, false).await?;
    watch.end("four bombs", bounds(RSS_GROWTH_MAX)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_full_says_so() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = publisher(&host, "bad").await?;
    // More than may wait and run on any machine, and each another one: of the same bytes, only the first is compiled.
    let count = WAITING_COMPONENTS_MAX + std::thread::available_parallelism()?.get() + 2;
    let bombs = (0..count).map(|n| publish(&host, &key, &format!("bad:bomb{n}"), slow_to_compile(1, 100_000 + n)));
    let mut bombs: FuturesUnordered<_> = bombs.collect();
    let first = bombs.next().await.context("an answer")???;
    let again = first.headers().get("retry-after").cloned();
    let (status, document) = problem(first).await?;
    assert_eq!((status, code(&document)), (503, "overloaded"), "{document:#}");
    assert!(again.is_some(), "{document:#}");
    bombs.iter().for_each(JoinHandle::abort);
    until_children(&host, false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_ends_with_its_client() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = publisher(&host, "bad").await?;
    let bomb = publish(&host, &key, "bad:bomb", slow_to_compile(4, 400_000));
    until_children(&host, true).await?;
    bomb.abort();
    until_children(&host, false).await?;
    // It is not on the shelf, and its place is free.
    let wasm = guests::number(1)?;
    success(host.request(Method::POST, "/v1/components?name=bad:bomb&version=1.0.0", &key).body(wasm).send().await?)
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_publication_keeps_a_host_from_ending() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut host = Host::start_in(dir.path(), None, &[], &[("WARES_DRAIN_SECONDS_MAX", "1")]).await?;
    let key = publisher(&host, "bad").await?;
    let bomb = publish(&host, &key, "bad:bomb", slow_to_compile(4, 400_000));
    until_children(&host, true).await?;
    let pid = host.pid().context("pid")?;
    let workers = children(pid)?;
    host.signal(Signal::TERM)?;
    host.wait().await?;
    let gone = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        while workers.iter().any(|worker| std::path::Path::new(&format!("/proc/{worker}")).exists()) {
            looks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.context("a worker outlived its host")?;
    assert!(bomb.await?.is_err(), "the publication was answered");
    Ok(())
}
