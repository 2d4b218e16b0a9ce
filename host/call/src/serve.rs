//! One HTTP request to a component: the same pipeline as a call, with a body that streams both ways.
//!
//! The guest runs in a task of its own while its response goes out. The entry of the call is durable before the caller can
//! have the whole answer: the frame that would complete it, or the mark of its end, waits for the ledger.

use crate::record::{Record, Traffic};
use crate::{Admitted, CallError, Calls, Explanation, Prepared, Request, Timing, error, telemetry};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Limited};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use wares_catalog::Target;
use wares_catalog::tenancy::TenantEntry;
use wares_engine::{Body, BodyError, CallReport, Failure, HttpInvocation};
use wares_model::{Application, CallId, Outcome, ProblemCode};

/// The interface that answers HTTP requests.
const HANDLER: &str = "wasi:http/incoming-handler";
/// Its function.
const HANDLE: &str = "handle";

type Response = http::Response<Body>;

/// A running answer, on the guest's side.
struct Running {
    prepared: Arc<Prepared>,
    admitted: Admitted,
    traffic: Arc<Traffic>,
    /// Completes when the caller's side has the whole body but for what waits for the ledger.
    taken: oneshot::Receiver<Taken>,
}

/// How the caller's side of a body ended.
enum Taken {
    Whole,
    TooLarge,
}

impl Calls {
    /// Finds the version that answers an HTTP request to this target.
    pub async fn prepare_http(
        &self,
        tenant: Arc<TenantEntry>,
        application: Application,
        target: Target,
    ) -> Result<Arc<Prepared>, CallError> {
        let call = CallId::generate();
        let request = Request { tenant, application, target, interface: None, function: HANDLE.to_owned() };
        let prepared = self.find(call, request, |live, _, _| {
            let handler = live.description.interfaces.iter().find(|interface| interface.is_named(HANDLER));
            let handler = handler.filter(|_| live.component.serves_http()).and_then(|handler| handler.name.as_deref());
            handler.map(|name| (name.into(), HANDLE.into())).ok_or_else(|| {
                let detail = format!("the component exports no {HANDLER}: call its functions under /v1/call");
                Box::new(Explanation::new(ProblemCode::NotFound, detail))
            })
        });
        prepared.await.inspect_err(telemetry::refused)
    }

