//! Requests that the host itself sends: to where an operator says, under the checks of addresses that components' requests pass.

use super::outbound::Outbound;
use super::send::{READ_BYTES_MAX, reach};
use super::target::Target;
use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wares_model::grants::{HttpGrant, HttpRule};
use wares_model::{TenantId, WebhookTarget};
use wasmtime_wasi::runtime::{AbortOnDropJoinHandle, spawn};
use wasmtime_wasi_http::io::TokioIo;

impl Outbound {
    /// Whether something can be posted to this URL, as far as can be told without sending anything.
    pub fn check_url(url: &str) -> Result<(), String> {
        addressed(url).map(drop)
    }

    /// Posts JSON for a tenant. What is answered beside the status is not read, and nobody is followed elsewhere.
    pub async fn post_json(
        &self,
        tenant: &TenantId,
        to: &WebhookTarget,
        headers: &[(&'static str, String)],
        body: Bytes,
        within: Duration,
    ) -> Result<StatusCode, String> {
        let deadline = Instant::now() + within;
        let (target, uri) = addressed(&to.url)?;
        let allow = target.to_string().parse::<HttpRule>().map_err(|error| error.to_string())?;
        let grant = HttpGrant { allow, addresses: to.addresses.clone(), credential: None };
        let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let mut request = Request::post(path)
            .header(header::HOST, target.authority())
            .header(header::CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let reached = reach(self, &target, &grant, tenant, deadline).await;
        let (stream, _place) = reached.map_err(|failure| failure.reason)?;
        let exchange = async {
            let mut builder = http1::Builder::new();
            builder.max_buf_size(READ_BYTES_MAX);
            let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
            let _connection: AbortOnDropJoinHandle<()> = spawn(async move { drop(connection.await) });
            sender.send_request(request).await.map(|response| response.status())
        };
        match timeout_at(deadline, exchange).await {
            Ok(answered) => answered.map_err(|error: hyper::Error| error.to_string()),
            Err(_) => Err("no answer came in time".to_owned()),
        }
    }
}

fn addressed(url: &str) -> Result<(Target, Uri), String> {
    let uri = url.parse::<Uri>().map_err(|error| error.to_string())?;
    let target = Target::of(&Method::POST, &uri).map_err(|failure| failure.reason)?;
    Ok((target, uri))
}
