//! Calls with an `Idempotency-Key`: made once, counted once, and answered alike from then on.

use crate::command::done;
use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};
use wares_it::wait;

const HOSTILE: &str = "/v1/call/test/hostile";

async fn shelf(data: &Path) -> Result<(Host, String)> {
    let host = Host::start(data).await?;
    let key = host.tenant("north").await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    Ok((host, key))
}

async fn ask(host: &Host, key: &str, function: &str, body: &str, name: &str) -> Result<Response> {
    let request = host.request(Method::POST, &format!("{HOSTILE}/{function}"), key).header("idempotency-key", name);
    Ok(request.header("content-type", "application/json").body(body.to_owned()).send().await?)
}

fn header(response: &Response, name: &str) -> String {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

async fn counted(host: &Host) -> Result<u64> {
    Ok(host.get("/v1/usage").await?["items"][0]["calls"].as_u64().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_call_under_the_same_key_has_the_same_answer_and_is_counted_once() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path()).await?;
    let first = ask(&host, &key, "add", r#"{"a": 1, "b": 2}"#, "order 7").await?;
    let call = header(&first, "wares-call-id");
    assert_eq!((header(&first, "wares-replayed"), first.text().await?), (String::new(), "3".to_owned()));
    for (body, name) in [
        (r#"{"a": 1, "b": 2}"#, "order 7"),
        (r#"{"b":2,"a":1.0}"#, "order 7"),
        ("\n{ \"a\" : 1e0, \"b\" : 2 }", "\"order 7\""),
    ] {
        let again = ask(&host, &key, "add", body, name).await?;
        let seen =
            ["wares-call-id", "wares-replayed", "wares-outcome", "wares-version"].map(|name| header(&again, name));
        assert_eq!(seen, [call.as_str(), "true", "ok", "1.0.0"], "{body}");
        assert_eq!((header(&again, "content-type"), again.text().await?), ("application/json".into(), "3".into()));
    }
    for (function, body) in [("add", r#"{"a": 1, "b": 3}"#), ("add", "[1, 2]"), ("spin", r#"{"a": 1, "b": 2}"#)] {
        let (status, refused) = problem(ask(&host, &key, function, body, "order 7").await?).await?;
        assert_eq!((status, code(&refused)), (422, "key-reused"), "{function} {body}: {refused}");
    }
    assert_eq!(counted(&host).await?, 1);

    // Another application's key is another one, and so is another tenant's.
    let other = host.post("/v1/tenants/north/keys", json!({"application": "other"})).await?;
    for key in [other["key"].as_str().context("key")?, &host.tenant("south").await?] {
        let own = ask(&host, key, "add", "[2, 3]", "order 7").await?;
        assert_eq!((header(&own, "wares-replayed"), own.text().await?), (String::new(), "5".to_owned()));
    }
    // It outlives the host, and the version's deployment.
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(data.path(), Some(&admin_key), &[]).await?;
    let again = ask(&host, &key, "add", r#"{"a": 1, "b": 2}"#, "order 7").await?;
    assert_eq!((header(&again, "wares-call-id"), again.text().await?), (call, "3".to_owned()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_stands_and_a_refusal_does_not() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path()).await?;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let trapped = ask(&host, &key, "trap", "{}", "fails").await?;
        let replayed = header(&trapped, "wares-replayed");
        let (status, document) = problem(trapped).await?;
        assert_eq!((status, code(&document)), (500, "trap"), "{document:#}");
        answers.push((replayed, document));
    }
    assert_eq!([answers[0].0.as_str(), answers[1].0.as_str()], ["", "true"]);
    assert_eq!(answers[0].1, answers[1].1, "backtrace and id included");
    // What was refused was not made: with other arguments it is made for the first time.
    let (status, _) = problem(ask(&host, &key, "add", "[1]", "refused").await?).await?;
    assert_eq!(status, 400);
    assert_eq!(success(ask(&host, &key, "add", "[1, 2]", "refused").await?).await?, json!(3));
    assert_eq!(counted(&host).await?, 2);
    for name in ["", "名", &"k".repeat(256)] {
        assert_eq!(ask(&host, &key, "add", "[1, 2]", name).await?.status(), 400, "{name}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_a_key_goes_on_without_its_caller_and_is_not_made_beside_itself() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path()).await?;
    let arguments = json!([4_000]).to_string();
    tokio::select! {
        answer = ask(&host, &key, "sleep", &arguments, "long") => anyhow::bail!("nobody waits so long: {answer:?}"),
        running = host.until_running(1) => running?,
    }
    let running = ask(&host, &key, "sleep", &arguments, "long").await?;
    assert_eq!(header(&running, "retry-after"), "1");
    let (status, refused) = problem(running).await?;
    assert_eq!((status, code(&refused)), (409, "conflict"), "{refused}");
    let (status, refused) = problem(ask(&host, &key, "sleep", "[1]", "long").await?).await?;
    assert_eq!((status, code(&refused)), (422, "key-reused"), "{refused}");
    let look = async || {
        let answer = ask(&host, &key, "sleep", &arguments, "long").await?;
        Ok(if answer.status() == 409 { Err(answer.status()) } else { Ok(answer) })
    };
    let again = wait::until("the call has ended", look).await?;
    assert_eq!((again.status().as_u16(), header(&again, "wares-replayed")), (200, "true".to_owned()));
    assert_eq!(counted(&host).await?, 1);
    let usage = host.get("/v1/usage?group_by=outcome").await?;
    assert_eq!(usage["items"][0]["outcome"], "ok");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_under_one_key_are_one_call() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path()).await?;
    let answers = join_all((0..30).map(|_| ask(&host, &key, "add", "[1, 2]", "all"))).await;
    let mut calls = BTreeSet::new();
    for answer in answers {
        let answer = answer?;
        match answer.status().as_u16() {
            200 => drop(calls.insert(header(&answer, "wares-call-id"))),
            status => assert_eq!(status, 409),
        }
    }
    assert_eq!(calls.len(), 1);
    assert_eq!(counted(&host).await?, 1);
    Ok(())
}

/// Calls of one load, the number `n` under the key `n`.
async fn call_all(host: &Host, key: &str, numbers: std::ops::Range<u64>) -> BTreeMap<u64, (String, Value)> {
    let one = async |n: u64| {
        let answer = ask(host, key, "add", &json!([n, 1]).to_string(), &format!("load {n}")).await.ok()?;
        let call = header(&answer, "wares-call-id");
        Some((n, (call, success(answer).await.ok()?)))
    };
    join_all(numbers.map(one)).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_under_load_has_made_no_call_twice() -> Result<()> {
    const CALLERS: u64 = 16;
    const EACH: u64 = 40;
    let data = tempfile::tempdir()?;
    let (mut host, key) = shelf(data.path()).await?;
    let admin_key = host.admin_key.clone();
    let mut answered = BTreeMap::new();
    for round in 0..3 {
        let load = join_all((0..CALLERS).map(|caller| {
            let (host, key) = (&host, &key);
            async move {
                let mut all = BTreeMap::new();
                for n in 0..EACH {
                    let n = (round * CALLERS + caller) * EACH + n;
                    let some = call_all(host, key, n..n + 1).await;
                    if some.is_empty() {
                        break;
                    }
                    all.extend(some);
                }
                all
            }
        }));
        // In the midst of it, whenever that is.
        let kill = async {
            let look = async || Ok(if counted(&host).await? >= 50 * (round + 1) { Ok(()) } else { Err("not yet") });
            wait::until("calls are counted", look).await?;
            host.signal(rustix::process::Signal::KILL)
        };
        let (some, killed) = tokio::join!(load, kill);
        killed?;
        answered.extend(some.into_iter().flatten());
        host.wait().await?;
        host = Host::start_with(data.path(), Some(&admin_key), &[]).await?;
    }
    ensure!(!answered.is_empty(), "no call was answered");
    // All of them again: those that were answered are answered alike, and all are counted once.
    let total = 3 * CALLERS * EACH;
    let mut again = BTreeMap::new();
    for numbers in (0..total).step_by(64) {
        again.extend(call_all(&host, &key, numbers..total.min(numbers + 64)).await);
    }
    assert_eq!(again.len() as u64, total);
    for (n, (call, result)) in &again {
        assert_eq!(*result, json!(n + 1));
        ensure!(answered.get(n).is_none_or(|(first, _)| first == call), "{n} was made again");
    }
    let calls: BTreeSet<_> = again.values().map(|(call, _)| call).collect();
    assert_eq!(calls.len() as u64, total, "a call each");
    let usage = host.get("/v1/usage?group_by=outcome").await?;
    let ok = usage["items"].as_array().into_iter().flatten().find(|row| row["outcome"] == "ok").context("ok")?;
    assert_eq!(ok["calls"], total, "{usage:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_calls_once() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path()).await?;
    for _ in 0..2 {
        let call = ["call", "--idempotency-key", "a", "test/hostile", "add", "[1, 2]"];
        assert_eq!(done(data.path(), &host, &key, &call)?.trim(), "3");
    }
    assert_eq!(counted(&host).await?, 1);
    Ok(())
}
