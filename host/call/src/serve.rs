//! One HTTP request to a component: the same pipeline as a call, with a body that streams both ways.
//!
//! The guest runs in a task of its own while its response goes out. The entry of the call is durable before the caller can
//! have the whole answer: the frames that would complete it, or the mark of its end, wait for the ledger.

mod answer;
mod exchange;

use crate::admission::Patience;
use crate::record::Record;
use crate::{Admitted, CallError, Calls, Explanation, Prepared, Request, Timing, error, telemetry, trace};
use answer::Answer;
use exchange::{Exchange, Fault, RequestBody};
use http::{HeaderMap, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Empty};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;
use wares_catalog::Target;
use wares_catalog::tenancy::TenantEntry;
use wares_engine::{Body, CallReport, Failure, HttpInvocation, TraceParent};
use wares_model::{Application, CallId, Limits, Outcome, ProblemCode};

/// The interfaces that answer HTTP requests, the newer one first.
const HANDLERS: [&str; 2] = ["wasi:http/handler", "wasi:http/incoming-handler"];
/// The function of each.
const HANDLE: &str = "handle";

type Response = http::Response<Body>;

/// A running answer, on the guest's side.
struct Running {
    prepared: Arc<Prepared>,
    admitted: Admitted,
    exchange: Arc<Exchange>,
    /// Completes when the caller's side has the whole body but for what waits for the ledger.
    taken: oneshot::Receiver<Taken>,
}

/// How the caller's side of a body ended.
enum Taken {
    Whole,
    TooLarge,
    /// The guest broke it off, or it is not as long as its head says.
    Broken(String),
}

impl Calls {
    /// Finds the version that answers an HTTP request to this target.
    pub async fn prepare_http(
        &self,
        tenant: Arc<TenantEntry>,
        application: Application,
        target: Target,
        trace: TraceParent,
        request_id: Option<Arc<str>>,
    ) -> Result<Arc<Prepared>, CallError> {
        let call = CallId::generate();
        let (interface, function) = (None, HANDLE.to_owned());
        let request = Request { tenant, application, target, interface, function, trace, request_id };
        let prepared = self.find(call, request, |live, _, _| {
            let exported = &live.description.interfaces;
            let mut handlers = HANDLERS.iter().filter_map(|name| exported.iter().find(|one| one.is_named(name)));
            let handler = handlers.next().filter(|_| live.component.serves_http());
            let handler = handler.and_then(|handler| handler.name.as_deref());
            handler.map(|name| (name.into(), HANDLE.into())).ok_or_else(|| {
                let [service, incoming] = HANDLERS;
                let detail = format!(
                    "the component exports neither {incoming} nor {service}: call its functions under /v1/call"
                );
                Box::new(Explanation::new(ProblemCode::NotFound, detail))
            })
        });
        prepared.await.inspect_err(telemetry::refused)
    }

    /// Has the component answer. The response's body streams; dropping it ends the call.
    ///
    /// `hang_up` is called if the body is still there when the call has ended for as long as it might have taken at most:
    /// nobody asks it for the rest any more.
    pub async fn serve(
        &self,
        prepared: &Arc<Prepared>,
        request: http::Request<Body>,
        hang_up: impl FnOnce() + Send + 'static,
    ) -> Result<Response, CallError> {
        let admitted = self.admit(prepared, Patience::Caller).await.inspect_err(telemetry::refused);
        let admitted = admitted.inspect_err(|error| trace::refused(prepared, error));
        let answered = match admitted {
            Ok(admitted) => answer(prepared, admitted, request, hang_up).await,
            Err(refused) => Err(refused),
        };
        answered.map_err(|error| error.of(&prepared.version))
    }
}

