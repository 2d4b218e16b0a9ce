//! A request's body, read a little ahead of who takes it: a caller that goes away is noticed although nobody reads.
//!
//! An HTTP/1.1 connection sees its end only behind what was sent before it.

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

/// Pieces that are read before they are asked for; one is as long as the connection's buffer at most.
const PIECES_MAX: usize = 1;

/// The same body, read ahead from now on until it is dropped.
pub(crate) fn read_ahead(mut body: Body) -> Body {
    if body.is_end_stream() {
        return body;
    }
    let (to, from) = mpsc::channel::<Result<Frame<Bytes>, axum::Error>>(PIECES_MAX);
    let reading = AbortOnDropHandle::new(tokio::spawn(async move {
        while let Some(frame) = body.frame().await {
            if to.send(frame).await.is_err() {
                return;
            }
        }
    }));
    let frames = futures::stream::unfold((from, reading), async |(mut from, reading)| {
        let frame = from.recv().await?;
        Some((frame, (from, reading)))
    });
    Body::new(StreamBody::new(frames.boxed()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderMap;
    use futures::stream;
    use std::convert::Infallible;

    #[tokio::test]
    async fn the_body_is_the_same_and_moves_on_by_itself() {
        let (reached, at) = mpsc::unbounded_channel();
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "1".parse().unwrap())]);
        let frames = ["a", "b", "c"].map(|text| Frame::data(Bytes::from(text)));
        let frames = frames.into_iter().chain([Frame::trailers(trailers.clone())]);
        let frames = stream::iter(frames.map(Ok::<_, Infallible>)).inspect(move |_| reached.send(()).unwrap());
        let ahead = read_ahead(Body::new(StreamBody::new(frames)));
        let mut at = at;
        // One that waits to be taken, one that waits for its place.
        for _ in 0..2 {
            at.recv().await.unwrap();
        }
        let whole = ahead.collect().await.unwrap();
        assert_eq!(whole.trailers(), Some(&trailers));
        assert_eq!(whole.to_bytes(), "abc");
    }
}
