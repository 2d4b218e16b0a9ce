//! Streams from and into files: of a bounded number, and within the quota.

use super::change::{Changing, Place};
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{DynInputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Bytes of one write.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// A stream out of a file, which holds its permit.
pub(super) struct Reading {
    pub(super) stream: DynInputStream,
    pub(super) _permit: OwnedSemaphorePermit,
}

#[async_trait]
impl Pollable for Reading {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

#[async_trait]
impl InputStream for Reading {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.stream.read(size)
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.stream.blocking_read(size).await
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

/// A stream into a file. One write at a time is on its way.
pub(super) struct Writing {
    changing: Changing,
    file: Arc<File>,
    place: Place,
    state: State,
    _permit: OwnedSemaphorePermit,
}

enum State {
    Ready,
    Writing(JoinHandle<io::Result<()>>),
    Failed(io::Error),
    Closed,
}

impl Writing {
    pub(super) fn new(changing: Changing, file: Arc<File>, place: Place, permit: OwnedSemaphorePermit) -> Self {
        Self { changing, file, place, state: State::Ready, _permit: permit }
    }

    /// What came of the last write, as long as it was not told.
    fn check(&mut self) -> StreamResult<()> {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            State::Closed => Err(StreamError::Closed),
            going_on => {
                self.state = going_on;
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Pollable for Writing {
    async fn ready(&mut self) {
        if let State::Writing(write) = &mut self.state {
            self.state = match write.await.unwrap_or_else(|error| Err(error.into())) {
                Ok(()) => State::Ready,
                Err(error) => State::Failed(error),
            };
        }
    }
}

#[async_trait]
impl OutputStream for Writing {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        match self.state {
            State::Ready => {}
            State::Closed => return Err(StreamError::Closed),
            State::Writing(_) | State::Failed(_) => return Err(StreamError::trap("write without room for it")),
        }
        let place = self.place;
        if let Place::At(offset) = &mut self.place {
            *offset = offset.saturating_add(bytes.len() as u64);
        }
        // A task of its own: it ends even if the call is cancelled.
        let write = self.changing.clone().write(Arc::clone(&self.file), bytes, place);
        self.state = State::Writing(tokio::spawn(write));
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.check()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.check()?;
        Ok(if matches!(self.state, State::Ready) { WRITE_BYTES_MAX } else { 0 })
    }

    async fn cancel(&mut self) {
        if let State::Writing(write) = std::mem::replace(&mut self.state, State::Closed) {
            let _ = write.await;
        }
    }
}
