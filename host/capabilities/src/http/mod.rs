//! `wasi:http`: types for components that answer requests, and requests that components send.
//!
//! What the operator configures is [`Outbound`], made once per host. What one call holds is [`Requests`]. A request goes
//! through `send.rs` from top to bottom: where it wants to go is read from its URI and nowhere else (`target.rs`), found among
//! what is granted, resolved (`resolve.rs`), every address checked (`address.rs`), and a checked address is dialled, without
//! a second look-up (`connect.rs`). Headers are the guest's but for those by which servers are told who asks (`headers.rs`);
//! bodies are bounded both ways (`body.rs`). Each request has a connection of its own, so nothing is shared between grants.
//!
//! Bounds: requests per call, bytes each way per request, header bytes, time to connect, to the first byte and between bytes,
//! the call's wall time over all of it, and open connections of the host.

mod address;
mod body;
mod connect;
mod failure;
mod headers;
mod outbound;
mod resolve;
mod send;
mod target;
mod watch;

pub use outbound::{Outbound, OutboundConfig, OutboundError};
pub use watch::describe_metrics;

use crate::{CallContext, CallLog, CallState, Capability, Interface, Services, wasi3};
use http::Request;
use send::Sending;
use std::sync::Arc;
use wares_model::Limits;
use wares_model::limits::HTTP_FIELDS_BYTES_MAX;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p2::bindings::http::types::{self, LinkOptions};
use wasmtime_wasi_http::p3::bindings::http::client;
use wasmtime_wasi_http::{
    Error, RequestOptions, Result, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpHooks, WasiHttpView as _,
};

pub(crate) struct Http;

const INTERFACES: &[Interface] = &[
    Interface {
        name: "wasi:http/types",
        version: "0.2.12",
        link: |linker| types::add_to_linker::<CallState, WasiHttp>(linker, &LinkOptions::default(), CallState::http),
    },
    Interface {
        name: "wasi:http/outgoing-handler",
        version: "0.2.12",
        link: |linker| outgoing_handler::add_to_linker::<CallState, WasiHttp>(linker, CallState::http),
    },
    Interface {
        name: "wasi:http/client",
        version: wasi3::VERSION,
        link: |linker| client::add_to_linker::<CallState, WasiHttp>(linker, CallState::http),
    },
];

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

/// The requests that one call sends.
pub(crate) struct Requests {
    sending: Sending,
    /// How many there were.
    count: u64,
}

impl Requests {
    pub(crate) fn new(context: &Arc<CallContext>, services: &Arc<Services>, log: &CallLog, limits: Limits) -> Self {
        let (context, services) = (Arc::clone(context), Arc::clone(services));
        Self { sending: Sending { context, services, log: log.clone(), limits }, count: 0 }
    }
}

type Processing = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Requests {
    /// The host says who is addressed, as it checked it.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processing: Processing,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Processing)>> + Send> {
        self.count = self.count.saturating_add(1);
        let sent = self.sending.clone().send(self.count, request, options.unwrap_or_default());
        Box::new(async move { sent.await.map(|response| (response, Box::new(async { Ok(()) }) as Processing)) })
    }
}
