//! Request bodies, never more of them than allowed.

use crate::requests::Ongoing;
use crate::{Problem, changes};
use axum::body::{Body, HttpBody as _};
use axum::http::header;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use std::mem;
use wares_model::ProblemCode;

/// Bytes over its limit that are still taken in from a body, and dropped: a client that is answered while it sends may see
/// its connection break instead of the answer.
const DISCARDED_BYTES_MAX: usize = 16 << 20;

/// Bytes more that are taken at once for a body that comes in pieces.
const GROWTH_BYTES_MIN: usize = 16 << 10;

/// Bytes from which on a body that is announced has room for all of it at once, so that it is never there twice while it grows.
/// The allocator takes as much from the system by itself, where nothing is used until it has come, and gives it back.
const LARGE_BYTES_MIN: usize = 16 << 20;

/// The whole body, if it is within its limit; `what` names it in the problem. The request holds what came, piece by piece.
pub(crate) async fn read(mut body: Body, bytes_max: u64, what: &str, ongoing: &Ongoing) -> Result<Bytes, Problem> {
    let announced = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let mut parts =
        Parts { ongoing, most, expected: announced.unwrap_or(usize::MAX), first: None, whole: Vec::new(), held: 0 };
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(unreadable)?.into_data() else { continue };
        length = length.saturating_add(data.len());
        match length > most {
            false => parts.add(data, length).await?,
            true => parts.drop_all(),
        }
        if length.saturating_sub(most) > DISCARDED_BYTES_MAX {
            // What is left of the body would be taken for the next request.
            return Err(too_large(bytes_max, what).with_header(header::CONNECTION, "close"));
        }
    }
    match length > most {
        false => Ok(parts.first.unwrap_or_else(|| parts.whole.into())),
        true => Err(too_large(bytes_max, what)),
    }
}

/// What came of a body.
struct Parts<'a> {
    ongoing: &'a Ongoing,
    /// Bytes that it may have.
    most: usize,
    /// Bytes that were announced.
    expected: usize,
    /// Most bodies come in one piece, which is passed on as it is.
    first: Option<Bytes>,
    whole: Vec<u8>,
    /// Bytes that the request holds for them.
    held: usize,
}

impl Parts<'_> {
    /// One piece more, with which the body has this length.
    async fn add(&mut self, data: Bytes, length: usize) -> Result<(), Problem> {
        if length == data.len() {
            self.ongoing.grow(length as u64).await?;
            (self.first, self.held) = (Some(data), length);
            return Ok(());
        }
        if self.held < length {
            self.make_room(length).await?;
        }
        self.whole.extend_from_slice(&self.first.take().unwrap_or_default());
        self.whole.extend_from_slice(&data);
        Ok(())
    }

    /// Room for a body that has come to this length, and for some of what comes next.
    async fn make_room(&mut self, length: usize) -> Result<(), Problem> {
        let room = (self.held / 2 * 3).max(GROWTH_BYTES_MIN).min(self.expected).min(self.most).max(length);
        self.ongoing.grow((room - self.held) as u64).await?;
        self.held = room;
        let is_large = (LARGE_BYTES_MIN..=self.most).contains(&self.expected);
        let capacity = if is_large { self.expected.max(room) } else { room };
        self.whole.reserve_exact(capacity - self.whole.len());
        Ok(())
    }

    /// The body is over its limit: nothing of it is of use.
    fn drop_all(&mut self) {
        (self.first, self.whole) = (None, Vec::new());
        self.ongoing.shrink(mem::take(&mut self.held) as u64);
    }
}

/// Why a body did not come to its end.
fn unreadable(error: axum::Error) -> Problem {
    match changes::busy(&error) {
        Some(busy) => busy.into(),
        None => Problem::bad_request(format!("the body could not be read: {error}")),
    }
}

fn too_large(bytes_max: u64, what: &str) -> Problem {
    Problem::new(ProblemCode::TooLarge, format!("{what} over the limit of {bytes_max} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use std::convert::Infallible;

    async fn read_pieces(pieces: &[&'static [u8]], bytes_max: u64) -> Result<Bytes, Problem> {
        let pieces: Vec<_> = pieces.iter().map(|piece| Ok::<_, Infallible>(Bytes::from_static(piece))).collect();
        read(Body::from_stream(stream::iter(pieces)), bytes_max, "the text is", &Ongoing::default()).await
    }

    #[tokio::test]
    async fn pieces_become_one_body_within_its_limit() {
        let within: [&[&[u8]]; 3] = [&[], &[b"abc"], &[b"", b"ab", b"", b"c"]];
        for pieces in within {
            let whole: Vec<u8> = pieces.concat();
            assert_eq!(read_pieces(pieces, 3).await.ok().as_deref(), Some(whole.as_slice()));
        }
        let over: [&[&[u8]]; 2] = [&[b"abcd"], &[b"ab", b"cd", b"ef"]];
        for pieces in over {
            assert!(read_pieces(pieces, 3).await.is_err());
        }
    }
}
