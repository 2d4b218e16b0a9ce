//! What a guest is told about the response that it gave: whether the caller took all of it.

use crate::serve::{Body, BodyError};
use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;

/// Tells how the sending of a response's body ended.
pub(crate) struct Sent(oneshot::Sender<()>);

/// Completes when the body is taken to its end, or with an error when it is given up before.
pub(crate) async fn whole(sent: oneshot::Receiver<()>) -> Result<(), BodyError> {
    sent.await.map_err(|_| BodyError::ConnectionTerminated)
}

impl Sent {
    pub(crate) fn new() -> (Self, oneshot::Receiver<()>) {
        let (sent, when_sent) = oneshot::channel();
        (Self(sent), when_sent)
    }

    /// The response, whose body tells.
    pub(crate) fn watch(self, response: Response<Body>) -> Response<Body> {
        response.map(|body| Watched { body, sent: Some(self) }.boxed_unsync())
    }
}

struct Watched {
    body: Body,
    sent: Option<Sent>,
}

impl Watched {
    fn tell(&mut self) {
        if let Some(Sent(sent)) = self.sent.take() {
            // Nobody asks any more when the guest has ended.
            let _ = sent.send(());
        }
    }
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            // Trailers are the end.
            None => self.tell(),
            Some(Ok(frame)) if frame.is_trailers() => self.tell(),
            Some(Ok(_)) => {}
            Some(Err(_)) => self.sent = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
