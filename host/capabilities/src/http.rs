//! `wasi:http/types`, for components that answer HTTP requests themselves. Sending requests is not given.

use crate::{CallState, Capability, Interface};
use http::Request;
use wares_model::limits::HTTP_FIELDS_BYTES_MAX;
use wasmtime_wasi_http::p2::bindings::http::types::{self, LinkOptions};
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpHooks};

pub(crate) struct Http;

const INTERFACES: &[Interface] = &[Interface {
    name: "wasi:http/types",
    version: "0.2.12",
    link: |linker| {
        use wasmtime_wasi_http::WasiHttpView as _;
        types::add_to_linker::<CallState, WasiHttp>(linker, &LinkOptions::default(), CallState::http)
    },
}];

impl Capability for Http {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }
}

/// What HTTP holds for one call.
pub(crate) fn context() -> WasiHttpCtx {
    let mut context = WasiHttpCtx::new();
    context.set_field_size_limit(HTTP_FIELDS_BYTES_MAX);
    context
}

/// Refuses every request that a guest would send.
pub(crate) struct NoRequests;

type Sending = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for NoRequests {
    fn send_request(
        &mut self,
        _request: Request<WasiBody>,
        _options: Option<RequestOptions>,
        _sending: Sending,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Sending)>> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
