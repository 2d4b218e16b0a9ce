//! HTTP by hand, where clients are too polite: bytes to a host's socket, and what comes back.

use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use wares_it::host::Host;
use wares_it::wait;

/// In the system's table of connections: neither end has closed it.
const ESTABLISHED: &str = "01";

/// A connection, and what came over it.
pub(crate) struct Raw {
    stream: TcpStream,
    /// What came and was not looked at yet.
    unread: Vec<u8>,
}

impl Raw {
    pub(crate) async fn connect(host: &Host) -> Result<Self> {
        let (_, address) = host.url.split_once("://").context("an address")?;
        Ok(Self { stream: TcpStream::connect(address).await?, unread: Vec::new() })
    }

    /// The raw stream, for other protocols.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    pub(crate) async fn send(&mut self, text: &str) -> Result<()> {
        Ok(self.stream.write_all(text.as_bytes()).await?)
    }

    /// What comes up to this text and with it.
    pub(crate) async fn until(&mut self, text: &str) -> Result<String> {
        loop {
            let found = self.unread.windows(text.len()).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                let rest = self.unread.split_off(at + text.len());
                return Ok(String::from_utf8(std::mem::replace(&mut self.unread, rest))?);
            }
            let more = self.more().await.with_context(|| format!("no {text:?} yet, but {:?}", self.text()))?;
            ensure!(more, "no {text:?} in {:?}", self.text());
        }
    }

    /// Whether something has come that was not looked at.
    pub(crate) fn has_answer(&mut self) -> bool {
        // What is not there yet is no error here.
        let _ = self.stream.try_read_buf(&mut self.unread);
        !self.unread.is_empty()
    }

    /// All that comes until the host ends the connection, however it does.
    pub(crate) async fn rest(mut self) -> Result<String> {
        while self.more().await? {}
        Ok(self.text())
    }

    /// Waits until the host gives the connection up, which it cannot tell who reads nothing: the system knows.
    pub(crate) async fn until_given_up(&self) -> Result<()> {
        let port = |address: SocketAddr| format!(":{:04X}", address.port());
        let (host, own) = (port(self.stream.peer_addr()?), port(self.stream.local_addr()?));
        wait::until("the host gives the connection up", async || {
            let table = tokio::fs::read_to_string("/proc/net/tcp").await?;
            let established = table.lines().find(|line| {
                let mut fields = line.split_whitespace().skip(1);
                let mut ends = |port: &str| fields.next().is_some_and(|field| field.ends_with(port));
                ends(&host) && ends(&own) && ends(ESTABLISHED)
            });
            Ok(established.map_or(Ok(()), |line| Err(line.to_owned())))
        })
        .await
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    async fn more(&mut self) -> Result<bool> {
        let read = wait::patiently("nothing comes", self.stream.read_buf(&mut self.unread)).await?;
        // A reset is an end.
        Ok(read.is_ok_and(|bytes| bytes > 0))
    }
}

/// One request, complete with its body, and the whole answer on a connection of its own.
pub(crate) async fn exchange(host: &Host, request: &str) -> Result<String> {
    let mut raw = Raw::connect(host).await?;
    raw.send(request).await?;
    raw.rest().await
}
