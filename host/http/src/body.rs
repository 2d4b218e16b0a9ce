//! Request bodies, never more of them than allowed.

use crate::Problem;
use axum::body::Body;
use axum::http::header;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use wares_model::ProblemCode;

/// Bytes over its limit that are still taken in from a body, and dropped: a client that is answered while it sends may see
/// its connection break instead of the answer.
const DISCARDED_BYTES_MAX: usize = 16 << 20;

/// The whole body, if it is within its limit; `what` names it in the problem.
pub(crate) async fn read(body: Body, bytes_max: u64, what: &str) -> Result<Bytes, Problem> {
    read_announced(0, body, bytes_max, what).await
}

/// The same for a body that may be large and is announced to have so many bytes: it is held once, not twice for a while as
/// what grows in steps is.
pub(crate) async fn read_announced(
    announced: usize,
    mut body: Body,
    bytes_max: u64,
    what: &str,
) -> Result<Bytes, Problem> {
    let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let mut first: Option<Bytes> = None;
    let mut whole = BytesMut::new();
    let mut length = 0usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::bad_request(format!("the body could not be read: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > most {
            (first, whole) = (None, BytesMut::new());
            if length - most > DISCARDED_BYTES_MAX {
                // What is left of the body would be taken for the next request.
                return Err(too_large(bytes_max, what).with_header(header::CONNECTION, "close"));
            }
        } else if length == data.len() {
            // Most bodies come in one piece, which is passed on as it is.
            first = Some(data);
        } else {
            if whole.is_empty() {
                whole.reserve(announced.min(most));
            }
            whole.extend_from_slice(&first.take().unwrap_or_default());
            whole.extend_from_slice(&data);
        }
    }
    if length > most {
        return Err(too_large(bytes_max, what));
    }
    Ok(first.unwrap_or_else(|| whole.freeze()))
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
        read(Body::from_stream(stream::iter(pieces)), bytes_max, "the text is").await
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
