//! Components of the asynchronous component model: `wasi:http/handler` of WASI 0.3, and asynchronous functions.

use crate::raw::Raw;
use crate::serve::{Shelf, call_id};
use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::json;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_responses_pass() -> Result<()> {
    let shelf = Shelf::of("answers-async").await?;
    for path in ["/echo", "/upper"] {
        let text = "回声 echo ".repeat(5_000);
        let response = shelf.request(Method::POST, path).body(text.clone()).send().await?;
        let call = call_id(&response)?;
        let expected = if path == "/upper" { text.to_ascii_uppercase() } else { text };
        assert_eq!(response.text().await?, expected, "{path}");
        let entry = shelf.host.get(&format!("/v1/calls/{call}")).await?;
        assert_eq!((&entry["outcome"], &entry["function"]), (&json!("ok"), &json!("handle")), "{entry:#}");
        assert!(entry["interface"].as_str().unwrap_or_default().starts_with("wasi:http/handler@0.3."), "{entry:#}");
        assert_eq!((&entry["bytes-in"], &entry["bytes-out"]), (&json!(expected.len()), &json!(expected.len())));
    }
    let seen = shelf.request(Method::POST, "/seen?a=1&b=%2F").header("x-own", "mine").send().await?.text().await?;
    assert!(seen.starts_with("POST 127.0.0.1:") && seen.contains("/seen?a=1&b=%2F\n"), "{seen}");
    assert!(seen.contains("x-own: mine") && !seen.contains("authorization"), "{seen}");
    assert_eq!(shelf.request(Method::GET, "/nowhere").send().await?.status(), 404);
    assert_eq!(shelf.request(Method::HEAD, "/seen").send().await?.status(), 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rest_of_wasi_is_there_as_far_as_it_is_given() -> Result<()> {
    let shelf = Shelf::of("answers-async").await?;
    let response = shelf.request(Method::GET, "/world").send().await?;
    let call = call_id(&response)?;
    let expected = "written true, waited true, this century true, 65536 random bytes, 0 variables, 0 folders";
    assert_eq!(response.text().await?, expected);
    assert_eq!(shelf.host.get(&format!("/v1/calls/{call}")).await?["logs"], "seen the world\n");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_stream_both_ways_with_trailers() -> Result<()> {
    let shelf = Shelf::of("answers-async").await?;
    let mut raw = Raw::connect(&shelf.host).await?;
    let fields = "te: trailers\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n";
    raw.send(&format!("{}{fields}", shelf.head("POST /upper"))).await?;
    for word in ["one", "two"] {
        raw.send(&format!("3\r\n{word}\r\n")).await?;
        raw.until(&word.to_uppercase()).await?;
    }
    raw.send("0\r\nx-sum: 9\r\n\r\n").await?;
    raw.until("0\r\nx-sum: 9\r\n\r\n").await?;

    let mut response = shelf.request(Method::GET, "/drops").send().await?;
    let path = format!("/v1/calls/{}", call_id(&response)?);
    assert_eq!(response.chunk().await?.as_deref(), Some(b"drop 0\n".as_slice()));
    assert_eq!(shelf.host.request(Method::GET, &path, &shelf.host.admin_key).send().await?.status(), 404);
    let mut rest = String::new();
    while let Some(chunk) = response.chunk().await? {
        rest.push_str(std::str::from_utf8(&chunk)?);
    }
    assert!(rest.ends_with("drop 9\n"), "{rest}");
    assert_eq!(shelf.host.get(&path).await?["bytes-out"], 70);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_and_failures_are_counted() -> Result<()> {
    let shelf = Shelf::of("answers-async").await?;
    for (path, status, expected) in [
        ("/spin", 500, "limit-cpu"),
        ("/sleep", 504, "limit-wall"),
        ("/eat", 500, "limit-memory"),
        ("/panic", 500, "trap"),
        ("/error", 422, "component-error"),
    ] {
        let response = shelf.request(Method::GET, path).send().await?;
        let call = call_id(&response)?;
        let (got, document) = problem(response).await?;
        assert_eq!((got, code(&document)), (status, expected), "{path}: {document:#}");
        assert_eq!(shelf.host.get(&format!("/v1/calls/{call}")).await?["outcome"], expected, "{path}");
    }
    for path in ["/too-long", "/breaks", "/short", "/over"] {
        let whole = match shelf.request(Method::GET, path).send().await {
            Ok(response) => response.bytes().await.is_ok(),
            Err(_) => false,
        };
        assert!(!whole, "{path}: the answer must not seem complete");
    }
    let mut response = shelf.request(Method::GET, "/drops").send().await?;
    assert!(response.chunk().await?.is_some());
    drop(response);
    let ended = json!({
        "limit-cpu": 1, "limit-wall": 1, "limit-memory": 1, "limit-output": 1,
        "component-error": 1, "trap": 4, "cancelled": 1,
    });
    shelf.until_outcomes(ended).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_spin_sdk_makes_is_served() -> Result<()> {
    let shelf = Shelf::of("spin-component").await?;
    let answer = shelf.request(Method::POST, "/a?b=1").body("hello").send().await?;
    assert_eq!(answer.headers()["content-type"], "text/plain");
    assert_eq!(answer.text().await?, "POST /a?b=1 5");
    let shelf = Shelf::of("spin-service").await?;
    assert_eq!(shelf.request(Method::PUT, "/a?b=1").body("hello").send().await?.text().await?, "PUT /a?b=1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn asynchronous_functions_are_called_with_json() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("waits")?, "test:waits", "1.0.0").await?;
    let doubled = host.call("test/waits/double", &key, &json!({"number": 21})).await?;
    assert_eq!(success(doubled).await?, 42);
    let (status, document) = problem(host.call("test/waits/hoard", &key, &json!({})).await?).await?;
    assert_eq!((status, code(&document)), (500, "limit-memory"), "{document:#}");
    let again = host.call("test/waits/double", &key, &json!({"number": 4})).await?;
    assert_eq!(success(again).await?, 8);
    let usage = host.get("/v1/usage?group_by=outcome").await?;
    assert_eq!(usage["items"].as_array().context("items")?.len(), 2, "{usage:#}");
    Ok(())
}
