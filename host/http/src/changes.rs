//! Changes that have begun are made to their end, whoever still waits for the answer.
//!
//! A change is durable first and in force after. A connection that ends drops what it runs, in between as well: the store would
//! be ahead of what this host knows, until it is started anew. What comes before the change may end with the client: see
//! [`Waiting`].

use crate::Problem;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wares_model::ProblemCode;

/// Changes at once. Those of clients that are gone count until they have ended.
const CHANGES_MAX: usize = 256;

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

/// Slots for as many changes as may be made at once.
pub(crate) fn slots() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(CHANGES_MAX))
}

/// Runs a request that may change something in a task of its own.
pub(crate) async fn to_their_end(State(slots): State<Arc<Semaphore>>, mut request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let client = CancellationToken::new();
    request.extensions_mut().insert(Waiting(client.clone()));
    // Dropped with this future, which ends with the connection.
    let _waits = client.drop_guard();
    let slot = slots.acquire_owned().await;
    let change = tokio::spawn(async move {
        let _slot = slot;
        next.run(request).await
    });
    match change.await.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(response) => response,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(_)) => Problem::new(ProblemCode::Draining, "the host shuts down").into_response(),
    }
}
