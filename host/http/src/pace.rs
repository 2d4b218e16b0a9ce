//! How fast a client has to be, and a request's body that must move on: it ends with an error when nothing comes for too long,
//! or too little in all.

use axum::body::{Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// How fast a client has to take what it is sent, and to send what it has begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// For one piece.
    pub(crate) patience: Duration,
    /// Beyond that, bytes for each second in which it is waited for.
    pub(crate) bytes_per_second_min: u64,
}

/// The client sends its body too slowly.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the client sends too slowly")]
pub(crate) struct TooSlow;

/// The same body at this pace. Only the time counts in which somebody waits for the client.
pub(crate) struct Paced<B> {
    body: B,
    pace: Pace,
    bytes: u64,
    waited: Duration,
    /// When the wait began that goes on now.
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// How long a client may be waited for in all, when it has moved on by so many bytes.
    pub(crate) fn allowed(self, bytes: u64) -> Duration {
        let seconds = bytes.checked_div(self.bytes_per_second_min);
        seconds.map_or(Duration::MAX, |seconds| self.patience.saturating_add(Duration::from_secs(seconds)))
    }
}

impl<B> Paced<B> {
    pub(crate) fn new(body: B, pace: Pace) -> Self {
        Self { body, pace, bytes: 0, waited: Duration::ZERO, since: None, sleep: None }
    }

    /// Completes when the wait for the next piece is too long.
    fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.since.is_none() {
            let now = Instant::now();
            let left = self.pace.allowed(self.bytes).saturating_sub(self.waited).min(self.pace.patience);
            match &mut self.sleep {
                Some(sleep) => sleep.as_mut().reset(now + left),
                none => *none = Some(Box::pin(sleep_until(now + left))),
            }
            self.since = Some(now);
        }
        self.sleep.as_mut().map_or(Poll::Pending, |sleep| sleep.as_mut().poll(context))
    }
}

impl<B> HttpBody for Paced<B>
where
    B: HttpBody<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + Unpin,
{
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            ready!(this.poll_late(context));
            return Poll::Ready(Some(Err(axum::Error::new(TooSlow))));
        };
        if let Some(since) = this.since.take() {
            this.waited += since.elapsed();
        }
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            this.bytes += data.len() as u64;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::{BodyExt as _, StreamBody};
    use std::convert::Infallible;

    /// How many seconds a body lives whose pieces come like this; none if it comes to its end.
    async fn lives(every: Duration, bytes: usize, pace: Pace) -> Option<u64> {
        let pieces = stream::unfold(0, move |sent| async move {
            tokio::time::sleep(every).await;
            let piece = Frame::data(Bytes::from(vec![0; bytes]));
            (sent < 100).then_some((Ok::<_, Infallible>(piece), sent + 1))
        });
        let began = Instant::now();
        let whole = Paced::new(StreamBody::new(Box::pin(pieces)), pace).collect().await;
        whole.is_err().then(|| began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_ends_that_stands_still_or_only_drips() {
        let second = Duration::from_secs(1);
        let pace = Pace { patience: 10 * second, bytes_per_second_min: 100 };
        assert_eq!(lives(11 * second, 10_000, pace).await, Some(10), "it stands still");
        assert_eq!(lives(9 * second, 1, pace).await, Some(10), "it drips");
        let half = lives(second, 50, pace).await;
        assert!(half.is_some_and(|seconds| (18..22).contains(&seconds)), "half as fast as it must be: {half:?}");
        assert_eq!(lives(second, 100, pace).await, None);
        assert_eq!(lives(9 * second, 1, Pace { bytes_per_second_min: 0, ..pace }).await, None, "any pace will do");
    }
}
