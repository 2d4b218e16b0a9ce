//! The hot swap: versions change under load, and no caller notices more than the new answer.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wares_it::guests;
use wares_it::host::{Host, success};

const CALLERS: usize = 200;
/// Settings with which each of them finds a slot, also where a busy machine would have a queue of them refuse calls.
const SLOTS: [(&str, &str); 2] =
    [("WARES_CALLS_TENANT_CONCURRENCY_MAX", "256"), ("WARES_LIMITS_DEFAULT_CONCURRENCY_MAX", "256")];
const DEPLOYMENTS: usize = 100;

/// One answered call: when it was sent and answered, in deployments that had been asked for and confirmed.
struct Answered {
    version: String,
    number: u64,
    confirmed_before: usize,
    asked_after: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_and_none_is_miscounted_while_versions_are_deployed_back_and_forth() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(Host::start_in(dir.path(), None, &[], &SLOTS).await?);
    let key = Arc::new(host.tenant("district").await?);
    for (number, version) in [(1, "1.0.0"), (2, "1.1.0")] {
        host.publish(guests::number(number)?, &format!("name=test:swap&version={version}"))
            .await?
            .error_for_status()?;
    }
    host.deploy("test/swap", "1.0.0").await?;

    // Deployment k (from 0) is of 1.0.0 when k is even; a call may be answered by any deployment that was current
    // between the last one confirmed before it was sent and the last one asked for before it was answered.
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let confirmed = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let callers = (0..CALLERS).map(|_| {
        let (host, key) = (Arc::clone(&host), Arc::clone(&key));
        let (asked, confirmed, stop) = (Arc::clone(&asked), Arc::clone(&confirmed), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut answers = Vec::new();
            while !stop.load(Ordering::SeqCst) {
                let confirmed_before = confirmed.load(Ordering::SeqCst);
                let response = host.call("test/swap/numbers/number", &key, &json!({})).await?;
                let asked_after = asked.load(Ordering::SeqCst);
                let version = response.headers().get("wares-version").context("wares-version")?.to_str()?.to_owned();
                let number = success(response).await?.as_u64().context("a number")?;
                answers.push(Answered { version, number, confirmed_before, asked_after });
            }
            anyhow::Ok(answers)
        })
    });
    let callers: Vec<_> = callers.collect();
    for k in 1..=DEPLOYMENTS {
        asked.store(k, Ordering::SeqCst);
        host.deploy("test/swap", version_of(k)).await?;
        confirmed.store(k, Ordering::SeqCst);
    }
    stop.store(true, Ordering::SeqCst);
    let answers: Vec<Answered> =
        try_join_all(callers).await?.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();

    let mut counted = BTreeMap::<String, u64>::new();
    for answer in &answers {
        let allowed = (answer.confirmed_before..=answer.asked_after).any(|k| version_of(k) == answer.version);
        ensure!(
            allowed,
            "{} answered between deployments {} and {}",
            answer.version,
            answer.confirmed_before,
            answer.asked_after
        );
        ensure!(answer.number == if answer.version == "1.0.0" { 1 } else { 2 }, "the guest and the header disagree");
        *counted.entry(answer.version.clone()).or_default() += 1;
    }
    ensure!(counted.len() == 2, "both versions must have answered: {counted:?}");
    assert_eq!(ledger_counts(&host).await?, counted);
    Ok(())
}

fn version_of(deployment: usize) -> &'static str {
    if deployment.is_multiple_of(2) { "1.0.0" } else { "1.1.0" }
}

async fn ledger_counts(host: &Host) -> Result<BTreeMap<String, u64>> {
    let usage = host.get("/v1/usage?group_by=version,outcome").await?;
    let rows = usage["items"].as_array().context("items")?;
    rows.iter()
        .map(|row| {
            ensure!(row["outcome"] == "ok", "an outcome other than ok: {row}");
            Ok((row["version"].as_str().context("version")?.to_owned(), row["calls"].as_u64().context("calls")?))
        })
        .collect()
}

#[tokio::test]
async fn calls_find_versions_by_requirement_by_interface_and_after_a_rollback() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    for (number, version) in [(1, "1.0.0"), (2, "1.1.0"), (3, "2.0.0")] {
        host.publish_and_deploy(guests::number(number)?, "test:swap", version).await?;
    }
    let answer = async |path: &str| success(host.request(Method::POST, path, &key).send().await?).await;

    let cases = [
        ("/v1/call/test/swap/numbers/number", 3),
        ("/v1/call/test/swap@1/numbers/number", 2),
        ("/v1/call/test/swap@=1.0.0/numbers/number", 1),
        ("/v1/call/test/swap@%5E1.0/test:swap%2Fnumbers@1.0.0/number", 2),
        ("/v1/interfaces/test:swap/numbers/number", 3),
        ("/v1/interfaces/test:swap/numbers@1/number", 3),
    ];
    for (path, number) in cases {
        assert_eq!(answer(path).await?, json!(number), "{path}");
    }

    let rolled_back = host.post("/v1/components/test/swap/deployment/rollback", json!({})).await?;
    assert_eq!(rolled_back["traffic"], json!({"1.1.0": 100}));
    assert_eq!(answer("/v1/call/test/swap/numbers/number").await?, json!(2));
    let history = host.get("/v1/components/test/swap/deployment/history").await?;
    let revisions: Vec<&Value> =
        history["items"].as_array().context("items")?.iter().map(|item| &item["revision"]).collect();
    assert_eq!(revisions, [4, 3, 2, 1]);
    Ok(())
}
