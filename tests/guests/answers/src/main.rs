//! Answers HTTP requests, well and badly, as the path says.

use futures_lite::{Stream, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use wasip2::http::types::Fields;
use wstd::http::body::{Bytes, Frame};
use wstd::http::{Body, Error, HeaderMap, HeaderValue, Request, Response, StatusCode};
use wstd::time::Duration;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/echo" => Ok(Response::new(request.into_body())),
        "/seen" => Ok(Response::new(seen(&request).into())),
        "/upper" => Ok(Response::builder().header("trailer", "x-sum").body(upper(request.into_body()))?),
        "/counted" => Ok(Response::builder().header("content-length", "7").body(counted())?),
        "/fields" => Ok(Response::new(fields().into())),
        "/hop" => Ok(Response::builder()
            .header("te", "gzip")
            .header("proxy-note", "1")
            .header("x-kept", "1")
            .body("hop".into())?),
        "/none" => Ok(status(204, "0", "")?),
        "/reset" => Ok(status(205, "5", "reset")?),
        "/unchanged" => Ok(status(304, "7", "changed")?),
        "/interim" => Ok(Response::builder().status(103).body(Body::empty())?),
        "/short" => Ok(status(200, "10", "short")?),
        "/over" => Ok(status(200, "3", "longer")?),
        "/twice" => Ok(Response::new(Body::from_stream(stream::iter(vec![Bytes::from(vec![b'x'; 400_000]); 2])))),
        "/endless" => Ok(Response::new(Body::from_stream(stream::repeat(Bytes::from(vec![b'x'; 1 << 10]))))),
        "/spins-on" => Ok(Response::new(Body::from_stream(drops(2).map(|drop| match &drop[..] {
            b"drop 1\n" => loop {
                std::hint::black_box(());
            },
            _ => drop,
        })))),
        "/empty" => Ok(Response::builder().status(StatusCode::NO_CONTENT).body(Body::empty())?),
        "/long" => Ok(Response::new(vec![b'x'; 900_000].into())),
        "/too-long" => Ok(Response::new(vec![b'x'; 1_100_000].into())),
        "/drops" => Ok(Response::new(Body::from_stream(drops(10)))),
        "/breaks" => Ok(Response::new(Body::from_stream(drops(3).map(|drop| match &drop[..] {
            b"drop 2\n" => panic!("as asked"),
            _ => drop,
        })))),
        "/spin" => loop {
            std::hint::black_box(());
        },
        "/sleep" => {
            wstd::task::sleep(Duration::from_secs(600)).await;
            Ok(Response::new(Body::empty()))
        }
        "/panic" => panic!("as asked"),
        "/error" => Err(Error::msg("no answer today")),
        other => Ok(Response::builder().status(StatusCode::NOT_FOUND).body(format!("no {other}").into())?),
    }
}

/// What of the request reached the component.
fn seen(request: &Request<Body>) -> String {
    let mut seen = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        seen.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    seen
}

fn status(status: u16, length: &str, body: &'static str) -> Result<Response<Body>, Error> {
    Ok(Response::builder().status(status).header("content-length", length).body(body.into())?)
}

/// The body in capitals, piece by piece as it comes, and its trailers.
fn upper(body: Body) -> Body {
    let body = body.into_boxed_body();
    Body::from_http_body(body.map_frame(|frame| frame.map_data(|data| Bytes::from(data.to_ascii_uppercase()))))
}

/// Seven bytes, and trailers of which a host passes one on.
fn counted() -> Body {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-count", HeaderValue::from_static("7"));
    trailers.insert("content-length", HeaderValue::from_static("70"));
    let frames = [Frame::data(Bytes::from("counted")), Frame::trailers(trailers)];
    Body::from_http_body(StreamBody::new(stream::iter(frames.map(Ok::<_, Error>))))
}

/// What the host says to fields that would change how a message is read.
fn fields() -> String {
    let attempts: [(&str, &[&str]); 8] = [
        ("connection", &["close"]),
        ("transfer-encoding", &["chunked"]),
        ("keep-alive", &["timeout=5"]),
        ("upgrade", &["websocket"]),
        ("x-value", &["1\r\nx-injected: 1"]),
        ("x-name\r\nx-injected", &["1"]),
        ("content-length", &["5", "6"]),
        ("content-length", &["+5"]),
    ];
    let outcomes = attempts.map(|(name, values)| {
        let fields = Fields::new();
        let outcomes = values.iter().map(|value| fields.append(name, value.as_bytes()));
        let outcome = outcomes.collect::<Result<Vec<()>, _>>().map_or("refused", |_| "taken");
        format!("{name:?}: {outcome}\n")
    });
    outcomes.concat()
}

/// So many pieces with pauses between them.
fn drops(count: u32) -> impl Stream<Item = Bytes> {
    stream::unfold(0, move |at| async move {
        if at == count {
            return None;
        }
        wstd::task::sleep(Duration::from_millis(100)).await;
        Some((Bytes::from(format!("drop {at}\n")), at + 1))
    })
}
