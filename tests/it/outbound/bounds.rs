//! Servers that hang, drip, never end or break off, and callers that go away: each request is bounded, and every call is counted.

use super::shelf::{Shelf, call_id, error};
use super::upstream::Upstream;
use crate::program::Unheard;
use anyhow::{Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use wares_it::host::{code, problem};

/// Settings with which a host waits shorter than the component would, and long enough for a server that answers.
const IMPATIENT: [(&str, &str); 2] =
    [("WARES_OUTBOUND_FIRST_BYTE_MS_MAX", "3000"), ("WARES_OUTBOUND_BETWEEN_BYTES_MS_MAX", "3000")];

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_do_not_answer_well_are_left_in_time() -> Result<()> {
    let (shelf, upstream) = (Shelf::with(&IMPATIENT).await?, Upstream::start("127.0.0.1:0").await?);
    let authority = format!("good.wares.test:{}", upstream.port());
    let cases = [
        ("/hang", "ConnectionReadTimeout", "no response began"),
        ("/slow-head", "ConnectionReadTimeout", "no response began"),
        ("/pause", "connection read timeout", "nothing more"),
        ("/endless", "body size exceeds limit", "over 100000 bytes"),
        ("/early", "incomplete HTTP response", ""),
        ("/nothing", "HttpResponseIncomplete", ""),
        ("/garbage", "HttpProtocolError", ""),
        ("/switch", "HttpUpgradeFailed", "another protocol"),
        ("/wide", "HttpResponseHeaderSectionSize", "header"),
        ("/many", "HttpResponseHeaderSectionSize", "header"),
    ];
    // All at once: some take the time that the host waits. What the component would wait, it does not.
    let asked = cases.map(async |(path, expected, word)| {
        let ask = json!({"authority": authority, "path": path, "first_byte_ms": 600_000, "between_bytes_ms": 600_000});
        let (told, log) = shelf.ask_one(ask).await?;
        ensure!(error(&told).contains(expected) && log.contains(word), "{path}: {told:#} {log}");
        Ok(())
    });
    try_join_all(asked).await?;
    upstream.until(|seen| seen.opened == seen.closed).await?;
    assert_eq!(
        (shelf.count("timeout").await?, shelf.count("too-large").await?, shelf.count("broken").await?),
        (3, 3, 4)
    );

    let nobody = Unheard::new()?;
    let (told, _) = shelf.ask_one(json!({"authority": format!("good.wares.test:{}", nobody.addr.port())})).await?;
    assert!(["ConnectionRefused", "ConnectionTerminated"].iter().any(|word| error(&told).contains(word)), "{told:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_waits_as_short_as_it_wants() -> Result<()> {
    let (shelf, upstream) = (Shelf::new().await?, Upstream::start("127.0.0.1:0").await?);
    let authority = format!("good.wares.test:{}", upstream.port());
    for (ask, word) in [
        (json!({"authority": authority, "path": "/hang", "first_byte_ms": 100}), "no response began"),
        (json!({"authority": authority, "path": "/pause", "between_bytes_ms": 100}), "nothing more"),
        (json!({"authority": authority, "path": "/hang", "first_byte_ms": 0}), "no response began"),
    ] {
        let (told, log) = shelf.ask_one(ask.clone()).await?;
        assert!(told["error"].is_string() && log.contains(word), "{ask}: {told:#} {log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_sends_so_many_requests_of_so_many_bytes() -> Result<()> {
    let (shelf, upstream) = (Shelf::new().await?, Upstream::start("127.0.0.1:0").await?);
    let authority = format!("good.wares.test:{}", upstream.port());
    let told = shelf.ask(vec![json!({"authority": authority}); 10].into()).await?;
    let answered = told.each.iter().filter(|told| told["status"] == 200).count();
    assert_eq!(answered, 8, "{}", told.log);
    assert!(told.each[8..].iter().all(|told| error(told) == "ErrorCode::ConnectionLimitReached"), "{:#?}", told.each);
    assert!(told.log.contains("outbound-requests-max"), "{}", told.log);
    let again = shelf.ask(json!([{"authority": authority}])).await?;
    assert_eq!(again.each[0]["status"], 200, "the next call has requests of its own");

    let upload = json!({"method": "POST", "authority": authority, "path": "/upload", "body": 200_000});
    let (told, log) = shelf.ask_one(upload).await?;
    assert!(error(&told).contains("HttpRequestBodySize") && log.contains("outbound-bytes-max"), "{told:#} {log}");
    // The same when the response has begun already.
    let upload = json!({"method": "POST", "authority": authority, "path": "/pause", "body": 200_000, "late": true});
    let (told, log) = shelf.ask_one(upload).await?;
    assert!(told["error"].is_string() && log.contains("outbound-bytes-max"), "{told:#} {log}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_opens_so_many_connections() -> Result<()> {
    let settings = [("WARES_OUTBOUND_CONNECT_MS_MAX", "500"), ("WARES_OUTBOUND_CONNECTIONS_MAX", "0")];
    let (shelf, upstream) = (Shelf::with(&settings).await?, Upstream::start("127.0.0.1:0").await?);
    let (told, log) = shelf.ask_one(json!({"authority": format!("good.wares.test:{}", upstream.port())})).await?;
    assert_eq!(error(&told), "ErrorCode::ConnectionLimitReached", "{told:#} {log}");
    assert_eq!(upstream.seen().opened, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenant_leaves_connections_to_the_others() -> Result<()> {
    // As many as one call with the usual limits may need, and one more.
    let settings = [("WARES_OUTBOUND_CONNECTIONS_MAX", "33")];
    let (shelf, upstream) = (Shelf::with(&settings).await?, Upstream::start("127.0.0.1:0").await?);
    let authority = format!("good.wares.test:{}", upstream.port());
    let hang = json!([{"authority": authority, "path": "/hang"}]);
    let neighbour = shelf.host.tenant("neighbour").await?;
    let mut hanging = tokio::task::JoinSet::new();
    for _ in 0..40 {
        hanging.spawn(shelf.request(&hang).send());
    }
    upstream.until(|seen| seen.heads.len() == 32).await?;
    let ask = json!([{"authority": authority}]);
    let request = shelf.host.request(reqwest::Method::POST, "/serve/test/outbound/", &neighbour).json(&ask);
    let told: Value = request.send().await?.error_for_status()?.json().await?;
    assert_eq!(told[0]["status"], 200, "{told:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_may_open_as_many_files_as_the_system_lets_it() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = wares_it::host::Host::start(data.path()).await?;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", host.pid().unwrap_or_default()))?;
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default();
    let [soft, hard] = [0, 1].map(|at| files.split_whitespace().nth(at));
    assert!(soft.is_some() && soft == hard, "{limits}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_ends_with_its_wall_time_and_so_do_its_requests() -> Result<()> {
    let (shelf, upstream) = (Shelf::new().await?, Upstream::start("127.0.0.1:0").await?);
    let authority = format!("good.wares.test:{}", upstream.port());
    for path in ["/hang", "/drip"] {
        // The wall time runs from before the request: whichever ends first ends the request.
        let response = shelf.request(&json!([{"authority": authority, "path": path}])).send().await?;
        let call = call_id(&response)?;
        let (status, document) = problem(response).await?;
        assert_eq!((status, code(&document)), (504, "limit-wall"), "{path}: {document:#}");
        assert_eq!(shelf.entry(&call).await?["outcome"], "limit-wall", "{path}");
    }
    upstream.until(|seen| seen.opened == 2 && seen.closed == 2).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_takes_the_request_with_it() -> Result<()> {
    let (shelf, upstream) = (Shelf::new().await?, Upstream::start("127.0.0.1:0").await?);
    let hang = json!({"authority": format!("good.wares.test:{}", upstream.port()), "path": "/hang"});
    let asks = json!([{"authority": "good.other.test"}, hang]);
    let caller = tokio::spawn(shelf.request(&asks).send());
    upstream.until(|seen| seen.heads.len() == 1).await?;
    caller.abort();
    upstream.until(|seen| seen.closed == 1).await?;
    let cancelled = |usage: &Value| {
        let rows = usage["items"].as_array().cloned().unwrap_or_default();
        rows.iter().any(|row| row["outcome"] == "cancelled" && row["calls"] == 1)
    };
    shelf.host.until("/v1/usage?group_by=outcome", cancelled).await?;
    let logs = shelf.host.get("/v1/logs?component=test:outbound").await?;
    assert!(
        logs.to_string().contains("GET http://good.other.test: it is not granted"),
        "what it wrote is kept: {logs:#}"
    );
    assert_eq!(shelf.host.metric("wares_calls_running").await?, Some(0.0), "its slot is free");
    assert_eq!(shelf.count("dropped").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_nobody_reads_is_let_go() -> Result<()> {
    let (shelf, upstream) = (Shelf::new().await?, Upstream::start("127.0.0.1:0").await?);
    let authority = format!("good.wares.test:{}", upstream.port());
    let (told, _) = shelf.ask_one(json!({"authority": authority, "path": "/endless", "unread": true})).await?;
    assert_eq!(told["status"], 200, "{told:#}");
    upstream.until(|seen| seen.closed == 1).await?;
    Ok(())
}