/// Starts the guest in a task of its own and returns its response, whose body is still to come.
async fn answer(
    prepared: &Arc<Prepared>,
    admitted: Admitted,
    request: http::Request<Body>,
    hang_up: impl FnOnce() + Send + 'static,
) -> Result<Response, CallError> {
    let is_head = *request.method() == Method::HEAD;
    let limits = &prepared.version.limits;
    let patience = Duration::from_millis(limits.wall_ms_max);
    let exchange = Arc::<Exchange>::default();
    let body = |body| RequestBody::new(body, limits.body_bytes_max, Arc::clone(&exchange)).boxed_unsync();
    let request = request.map(body);
    let (respond, responded) = oneshot::channel();
    let (all_taken, taken) = oneshot::channel();
    let (finish, finished) = oneshot::channel();
    let running = Running { prepared: Arc::clone(prepared), admitted, exchange: Arc::clone(&exchange), taken };
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        // Nobody listens when the caller has gone; the entry is written all the same.
        let _ = finish.send(running.run(request, respond).await);
        // This task goes with the answer, as a rule at once.
        tokio::time::sleep(patience).await;
        hang_up();
    }));
    let early = || CallError::host(prepared.call, &"the task of the call ended early");
    let Ok(response) = responded.await else {
        let finished = finished.await.unwrap_or_else(|_| Err(early()));
        return Err(finished.err().unwrap_or_else(early));
    };
    let (mut parts, mut inner) = response.into_parts();
    if is_head || is_bodiless(parts.status, &parts.headers) {
        // The head alone completes such an answer, so that it waits for the ledger as a whole, and is taken here.
        exchange.asks(true);
        while let Some(Ok(_)) = inner.frame().await {}
        // The task of a call that failed does not wait.
        let _ = all_taken.send(Taken::Whole);
        finished.await.unwrap_or_else(|_| Err(early()))?;
        if has_no_length(parts.status) {
            parts.headers.remove(header::CONTENT_LENGTH);
        }
        let empty = Empty::new().map_err(|never| match never {});
        return Ok(http::Response::from_parts(parts, empty.boxed_unsync()));
    }
    let left = content_length(&parts.headers);
    let body = Answer::new(inner, left, exchange, limits.result_bytes_max, all_taken, finished, task);
    Ok(http::Response::from_parts(parts, body.boxed_unsync()))
}

impl Running {
    /// Runs the guest, waits until its response is taken, and writes the entry.
    async fn run(self, request: http::Request<Body>, respond: oneshot::Sender<Response>) -> Result<(), CallError> {
        let Self { prepared, admitted: Admitted { _permits, slot, queue }, exchange, taken } = self;
        let limits = &prepared.version.limits;
        let deadline = tokio::time::Instant::now() + Duration::from_millis(limits.wall_ms_max);
        let mut record = Record::open(Arc::clone(&prepared), slot, Arc::clone(&exchange.traffic));
        prepared.begin();
        let said = Arc::new(OnceLock::new());
        let respond = {
            let said = Arc::clone(&said);
            Box::new(move |response: Result<Response, String>| {
                // A caller that has gone takes no response; this task goes with it.
                let response = response.map_err(Refusal::Error).and_then(final_response);
                let _ = said.set(response.map(|response| drop(respond.send(response))));
            })
        };
        let (meter, context) = (&prepared.meter, &prepared.context);
        let invocation = HttpInvocation { request, limits, meter, context, respond };
        let CallReport { result, logs, wait, instantiate, run } =
            prepared.live.component.serve(invocation).instrument(context.span()).await;
        let failed = how_it_failed(result, said.get(), taken, deadline, limits).await;
        let is_answered = matches!(said.get(), Some(Ok(())));
        let failed = failed.map(|failed| match exchange.fault(failed.0, is_answered) {
            // Whatever became of it in the guest and its response.
            Some(fault) => caused_by_caller(fault, limits),
            None => failed,
        });
        let recording = Instant::now();
        let (outcome, explanation) = failed.map_or((Outcome::Ok, None), |(outcome, why)| (outcome, Some(why)));
        record.is_telling = outcome != Outcome::Cancelled;
        let recorded = record.close(outcome, explanation.as_deref(), logs).await;
        recorded.map_err(|error| CallError::ledger(prepared.call, &error))?;
        let queue = queue + wait;
        let timing = Timing { resolve: prepared.resolve, queue, instantiate, run, ledger: recording.elapsed() };
        telemetry::ended(&prepared, outcome, &timing);
        explanation.map_or(Ok(()), |explanation| Err(CallError::new(prepared.call, explanation).ended(outcome)))
    }
}

