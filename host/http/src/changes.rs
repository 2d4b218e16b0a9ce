//! Changes that have begun are made to their end, whoever still waits for the answer.
//!
//! A change is durable first and in force after. A connection that ends drops what it runs, in between as well: the store would
//! be ahead of what this host knows, until it is started anew. What comes before the change may end with the client: see
//! [`Waiting`].
//!
//! So many are made at once. A change has its turn when its body has come: who sends slowly keeps nobody from changing things.
//! One key has a part of the turns, and operators have some for themselves.

use crate::{App, Problem};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRef, Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use wares_catalog::{Caller, Role};
use wares_model::{KeyId, ProblemCode};

/// Changes at once. Those of clients that are gone count until they have ended.
const CHANGES_MAX: usize = 256;
/// Of these, with one key that is not an operator's.
const KEY_CHANGES_MAX: usize = CHANGES_MAX / 4;
/// Changes at once that operators may make beside all others.
const OPERATOR_CHANGES_MAX: usize = 32;
/// For a turn to come.
const TURN_WAIT_MAX: Duration = Duration::from_secs(30);
/// Seconds after which one whose turn did not come may try again.
const RETRY_AFTER_SECONDS: u64 = 1;
/// Keys of which is known how many changes they make, beyond those that make some.
const KEYS_KEPT_MAX: usize = 1_000;

/// Tells whether somebody still waits for the answer; each request that may change something has one among its extensions.
#[derive(Clone)]
pub(crate) struct Waiting(CancellationToken);

impl Waiting {
    /// Does work that changes nothing yet, for as long as somebody waits for what comes of it.
    pub(crate) async fn or_give_up<T>(&self, work: impl Future<Output = T>) -> Result<T, Problem> {
        let given_up = self.0.run_until_cancelled(work).await;
        given_up.ok_or_else(|| Problem::bad_request("the client went away"))
    }
}

/// As many changes as may be made at once.
pub(crate) struct Turns {
    all: Arc<Semaphore>,
    operators: Arc<Semaphore>,
    keys: Mutex<HashMap<KeyId, Arc<Semaphore>>>,
}

/// One change may be made while this is held.
struct Turn {
    _place: OwnedSemaphorePermit,
    _of_key: Option<OwnedSemaphorePermit>,
}

/// Others make as many changes as are made at once.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("as many changes as are made at once are being made")]
pub(crate) struct Busy;

impl Turns {
    pub(crate) fn new() -> Arc<Self> {
        let [all, operators] = [CHANGES_MAX, OPERATOR_CHANGES_MAX].map(|most| Arc::new(Semaphore::new(most)));
        Arc::new(Self { all, operators, keys: Mutex::default() })
    }

    /// A turn for whoever asks, as soon as there is one.
    async fn turn(self: Arc<Self>, caller: Option<Caller>) -> Result<Turn, Busy> {
        let turn = async {
            let all = Arc::clone(&self.all).acquire_owned();
            match caller {
                Some(caller) if caller.key.role == Role::Admin => {
                    let place = tokio::select! {
                        biased;
                        place = all => place,
                        place = Arc::clone(&self.operators).acquire_owned() => place,
                    };
                    Ok(Turn { _place: place?, _of_key: None })
                }
                Some(caller) => {
                    let of_key = self.of_key(caller.key.id).acquire_owned().await?;
                    Ok(Turn { _place: all.await?, _of_key: Some(of_key) })
                }
                None => Ok(Turn { _place: all.await?, _of_key: None }),
            }
        };
        match tokio::time::timeout(TURN_WAIT_MAX, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            // The semaphores are never closed.
            Ok(Err(tokio::sync::AcquireError { .. })) | Err(_) => Err(Busy),
        }
    }

    fn of_key(&self, key: KeyId) -> Arc<Semaphore> {
        let mut keys = self.keys.lock();
        if keys.len() >= KEYS_KEPT_MAX {
            keys.retain(|_, turns| Arc::strong_count(turns) > 1);
        }
        Arc::clone(keys.entry(key).or_insert_with(|| Arc::new(Semaphore::new(KEY_CHANGES_MAX))))
    }
}

impl FromRef<App> for Arc<Turns> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.turns)
    }
}

/// Runs a request that may change something in a task of its own.
pub(crate) async fn to_their_end(State(turns): State<Arc<Turns>>, mut request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let client = CancellationToken::new();
    request.extensions_mut().insert(Waiting(client.clone()));
    // Dropped with this future, which ends with the connection.
    let _waits = client.drop_guard();
    let turn = Box::pin(turns.turn(request.extensions().get::<Caller>().cloned()));
    let taken = Arc::<OnceLock<Turn>>::default();
    let request = if request.body().is_end_stream() {
        match turn.await {
            Ok(turn) => drop(taken.set(turn)),
            Err(busy) => return Problem::from(busy).into_response(),
        }
        request
    } else {
        let taken = Arc::clone(&taken);
        request.map(|body| Body::new(TurnAtEnd { body, has_come: false, turn: Some(turn), taken }))
    };
    let change = tokio::spawn(async move {
        let _taken = taken;
        next.run(request).await
    });
    match change.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(response) => response,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_)) => Problem::new(ProblemCode::Draining, "the host shuts down").into_response(),
    }
}

/// Whether a body ended because no turn came.
pub(crate) fn busy(error: &axum::Error) -> Option<Busy> {
    let mut causes = std::iter::successors(Some(error as &(dyn std::error::Error + 'static)), |error| error.source());
    causes.find_map(|error| error.downcast_ref().copied())
}

impl From<Busy> for Problem {
    fn from(busy: Busy) -> Self {
        let problem = Self::new(ProblemCode::Overloaded, busy.to_string());
        problem.with_header(header::RETRY_AFTER, RETRY_AFTER_SECONDS.to_string())
    }
}

/// A change's body, which comes to its end when it is the change's turn.
struct TurnAtEnd<F> {
    body: Body,
    has_come: bool,
    turn: Option<Pin<Box<F>>>,
    taken: Arc<OnceLock<Turn>>,
}

impl<F: Future<Output = Result<Turn, Busy>>> HttpBody for TurnAtEnd<F> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        if !this.has_come {
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                None => this.has_come = true,
                more => return Poll::Ready(more),
            }
        }
        let Some(turn) = &mut this.turn else { return Poll::Ready(None) };
        let turn = ready!(turn.as_mut().poll(context));
        this.turn = None;
        match turn {
            Ok(turn) => {
                // It is asked for once.
                let _ = this.taken.set(turn);
                Poll::Ready(None)
            }
            Err(busy) => Poll::Ready(Some(Err(axum::Error::new(busy)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.has_come && self.turn.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
