//! Registries that answer without end, and publishers who would have them asked: nothing is read that is not wanted.

use crate::watch::status_bytes;
use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use wares_it::host::{Host, code, problem};

/// Bytes of an endless answer that may be on their way before its reader has gone: what sockets hold.
const ON_THEIR_WAY_BYTES: u64 = 16 << 20;
/// By how much the host may grow meanwhile.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// What is without end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endless {
    Manifest,
    Error,
    Token,
    TokenError,
}

/// A registry of one's own, which counts.
struct Registry {
    addr: SocketAddr,
    asked: Arc<AtomicU64>,
    sent: Arc<AtomicU64>,
}

impl Registry {
    async fn start(endless: Endless) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (asked, sent) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let registry = Self { addr: listener.local_addr()?, asked: Arc::clone(&asked), sent: Arc::clone(&sent) };
        let addr = registry.addr;
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                asked.fetch_add(1, Ordering::SeqCst);
                let sent = Arc::clone(&sent);
                // The reader goes before the end.
                tokio::spawn(async move { drop(answer(socket, addr, endless, &sent).await) });
            }
        });
        Ok(registry)
    }
}

/// Answers one request.
async fn answer(mut socket: TcpStream, addr: SocketAddr, endless: Endless, sent: &AtomicU64) -> Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        anyhow::ensure!(socket.read_buf(&mut head).await? > 0, "no request");
    }
    let is_for_token = head.starts_with(b"GET /token");
    let wants_token = matches!(endless, Endless::Token | Endless::TokenError) && !is_for_token;
    if wants_token {
        let realm = format!("WWW-Authenticate: Bearer realm=\"http://{addr}/token\",service=\"x\"");
        let refusal = format!("HTTP/1.1 401 Unauthorized\r\n{realm}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        return Ok(socket.write_all(refusal.as_bytes()).await?);
    }
    let status = match endless {
        Endless::Manifest | Endless::Token => "200 OK",
        Endless::Error | Endless::TokenError => "500 Internal Server Error",
    };
    let begin = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n{{\"a\":\"");
    socket.write_all(begin.as_bytes()).await?;
    let part = vec![b'x'; 64 << 10];
    loop {
        socket.write_all(&part).await?;
        sent.fetch_add(part.len() as u64, Ordering::SeqCst);
    }
}

async fn pull(host: &Host, key: &str) -> Result<(u16, serde_json::Value)> {
    let path = "/v1/components?pull=true&name=acme:tool&version=1.0.0";
    problem(host.request(Method::POST, path, key).send().await?).await
}

async fn take_from(host: &Host, registry: &Registry) -> Result<()> {
    let source = format!("oci://{}/acme", registry.addr);
    host.put("/v1/namespaces/acme", json!({"review": false, "signature": false, "source": source})).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_are_not_read() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let pid = host.pid().context("a pid")?;
    for (endless, status, expected) in [
        (Endless::Manifest, 413, "too-large"),
        (Endless::Error, 404, "not-found"),
        (Endless::Token, 413, "too-large"),
        (Endless::TokenError, 404, "not-found"),
    ] {
        let registry = Registry::start(endless).await?;
        take_from(&host, &registry).await?;
        let before = status_bytes(pid, "VmRSS")?;
        let (got, document) = pull(&host, &host.admin_key).await?;
        assert_eq!((got, code(&document)), (status, expected), "{endless:?}: {document:#}");
        let (grown, sent) = (status_bytes(pid, "VmRSS")?.saturating_sub(before), registry.sent.load(Ordering::SeqCst));
        println!("{endless:?}: {sent} bytes were sent, the host grew by {grown} KiB");
        assert!(sent < ON_THEIR_WAY_BYTES, "{endless:?}: {sent} bytes were sent");
        assert!(grown < GROWTH_BYTES_MAX, "{endless:?}: the host grew by {grown} bytes");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_of_another_namespace_has_no_registry_asked() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let registry = Registry::start(Endless::Manifest).await?;
    take_from(&host, &registry).await?;
    let made = host.post("/v1/keys", json!({"role": "publisher", "namespace": "other"})).await?;
    let (status, document) = pull(&host, made["key"].as_str().context("key")?).await?;
    assert_eq!((status, code(&document)), (403, "forbidden"), "{document:#}");
    assert_eq!(registry.asked.load(Ordering::SeqCst), 0, "the registry was asked");
    Ok(())
}
