//! A server that components send requests to. What it does, the path says; what it is sent, it remembers word for word.

use anyhow::Result;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use wares_it::wait;

/// What happened at the server.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// Connections that were made.
    pub(crate) opened: usize,
    /// Those that have ended.
    pub(crate) closed: usize,
    /// The heads of requests.
    pub(crate) heads: Vec<String>,
}

/// The server; it ends when this is dropped.
pub(crate) struct Upstream {
    pub(crate) addr: SocketAddr,
    seen: watch::Receiver<Seen>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// At this address and port; port 0 takes a free one.
    pub(crate) async fn start(addr: &str) -> Result<Self> {
        Self::start_with(addr, None).await
    }

    /// The same over TLS.
    pub(crate) async fn start_with(addr: &str, tls: Option<ServerConfig>) -> Result<Self> {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let (told, seen) = watch::channel(Seen::default());
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                told.send_modify(|seen| seen.opened += 1);
                let (told, tls) = (told.clone(), tls.clone());
                tokio::spawn(async move {
                    let _ = secure(socket, tls, &told).await;
                    told.send_modify(|seen| seen.closed += 1);
                });
            }
        });
        Ok(Self { addr, seen, task })
    }

    pub(crate) fn port(&self) -> u16 {
        self.addr.port()
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Waits until what happened is as wanted.
    pub(crate) async fn until(&self, is_wanted: impl FnMut(&Seen) -> bool) -> Result<Seen> {
        let mut seen = self.seen.clone();
        let wanted = wait::patiently("what is waited for does not happen at the upstream", seen.wait_for(is_wanted));
        Ok(wanted.await??.clone())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn secure(socket: TcpStream, tls: Option<TlsAcceptor>, told: &watch::Sender<Seen>) -> Result<()> {
    match tls {
        None => serve(socket, told).await,
        Some(tls) => serve(tls.accept(socket).await?, told).await,
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut socket: S, told: &watch::Sender<Seen>) -> Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        anyhow::ensure!(socket.read_buf(&mut bytes).await? > 0, "no whole head");
    };
    let body = bytes.split_off(end);
    let head = String::from_utf8_lossy(&bytes).into_owned();
    told.send_modify(|seen| seen.heads.push(head.clone()));
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    answer(&mut socket, path, query, &head, body).await?;
    socket.shutdown().await?;
    // A socket that is closed with something unread takes back what it has sent: the end of a request may come after its answer.
    tokio::io::copy(&mut socket, &mut tokio::io::sink()).await?;
    Ok(())
}

async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    path: &str,
    query: &str,
    head: &str,
    mut body: Vec<u8>,
) -> Result<()> {
    match path {
        "/hang" => while socket.read_buf(&mut body).await? > 0 {},
        "/drip" | "/slow-head" => {
            let start = if path == "/drip" { "HTTP/1.1 200 OK\r\n\r\n" } else { "HTTP/1.1 200 OK\r\nx-" };
            socket.write_all(start.as_bytes()).await?;
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            loop {
                pace.tick().await;
                socket.write_all(b"x").await?;
                socket.flush().await?;
            }
        }
        // What is still uploaded is read, and of no interest.
        "/pause" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello").await?;
            while socket.read_buf(&mut body).await? > 0 {}
        }
        "/endless" => {
            socket.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            loop {
                socket.write_all(&[b'x'; 16 << 10]).await?;
            }
        }
        "/early" => socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhello").await?,
        "/nothing" => {}
        "/garbage" => socket.write_all(b"220 mail.wares.test ready\r\n\r\n").await?,
        "/switch" => {
            socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n").await?
        }
        "/wide" => {
            let field = "y".repeat(50_000);
            socket
                .write_all(format!("HTTP/1.1 200 OK\r\nx-wide: {field}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await?;
        }
        "/many" => {
            let fields: String = (0..500).map(|number| format!("x-{number}: y\r\n")).collect();
            socket.write_all(format!("HTTP/1.1 200 OK\r\n{fields}content-length: 0\r\n\r\n").as_bytes()).await?;
        }
        "/redirect" => {
            let head = format!("HTTP/1.1 302 Found\r\nlocation: {query}\r\ncontent-length: 0\r\n\r\n");
            socket.write_all(head.as_bytes()).await?;
        }
        "/trailers" => {
            let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\nx-hop: 1\r\nconnection: x-hop\r\n\r\n";
            socket.write_all(format!("{head}5\r\nhello\r\n0\r\nx-sum: five\r\n\r\n").as_bytes()).await?;
        }
        "/upload" => {
            while !body.windows(5).any(|five| five == b"\r\n0\r\n") || !body.ends_with(b"\r\n\r\n") {
                anyhow::ensure!(socket.read_buf(&mut body).await? > 0, "no whole body");
            }
            whole(socket, &String::from_utf8_lossy(&body)).await?;
        }
        _ => whole(socket, head).await?,
    }
    Ok(())
}

async fn whole<S: AsyncWrite + Unpin>(socket: &mut S, text: &str) -> Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n", text.len());
    Ok(socket.write_all(format!("{head}{text}").as_bytes()).await?)
}
