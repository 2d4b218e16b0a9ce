//! Bodies of requests and responses, bounded in bytes and in time.

use super::failure::Failure;
use super::headers;
use super::places::Place;
use super::watch::Watch;
use bytes::Bytes;
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until};
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;
use wasmtime_wasi_http::{Error, WasiBody};

/// Why a request's body was cut off, for whoever learns only that it was.
pub(crate) type Cut = Arc<Mutex<Option<Failure>>>;

/// Its code alone, for the guest that sent the body; nothing if it was not cut off.
pub(crate) type CutTold = oneshot::Receiver<Error>;

/// What a guest sends.
pub(crate) struct RequestBody {
    inner: WasiBody,
    bytes_max: u64,
    sent: u64,
    /// The header that the host sets, and that trailers could set again.
    credential: Option<HeaderName>,
    cut: Cut,
    tell: Option<oneshot::Sender<Error>>,
}

/// Ends a request's body; the reason is with [`Cut`].
#[derive(Debug, thiserror::Error)]
#[error("the request's body was cut off")]
pub(crate) struct CutOff;

impl RequestBody {
    pub(crate) fn new(inner: WasiBody, bytes_max: u64, credential: Option<HeaderName>) -> (Self, Cut, CutTold) {
        let (cut, (tell, told)) = (Cut::default(), oneshot::channel());
        (Self { inner, bytes_max, sent: 0, credential, cut: Arc::clone(&cut), tell: Some(tell) }, cut, told)
    }

    fn cut_off(&mut self, failure: Failure) -> CutOff {
        if let Some(tell) = self.tell.take() {
            // The guest may have lost interest.
            let _ = tell.send(again(&failure.code));
        }
        *self.cut.lock() = Some(failure);
        CutOff
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, CutOff> {
        if let Some(data) = frame.data_ref() {
            self.sent = self.sent.saturating_add(data.len() as u64);
            if self.sent > self.bytes_max {
                let reason = format!(
                    "the request's body is over {} bytes, the limit outbound-bytes-max of its call",
                    self.bytes_max
                );
                return Err(self.cut_off(Failure::too_large(Error::HttpRequestBodySize(Some(self.bytes_max)), reason)));
            }
        }
        let trailers = frame.trailers_ref().filter(|trailers| headers::check(trailers, None).is_err());
        let credential = frame.trailers_ref().zip(self.credential.as_ref());
        if trailers.is_some() || credential.is_some_and(|(trailers, name)| trailers.contains_key(name)) {
            let reason = "a trailer is one of the headers that the host sets";
            return Err(self.cut_off(Failure::refused(Error::HttpRequestDenied, reason)));
        }
        Ok(frame)
    }
}

/// A code of a body that was cut off, once more; wasmtime's cannot be copied. Others say that the guest broke it off itself.
fn again(code: &Error) -> Error {
    match code {
        Error::HttpRequestBodySize(bytes) => Error::HttpRequestBodySize(*bytes),
        Error::HttpRequestDenied => Error::HttpRequestDenied,
        _ => Error::HttpProtocolError,
    }
}

/// A server may answer before it has all of a request, and the connection lets go of the body then. The guest goes on writing it
/// to its end, as it would to a server that reads no more; what it writes goes nowhere, and no more of it than might be sent.
impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.inner.is_end_stream() || self.cut.lock().is_some() {
            return;
        }
        let (mut inner, mut bytes_left) = (mem::take(&mut self.inner), self.bytes_max.saturating_sub(self.sent));
        // Ends with the call at the latest, which takes the guest's end of the body with it.
        let rest = async move {
            while let Some(Ok(frame)) = inner.frame().await {
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(left) = bytes_left.checked_sub(bytes) else { return };
                bytes_left = left;
            }
        };
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(rest));
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        Pin::new(&mut this.inner).poll_frame(context).map(|frame| match frame? {
            Ok(frame) => Some(this.pass(frame)),
            Err(code) => {
                let failure = Failure::broken(code, "the component did not send the body to its end");
                Some(Err(this.cut_off(failure)))
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

/// How much of a response is taken, and for how long it is waited.
pub(crate) struct Measure {
    pub(crate) bytes_max: u64,
    pub(crate) between_bytes: Duration,
    /// When its call is over in any case.
    pub(crate) deadline: Instant,
}

/// What a server answers with. Dropping it closes the connection.
pub(crate) struct ResponseBody {
    incoming: Incoming,
    measure: Measure,
    timer: Pin<Box<Sleep>>,
    /// Whether the timer runs: only while the guest waits for the server, not the server for the guest.
    is_waiting: bool,
    watch: Watch,
    /// Why the request's body was cut off, which then is why the response breaks off too.
    cut: Cut,
    has_ended: bool,
    _connection: Connection,
}

/// A connection at work, its place among those of the host, and what shows that its request is open.
pub(crate) struct Connection {
    pub(crate) _work: AbortOnDropJoinHandle<()>,
    pub(crate) _place: Place,
    pub(crate) _open: Arc<()>,
}

impl ResponseBody {
    pub(crate) fn new(
        incoming: Incoming,
        measure: Measure,
        mut watch: Watch,
        cut: Cut,
        connection: Connection,
    ) -> Self {
        let has_ended = incoming.is_end_stream();
        if has_ended {
            watch.ended_well();
        }
        let timer = Box::pin(sleep_until(measure.next_deadline()));
        Self { incoming, measure, timer, is_waiting: false, watch, cut, has_ended, _connection: connection }
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Failure> {
        if let Some(data) = frame.data_ref() {
            self.watch.received(data.len());
            let most = self.measure.bytes_max;
            if self.watch.bytes_in() > most {
                let reason =
                    format!("the response's body is over {most} bytes, the limit outbound-bytes-max of its call");
                return Err(Failure::too_large(Error::HttpResponseBodySize(Some(most)), reason));
            }
        }
        if let Some(bytes) = frame.trailers_ref().and_then(|trailers| headers::check_size(trailers).err()) {
            let reason = format!("the response's trailers have {bytes} bytes");
            return Err(Failure::too_large(Error::HttpResponseTrailerSectionSize(Some(bytes)), reason));
        }
        self.is_waiting = false;
        Ok(frame)
    }

    fn next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match Pin::new(&mut self.incoming).poll_frame(context) {
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(self.pass(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Failure::of_hyper(&error)))),
            Poll::Pending => {
                if !mem::replace(&mut self.is_waiting, true) {
                    let until = self.measure.next_deadline();
                    self.timer.as_mut().reset(until);
                }
                self.timer.as_mut().poll(context).map(|()| Some(Err(self.measure.out_of_time())))
            }
        }
    }
}

impl Measure {
    fn next_deadline(&self) -> Instant {
        (Instant::now() + self.between_bytes).min(self.deadline)
    }

    fn out_of_time(&self) -> Failure {
        match Instant::now() < self.deadline {
            true => Failure::timeout(Error::ConnectionReadTimeout, "nothing more of the response came in time"),
            false => Failure::timeout(Error::HttpResponseTimeout, "the call's wall time is over"),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        if this.has_ended {
            return Poll::Ready(None);
        }
        this.next(context).map(|frame| match frame {
            None => {
                this.has_ended = true;
                this.watch.ended_well();
                None
            }
            Some(Ok(frame)) => Some(Ok(frame)),
            Some(Err(failure)) => {
                this.has_ended = true;
                let failure = this.cut.lock().take().unwrap_or(failure);
                Some(Err(this.watch.failed(failure)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.has_ended || self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
