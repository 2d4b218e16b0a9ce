//! Sends one HTTP request over WASI 0.3, to where the query says, and passes its response on as it comes.

use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Request, Response, Scheme};
use wasip3::wit_future;

struct Outbound;

wasip3::http::service::export!(Outbound);

impl wasip3::exports::http::handler::Guest for Outbound {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let asked = request.get_path_with_query().unwrap_or_default();
        let place = asked.split_once('?').map_or("", |(_, place)| place);
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let (ended, end) = wit_future::new(|| Ok(None));
        drop(ended);
        let (request, _sent) = Request::new(Fields::new(), None, end, None);
        request.set_scheme(Some(&Scheme::Http)).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
        request.set_authority(Some(authority)).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
        request.set_path_with_query(Some(&format!("/{path}"))).map_err(|()| ErrorCode::HttpRequestUriInvalid)?;
        client::send(request).await
    }
}
