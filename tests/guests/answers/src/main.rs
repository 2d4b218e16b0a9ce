//! Answers HTTP requests, well and badly, as the path says.

use futures_lite::{Stream, StreamExt as _, stream};
use wstd::http::body::Bytes;
use wstd::http::{Body, Error, Request, Response, StatusCode};
use wstd::time::Duration;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/echo" => Ok(Response::new(request.into_body())),
        "/seen" => Ok(Response::new(seen(&request).into())),
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
