//! One HTTP request to a component that answers them: over WASI 0.2 (`wasi:http/incoming-handler`) or 0.3
//! (`wasi:http/handler`).

use crate::component::{CallReport, Clock, Component, within_wall_time};
use crate::failure::{self, Failure};
use crate::meter::{Meter, Metered};
use crate::sandbox;
use crate::sent::{self, Sent};
use http::{Request, Response};
use std::future::poll_fn;
use std::sync::Arc;
use wares_capabilities::{CallContext, CallLog, CallState};
use wares_model::Limits;
use wasmtime::Store;
use wasmtime::component::{Accessor, InstancePre};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p3;
use wasmtime_wasi_http::p3::bindings::ServicePre;

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

/// The export that answers.
pub(crate) enum Handler {
    /// Of WASI 0.2.
    Incoming(ProxyPre<CallState>),
    /// Of WASI 0.3.
    Service(ServicePre<CallState>),
}

impl Handler {
    /// The newer one, if there are both.
    pub(crate) fn of(pre: &InstancePre<CallState>) -> Option<Self> {
        let service = ServicePre::new(pre.clone()).ok().map(Self::Service);
        service.or_else(|| ProxyPre::new(pre.clone()).ok().map(Self::Incoming))
    }
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
        let (limits, meter, context) = (invocation.limits, invocation.meter, invocation.context);
        context.begin_log(&log);
        let result = match &self.http {
            None => Err(Failure::Host("the component exports no handler of wasi:http".to_owned())),
            Some(handler) => {
                let run = Metered::new(self.answer(handler, invocation, &log, &clock), meter);
                within_wall_time(limits, self.turns.take(run, meter, &self.http_habit)).await
            }
        };
        clock.report(result, context.end_log())
    }

    async fn answer(
        &self,
        handler: &Handler,
        invocation: HttpInvocation<'_>,
        log: &CallLog,
        clock: &Clock,
    ) -> wasmtime::Result<()> {
        clock.in_turn();
        let HttpInvocation { request, limits, meter, context, respond } = invocation;
        let store = sandbox::store(&self.making(limits, meter, context), log)?;
        match handler {
            Handler::Incoming(proxy) => handle_incoming(proxy, store, clock, request, respond).await,
            Handler::Service(service) => handle(service, store, clock, request, respond).await,
        }
    }
}

async fn handle_incoming(
    proxy: &ProxyPre<CallState>,
    mut store: Store<CallState>,
    clock: &Clock,
    request: Request<Body>,
    respond: Respond,
) -> wasmtime::Result<()> {
    let proxy = proxy.instantiate_async(&mut store).await?;
    clock.instantiated();
    let mut http = store.data_mut().http();
    let request = http.new_incoming_request(Scheme::Http, request)?;
    let respond = move |response: Result<Response<Body>, ErrorCode>| {
        respond(response.map_err(|code| failure::of_guest(&code)));
    };
    let out = http.new_response_outparam_from_callback(respond)?;
    proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await
}

async fn handle(
    service: &ServicePre<CallState>,
    mut store: Store<CallState>,
    clock: &Clock,
    request: Request<Body>,
    respond: Respond,
) -> wasmtime::Result<()> {
    let service = service.instantiate_async(&mut store).await?;
    clock.instantiated();
    // What the guest says of the request's body is of use to nobody here.
    let (request, _) = p3::Request::from_http(store.data_mut().http().hooks, request);
    let run = async |accessor: &Accessor<CallState>| {
        let response = match service.handle(accessor, request).await? {
            Ok(response) => {
                let (sent, when_sent) = Sent::new();
                let response = accessor.with(|store| response.into_http(store, sent::whole(when_sent)))?;
                Ok(sent.watch(response))
            }
            Err(code) => Err(failure::of_guest(&code)),
        };
        respond(response);
        // What the guest began before it returned goes on: it writes the body.
        poll_fn(|context| accessor.poll_no_interesting_tasks(context)).await;
        Ok(())
    };
    store.run_concurrent(run).await?
}
