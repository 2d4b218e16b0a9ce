//! The body of an answer, on its way to the caller.

use super::Taken;
use super::exchange::Exchange;
use crate::CallError;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use wares_engine::{Body, BodyError};

/// What the guest writes, counted and bounded. What would complete the answer is kept back until its entry is durable.
/// Dropping it ends the call.
pub(super) struct Answer {
    inner: Body,
    /// Bytes to come, if the guest said how many.
    left: Option<u64>,
    exchange: Arc<Exchange>,
    bytes_max: u64,
    all_taken: Option<oneshot::Sender<Taken>>,
    finished: oneshot::Receiver<Result<(), CallError>>,
    state: State,
    /// The last bytes of a body whose length the caller knows.
    last: Option<Frame<Bytes>>,
    trailers: Option<Frame<Bytes>>,
    _task: AbortOnDropHandle<()>,
}

enum State {
    Streaming,
    /// Nothing more comes from the guest; what was kept back waits for the entry.
    Waiting,
    /// The entry is there: the rest goes out.
    Ending,
}

impl Answer {
    pub(super) fn new(
        inner: Body,
        left: Option<u64>,
        exchange: Arc<Exchange>,
        bytes_max: u64,
        all_taken: oneshot::Sender<Taken>,
        finished: oneshot::Receiver<Result<(), CallError>>,
        task: AbortOnDropHandle<()>,
    ) -> Self {
        Self {
            inner,
            left,
            exchange,
            bytes_max,
            all_taken: Some(all_taken),
            finished,
            state: State::Streaming,
            last: None,
            trailers: None,
            _task: task,
        }
    }

    /// Nothing more is taken from the guest, which sees that when it goes on writing.
    fn end(&mut self, taken: Taken) {
        self.inner = Empty::new().map_err(|never| match never {}).boxed_unsync();
        if let Some(all_taken) = self.all_taken.take() {
            // The task of a call that failed does not wait.
            let _ = all_taken.send(taken);
        }
        self.state = State::Waiting;
    }

    /// Counts what passes, and keeps back what completes the answer.
    fn pass(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let bytes = match frame.data_ref() {
            // Trailers are the end.
            None => {
                self.trailers = Some(frame);
                self.end(self.whole());
                return None;
            }
            Some(data) if data.is_empty() => return None,
            Some(data) => data.len() as u64,
        };
        let sent = self.exchange.traffic.bytes_out.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if sent > self.bytes_max {
            self.end(Taken::TooLarge);
            return None;
        }
        match self.left.map(|left| left.checked_sub(bytes)) {
            None => Some(frame),
            Some(None) => {
                self.end(Taken::Broken("it is longer than its content-length".to_owned()));
                None
            }
            Some(Some(0)) => {
                self.left = Some(0);
                self.last = Some(frame);
                None
            }
            Some(left) => {
                self.left = left;
                Some(frame)
            }
        }
    }

    /// How a body ended that the guest has ended.
    fn whole(&self) -> Taken {
        match self.left {
            None | Some(0) => Taken::Whole,
            Some(left) => Taken::Broken(format!("{left} bytes of its content-length are missing")),
        }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        this.exchange.asks(true);
        loop {
            match &mut this.state {
                State::Streaming => match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                    Some(Ok(frame)) => {
                        if let Some(frame) = this.pass(frame) {
                            this.exchange.asks(false);
                            return Poll::Ready(Some(Ok(frame)));
                        }
                    }
                    None => this.end(this.whole()),
                    Some(Err(error)) => this.end(Taken::Broken(error.to_string())),
                },
                State::Waiting => {
                    let finished = ready!(Pin::new(&mut this.finished).poll(context));
                    this.state = State::Ending;
                    let error = match finished {
                        Ok(Ok(())) => continue,
                        Ok(Err(error)) => BodyError::InternalError(Some(error.to_string())),
                        Err(_) => BodyError::HttpResponseIncomplete,
                    };
                    (this.last, this.trailers) = (None, None);
                    return Poll::Ready(Some(Err(error)));
                }
                State::Ending => {
                    let rest = this.last.take().or_else(|| this.trailers.take());
                    return Poll::Ready(rest.map(Ok));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ending) && self.last.is_none() && self.trailers.is_none()
    }
}
