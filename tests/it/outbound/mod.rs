//! HTTP requests that components send: only what is granted, only to addresses that are, within bounds.

mod bounds;
mod dns;
mod forgery;
mod shelf;
mod tls;
mod upstream;

use crate::command;
use anyhow::{Context as _, Result};
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
    let text = response.error_for_status()?.text().await?;
    assert!(text.starts_with("GET /seen HTTP/1.1\r\n"), "{text}");
    assert!(text.contains(&format!("\r\nhost: good.wares.test:{}\r\n", upstream.port())), "{text}");
    assert_eq!(shelf.entry(&call).await?["outcome"], "ok");
    let used = shelf.host.get(GRANTS).await?;
    assert_eq!(used["used"]["items"][0]["what"], format!("http GET {url}"), "{used:#}");
    assert_eq!(shelf.count("ok").await?, 1);
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
