//! HTTP requests that components send: only what is granted, only to addresses that are, within bounds.

mod bounds;
mod dns;
mod forgery;
pub(crate) mod shelf;
mod tls;
pub(crate) mod upstream;

use crate::command;
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use shelf::{GRANTS, Shelf, call_id, error, usual_grants};
use upstream::Upstream;
use wares_it::guests;
use wares_it::host::{code, problem};

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_sends_requests_takes_no_traffic_until_they_are_granted() -> Result<()> {
    let shelf = Shelf::ungranted(&[]).await?;
    let wasm = guests::built("test-outbound")?;
    let (status, document) = problem(shelf.host.publish(wasm.clone(), "deploy=true").await?).await?;
    assert_eq!((status, code(&document)), (422, "invalid-component"), "{document:#}");
    let detail = document["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("wares grants add test:outbound --http 'http://*.wares.test:*'"), "{detail}");

    let folder = tempfile::tempdir()?;
    let grant = ["grants", "add", "test:outbound", "--http", "http://*.wares.test:*", "--address", "127.0.0.1"];
    let granted = command::client(folder.path(), &shelf.host, &shelf.host.admin_key, &grant)?;
    assert_eq!(granted.code, 0, "{}", granted.stderr);
    let others = ["grants", "add", "test:outbound", "--http", "https://*.wares.test:*", "--http", "http://127.0.0.1:*"];
    let granted = command::client(folder.path(), &shelf.host, &shelf.host.admin_key, &others)?;
    assert_eq!(granted.code, 0, "{}", granted.stderr);
    assert_eq!(shelf.host.get(GRANTS).await?["grants"]["http"][0]["addresses"], json!(["127.0.0.1/32"]));
    shelf.host.publish(wasm, "deploy=true").await?.error_for_status()?;

    let upstream = Upstream::start("127.0.0.1:0").await?;
    let url = format!("http://good.wares.test:{}", upstream.port());
    let path = format!("/serve/test/outbound/plain?{url}/seen");
    let response = shelf.host.request(Method::GET, &path, &shelf.key).send().await?;
    let call = call_id(&response)?;
    let (status, text) = (response.status(), response.text().await?);
    ensure!(status.is_success(), "{status}: {text}, {:#}", shelf.entry(&call).await?);
    assert!(text.starts_with("GET /seen HTTP/1.1\r\n"), "{text}");
    assert!(text.contains(&format!("\r\nhost: good.wares.test:{}\r\n", upstream.port())), "{text}");
    assert_eq!(shelf.entry(&call).await?["outcome"], "ok");
    let used = shelf.host.get(GRANTS).await?;
    assert_eq!(used["used"]["items"][0]["what"], format!("http GET {url}"), "{used:#}");
    assert_eq!(shelf.count("ok").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn components_of_wasi_0_3_send_requests_by_the_same_rules() -> Result<()> {
    let (shelf, upstream) = (Shelf::ungranted(&[]).await?, Upstream::start("127.0.0.1:0").await?);
    let wasm = guests::built("test-outbound-async")?;
    let (status, document) = problem(shelf.host.publish(wasm.clone(), "deploy=true").await?).await?;
    assert_eq!((status, code(&document)), (422, "invalid-component"), "{document:#}");
    let grant = json!({"allow": "http://*.wares.test:*", "addresses": ["127.0.0.1/32"]});
    shelf.host.put("/v1/components/test/outbound-async/grants", json!({"grants": {"http": [grant]}})).await?;
    shelf.host.publish(wasm, "deploy=true").await?.error_for_status()?;

    let port = upstream.port();
    let get = async |place: &str| {
        let path = format!("/serve/test/outbound-async/?{place}");
        shelf.host.request(Method::GET, &path, &shelf.key).send().await
    };
    let text = get(&format!("good.wares.test:{port}/seen")).await?.error_for_status()?.text().await?;
    assert!(text.starts_with("GET /seen HTTP/1.1\r\n"), "{text}");
    for (place, word) in [
        (format!("evil.wares.test:{port}/"), "DestinationIpProhibited"),
        (format!("good.other.test:{port}/"), "HttpRequestDenied"),
        (format!("good.wares.test:{port}/nothing"), "HttpResponseIncomplete"),
    ] {
        let response = get(&place).await?;
        let call = call_id(&response)?;
        let (status, document) = problem(response).await?;
        assert_eq!((status, code(&document)), (422, "component-error"), "{place}: {document:#}");
        assert!(document.to_string().contains(word), "{place}: {document:#}");
        assert_eq!(shelf.entry(&call).await?["outcome"], "component-error", "{place}");
    }
    // An authority that nobody has is not kept for the component, let alone sent.
    let response = get(&format!("{}wares.test/", "a.".repeat(300))).await?;
    let call = call_id(&response)?;
    let (status, document) = problem(response).await?;
    assert!(status == 422 && document.to_string().contains("HttpRequestUriInvalid"), "{document:#}");
    assert_eq!(shelf.entry(&call).await?["logs"], Value::Null, "the component was told before it could send anything");
    // What breaks off later breaks the answer off.
    let broken = get(&format!("good.wares.test:{port}/early")).await?;
    assert!(broken.bytes().await.is_err(), "it must not seem complete");
    upstream.until(|seen| seen.opened == 3 && seen.closed == 3).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_pass_with_bodies_and_trailers_both_ways() -> Result<()> {
    let (shelf, upstream) = (Shelf::new().await?, Upstream::start("127.0.0.1:0").await?);
    let authority = format!("good.wares.test:{}", upstream.port());
    let upload = json!({
        "method": "POST", "authority": authority, "path": "/upload?a=1", "body": 10_000,
        "headers": [["x-own", "mine"], ["trailer", "x-last"], ["te", "trailers"]], "trailers": [["x-last", "word"]],
    });
    let (told, log) = shelf.ask_one(upload).await?;
    assert_eq!((&told["status"], &told["error"]), (&json!(200), &Value::Null), "{told:#} {log}");
    let head = &upstream.seen().heads[0];
    assert!(head.starts_with("POST /upload?a=1 HTTP/1.1\r\n") && head.contains("x-own: mine\r\n"), "{head}");
    assert!(told["bytes"].as_u64().context("bytes")? > 10_000, "{told:#}");

    let (told, _) = shelf.ask_one(json!({"authority": authority, "path": "/trailers"})).await?;
    assert_eq!(told["body"], "hello", "{told:#}");
    assert_eq!(told["trailers"], json!([["x-sum", "five"]]), "{told:#}");
    let names: Vec<_> = told["headers"].as_array().context("headers")?.iter().map(|field| field[0].clone()).collect();
    assert_eq!(names, ["trailer"], "what concerns the connection alone does not reach the component");
    assert_eq!(log, "");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_is_seen_by_the_server_and_not_by_the_component() -> Result<()> {
    const SECRET: &str = "word-of-the-bank";
    let (shelf, upstream) = (Shelf::new().await?, Upstream::start("127.0.0.1:0").await?);
    let rule = format!("http://good.wares.test:{}", upstream.port());
    let credential = json!({"header": "authorization", "prefix": "Bearer ", "secret": "bank"});
    let mut grants = usual_grants();
    let grant = json!({"allow": rule, "addresses": ["127.0.0.1/32"], "credential": credential});
    // Of the grants that allow a request it goes by the narrowest, wherever that stands.
    grants["http"].as_array_mut().context("grants")?.push(grant);
    shelf.grant(grants).await?;

    let ask = json!({"authority": format!("good.wares.test:{}", upstream.port()), "path": "/trailers"});
    let (told, log) = shelf.ask_one(ask.clone()).await?;
    assert_eq!(error(&told), "ErrorCode::ConfigurationError", "{told:#}");
    assert!(log.contains("no secret of this name is set"), "{log}");
    assert_eq!(upstream.seen().opened, 0);

    shelf.host.put("/v1/components/test/outbound/secrets/bank", json!({"value": SECRET})).await?;
    let mut own = ask.clone();
    own["headers"] = json!([["authorization", "Bearer own"]]);
    let told = shelf.ask(json!([ask, own])).await?;
    assert_eq!(told.each[0]["status"], 200, "{:#} {}", told.each[0], told.log);
    assert_eq!(error(&told.each[1]), "ErrorCode::HttpRequestDenied", "{:#}", told.each[1]);
    let seen = upstream.seen();
    assert!(seen.heads[0].contains(&format!("\r\nauthorization: Bearer {SECRET}\r\n")), "{}", seen.heads[0]);
    assert_eq!(seen.opened, 1, "its own word for the credential is not sent");
    let all = format!("{:?} {}", told.each, told.log);
    assert!(!all.contains(SECRET), "{all}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_is_not_sent_and_the_log_says_what_would_grant_it() -> Result<()> {
    let (shelf, upstream) = (Shelf::new().await?, Upstream::start("127.0.0.1:0").await?);
    let port = upstream.port();
    let (told, log) = shelf.ask_one(json!({"authority": format!("good.other.test:{port}")})).await?;
    assert_eq!(error(&told), "ErrorCode::HttpRequestDenied", "{told:#}");
    let command = format!("wares grants add test:outbound --http 'GET http://good.other.test:{port}'");
    assert!(log.contains(&command), "{log}");

    // Granted now, but its manifest does not ask for it.
    let mut grants = usual_grants();
    let more = json!({"allow": format!("http://*.other.test:{port}"), "addresses": ["127.0.0.1/32"]});
    grants["http"].as_array_mut().context("grants")?.push(more);
    shelf.grant(grants).await?;
    let (told, log) = shelf.ask_one(json!({"authority": format!("good.other.test:{port}")})).await?;
    assert_eq!(error(&told), "ErrorCode::HttpRequestDenied", "{told:#}");
    assert!(log.contains("[capabilities]"), "{log}");

    // Calls that begin after a grant is narrowed are held to it.
    let narrow = json!({"allow": format!("GET http://good.wares.test:{port}"), "addresses": ["127.0.0.1/32"]});
    shelf.grant(json!({"http": [narrow]})).await?;
    let ask = |method: &str, host: &str| json!({"method": method, "authority": format!("{host}:{port}")});
    let told = shelf.ask(json!([
        ask("GET", "good.wares.test"),
        ask("POST", "good.wares.test"),
        ask("GET", "other.wares.test"),
    ]));
    let told = told.await?;
    let statuses: Vec<_> = told.each.iter().map(|told| told["status"].clone()).collect();
    assert_eq!(statuses, [json!(200), Value::Null, Value::Null], "{}", told.log);
    assert_eq!(upstream.seen().opened, 1, "nothing but the one request was sent");
    assert_eq!(shelf.count("refused").await?, 4);
    Ok(())
}
