//! Answers HTTP requests as Spin's SDK for WASI 0.3 does it.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn answer(request: Request) -> impl IntoResponse {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    format!("{} {path}", request.method())
}
