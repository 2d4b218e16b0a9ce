//! Connections that say nothing, take nothing, or are shared with a request whose answer is not taken.

use crate::raw::Raw;
use crate::serve::Shelf;
use anyhow::{Result, ensure};
use bytes::Bytes;
use futures::channel::mpsc::{self, UnboundedSender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::Method;
use serde_json::json;
use std::convert::Infallible;
use tokio::task::JoinHandle;
use wares_it::guests;
use wares_it::host::Host;
use wares_it::wait;

/// Bytes that the host may send for one request before they are taken, and for all of a connection.
const WINDOWS_BYTES: (u32, u32) = (65_535, 1 << 20);

pub(crate) type RequestBody = BoxBody<Bytes, Infallible>;
/// What a request's body is sent with; it ends when this is dropped.
type Pieces = UnboundedSender<Result<Frame<Bytes>, Infallible>>;
type Status = JoinHandle<Result<u16>>;

async fn http2(host: &Host) -> Result<(SendRequest<RequestBody>, JoinHandle<()>)> {
    http2_with_window(host, WINDOWS_BYTES.0).await
}

/// A connection on which the host may send so many bytes for one request before they are taken.
pub(crate) async fn http2_with_window(host: &Host, bytes: u32) -> Result<(SendRequest<RequestBody>, JoinHandle<()>)> {
    let io = TokioIo::new(Raw::connect(host).await?.into_stream());
    let mut http2 = http2::Builder::new(TokioExecutor::new());
    http2.initial_stream_window_size(bytes).initial_connection_window_size(WINDOWS_BYTES.1);
    let (sender, connection) = http2.handshake(io).await?;
    // How it ends, its requests say too.
    Ok((sender, tokio::spawn(async move { drop(connection.await) })))
}

fn request(host: &Host, key: &str, line: (Method, &str), body: RequestBody) -> Result<hyper::Request<RequestBody>> {
    let request = hyper::Request::builder().method(line.0).uri(format!("{}{}", host.url, line.1));
    let request = request.header("authorization", format!("Bearer {key}"));
    Ok(request.header("content-type", "application/wasm").body(body)?)
}

/// Publishes something whose bytes are still to come. The host waits for them, and says that they are no component.
fn publish_slowly(host: &Host, sender: &mut SendRequest<RequestBody>) -> Result<(Pieces, Status)> {
    let (pieces, sent) = mpsc::unbounded();
    let line = (Method::POST, "/v1/components?name=test:slow&version=1.0.0");
    let publishing = sender.send_request(request(host, &host.admin_key, line, StreamBody::new(sent).boxed())?);
    Ok((pieces, tokio::spawn(async move { Ok(publishing.await?.status().as_u16()) })))
}

async fn ended(connection: JoinHandle<()>) -> Result<()> {
    Ok(wait::patiently("the connection stays", connection).await??)
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_request_end() -> Result<()> {
    let data = tempfile::tempdir()?;
    let variables = [("WARES_HTTP_HEAD_SECONDS_MAX", "3"), ("WARES_HTTP_BODY_SECONDS_MAX", "60")];
    let host = Host::start_in(data.path(), None, &[], &variables).await?;
    let (mut sender, busy) = http2(&host).await?;
    let (pieces, status) = publish_slowly(&host, &mut sender)?;

    let silent = Raw::connect(&host).await?;
    // It might still become HTTP/2.
    let mut begun = Raw::connect(&host).await?;
    begun.send("PRI ").await?;
    // It says that it is there, and no more.
    let (_sender, idle) = http2(&host).await?;
    let (silent, begun, idle) = tokio::join!(silent.rest(), begun.rest(), ended(idle));
    assert_eq!((silent?.as_str(), begun?.as_str()), ("", ""));
    idle?;

    ensure!(!busy.is_finished(), "a request is open");
    drop(pieces);
    assert_eq!(status.await??, 422);
    // With its last request, this one is idle too.
    ended(busy).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_taken_ends_and_leaves_the_others_alone() -> Result<()> {
    let shelf = Shelf::new().await?;
    let host = &shelf.host;
    let (mut sender, _connection) = http2(host).await?;
    let (pieces, status) = publish_slowly(host, &mut sender)?;
    let line = (Method::GET, "/serve/test/answers/endless");
    let untaken = sender.send_request(request(host, &shelf.key, line, Empty::new().boxed())?).await?;
    shelf.until_outcomes(json!({"cancelled": 1})).await?;

    // What came before is there, and no end.
    let whole = wait::patiently("the answer is kept", untaken.into_body().collect()).await?;
    ensure!(whole.is_err(), "the answer has no end");
    // The others go on, and new ones begin.
    let health = request(host, &shelf.key, (Method::GET, "/healthz"), Empty::new().boxed())?;
    assert_eq!(sender.send_request(health).await?.status(), 200);
    ensure!(!status.is_finished(), "the other request is cut off");
    drop(pieces);
    assert_eq!(status.await??, 422);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_loses_its_connection() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start_in(data.path(), None, &[], &[("WARES_HTTP_BODY_SECONDS_MAX", "3")]).await?;
    // More than the system takes for a client that does not.
    let length = 32 << 20;
    let padded = guests::with_section(guests::number(1)?, "padding", &vec![0; length]);
    host.publish_and_deploy(padded, "test:padded", "1.0.0").await?;
    let mut raw = Raw::connect(&host).await?;
    let (path, key) = ("/v1/components/test/padded/versions/1.0.0/wasm", &host.admin_key);
    raw.send(&format!("GET {path} HTTP/1.1\r\nhost: shelf\r\nauthorization: Bearer {key}\r\n\r\n")).await?;
    raw.until_given_up().await?;
    let came = raw.rest().await?;
    assert!(came.starts_with("HTTP/1.1 200 ") && came.len() < length, "{}", came.len());
    Ok(())
}
