//! What `bench-text` does, as an HTTP component for `wasmtime serve`.

use wstd::http::{Body, Error, Request, Response};

#[derive(serde::Deserialize)]
struct Arguments {
    text: String,
}

#[wstd::http_server]
async fn main(mut request: Request<Body>) -> Result<Response<Body>, Error> {
    let Arguments { text } = request.body_mut().json().await?;
    Ok(Response::new(serde_json::to_string(&text.to_uppercase())?.into()))
}
