//! Answers HTTP requests as Spin's SDK for WASI 0.2 does it.

use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_component;

#[http_component]
fn answer(request: Request) -> anyhow::Result<impl IntoResponse> {
    let body = format!("{} {} {}", request.method(), request.path_and_query().unwrap_or("/"), request.body().len());
    Ok(Response::builder().status(200).header("content-type", "text/plain").body(body).build())
}
