//! HTTP components behind the host as a proxy: framing, fields between neighbours, trailers, and callers that are slow or gone.

use crate::raw::{Raw, exchange};
use crate::serve::{Shelf, call_id};
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper::header::HeaderMap;
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::convert::Infallible;
use wares_it::wait;

/// Bytes that the host may send over HTTP/2 before they are taken.
const WINDOW_BYTES: u32 = 65_535;

impl Shelf {
    /// The head of a request to the component, without its last line.
    pub(crate) fn head(&self, line: &str) -> String {
        let (method, path) = line.split_once(' ').unwrap_or(("GET", line));
        let (name, key) = (&self.name, &self.key);
        format!("{method} /serve/test/{name}{path} HTTP/1.1\r\nhost: shelf\r\nauthorization: Bearer {key}\r\n")
    }

    /// A request on a connection that ends with its answer.
    async fn exchange(&self, line: &str, rest: &str) -> Result<String> {
        exchange(&self.host, &format!("{}connection: close\r\n{rest}", self.head(line))).await
    }

    /// How many calls ended how.
    async fn outcomes(&self) -> Result<Value> {
        let usage = self.host.get("/v1/usage?group_by=outcome").await?;
        let items = usage["items"].as_array().context("items")?;
        Ok(items
            .iter()
            .map(|item| (item["outcome"].as_str().unwrap_or_default().to_owned(), item["calls"].clone()))
            .collect())
    }

    /// Waits until the ledger says so.
    pub(crate) async fn until_outcomes(&self, expected: Value) -> Result<()> {
        let look = async || {
            let last = self.outcomes().await?;
            Ok(if last == expected { Ok(()) } else { Err(last) })
        };
        wait::until(&format!("{expected} in the ledger"), look).await
    }

    async fn http2<B>(&self) -> Result<(http2::SendRequest<B>, tokio::task::JoinHandle<()>)>
    where
        B: hyper::body::Body<Data = Bytes, Error = Infallible> + Send + Unpin + 'static,
    {
        let io = TokioIo::new(Raw::connect(&self.host).await?.into_stream());
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        let (sender, connection) = http2.handshake(io).await?;
        // How it ends, its requests say too.
        Ok((sender, tokio::spawn(async move { drop(connection.await) })))
    }

