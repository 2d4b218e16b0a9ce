//! A load over HTTP/1.1, closed-loop or at a pace.
//!
//! The client is as small as it can be, because it shares the machine with what it measures.

use anyhow::{Context as _, Result, bail, ensure};
use futures::future::try_join_all;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Bytes of a response that are read at once.
const READ_BYTES: usize = 16 << 10;

/// Calls at a pace may be early by so much.
const GRAIN: Duration = Duration::from_micros(200);

/// The request that every caller repeats.
#[derive(Debug, Clone)]
pub struct Request {
    addr: SocketAddr,
    bytes: Arc<[u8]>,
}

/// What a load measured.
#[derive(Debug, Clone, Copy, Default, serde::Serialize)]
pub struct Figures {
    /// Answers with status 200 per second.
    pub calls_per_second: f64,
    /// Median latency of these in microseconds.
    pub p50_us: f64,
    /// 99th percentile of it in microseconds.
    pub p99_us: f64,
    /// Answers with status 429 or 503 per second.
    pub refused_per_second: f64,
}

/// How callers send.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// Each sends its next request when it has the answer to the last.
    Closed,
    /// So many requests per second over all callers, whether or not answers come; a caller that is late is late.
    Open(f64),
}

impl Request {
    /// A POST of JSON.
    pub fn new(addr: SocketAddr, path: &str, key: Option<&str>, body: &str) -> Self {
        let key = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nhost: {addr}\r\n{key}content-type: application/json\r\n");
        let bytes = format!("{head}content-length: {length}\r\n\r\n{body}").into_bytes().into();
        Self { addr, bytes }
    }

    /// The body of one answer.
    pub async fn once(&self) -> Result<String> {
        let mut caller = Caller::connect(self.addr).await?;
        ensure!(caller.call(&self.bytes).await?, "{}", String::from_utf8_lossy(&caller.answer));
        Ok(String::from_utf8_lossy(caller.body()).into_owned())
    }

    /// A header of one answer.
    pub async fn header(&self, name: &str) -> Result<String> {
        let mut caller = Caller::connect(self.addr).await?;
        ensure!(caller.call(&self.bytes).await?, "{}", String::from_utf8_lossy(&caller.answer));
        let head = String::from_utf8_lossy(caller.answer.get(..caller.body_at).unwrap_or_default()).into_owned();
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let value = fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned());
        value.with_context(|| format!("no header {name}"))
    }
}

/// Runs the load for `time` with as many callers at once.
pub async fn run(request: &Request, callers: usize, pace: Pace, time: Duration) -> Result<Figures> {
    let started = Instant::now();
    let deadline = started + time;
    let mut dues = match pace {
        Pace::Closed => Vec::new(),
        Pace::Open(rate) => at_pace(rate, callers, deadline),
    }
    .into_iter();
    let tasks = (0..callers).map(|_| {
        let request = request.clone();
        let due = dues.next();
        tokio::spawn(async move { repeat(&request, due, deadline).await })
    });
    let (mut latencies, mut refused) = (Vec::new(), 0);
    for done in try_join_all(tasks).await? {
        let (of_one, refused_to_one) = done?;
        latencies.extend(of_one);
        refused += refused_to_one;
    }
    let seconds = started.elapsed().as_secs_f64();
    ensure!(!latencies.is_empty(), "no answer within {time:?}");
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index.min(latencies.len() - 1)).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    };
    Ok(Figures {
        calls_per_second: latencies.len() as f64 / seconds,
        p50_us: at(0.5),
        p99_us: at(0.99),
        refused_per_second: refused as f64 / seconds,
    })
}

/// Tells each caller in turn when to send, from a thread whose timer is finer than the runtime's. The channels end at the
/// deadline.
fn at_pace(rate: f64, callers: usize, deadline: Instant) -> Vec<UnboundedReceiver<Instant>> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..callers).map(|_| unbounded_channel()).unzip();
    let started = Instant::now();
    let send = move || {
        for (sent, sender) in (0_u64..).zip(senders.iter().cycle()) {
            let due = started + Duration::from_secs_f64(sent as f64 / rate);
            let early = due.saturating_duration_since(Instant::now());
            // A thread that wakes for every call takes from the machine what the server should have.
            if early > GRAIN {
                std::thread::sleep(early);
            }
            let now = Instant::now();
            // A caller that is still there takes what is sent until the deadline.
            if now >= deadline || sender.send(now).is_err() {
                return;
            }
        }
    };
    std::thread::spawn(send);
    receivers
}

/// One caller: its latencies, and how often it was refused. At a pace, waiting for the last answer is part of the latency.
async fn repeat(
    request: &Request,
    mut due: Option<UnboundedReceiver<Instant>>,
    deadline: Instant,
) -> Result<(Vec<Duration>, usize)> {
    let mut caller = Caller::connect(request.addr).await?;
    let (mut latencies, mut refused) = (Vec::new(), 0);
    loop {
        let sent = match &mut due {
            None => Some(Instant::now()).filter(|now| *now < deadline),
            Some(due) => due.recv().await,
        };
        let Some(sent) = sent else { return Ok((latencies, refused)) };
        match caller.call(&request.bytes).await? {
            true => latencies.push(sent.elapsed()),
            false => refused += 1,
        }
    }
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

    /// Whether the answer is one of success; a refusal for overload is none.
    async fn call(&mut self, request: &[u8]) -> Result<bool> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        while !self.complete()? {
            ensure!(self.stream.read_buf(&mut self.answer).await? > 0, "the server closed the connection");
        }
        match self.answer.get(9..12) {
            Some(b"200") => Ok(true),
            Some(b"429" | b"503") => Ok(false),
            _ => bail!("{}", String::from_utf8_lossy(&self.answer)),
        }
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