    /// Has the component answer. The response's body streams; dropping it ends the call.
    pub async fn serve(&self, prepared: &Arc<Prepared>, request: http::Request<Body>) -> Result<Response, CallError> {
        let admitted = self.admit(prepared).await.inspect_err(telemetry::refused);
        let answered = match admitted {
            Ok(admitted) => answer(prepared, admitted, request).await,
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
) -> Result<Response, CallError> {
    let is_head = *request.method() == Method::HEAD;
    let limits = &prepared.version.limits;
    let traffic = Arc::<Traffic>::default();
    let request = bounded(request, limits.body_bytes_max, Arc::clone(&traffic));
    let (respond, responded) = oneshot::channel();
    let (all_taken, taken) = oneshot::channel();
    let (finish, finished) = oneshot::channel();
    let running = Running { prepared: Arc::clone(prepared), admitted, traffic: Arc::clone(&traffic), taken };
    let task = AbortOnDropHandle::new(tokio::spawn(async move {
        // Nobody listens when the caller has gone; the entry is written all the same.
        let _ = finish.send(running.run(request, respond).await);
    }));
    let gone = || CallError::host(prepared.call, &"the task of the call ended early");
    let Ok(response) = responded.await else {
        let finished = finished.await.unwrap_or_else(|_| Err(gone()));
        return Err(finished.err().unwrap_or_else(gone));
    };
    let (parts, mut inner) = response.into_parts();
    if is_head || is_bodiless(parts.status, &parts.headers) {
        // The head alone completes such an answer, so that it waits for the ledger as a whole.
        while let Some(Ok(_)) = inner.frame().await {}
        // The task of a call that failed does not wait.
        let _ = all_taken.send(Taken::Whole);
        finished.await.unwrap_or_else(|_| Err(gone()))?;
        let empty = Empty::new().map_err(|never| match never {});
        return Ok(http::Response::from_parts(parts, empty.boxed_unsync()));
    }
    let body = Answer {
        inner,
        left: content_length(&parts.headers),
        traffic,
        bytes_max: limits.result_bytes_max,
        all_taken: Some(all_taken),
        finished,
        state: State::Streaming,
        _task: task,
    };
    Ok(http::Response::from_parts(parts, body.boxed_unsync()))
}

impl Running {
    /// Runs the guest, waits until its response is taken, and writes the entry.
    async fn run(self, request: http::Request<Body>, respond: oneshot::Sender<Response>) -> Result<(), CallError> {
        let Self { prepared, admitted: Admitted { _permits, slot, queue }, traffic, taken } = self;
        let limits = &prepared.version.limits;
        let deadline = tokio::time::Instant::now() + Duration::from_millis(limits.wall_ms_max);
        let record = Record::open(Arc::clone(&prepared), slot, traffic);
        prepared.begin();
        let said = Arc::new(OnceLock::new());
        let respond = {
            let said = Arc::clone(&said);
            Box::new(move |response: Result<Response, String>| {
                // A caller that has gone takes no response; this task goes with it.
                let _ = said.set(response.map(|response| drop(respond.send(response))));
            })
        };
        let (meter, context) = (&prepared.meter, &prepared.context);
        let invocation = HttpInvocation { request, limits, meter, context, respond };
        let CallReport { result, logs, wait, instantiate, run } = prepared.live.component.serve(invocation).await;
        let failed = match (result, said.get()) {
            (Err(failure), _) => Some(error::of_failure(failure)),
            (Ok(()), Some(Ok(()))) => match tokio::time::timeout_at(deadline, taken).await {
                Ok(Ok(Taken::Whole)) => None,
                Ok(Ok(Taken::TooLarge)) => {
                    let detail = format!("the response is larger than {} bytes", limits.result_bytes_max);
                    Some((Outcome::LimitOutput, Box::new(Explanation::new(ProblemCode::LimitOutput, detail))))
                }
                Ok(Err(_)) | Err(_) => {
                    let detail = "the caller did not take the answer within the call's wall time".to_owned();
                    Some((Outcome::Cancelled, Box::new(Explanation::new(ProblemCode::LimitWall, detail))))
                }
            },
            (Ok(()), Some(Err(code))) => {
                let detail = format!("the component answered with an error instead of a response: {code}");
                Some((Outcome::ComponentError, Box::new(Explanation::new(ProblemCode::ComponentError, detail))))
            }
            (Ok(()), None) => {
                let reason = "the component's handler returned without a response".to_owned();
                Some(error::of_failure(Failure::Trap { reason, backtrace: Vec::new() }))
            }
        };
        let recording = Instant::now();
        let (outcome, explanation) = failed.map_or((Outcome::Ok, None), |(outcome, why)| (outcome, Some(why)));
        let recorded = record.close(outcome, explanation.as_deref(), logs).await;
        recorded.map_err(|error| CallError::ledger(prepared.call, &error))?;
        let queue = queue + wait;
        let timing = Timing { resolve: prepared.resolve, queue, instantiate, run, ledger: recording.elapsed() };
        telemetry::ended(&prepared, outcome, &timing);
        explanation.map_or(Ok(()), |explanation| Err(CallError::new(prepared.call, explanation)))
    }
}

/// The request with a body that is counted and never longer than allowed.
fn bounded(request: http::Request<Body>, bytes_max: u64, traffic: Arc<Traffic>) -> http::Request<Body> {
    request.map(|body| {
        let counted = body.map_frame(move |frame| {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            traffic.bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
            frame
        });
        let limited = Limited::new(counted, usize::try_from(bytes_max).unwrap_or(usize::MAX));
        limited
            .map_err(move |error| match error.downcast::<BodyError>() {
                Ok(error) => *error,
                Err(_) => BodyError::HttpRequestBodySize(Some(bytes_max)),
            })
            .boxed_unsync()
    })
}

fn is_bodiless(status: StatusCode, headers: &HeaderMap) -> bool {
    status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || content_length(headers) == Some(0)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The body of an answer, on its way to the caller.
struct Answer {
    inner: Body,
    /// Bytes to come, if the guest said how many.
    left: Option<u64>,
    traffic: Arc<Traffic>,
    bytes_max: u64,
    all_taken: Option<oneshot::Sender<Taken>>,
    finished: oneshot::Receiver<Result<(), CallError>>,
    state: State,
    _task: AbortOnDropHandle<()>,
}

enum State {
    Streaming,
    /// Nothing more comes from the guest; the rest, if there is some, waits for the entry.
    Waiting(Option<Frame<Bytes>>),
    Ended,
}

impl Answer {
    fn take_end(&mut self, taken: Taken, rest: Option<Frame<Bytes>>) {
        if let Some(all_taken) = self.all_taken.take() {
            // The task of a call that failed does not wait.
            let _ = all_taken.send(taken);
        }
        self.state = State::Waiting(rest);
    }

    /// Counts what passes, and keeps back what completes the answer.
    fn pass(&mut self, frame: Frame<Bytes>) -> Option<Frame<Bytes>> {
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        let sent = self.traffic.bytes_out.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if sent > self.bytes_max {
            self.take_end(Taken::TooLarge, None);
            return None;
        }
        self.left = self.left.map(|left| left.saturating_sub(bytes));
        if self.left == Some(0) {
            self.take_end(Taken::Whole, Some(frame));
            return None;
        }
        Some(frame)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            match &mut this.state {
                State::Streaming => match ready!(Pin::new(&mut this.inner).poll_frame(context)) {
                    Some(Ok(frame)) => {
                        if let Some(frame) = this.pass(frame) {
                            return Poll::Ready(Some(Ok(frame)));
                        }
                    }
                    None | Some(Err(_)) => this.take_end(Taken::Whole, None),
                },
                State::Waiting(rest) => {
                    let finished = ready!(Pin::new(&mut this.finished).poll(context));
                    let rest = rest.take();
                    this.state = State::Ended;
                    return Poll::Ready(match finished {
                        Ok(Ok(())) => rest.map(Ok),
                        Ok(Err(error)) => Some(Err(BodyError::InternalError(Some(error.to_string())))),
                        Err(_) => Some(Err(BodyError::HttpResponseIncomplete)),
                    });
                }
                State::Ended => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Ended)
    }
}
