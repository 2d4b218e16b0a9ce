//! What the host adds to requests, as the server sees it and the guest does not.

use super::*;
use crate::{OutboundConfig, SecretError, SecretReader, TraceParent};
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::Empty;
use serde_json::json;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wares_model::grants::Label;
use wares_model::{Asked, CallId, Granted, Version};
use zeroize::Zeroizing;

const SECRET: &str = "word-of-the-bank";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// Knows the secret `bank` alone.
struct Bank;

#[async_trait::async_trait]
impl SecretReader for Bank {
    async fn read(&self, _: &CallContext, name: &Label) -> Result<Option<Zeroizing<String>>, SecretError> {
        match name.as_str() {
            "bank" => Ok(Some(Zeroizing::new(SECRET.to_owned()))),
            "locked" => Err(SecretError::Locked),
            "forged" => Ok(Some(Zeroizing::new(format!("{SECRET}\r\nhost: other.test")))),
            _ => Ok(None),
        }
    }
}

/// A server for one request, and that request's head. It answers when it has the head, and goes when nobody reads any more.
async fn server(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let head = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            assert!(socket.read_buf(&mut bytes).await.unwrap() > 0);
        }
        socket.write_all(answer.as_bytes()).await.unwrap();
        let head = String::from_utf8(bytes).unwrap();
        // What is still uploaded is of no interest.
        while socket.read_buf(&mut Vec::with_capacity(1 << 16)).await.is_ok_and(|bytes| bytes > 0) {}
        head
    });
    (addr, head)
}

fn sending(addr: SocketAddr, secret: &str) -> Sending {
    let credential = json!({"header": "Authorization", "prefix": "Bearer ", "secret": secret});
    let allow = json!({"allow": format!("http://{addr}"), "addresses": ["127.0.0.1/32"], "credential": credential});
    let grants = serde_json::from_value(json!({"http": [allow]})).unwrap();
    let granted = Arc::new(Granted::new(&Asked::default(), Arc::new(grants)));
    let (tenant, component) = ("district".parse().unwrap(), "test:outbound".parse().unwrap());
    let context = CallContext::new(CallId::generate(), tenant, component, Version::new(1, 0, 0), granted);
    let config = OutboundConfig {
        dns: None,
        extra_roots: None,
        connect_max: Duration::from_secs(5),
        first_byte_max: Duration::from_secs(5),
        between_bytes_max: Duration::from_secs(5),
        connections_max: 1,
    };
    let outbound = Some(Arc::new(Outbound::new(config).unwrap()));
    let services = Services { secrets: Some(Arc::new(Bank)), outbound, ..Services::default() };
    Sending {
        cpu: Arc::<cpu::tests::Sum>::default(),
        context: Arc::new(context.with_trace(TraceParent::of_headers(TRACEPARENT, None), tracing::Span::none())),
        services: Arc::new(services),
        log: CallLog::new(4096),
        limits: Limits::DEFAULT,
        open: Arc::default(),
    }
}

fn request(addr: SocketAddr, headers: &[(&str, &str)]) -> Request<WasiBody> {
    let builder = headers
        .iter()
        .fold(Request::get(format!("http://{addr}/accounts")), |builder, (name, value)| builder.header(*name, *value));
    builder.body(Empty::new().map_err(|never| match never {}).boxed_unsync()).unwrap()
}

#[tokio::test]
async fn the_credential_and_the_trace_reach_the_server_and_nobody_else() {
    let (addr, head) = server(EMPTY).await;
    let sending = sending(addr, "bank");
    let asked = request(addr, &[("x-own", "mine"), ("traceparent", "00-forged")]);
    let (response, processing) = sending.clone().send(asked, RequestOptions::default()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!format!("{response:?}").contains(SECRET));
    drop(response);
    assert!(Pin::from(processing).await.is_ok());
    let head = head.await.unwrap();
    assert!(head.contains(&format!("\r\nauthorization: Bearer {SECRET}\r\n")), "{head}");
    assert!(head.contains(&format!("\r\ntraceparent: {TRACEPARENT}\r\n")) && !head.contains("forged"), "{head}");
    assert_eq!(sending.log.take().text, "");
    let used: Vec<_> = sending.context.used().iter().map(|one| one.to_string()).collect();
    assert_eq!(used, [format!("http GET http://{addr}"), "secret bank".to_owned()]);
}

#[tokio::test]
async fn a_credential_that_cannot_be_sent_sends_nothing_and_says_nothing_of_itself() {
    for (secret, headers, word) in [
        ("bank", &[("authorization", "own")][..], "the host sets it"),
        ("other", &[], "no secret of this name is set"),
        ("locked", &[], "no key to open the secret"),
        ("forged", &[], "bytes that no header may have"),
    ] {
        let (addr, head) = server(EMPTY).await;
        let sending = sending(addr, secret);
        let error =
            sending.clone().send(request(addr, headers), RequestOptions::default()).await.map(drop).unwrap_err();
        assert!(matches!(error, Error::HttpRequestDenied | Error::ConfigurationError), "{secret}: {error}");
        let log = sending.log.take().text;
        assert!(log.contains(word) && !log.contains(SECRET), "{secret}: {log}");
        assert!(!head.is_finished());
        head.abort();
    }
}

/// A body that goes on for as long as pieces of it are sent.
struct Pieces(mpsc::Receiver<Bytes>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

#[tokio::test]
async fn an_upload_that_is_cut_off_after_its_response_began_says_why() {
    let (addr, head) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
    let mut sending = sending(addr, "bank");
    sending.limits.outbound_bytes_max = 10;
    let (pieces, sent) = mpsc::channel(1);
    let request = Request::post(format!("http://{addr}/accounts")).body(Pieces(sent).boxed_unsync()).unwrap();
    let (response, processing) = sending.clone().send(request, RequestOptions::default()).await.unwrap();
    pieces.send(Bytes::from_static(&[b'x'; 10])).await.unwrap();
    pieces.send(Bytes::from_static(b"x")).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert!(matches!(error, Error::HttpRequestBodySize(Some(10))), "{error}");
    let told = Pin::from(processing).await.unwrap_err();
    assert!(matches!(told, Error::HttpRequestBodySize(Some(10))), "{told}");
    let log = sending.log.take().text;
    assert!(log.contains("outbound-bytes-max"), "{log}");
    head.await.unwrap();
}

#[tokio::test]
async fn a_request_is_open_until_its_response_is_let_go() {
    let (addr, head) = server("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n").await;
    let sending = sending(addr, "bank");
    let open = Arc::clone(&sending.open);
    let sent = sending.send(request(addr, &[]), RequestOptions::default());
    assert_eq!(Arc::strong_count(&open), 2);
    let (response, _) = sent.await.unwrap();
    assert_eq!(Arc::strong_count(&open), 2);
    drop(response);
    assert_eq!(Arc::strong_count(&open), 1);
    head.await.unwrap();
}
