//! HTTP requests that components answer themselves: `/serve/{namespace}/{name}[@{version-req}]/{path…}`.

use crate::auth::TenantKey;
use crate::pace::TooSlow;
use crate::problem::OUTCOME;
use crate::request_id::RequestId;
use crate::requests::Ongoing;
use crate::traced::Traced;
use crate::{App, Problem, ahead, calls, lifecycle};
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::uri::{Authority, PathAndQuery, Scheme};
use axum::http::{HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use axum::routing::any;
use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt as _;
use wares_engine::{BodyError, hop_by_hop};
use wares_model::ProblemCode;

/// Tells the component below which path it is reached.
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Bytes of a request's body and of its answer that are under way between the caller and the component.
const BUFFERED_BYTES_MAX: u64 = 256 << 10;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/serve/{namespace}/{name}", any(serve))
        .route("/serve/{namespace}/{name}/", any(serve))
        .route("/serve/{namespace}/{name}/{*path}", any(serve))
}

async fn serve(State(app): State<App>, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let TenantKey { tenant, application } = TenantKey::from_request_parts(&mut parts, &app).await?;
    let Address { namespace, name, prefix, path } = Address::of(&parts.uri)?;
    let target = calls::component(&namespace, &name)?;
    let Ok(Traced(trace)) = Traced::from_request_parts(&mut parts, &app).await;
    let Ok(RequestId(id)) = RequestId::from_request_parts(&mut parts, &app).await;
    let prepared = app.calls.prepare_http(tenant, application, target, trace, id).await?;
    let bytes_max = prepared.version().limits.body_bytes_max;
    // What says no length is stopped on the way.
    let length = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: u64| length > bytes_max) {
        let detail = format!("the body is over the limit of {bytes_max} bytes");
        return Err(Problem::new(ProblemCode::TooLarge, detail));
    }

    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = parts.uri.authority().cloned().or_else(|| host?.parse::<Authority>().ok());
    let authority = authority.ok_or_else(|| Problem::bad_request("the request has no valid Host header"))?;
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path).build();
    parts.uri = uri.map_err(|error| Problem::bad_request(format!("the address: {error}")))?;
    // Who asks for leave to send gets it when the component wants to read.
    let body = if parts.headers.contains_key(header::EXPECT) { body } else { ahead::read_ahead(body) };
    hop_by_hop::remove(&mut parts.headers);
    // The key is between the caller and the host, and so is the leave to send the body.
    for name in [header::AUTHORIZATION, header::EXPECT] {
        parts.headers.remove(name);
    }
    if let Ok(prefix) = HeaderValue::try_from(prefix) {
        parts.headers.insert(FORWARDED_PREFIX, prefix);
    }
    let body = body.map_frame(without_hop_by_hop).map_err(broken_off).boxed_unsync();
    let ongoing = parts.extensions.remove::<Ongoing>().unwrap_or_default();
    ongoing.keep(BUFFERED_BYTES_MAX).await?;
    let hang_up = move || ongoing.give_up();
    let response = app.calls.serve(&prepared, Request::from_parts(parts, body), hang_up).await?;

    let (mut parts, body) = response.into_parts();
    hop_by_hop::remove(&mut parts.headers);
    // The ledger's word, not the component's. Of an answer that is still on its way the call has not ended.
    match body.is_end_stream() {
        true => drop(parts.headers.insert(OUTCOME, calls::OK.1)),
        false => drop(parts.headers.remove(OUTCOME)),
    }
    for (name, value) in calls::identity(&prepared) {
        if let Ok(value) = HeaderValue::try_from(value) {
            parts.headers.insert(name, value);
        }
    }
    parts.headers.extend(lifecycle::notices(prepared.version()));
    Ok(Response::from_parts(parts, Body::new(body.map_frame(without_hop_by_hop))))
}

/// What a guest is told of a request's body that does not come to its end.
fn broken_off(error: axum::Error) -> BodyError {
    let mut causes = std::iter::successors(Some(&error as &(dyn std::error::Error + 'static)), |error| error.source());
    match causes.any(|error| error.is::<TooSlow>()) {
        true => BodyError::ConnectionReadTimeout,
        false => BodyError::ConnectionTerminated,
    }
}

fn without_hop_by_hop(mut frame: Frame<Bytes>) -> Frame<Bytes> {
    if let Some(trailers) = frame.trailers_mut() {
        hop_by_hop::remove_from_trailers(trailers);
    }
    frame
}

/// What an address below `/serve` says.
struct Address {
    namespace: String,
    /// With its requirement.
    name: String,
    /// The part that names the component, as it was written.
    prefix: String,
    /// The rest: what the component sees.
    path: PathAndQuery,
}

impl Address {
    fn of(uri: &Uri) -> Result<Self, Problem> {
        let bad = |what: &str| Problem::bad_request(format!("{what}: write /serve/{{namespace}}/{{name}}/{{path}}"));
        let mut segments = uri.path().splitn(5, '/').skip(2);
        let (Some(namespace), Some(name)) = (segments.next(), segments.next()) else {
            return Err(bad("the address names no component"));
        };
        let decode = |text: &str| match percent_encoding::percent_decode_str(text).decode_utf8() {
            Ok(text) => Ok(text.into_owned()),
            Err(_) => Err(bad("the component's name is not UTF-8")),
        };
        let rest = segments.next().unwrap_or_default();
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = format!("/{rest}{query}").parse().map_err(|_| bad("the path is not one"))?;
        Ok(Self {
            namespace: decode(namespace)?,
            name: decode(name)?,
            prefix: format!("/serve/{namespace}/{name}"),
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::{Pace, Paced};
    use futures::stream;
    use http_body_util::StreamBody;
    use std::convert::Infallible;
    use std::time::Duration;

    #[tokio::test]
    async fn a_slow_caller_is_not_taken_for_one_that_is_gone() {
        let pace = Pace { patience: Duration::from_millis(1), bytes_per_second_min: 0 };
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let slow = ahead::read_ahead(Body::new(Paced::new(silent, pace)));
        let broken = StreamBody::new(stream::iter([Err::<Frame<Bytes>, _>(std::io::Error::other("reset"))]));
        for (mut body, is_slow) in [(slow, true), (ahead::read_ahead(Body::new(broken)), false)] {
            let error = broken_off(body.frame().await.unwrap().unwrap_err());
            assert_eq!(matches!(error, BodyError::ConnectionReadTimeout), is_slow, "{error}");
            assert_eq!(matches!(error, BodyError::ConnectionTerminated), !is_slow, "{error}");
        }
    }

    #[test]
    fn components_see_the_rest_of_the_path_as_it_was_sent() {
        let cases = [
            ("/serve/a/b", "b", "/serve/a/b", "/"),
            ("/serve/a/b/", "b", "/serve/a/b", "/"),
            ("/serve/a/b@%5E1/c%2Fd//e?x=1&y", "b@^1", "/serve/a/b@%5E1", "/c%2Fd//e?x=1&y"),
        ];
        for (uri, name, prefix, path) in cases {
            let address = Address::of(&uri.parse().unwrap()).unwrap_or_else(|_| panic!("{uri}"));
            assert_eq!((address.name.as_str(), address.prefix.as_str(), address.path.as_str()), (name, prefix, path));
        }
    }
}
