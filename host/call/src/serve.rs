//! One HTTP request to a component: the same pipeline as a call, with a body that streams both ways.
//!
//! The guest runs in a task of its own while its response goes out. The entry of the call is durable before the caller can
//! have the whole answer: the frame that would complete it, or the mark of its end, waits for the ledger.

use crate::admission::Permits;
use crate::record::Record;
use crate::{CallError, Calls, Explanation, Prepared, Request, Timing, error, telemetry};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Limited};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;
use wares_catalog::Target;
use wares_catalog::ledger::Slot;
use wares_catalog::tenancy::TenantEntry;
use wares_engine::{Body, BodyError, CallReport, Failure, HttpInvocation, Meter};
use wares_model::{Application, CallId, Outcome, ProblemCode};

/// The interface that answers HTTP requests.
const HANDLER: &str = "wasi:http/incoming-handler";
/// Its function.
const HANDLE: &str = "handle";

type Response = http::Response<Body>;

/// A running answer: what its task and its body share.
struct Running {
    prepared: Arc<Prepared>,
    slot: Slot,
    _permits: Permits,
    queue: Duration,
    bytes_in: Arc<AtomicU64>,
    bytes_out: Arc<AtomicU64>,
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
            let handler = live.description.interfaces.iter().filter_map(|interface| interface.name.as_deref());
            let handler = handler.filter(|name| name.starts_with(HANDLER)).find(|_| live.component.serves_http());
            handler.map(|name| (name.into(), HANDLE.into())).ok_or_else(|| {
                let detail = format!("the component exports no {HANDLER}: call its functions under /v1/call");
                Box::new(Explanation::new(ProblemCode::NotFound, detail))
            })
        });
        prepared.await.inspect_err(telemetry::refused)
    }

    /// Has the component answer. The response's body streams; dropping it ends the call.
    pub async fn serve(&self, prepared: &Arc<Prepared>, request: http::Request<Body>) -> Result<Response, CallError> {
        let entered = self.enter_http(prepared).await.inspect_err(telemetry::refused);
        let answered = match entered {
            Ok((permits, slot, queue)) => self.answer(prepared, (permits, slot, queue), request).await,
            Err(refused) => Err(refused),
        };
        answered.map_err(|error| error.of(&prepared.version))
    }

    async fn enter_http(&self, prepared: &Prepared) -> Result<(Permits, Slot, Duration), CallError> {
        let queued = Instant::now();
        let permits = self.admission.admit(prepared, &self.ledger).await?;
        let slot = self.ledger.slot().await.map_err(|error| CallError::ledger(prepared.call, &error))?;
        Ok((permits, slot, queued.elapsed()))
    }

    async fn answer(
        &self,
        prepared: &Arc<Prepared>,
        (permits, slot, queue): (Permits, Slot, Duration),
        request: http::Request<Body>,
    ) -> Result<Response, CallError> {
        let has_no_body = *request.method() == Method::HEAD;
        let limits = &prepared.version.limits;
        let (bytes_in, bytes_out) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let request = bounded(request, limits.body_bytes_max, Arc::clone(&bytes_in));
        let (respond, responded) = oneshot::channel();
        let (all_taken, taken) = oneshot::channel();
        let (finish, finished) = oneshot::channel();
        let running = Running {
            prepared: Arc::clone(prepared),
            slot,
            _permits: permits,
            queue,
            bytes_in,
            bytes_out: Arc::clone(&bytes_out),
            taken,
        };
        let task = AbortOnDropHandle::new(tokio::spawn(async move {
            // Nobody listens when the caller has gone; the entry is written all the same.
            let _ = finish.send(running.run(request, respond).await);
        }));
        let call = prepared.call;
        let gone = || CallError::host(call, &"the task of the call ended early");
        let Ok(response) = responded.await else {
            return match finished.await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(())) | Err(_) => Err(gone()),
            };
        };
        let (parts, inner) = response.into_parts();
        let has_no_body = has_no_body || is_bodiless(parts.status, &parts.headers);
        let left = content_length(&parts.headers);
        let mut body = Answer {
            inner,
            left,
            bytes_out,
            bytes_max: limits.result_bytes_max,
            all_taken: Some(all_taken),
            finished,
            state: State::Streaming,
            _task: task,
        };
        if !has_no_body {
            return Ok(http::Response::from_parts(parts, body.boxed_unsync()));
        }
        // The head alone completes such an answer, so that it waits for the ledger as a whole.
        body.left = None;
        while let Some(frame) = body.frame().await {
            frame.map_err(|error| CallError::host(call, &error))?;
        }
        let empty = Empty::new().map_err(|never| match never {});
        Ok(http::Response::from_parts(parts, empty.boxed_unsync()))
    }
}

