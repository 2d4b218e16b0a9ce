//! A DNS server over UDP that knows the names below `wares.test`.

use anyhow::Result;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The server; it ends when this is dropped.
pub(crate) struct Dns {
    pub(crate) addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Dns {
    pub(crate) async fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        let addr = socket.local_addr()?;
        let flips = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let Some(answer) = buffer.get(..length).and_then(|bytes| answer(bytes, &flips)) else { continue };
                let _ = socket.send_to(&answer, from).await;
            }
        });
        Ok(Self { addr, task })
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to a query, if it gets one.
fn answer(bytes: &[u8], flips: &AtomicUsize) -> Option<Vec<u8>> {
    let query = Message::from_vec(bytes).ok()?;
    let asked = query.queries.first()?.clone();
    let name = asked.name().to_ascii().to_lowercase();
    let label = name.strip_suffix(".wares.test.").unwrap_or("missing");
    if label == "silent" {
        return None;
    }
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.add_query(asked.clone());
    let is_v4 = asked.query_type() == RecordType::A;
    let known = addresses(label, if is_v4 { flips.load(Ordering::SeqCst) } else { 0 });
    if label == "flip" && is_v4 {
        flips.fetch_add(1, Ordering::SeqCst);
    }
    if known.is_empty() {
        answer.metadata.response_code = ResponseCode::NXDomain;
    }
    for address in known.iter().filter_map(|text| text.parse::<IpAddr>().ok()).filter(|one| one.is_ipv4() == is_v4) {
        // Nobody may remember it.
        answer.add_answer(Record::from_rdata(asked.name().clone(), 0, RData::from(address)));
    }
    answer.to_vec().ok()
}

fn addresses(label: &str, flips: usize) -> &'static [&'static str] {
    match label {
        "good" | "other" => &["127.0.0.1"],
        "evil" => &["127.0.0.2"],
        "both" => &["127.0.0.2", "127.0.0.1"],
        "flip" if flips == 0 => &["127.0.0.1"],
        "flip" => &["127.0.0.2"],
        "private" => &["10.0.0.1", "192.168.1.1"],
        "shared" => &["100.64.0.1"],
        "metadata" => &["169.254.169.254"],
        "metadata6" => &["fd00:ec2::254"],
        "unspecified" => &["0.0.0.0"],
        "loopback6" => &["::1"],
        "mapped" => &["::ffff:127.0.0.2"],
        "translated" => &["64:ff9b::7f00:2"],
        "sixtofour" => &["2002:7f00:2::1"],
        _ => &[],
    }
}
