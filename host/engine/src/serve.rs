//! One HTTP request to a component that exports `wasi:http/incoming-handler`.

use crate::component::{CallReport, Clock, Component, within_wall_time};
use crate::failure::Failure;
use crate::meter::{Meter, Metered};
use crate::sandbox;
use http::{Request, Response};
use std::sync::Arc;
use wares_capabilities::{CallContext, CallLog};
use wares_model::Limits;
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};

/// The body of a request to a guest, or of its response.
pub type Body = wasmtime_wasi_http::WasiBody;
/// Why a body ends before its end, as guests are told.
pub type BodyError = wasmtime_wasi_http::Error;
/// Takes the guest's response when it begins, or the error that the guest gives instead.
pub type Respond = Box<dyn FnOnce(Result<Response<Body>, String>) + Send + Sync>;

/// A request, and within which limits it is answered.
pub struct HttpInvocation<'a> {
    /// The request. Its URI has an authority.
    pub request: Request<Body>,
    /// What the call may use.
    pub limits: &'a Limits,
    /// Counts what it uses.
    pub meter: &'a Arc<Meter>,
    /// Which call it is, and what it may use.
    pub context: &'a Arc<CallContext>,
    /// Takes the response, whose body goes on while the guest runs.
    pub respond: Respond,
}

impl Component {
    /// Whether it answers HTTP requests.
    pub fn serves_http(&self) -> bool {
        self.http.is_some()
    }

    /// Has a fresh instance answer a request, and returns when the instance has ended: after its response was taken, or
    /// without one. A guest whose response is not taken as it comes waits, until its wall time is used up.
    pub async fn serve(&self, invocation: HttpInvocation<'_>) -> CallReport<()> {
        let clock = Clock::start();
        let log = CallLog::new(invocation.limits.log_bytes_max);
        let (limits, meter) = (invocation.limits, invocation.meter);
        let result = match &self.http {
            None => Err(Failure::Host("the component exports no wasi:http/incoming-handler".to_owned())),
            Some(proxy) => {
                let run = Metered::new(self.answer(proxy, invocation, &log, &clock), meter);
                within_wall_time(limits, self.turns.take(run, meter, &self.http_habit)).await
            }
        };
        clock.report(result, log.take())
    }

    async fn answer(
        &self,
        proxy: &ProxyPre<wares_capabilities::CallState>,
        invocation: HttpInvocation<'_>,
        log: &CallLog,
        clock: &Clock,
    ) -> wasmtime::Result<()> {
        clock.in_turn();
        let HttpInvocation { request, limits, meter, context, respond } = invocation;
        let mut store = sandbox::store(&self.making(limits, meter, context), log)?;
        let proxy = proxy.instantiate_async(&mut store).await?;
        clock.instantiated();
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(Scheme::Http, request)?;
        let respond = move |response: Result<Response<Body>, ErrorCode>| {
            respond(response.map_err(|code| format!("{code:?}")));
        };
        let out = http.new_response_outparam_from_callback(respond)?;
        proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
    }
}
