//! What passes between a caller and the guest that answers it, and which of the two the other one waits for.

use crate::record::Traffic;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use wares_engine::{Body, BodyError};
use wares_model::Outcome;

/// One request and its answer.
#[derive(Default)]
pub(super) struct Exchange {
    pub(super) traffic: Arc<Traffic>,
    fault: OnceLock<Fault>,
    /// Whether the guest waits for more of the request.
    is_owing: AtomicBool,
    /// Whether the caller waits for more of the answer.
    is_asking: AtomicBool,
}

/// What a caller does that makes its call fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It broke the request off.
    Gone,
    /// It sent too little or took too little, in the time that there was.
    Slow,
    /// Its request has more bytes than the call may have.
    TooLarge,
}

impl Exchange {
    /// Whether the caller asked for more of the answer, or was just given some.
    pub(super) fn asks(&self, is_asking: bool) {
        self.is_asking.store(is_asking, Ordering::Relaxed);
    }

    /// What the caller did, if that is why the call ended so. An answer that has begun is the caller's to take.
    pub(super) fn fault(&self, outcome: Outcome, is_answered: bool) -> Option<Fault> {
        let is_owing = self.is_owing.load(Ordering::Relaxed);
        let is_taking = self.is_asking.load(Ordering::Relaxed) || !is_answered;
        let is_slow = outcome == Outcome::LimitWall && (is_owing || !is_taking);
        self.fault.get().copied().or(is_slow.then_some(Fault::Slow))
    }

    fn blame(&self, fault: Fault) {
        // The first one led to those after it.
        let _ = self.fault.set(fault);
    }
}

/// The body of a request on its way to the guest, counted and never longer than allowed.
pub(super) struct RequestBody {
    inner: Body,
    bytes_max: u64,
    left: u64,
    exchange: Arc<Exchange>,
}

impl RequestBody {
    pub(super) fn new(inner: Body, bytes_max: u64, exchange: Arc<Exchange>) -> Self {
        Self { inner, bytes_max, left: bytes_max, exchange }
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.exchange.traffic.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(frame)
            }
            None => {
                self.exchange.blame(Fault::TooLarge);
                Err(BodyError::HttpRequestBodySize(Some(self.bytes_max)))
            }
        }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_frame(context);
        this.exchange.is_owing.store(polled.is_pending(), Ordering::Relaxed);
        polled.map(|frame| match frame? {
            Ok(frame) => Some(this.pass(frame)),
            Err(error) => {
                match error {
                    BodyError::ConnectionTerminated => this.exchange.blame(Fault::Gone),
                    BodyError::ConnectionReadTimeout => this.exchange.blame(Fault::Slow),
                    _ => {}
                }
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::task::Waker;

    /// A piece of a body, or its end.
    type Piece = Option<Result<Frame<Bytes>, BodyError>>;

    /// What a caller sends. After the last piece it is silent.
    struct Sent(std::vec::IntoIter<Piece>);

    impl http_body::Body for Sent {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Piece> {
            self.0.next().map_or(Poll::Pending, Poll::Ready)
        }
    }

    /// How the exchange stands when the guest has asked so often for a body of four bytes at most.
    fn asked(times: usize, sent: Vec<Piece>) -> Arc<Exchange> {
        let exchange = Arc::<Exchange>::default();
        let mut body = RequestBody::new(Sent(sent.into_iter()).boxed_unsync(), 4, Arc::clone(&exchange));
        for _ in 0..times {
            let _ = http_body::Body::poll_frame(Pin::new(&mut body), &mut Context::from_waker(Waker::noop()));
        }
        exchange
    }

    fn data(text: &'static str) -> Piece {
        Some(Ok(Frame::data(Bytes::from_static(text.as_bytes()))))
    }

    #[test]
    fn what_a_caller_does_is_told_from_what_the_guest_does() {
        let broken = |error| vec![data("1234"), Some(Err(error))];
        let cases = [
            (asked(2, vec![data("1234")]), Outcome::LimitWall, Some(Fault::Slow)),
            (asked(1, vec![data("1234")]), Outcome::LimitWall, None),
            (asked(2, vec![data("1234"), None]), Outcome::LimitWall, None),
            (asked(2, vec![data("1234")]), Outcome::LimitCpu, None),
            (asked(2, broken(BodyError::ConnectionTerminated)), Outcome::Trap, Some(Fault::Gone)),
            (asked(2, broken(BodyError::ConnectionReadTimeout)), Outcome::Trap, Some(Fault::Slow)),
            (asked(2, broken(BodyError::HttpProtocolError)), Outcome::Trap, None),
            (asked(2, vec![data("1234"), data("5")]), Outcome::Trap, Some(Fault::TooLarge)),
        ];
        for (at, (exchange, outcome, expected)) in cases.into_iter().enumerate() {
            assert_eq!(exchange.fault(outcome, false), expected, "case {at}");
        }
    }

    #[test]
    fn an_answer_that_has_begun_is_the_callers_to_take() {
        let exchange = Exchange::default();
        assert_eq!(exchange.fault(Outcome::LimitWall, false), None, "there is nothing to take");
        assert_eq!(exchange.fault(Outcome::LimitWall, true), Some(Fault::Slow));
        exchange.asks(true);
        assert_eq!(exchange.fault(Outcome::LimitWall, true), None, "the guest has it to give");
        exchange.asks(false);
        assert_eq!(exchange.fault(Outcome::LimitWall, true), Some(Fault::Slow));
        assert_eq!(exchange.fault(Outcome::Trap, true), None);
    }
}
