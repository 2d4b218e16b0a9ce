//! What the host adds to requests, as the server sees it and the guest does not.

use super::*;
use crate::{OutboundConfig, SecretError, SecretReader, TraceParent};
use http_body_util::Empty;
use serde_json::json;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wares_model::grants::Label;
use wares_model::{Asked, CallId, Granted, Version};
use zeroize::Zeroizing;

const SECRET: &str = "word-of-the-bank";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

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

/// A server for one request, and that request's head.
async fn server() -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let head = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            assert!(socket.read_buf(&mut bytes).await.unwrap() > 0);
        }
        socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        String::from_utf8(bytes).unwrap()
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
        context: Arc::new(context.with_trace(TraceParent::of_headers(TRACEPARENT, None), tracing::Span::none())),
        services: Arc::new(services),
        log: CallLog::new(4096),
        limits: Limits::DEFAULT,
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
    let (addr, head) = server().await;
    let sending = sending(addr, "bank");
    let asked = request(addr, &[("x-own", "mine"), ("traceparent", "00-forged")]);
    let response = sending.clone().send(1, asked, RequestOptions::default()).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(!format!("{response:?}").contains(SECRET));
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
        let (addr, head) = server().await;
        let sending = sending(addr, secret);
        let error = sending.clone().send(1, request(addr, headers), RequestOptions::default()).await.unwrap_err();
        assert!(matches!(error, Error::HttpRequestDenied | Error::ConfigurationError), "{secret}: {error}");
        let log = sending.log.take().text;
        assert!(log.contains(word) && !log.contains(SECRET), "{secret}: {log}");
        assert!(!head.is_finished());
        head.abort();
    }
}
