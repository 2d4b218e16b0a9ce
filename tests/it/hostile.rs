//! Guests that do harm: each is stopped with its own code within its limit, while a neighbour goes on answering.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};
use wares_it::wait;

/// What is called, with what, and the status, code and word that must come back.
const CASES: [(&str, &str, u16, &str, &str); 11] = [
    ("test/hostile/spin", "{}", 500, "limit-cpu", "cpu-ms-max"),
    ("test/hostile/eat-memory", "{}", 500, "limit-memory", "memory"),
    ("test/hostile/eat-table", "{}", 500, "limit-memory", "table"),
    ("test/hostile/make-handles", "{}", 500, "limit-memory", "10000 handles"),
    ("test/hostile/take-handles", "{}", 500, "limit-memory", "1000 handles of the host"),
    ("test/hostile/recurse", "{}", 500, "trap", "stack"),
    ("test/hostile/trap", "{}", 500, "trap", "unreachable"),
    ("test/hostile/giant", "{}", 500, "limit-", ""),
    ("test/hostile/sleep", "{\"milliseconds\": 600000}", 504, "limit-wall", "wall-ms-max"),
    ("test/traps-at-start/nothing", "{}", 500, "trap", "unreachable"),
    ("test/spins-at-start/nothing", "{}", 500, "limit-cpu", "cpu-ms-max"),
];

#[tokio::test(flavor = "multi_thread")]
async fn harm_is_stopped_and_a_neighbour_answers() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(Host::start(dir.path()).await?);
    let key = Arc::new(host.tenant("district").await?);
    for name in ["hostile", "traps-at-start", "spins-at-start"] {
        host.publish_and_deploy(guests::text(name)?, &format!("test:{name}"), "1.0.0").await?;
    }
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;

    let stop = Arc::new(AtomicBool::new(false));
    let neighbour = {
        let (host, key, stop) = (Arc::clone(&host), Arc::clone(&key), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut answers = 0u64;
            while !stop.load(Ordering::SeqCst) {
                let answer = host.call("test/swap/numbers/number", &key, &json!({})).await?;
                assert_eq!(success(answer).await?, json!(7));
                answers += 1;
            }
            anyhow::Ok(answers)
        })
    };
    let harm = CASES.map(|case| {
        let (host, key) = (Arc::clone(&host), Arc::clone(&key));
        tokio::spawn(async move { expect(&host, &key, case).await })
    });
    for case in harm {
        case.await??;
    }
    stop.store(true, Ordering::SeqCst);
    let answers = neighbour.await??;
    assert!(answers > 100, "the neighbour answered {answers} calls only while others did harm");

    let usage = host.get("/v1/usage?group_by=component,outcome").await?;
    let harmful = |row: &&Value| row["component"] != "test:swap";
    let counted: u64 = usage["items"]
        .as_array()
        .context("items")?
        .iter()
        .filter(harmful)
        .filter_map(|row| row["calls"].as_u64())
        .sum();
    assert_eq!(counted, CASES.len() as u64, "{usage:#}");
    Ok(())
}

async fn expect(host: &Host, key: &str, case: (&str, &str, u16, &str, &str)) -> Result<()> {
    let (path, arguments, status, expected, word) = case;
    let response = host.call(path, key, &serde_json::from_str(arguments)?).await?;
    let call = response.headers().get("wares-call-id").context("wares-call-id")?.to_str()?.to_owned();
    let (got, document) = problem(response).await.with_context(|| path.to_owned())?;
    assert_eq!(got, status, "{path}: {document:#}");
    assert!(code(&document).starts_with(expected), "{path}: {document:#}");
    assert!(document["detail"].as_str().unwrap_or_default().contains(word), "{path}: {document:#}");
    let entry = host.get(&format!("/v1/calls/{call}")).await?;
    assert_eq!(entry["outcome"], code(&document), "{path}");
    Ok(())
}

#[tokio::test]
async fn a_trap_names_the_functions_it_came_through() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    let (_, document) = problem(host.call("test/hostile/trap", &key, &json!({})).await?).await?;
    let frames: Vec<&str> =
        document["backtrace"].as_array().context("backtrace")?.iter().filter_map(Value::as_str).collect();
    assert!(frames.iter().any(|frame| frame.contains("inner-failure")), "{frames:?}");
    assert!(frames.iter().any(|frame| frame.contains("outer-failure")), "{frames:?}");
    Ok(())
}

#[tokio::test]
async fn a_caller_that_goes_away_is_in_the_ledger_as_cancelled() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    let arguments = json!({"milliseconds": 600_000});
    let asked = host.request(reqwest::Method::POST, "/v1/call/test/hostile/sleep", &key).json(&arguments).send();
    tokio::select! {
        answer = asked => anyhow::bail!("the caller should be gone by then: {answer:?}"),
        running = host.until_running(1) => running?,
    }
    let usage = host.until("/v1/usage?group_by=outcome", |usage| usage["items"][0]["calls"] == 1).await?;
    let row = &usage["items"][0];
    assert_eq!(
        (&row["outcome"], &row["bytes-in"]),
        (&json!("cancelled"), &json!(arguments.to_string().len())),
        "{row:#}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_what_the_ledger_counts_whenever_callers_go_away() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let nothing = json!({});
    for patience_us in (0..4_000).step_by(10) {
        let call = host.call("test/swap/numbers/number", &key, &nothing);
        let _ = tokio::time::timeout(Duration::from_micros(patience_us), call).await;
    }
    host.until_running(0).await?;
    let counted = async || {
        let shown = host.metrics().await?;
        let calls = shown.lines().filter(|line| line.starts_with("wares_calls_total{"));
        let calls: f64 = calls.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        let usage = host.get("/v1/usage").await?;
        anyhow::Ok((calls, usage["items"][0]["calls"].as_f64().unwrap_or_default()))
    };
    wait::until("metrics and ledger agree", async || {
        let (metrics, ledger) = counted().await?;
        Ok(if metrics == ledger && ledger > 0.0 { Ok(()) } else { Err(format!("{metrics} and {ledger}")) })
    })
    .await
}