impl Running {
    /// Runs the guest, waits until its response is taken, and writes the entry.
    async fn run(self, request: http::Request<Body>, respond: oneshot::Sender<Response>) -> Result<(), CallError> {
        let Self { prepared, slot, _permits, queue, bytes_in, bytes_out, taken } = self;
        let limits = &prepared.version.limits;
        let deadline = tokio::time::Instant::now() + Duration::from_millis(limits.wall_ms_max);
        let meter = Arc::new(Meter::default());
        let record = Record::open(Arc::clone(&prepared), slot, Arc::clone(&meter));
        let refused = Arc::new(parking_lot::Mutex::new(None));
        let responded = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let invocation = HttpInvocation {
            request,
            limits,
            meter: &meter,
            respond: {
                let (refused, responded) = (Arc::clone(&refused), Arc::clone(&responded));
                Box::new(move |response| match response {
                    Ok(response) => responded.store(respond.send(response).is_ok(), Ordering::Relaxed),
                    Err(code) => *refused.lock() = Some(code),
                })
            },
        };
        let CallReport { result, logs, instantiate, run } = prepared.live.component.serve(invocation).await;
        let answered = responded.load(Ordering::Relaxed);
        let failed = match result {
            Err(failure) => Some(error::of_failure(failure)),
            Ok(()) if answered => match tokio::time::timeout_at(deadline, taken).await {
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
            Ok(()) => Some(without_response(refused.lock().take())),
        };
        let recording = Instant::now();
        let (outcome, explanation) = failed.map_or((Outcome::Ok, None), |(outcome, why)| (outcome, Some(why)));
        let (bytes_in, bytes_out) = (bytes_in.load(Ordering::Relaxed), bytes_out.load(Ordering::Relaxed));
        let recorded = record.close(outcome, explanation.as_deref(), (bytes_in, bytes_out), logs).await;
        recorded.map_err(|error| CallError::ledger(prepared.call, &error))?;
        let timing = Timing { resolve: prepared.resolve, queue, instantiate, run, ledger: recording.elapsed() };
        telemetry::ended(&prepared, outcome, &timing);
        explanation.map_or(Ok(()), |explanation| Err(CallError::new(prepared.call, explanation)))
    }
}

/// What it means that a guest ended well and gave no response.
fn without_response(refused: Option<String>) -> (Outcome, Box<Explanation>) {
    match refused {
        Some(code) => {
            let detail = format!("the component answered with an error instead of a response: {code}");
            (Outcome::ComponentError, Box::new(Explanation::new(ProblemCode::ComponentError, detail)))
        }
        None => {
            let reason = "the component's handler returned without a response".to_owned();
            error::of_failure(Failure::Trap { reason, backtrace: Vec::new() })
        }
    }
}

/// The request with a body that is counted and never longer than allowed.
fn bounded(request: http::Request<Body>, bytes_max: u64, bytes_in: Arc<AtomicU64>) -> http::Request<Body> {
    request.map(|body| {
        let counted = body.map_frame(move |frame| {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            bytes_in.fetch_add(bytes as u64, Ordering::Relaxed);
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
    bytes_out: Arc<AtomicU64>,
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
        let sent = self.bytes_out.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
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