/// What went wrong, if something did: with the guest, with its response, or with the caller's taking it.
async fn how_it_failed(
    result: Result<(), Failure>,
    said: Option<&Result<(), Refusal>>,
    mut taken: oneshot::Receiver<Taken>,
    deadline: tokio::time::Instant,
    limits: &Limits,
) -> Option<(Outcome, Box<Explanation>)> {
    match (result, said) {
        // What the guest did when nothing more was taken is the consequence.
        (Err(_), Some(Ok(()))) if matches!(taken.try_recv(), Ok(Taken::TooLarge)) => Some(too_large(limits)),
        (Err(failure), None | Some(Ok(()) | Err(Refusal::Error(_)))) => Some(error::of_failure(failure)),
        (Ok(()), Some(Ok(()))) => match tokio::time::timeout_at(deadline, taken).await {
            Ok(Ok(Taken::Whole)) => None,
            Ok(Ok(Taken::TooLarge)) => Some(too_large(limits)),
            Ok(Ok(Taken::Broken(why))) => Some(trap(format!("the response's body is not whole: {why}"))),
            Ok(Err(_)) | Err(_) => Some(caused_by_caller(Fault::Slow, limits)),
        },
        (_, Some(Err(Refusal::Interim(status)))) => {
            Some(trap(format!("the component's response has status {status}, which is not of a final response")))
        }
        (Ok(()), Some(Err(Refusal::Error(code)))) => {
            let detail = format!("the component answered with an error instead of a response: {code}");
            Some((Outcome::ComponentError, Box::new(Explanation::new(ProblemCode::ComponentError, detail))))
        }
        (Ok(()), None) => Some(trap("the component's handler returned without a response".to_owned())),
    }
}

/// Why there is nothing to pass on.
enum Refusal {
    /// What the guest gave instead of a response.
    Error(String),
    /// A response after which another one would have to come.
    Interim(StatusCode),
}

fn final_response(response: Response) -> Result<Response, Refusal> {
    match response.status() {
        status if status.is_informational() => Err(Refusal::Interim(status)),
        _ => Ok(response),
    }
}

fn caused_by_caller(fault: Fault, limits: &Limits) -> (Outcome, Box<Explanation>) {
    let (code, detail) = match fault {
        Fault::Gone => (ProblemCode::BadRequest, "the request broke off before its end".to_owned()),
        Fault::Slow => {
            (ProblemCode::LimitWall, "the caller did not send the request, or take the answer, in time".to_owned())
        }
        Fault::TooLarge => {
            (ProblemCode::TooLarge, format!("the body is over the limit of {} bytes", limits.body_bytes_max))
        }
    };
    (Outcome::Cancelled, Box::new(Explanation::new(code, detail)))
}

fn too_large(limits: &Limits) -> (Outcome, Box<Explanation>) {
    let detail = format!("the response is larger than {} bytes", limits.result_bytes_max);
    (Outcome::LimitOutput, Box::new(Explanation::new(ProblemCode::LimitOutput, detail)))
}

fn trap(reason: String) -> (Outcome, Box<Explanation>) {
    error::of_failure(Failure::Trap { reason, backtrace: Vec::new() })
}

fn is_bodiless(status: StatusCode, headers: &HeaderMap) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
        || content_length(headers) == Some(0)
}

/// Whether a length would be wrong: elsewhere it is that of the body that would be there (RFC 9110, 8.6).
fn has_no_length(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
