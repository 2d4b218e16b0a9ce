//! A closed-loop load over HTTP/1.1: each caller sends its next request when it has the answer to the last.
//!
//! The client is as small as it can be, because it shares the machine with what it measures.

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Bytes of a response that are read at once.
const READ_BYTES: usize = 16 << 10;

/// The request that every caller repeats.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to.
    pub addr: SocketAddr,
    /// The path.
    pub path: String,
    /// A key to send.
    pub key: Option<String>,
    /// The JSON body.
    pub body: String,
}

/// What a load measured.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Figures {
    /// Answers per second.
    pub calls_per_second: f64,
    /// Median latency in microseconds.
    pub p50_us: f64,
    /// 99th percentile of the latency in microseconds.
    pub p99_us: f64,
}

impl Request {
    fn bytes(&self) -> Vec<u8> {
        let key = self.key.as_ref().map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\n{key}content-type: application/json\r\ncontent-length: {}\r\n\r\n{}",
            self.path,
            self.addr,
            self.body.len(),
            self.body
        )
        .into_bytes()
    }

    /// The body of one answer.
    pub async fn once(&self) -> Result<String> {
        let mut caller = Caller::connect(self.addr).await?;
        caller.call(&self.bytes()).await?;
        Ok(String::from_utf8_lossy(caller.body()).into_owned())
    }
}

/// Runs the load for `time` with as many callers at once.
pub async fn run(request: &Request, callers: usize, time: Duration) -> Result<Figures> {
    let bytes: Arc<[u8]> = request.bytes().into();
    let started = Instant::now();
    let deadline = started + time;
    let tasks = (0..callers).map(|_| {
        let (bytes, addr) = (Arc::clone(&bytes), request.addr);
        tokio::spawn(async move {
            let mut caller = Caller::connect(addr).await?;
            let mut latencies = Vec::new();
            let mut now = Instant::now();
            while now < deadline {
                caller.call(&bytes).await?;
                let answered = Instant::now();
                latencies.push(answered - now);
                now = answered;
            }
            anyhow::Ok(latencies)
        })
    });
    let latencies = try_join_all(tasks).await?.into_iter().collect::<Result<Vec<_>>>()?;
    let elapsed = started.elapsed();
    let mut latencies = latencies.concat();
    ensure!(!latencies.is_empty(), "no answer within {time:?}");
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index.min(latencies.len() - 1)).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    };
    Ok(Figures { calls_per_second: latencies.len() as f64 / elapsed.as_secs_f64(), p50_us: at(0.5), p99_us: at(0.99) })
}

/// One connection.
struct Caller {
    stream: TcpStream,
    answer: Vec<u8>,
    body_at: usize,
}

impl Caller {
    async fn connect(addr: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(addr).await.with_context(|| format!("connecting to {addr}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(READ_BYTES), body_at: 0 })
    }

    async fn call(&mut self, request: &[u8]) -> Result<()> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        while !self.complete()? {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the server closed the connection");
        }
        if !self.answer.starts_with(b"HTTP/1.1 200") {
            bail!("{}", String::from_utf8_lossy(&self.answer));
        }
        Ok(())
    }

    fn body(&self) -> &[u8] {
        self.answer.get(self.body_at..).unwrap_or_default()
    }

    /// Whether the whole answer is there.
    fn complete(&mut self) -> Result<bool> {
        let Some(end) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(false) };
        self.body_at = end + 4;
        let head = std::str::from_utf8(self.answer.get(..end).unwrap_or_default())?;
        let header = |name: &str| {
            head.lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim())
        };
        match (header("content-length"), header("transfer-encoding")) {
            (Some(length), _) => Ok(self.body().len() >= length.parse()?),
            (None, Some("chunked")) => Ok(self.body().ends_with(b"0\r\n\r\n")),
            _ => bail!("an answer without a length: {head}"),
        }
    }
}
