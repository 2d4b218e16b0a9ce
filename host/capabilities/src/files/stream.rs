//! Streams from and into files: of a bounded number, and within the quota.

use super::apart::Apart;
use super::change::{Changing, Place};
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError, StreamResult};

/// Bytes of one write.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// Bytes of one read.
const READ_BYTES_MAX: usize = 64 << 10;
/// Bytes of a read that a guest waits for without saying how much it wants.
const READ_AHEAD_BYTES: usize = 4 << 10;

/// A stream out of a file. One read at a time is on its way.
pub(super) struct Reading {
    apart: Apart,
    file: Arc<File>,
    offset: u64,
    state: Source,
    _permit: OwnedSemaphorePermit,
}

enum Source {
    Idle,
    Reading(JoinHandle<io::Result<Bytes>>),
    Ready(Bytes),
    Failed(io::Error),
    Closed,
}

impl Reading {
    pub(super) fn new(apart: Apart, file: Arc<File>, offset: u64, permit: OwnedSemaphorePermit) -> Self {
        Self { apart, file, offset, state: Source::Idle, _permit: permit }
    }

    fn begin(&mut self, size: usize) {
        let (apart, file, offset) = (self.apart.clone(), Arc::clone(&self.file), self.offset);
        let read = async move { apart.run(move || read_at(&file, offset, size.min(READ_BYTES_MAX))).await? };
        self.state = Source::Reading(tokio::spawn(read));
    }

    async fn end(&mut self) {
        if let Source::Reading(read) = &mut self.state {
            self.state = match read.await.unwrap_or_else(|error| Err(error.into())) {
                Ok(bytes) if bytes.is_empty() => Source::Closed,
                Ok(bytes) => Source::Ready(bytes),
                Err(error) => Source::Failed(error),
            };
        }
    }
}

fn read_at(file: &File, offset: u64, size: usize) -> io::Result<Bytes> {
    let mut bytes = vec![0; size];
    loop {
        match file.read_at(&mut bytes, offset) {
            Ok(read) => {
                bytes.truncate(read);
                return Ok(bytes.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[async_trait]
impl Pollable for Reading {
    async fn ready(&mut self) {
        if matches!(self.state, Source::Idle) {
            self.begin(READ_AHEAD_BYTES);
        }
        self.end().await;
    }
}

#[async_trait]
impl InputStream for Reading {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match std::mem::replace(&mut self.state, Source::Closed) {
            Source::Idle => {
                match size {
                    0 => self.state = Source::Idle,
                    _ => self.begin(size),
                }
                Ok(Bytes::new())
            }
            Source::Reading(read) => {
                self.state = Source::Reading(read);
                Ok(Bytes::new())
            }
            Source::Ready(mut bytes) => {
                let taken = bytes.split_to(size.min(bytes.len()));
                self.offset = self.offset.saturating_add(taken.len() as u64);
                self.state = if bytes.is_empty() { Source::Idle } else { Source::Ready(bytes) };
                Ok(taken)
            }
            Source::Failed(error) => Err(StreamError::LastOperationFailed(error.into())),
            Source::Closed => Err(StreamError::Closed),
        }
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        if matches!(self.state, Source::Idle) && size > 0 {
            self.begin(size);
        }
        self.end().await;
        self.read(size)
    }

    async fn cancel(&mut self) {
        if let Source::Reading(read) = std::mem::replace(&mut self.state, Source::Closed) {
            let _ = read.await;
        }
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
