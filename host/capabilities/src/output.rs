//! The end of a stream that a guest writes to, where whatever it writes is taken at once.

use bytes::Bytes;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// Bytes that a guest may hand over in one write.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Where it goes. Clones go to the same place.
pub(crate) trait Take: Clone + Send + Sync + 'static {
    /// Takes what was written, or as much of it as there is room for.
    fn take(&self, bytes: &[u8]);
}

/// Such an end.
#[derive(Clone)]
pub(crate) struct Output<T>(pub(crate) T);

impl<T> IsTerminal for Output<T> {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl<T: Take + Unpin> StdoutStream for Output<T> {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl<T: Take> Pollable for Output<T> {
    async fn ready(&mut self) {}
}

#[async_trait::async_trait]
impl<T: Take> OutputStream for Output<T> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.0.take(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl<T: Take> AsyncWrite for Output<T> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.take(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
