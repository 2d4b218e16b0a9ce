//! `wasi:http`: types for components that answer requests, and requests that components send.
//!
//! What the operator configures is [`Outbound`], made once per host. What one call holds is [`Requests`]. A request goes
//! through `send.rs` from top to bottom: where it wants to go is read from its URI and nowhere else (`target.rs`), found among
//! what is granted, resolved (`resolve.rs`), every address checked (`address.rs`), and a checked address is dialled, without
//! a second look-up (`connect.rs`). Headers are the guest's but for those by which servers are told who asks (`headers.rs`);
//! bodies are bounded both ways (`body.rs`). Each request has a connection of its own, so nothing is shared between grants.
//!
//! Bounds: requests per call, bytes each way per request, bytes of a header, of a method and of an authority (`types.rs`), bytes
//! of all paths and of what waits of all bodies (host-memory-bytes-max), time to connect, to the first byte and between bytes,
//! the call's wall time over all of it, and open connections of the host and of each tenant (`places.rs`).

mod address;
mod body;
mod connect;
mod failure;
mod headers;
pub mod hop_by_hop;
mod outbound;
mod own;
mod places;
mod resolve;
mod send;
mod target;
pub(crate) mod types;
mod watch;

pub use outbound::{Outbound, OutboundConfig, OutboundError};
pub use watch::describe_metrics;

use crate::cpu::{self, Account};
use crate::{CallContext, CallLog, CallState, Capability, Interface, Services, wasi3};
use http::Request;
use send::Sending;
use std::sync::Arc;
use wares_model::Limits;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler;
use wasmtime_wasi_http::p3::bindings::http::client;
use wasmtime_wasi_http::{
    Error, RequestOptions, Result, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpHooks, WasiHttpView as _,
};

/// Bytes of a body that a guest hands over at once.
const BODY_CHUNK_BYTES_MAX: usize = 64 << 10;
/// The same where a call has begun so many bodies that they might take all its host memory.
const BODY_CHUNK_BYTES_MIN: usize = 256;
/// So many such pieces wait for whom they are sent to.
const BODY_CHUNKS_WAITING: usize = 2;
/// Bytes of a set of fields while a guest may change it. Each of its handles may be one.
const OWN_FIELDS_BYTES_MAX: usize = 16 << 10;

pub(crate) struct Http;

const INTERFACES: &[Interface] = &[
    Interface::new("wasi:http/types", "0.2.12", types::link_p2),
    Interface::new("wasi:http/outgoing-handler", "0.2.12", |linker| {
        outgoing_handler::add_to_linker::<CallState, WasiHttp>(linker, CallState::http)
    }),
    Interface::new("wasi:http/client", wasi3::VERSION, |linker| {
        client::add_to_linker::<CallState, WasiHttp>(linker, CallState::http)
    }),
];

impl Capability for Http {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }
}

/// What HTTP holds for one call.
pub(crate) fn context() -> WasiHttpCtx {
    let mut context = WasiHttpCtx::new();
    context.set_field_size_limit(OWN_FIELDS_BYTES_MAX);
    context
}

/// The requests that one call sends.
pub(crate) struct Requests {
    sending: Sending,
    /// How many there were; one more than there may be if some were refused.
    count: u64,
    /// Bytes of host memory for paths and for what waits of bodies. What one has taken does not come back: a call sends few
    /// requests.
    memory_left: usize,
}

impl Requests {
    pub(crate) fn new(
        context: &Arc<CallContext>,
        services: &Arc<Services>,
        log: &CallLog,
        cpu: Account,
        limits: Limits,
    ) -> Self {
        let (context, services) = (Arc::clone(context), Arc::clone(services));
        let memory_left = usize::try_from(limits.host_memory_bytes_max).unwrap_or(usize::MAX);
        let sending = Sending { context, services, log: log.clone(), cpu, limits, open: Arc::default() };
        Self { sending, count: 0, memory_left }
    }

    /// Whether each of them is at its end, with its response.
    pub(crate) fn is_at_rest(&self) -> bool {
        Arc::strong_count(&self.sending.open) == 1
    }

    /// Takes host memory for a text that a handle keeps, if there is as much.
    pub(crate) fn keep(&mut self, text: &str) -> bool {
        let left = self.memory_left.checked_sub(text.len());
        self.memory_left = left.unwrap_or(self.memory_left);
        left.is_some()
    }

    /// Counts one more, if the call may send it. The log tells of the first that it may not.
    fn count(&mut self) -> Result<()> {
        let most = self.sending.limits.outbound_requests_max;
        if self.count < most {
            self.count += 1;
            return Ok(());
        }
        if self.count == most {
            self.count = self.count.saturating_add(1);
            self.sending.log.say(format_args!("[http] a call may send {most} requests (outbound-requests-max)"));
        }
        Err(Error::ConnectionLimitReached)
    }
}

/// Tells how the sending of a request's body ended. Guests of WASI 0.3 are told.
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
        match self.count() {
            Ok(()) => {
                let send = self.sending.clone().send(request, options.unwrap_or_default());
                // In a task of its own, whoever waits for it, so that what it computes is charged once.
                Box::new(cpu::spawn(&self.sending.cpu, send))
            }
            Err(code) => Box::new(std::future::ready(Err(code))),
        }
    }

    /// Of the body that is made now.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        let size = (self.memory_left / BODY_CHUNKS_WAITING).clamp(BODY_CHUNK_BYTES_MIN, BODY_CHUNK_BYTES_MAX);
        self.memory_left = self.memory_left.saturating_sub(BODY_CHUNKS_WAITING * size);
        size
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        BODY_CHUNK_BYTES_MAX
    }
}