    fn http2_request<B>(&self, method: Method, path: &str, body: B) -> Result<hyper::Request<B>> {
        let request =
            hyper::Request::builder().method(method).uri(format!("{}/serve/test/{}{path}", self.host.url, self.name));
        Ok(request.header("authorization", format!("Bearer {}", self.key)).body(body)?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_between_neighbours_stay_between_them() -> Result<()> {
    let shelf = Shelf::new().await?;
    let fields = "connection: x-mine\r\nx-mine: 1\r\nx-kept: 2\r\nkeep-alive: timeout=5\r\nte: gzip, trailers\r\n\
                  upgrade: websocket\r\nproxy-authorization: Basic eA==\r\nproxy-note: 3\r\nexpect: 100-continue\r\n\r\n";
    let answer = shelf.exchange("GET /seen", fields).await?;
    let seen = answer.split_once("\r\n\r\n").context("a body")?.1;
    assert!(seen.contains("x-kept: 2") && seen.contains("te: trailers"), "{answer}");
    for gone in ["connection:", "x-mine", "keep-alive", "gzip", "upgrade", "proxy-", "expect", "authorization"] {
        assert!(!seen.contains(gone), "{gone} in {answer}");
    }

    let answer = shelf.exchange("GET /hop", "\r\n").await?;
    assert!(answer.contains("x-kept: 1"), "{answer}");
    assert!(!answer.contains("\r\nte:") && !answer.contains("proxy-note"), "{answer}");

    let answer = shelf.exchange("GET /fields", "\r\n").await?;
    assert_eq!(answer.matches(": refused").count(), 8, "the component can frame no message itself: {answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_both_ways() -> Result<()> {
    let shelf = Shelf::new().await?;
    // Over HTTP/1.1, to who takes them.
    let chunked = "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 9\r\n\r\n";
    let with = shelf.exchange("POST /upper", &format!("te: trailers\r\ntrailer: x-sum\r\n{chunked}")).await?;
    assert!(with.contains("\r\ntrailer: x-sum\r\n") && with.contains("5\r\nHELLO\r\n"), "{with}");
    assert!(with.ends_with("0\r\nx-sum: 9\r\n\r\n"), "{with}");
    let without = shelf.exchange("POST /upper", chunked).await?;
    assert!(without.ends_with("5\r\nHELLO\r\n0\r\n\r\n"), "{without}");

    // Over HTTP/2.
    let (mut sender, _connection) = shelf.http2().await?;
    let trailers = HeaderMap::from_iter([("x-sum".parse()?, "9".parse()?), ("content-length".parse()?, "70".parse()?)]);
    let frames = [Frame::data(Bytes::from_static(b"hello")), Frame::trailers(trailers)];
    let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Infallible>)));
    let response = sender.send_request(shelf.http2_request(Method::POST, "/upper", body)?).await?;
    let body = response.into_body().collect().await?;
    assert_eq!(body.trailers().context("trailers")?, &HeaderMap::from_iter([("x-sum".parse()?, "9".parse()?)]));
    assert_eq!(body.to_bytes(), "HELLO");

    // With a length before them, which HTTP/2 allows, and one among them, which nothing does.
    let (mut sender, _connection) = shelf.http2().await?;
    let response = sender.send_request(shelf.http2_request(Method::GET, "/counted", Empty::new())?).await?;
    assert_eq!(response.headers()["content-length"], "7");
    let call = response.headers()["wares-call-id"].to_str()?.to_owned();
    let body = response.into_body().collect().await?;
    assert_eq!(body.trailers().context("trailers")?, &HeaderMap::from_iter([("x-count".parse()?, "7".parse()?)]));
    assert_eq!(body.to_bytes(), "counted");
    // Whoever has the trailers finds the entry.
    assert_eq!(shelf.host.get(&format!("/v1/calls/{call}")).await?["bytes-out"], 7);
    assert_eq!(shelf.outcomes().await?, json!({"ok": 4}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_begins_before_the_request_has_ended() -> Result<()> {
    let shelf = Shelf::new().await?;
    let mut raw = Raw::connect(&shelf.host).await?;
    raw.send(&format!("{}transfer-encoding: chunked\r\n\r\n", shelf.head("POST /upper"))).await?;
    for word in ["one", "two"] {
        raw.send(&format!("3\r\n{word}\r\n")).await?;
        raw.until(&word.to_uppercase()).await?;
    }
    raw.send("0\r\n\r\n").await?;
    raw.until("\r\n0\r\n\r\n").await?;
    assert_eq!(shelf.outcomes().await?, json!({"ok": 1}));

    // The same connection goes on, and a caller that asks first gets leave to send.
    let asking = "expect: 100-continue\r\ncontent-length: 5\r\n\r\n";
    raw.send(&format!("{}{asking}", shelf.head("POST /echo"))).await?;
    raw.until("HTTP/1.1 100 Continue\r\n\r\n").await?;
    raw.send("hello").await?;
    raw.until("hello").await?;
    // Without a key there is no leave.
    let refused = exchange(
        &shelf.host,
        "POST /serve/test/answers/echo HTTP/1.1\r\nhost: shelf\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
    );
    let refused = refused.await?;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_without_a_body_have_none() -> Result<()> {
    let shelf = Shelf::new().await?;
    let mut raw = Raw::connect(&shelf.host).await?;
    for (line, status, length) in [
        ("HEAD /counted", "200", Some("7")),
        ("GET /none", "204", None),
        ("GET /reset", "205", Some("0")),
        ("GET /unchanged", "304", None),
        ("HEAD /drops", "200", None),
    ] {
        raw.send(&format!("{}\r\n", shelf.head(line))).await?;
        // Bytes that do not belong there would stand before the next status.
        let head = raw.until("\r\n\r\n").await?;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {head}");
        let found = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        assert_eq!(found, length, "{line}: {head}");
    }
    raw.send(&format!("{}\r\n", shelf.head("GET /hop"))).await?;
    raw.until("\r\n\r\n").await?;
    // Of the last one no more than its head was awaited.
    shelf.until_outcomes(json!({"ok": 6})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_is_not_what_its_head_says_never_seems_whole() -> Result<()> {
    let shelf = Shelf::new().await?;
    for path in ["/short", "/over"] {
        let whole = match shelf.request(Method::GET, path).send().await {
            Ok(response) if response.status() == StatusCode::OK => response.bytes().await.is_ok(),
            _ => false,
        };
        assert!(!whole, "{path}");
    }
    let interim = shelf.exchange("GET /interim", "\r\n").await?;
    assert!(interim.starts_with("HTTP/1.1 500 ") && interim.contains("status 103"), "{interim}");
    shelf.until_outcomes(json!({"trap": 3})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_can_be_read_two_ways_are_refused_or_read_one_way() -> Result<()> {
    let shelf = Shelf::new().await?;
    let second = format!("{}\r\n", shelf.head("GET /second"));
    for rest in [
        format!("content-length: 5\r\ncontent-length: {}\r\n\r\nhello{second}", 5 + second.len()),
        format!("content-length: +5\r\n\r\nhello{second}"),
        format!("transfer-encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n{second}"),
        "x-split: a\nb\r\n: c\r\n\r\n".to_owned(),
        "x bad: a\r\n\r\n".to_owned(),
    ] {
        let answer = shelf.exchange("POST /echo", &rest).await?;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{rest:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{rest:?}: {answer}");
    }
    assert_eq!(shelf.outcomes().await?, json!({}), "none of them was a call");
    // Chunks beat a length, and what follows on that connection is not trusted (RFC 9112, 6.3).
    let both = format!("content-length: 50\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{second}");
    let mut raw = Raw::connect(&shelf.host).await?;
    raw.send(&format!("{}{both}", shelf.head("POST /echo"))).await?;
    let answer = raw.rest().await?;
    let answers = answer.matches("HTTP/1.1 ").count();
    assert!(answers == 1, "{answer}");
    assert!(answer.starts_with("HTTP/1.1 400 ") || answer.contains("hello"), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_away_ends_the_call() -> Result<()> {
    let shelf = Shelf::new().await?;
    // Before there is a response, while the component waits.
    let mut raw = Raw::connect(&shelf.host).await?;
    raw.send(&format!("{}\r\n", shelf.head("GET /sleep"))).await?;
    shelf.host.until_running(1).await?;
    drop(raw);
    shelf.host.until_running(0).await?;
    shelf.until_outcomes(json!({"cancelled": 1})).await?;

    // The same while nobody reads its body.
    let mut raw = Raw::connect(&shelf.host).await?;
    raw.send(&format!("{}content-length: 5\r\n\r\nhello", shelf.head("POST /sleep"))).await?;
    shelf.host.until_running(1).await?;
    drop(raw);
    shelf.until_outcomes(json!({"cancelled": 2})).await?;

    // While the component waits for the rest of the request.
    let mut raw = Raw::connect(&shelf.host).await?;
    raw.send(&format!("{}content-length: 10\r\n\r\nhello", shelf.head("POST /upper"))).await?;
    raw.until("HELLO").await?;
    drop(raw);
    shelf.host.until_running(0).await?;

    // While it computes.
    let mut raw = Raw::connect(&shelf.host).await?;
    raw.send(&format!("{}\r\n", shelf.head("GET /spins-on"))).await?;
    raw.until("drop 0").await?;
    drop(raw);
    shelf.host.until_running(0).await?;

    // Over HTTP/2 one request goes and the connection stays.
    let (mut sender, _connection) = shelf.http2().await?;
    let sleeping = sender.send_request(shelf.http2_request(Method::GET, "/sleep", Empty::new())?);
    let sleeping = tokio::spawn(sleeping);
    shelf.host.until_running(1).await?;
    sleeping.abort();
    shelf.host.until_running(0).await?;
    let response = sender.send_request(shelf.http2_request(Method::GET, "/hop", Empty::new())?).await?;
    assert_eq!(response.into_body().collect().await?.to_bytes(), "hop");
    shelf.until_outcomes(json!({"cancelled": 5, "ok": 1})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_slow_is_bounded() -> Result<()> {
    let shelf = Shelf::new().await?;
    // It sends a part of the body and no more.
    let slow = shelf.exchange("POST /echo", "content-length: 100\r\n\r\nhello");
    // It takes nothing: neither of what never ends, nor of what has ended.
    let (mut sender, _connection) = shelf.http2().await?;
    let endless = sender.send_request(shelf.http2_request(Method::GET, "/endless", Empty::new())?).await?;
    let (mut sender, _connection) = shelf.http2().await?;
    let twice = sender.send_request(shelf.http2_request(Method::GET, "/twice", Empty::new())?).await?;

    let answer = slow.await?;
    assert!(answer.starts_with("HTTP/1.1 504 ") || answer.starts_with("HTTP/1.1 200 "), "{answer}");
    shelf.host.until_running(0).await?;
    // None of them is the component's fault.
    shelf.until_outcomes(json!({"cancelled": 3})).await?;
    // Their answers do not stay.
    for answer in [endless, twice] {
        let whole = wait::patiently("the answer is kept", answer.into_body().collect()).await?;
        assert!(whole.is_err(), "an answer has come to its end that was given up");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_its_limit_is_refused_or_broken_off() -> Result<()> {
    let shelf = Shelf::new().await?;
    let mut raw = Raw::connect(&shelf.host).await?;
    raw.send(&format!("{}content-length: 200000\r\n\r\n", shelf.head("POST /echo"))).await?;
    let answer = raw.until("\r\n\r\n").await?;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(shelf.outcomes().await?, json!({}), "it never was a call");

    let pieces = futures::stream::iter(vec![Bytes::from(vec![b'x'; 10_000]); 20].into_iter().map(anyhow::Ok));
    let response = shelf.request(Method::POST, "/echo").body(reqwest::Body::wrap_stream(pieces)).send().await;
    let whole = match response {
        Ok(response) => {
            call_id(&response)?;
            response.bytes().await.is_ok()
        }
        Err(_) => false,
    };
    assert!(!whole, "the request's body is over its limit");
    // What the component makes of it is its caller's doing.
    shelf.until_outcomes(json!({"cancelled": 1})).await
}
