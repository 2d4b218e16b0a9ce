//! The log of one call: standard output, standard error and log messages, in the order they came.
//!
//! It never holds more than its bound; what comes after is counted and dropped, and the guest goes on.

use bytes::Bytes;
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes that a guest may hand over in one write.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// A bounded log. Clones share it.
#[derive(Clone)]
pub struct CallLog(Arc<Mutex<Buffer>>);

struct Buffer {
    bytes: Vec<u8>,
    bytes_max: usize,
    dropped: u64,
}

impl CallLog {
    /// An empty log that keeps at most so many bytes.
    pub fn new(bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self(Arc::new(Mutex::new(Buffer { bytes: Vec::new(), bytes_max, dropped: 0 })))
    }

    /// Takes what has been written, with a note if more was written than kept. The log is empty after it.
    pub fn take(&self) -> String {
        let mut buffer = self.0.lock();
        let (bytes, dropped) = (std::mem::take(&mut buffer.bytes), std::mem::take(&mut buffer.dropped));
        let mut text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        if dropped > 0 {
            text.push_str(&format!("\n[{dropped} more bytes were not kept: the log is full]\n"));
        }
        text
    }

    pub(crate) fn write(&self, parts: &[&[u8]]) {
        let mut buffer = self.0.lock();
        for part in parts {
            let room = buffer.bytes_max.saturating_sub(buffer.bytes.len());
            let (kept, dropped) = part.split_at(room.min(part.len()));
            buffer.bytes.extend_from_slice(kept);
            buffer.dropped = buffer.dropped.saturating_add(dropped.len() as u64);
        }
    }
}

impl IsTerminal for CallLog {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for CallLog {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for CallLog {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl OutputStream for CallLog {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        CallLog::write(self, &[&bytes]);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for CallLog {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        CallLog::write(&self, &[bytes]);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let log = CallLog::new(8);
        log.write(&[b"hello", b" world"]);
        log.write(&[b"more"]);
        assert_eq!(log.take(), "hello wo\n[7 more bytes were not kept: the log is full]\n");
    }

    #[test]
    fn a_cut_character_is_replaced() {
        let log = CallLog::new(4);
        log.write(&["中文".as_bytes()]);
        assert_eq!(log.take(), "中\u{fffd}\n[2 more bytes were not kept: the log is full]\n");
    }
}
