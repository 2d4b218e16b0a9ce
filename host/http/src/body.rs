//! Request bodies, never more of them than allowed.

use crate::Problem;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use wares_model::ProblemCode;

/// The whole body, if it is within its limit; `what` names it in the problem.
pub(crate) async fn read(body: Body, bytes_max: u64, what: &str) -> Result<Bytes, Problem> {
    let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    match Limited::new(body, most).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(Problem::new(ProblemCode::TooLarge, format!("{what} over the limit of {bytes_max} bytes")))
        }
        Err(error) => Err(Problem::bad_request(format!("the body could not be read: {error}"))),
    }
}
