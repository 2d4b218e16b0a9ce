//! One connection, from its first byte to its end: how long it may be without a request, and what becomes of it when an answer
//! is not taken.
//!
//! hyper bounds the time between requests of HTTP/1. Bounded here is what it leaves open: a client that has not said yet which
//! version it speaks, and one of HTTP/2 without requests.

use crate::Draining;
use crate::server::Connections;
use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::Version;
use http_body::{Frame, SizeHint};
use hyper_util::server::graceful::GracefulConnection;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use wares_model::Limits;

/// How long the other requests of a connection go on when it ends because of one of them: as long as any call may.
const OTHERS_END_MAX: Duration = Duration::from_millis(Limits::CEILING.wall_ms_max);

/// For the last pieces of those to arrive.
const LAST_PIECES_MAX: Duration = Duration::from_secs(1);

/// For the first request to come over a connection that was taken just before the host drained. Its client cannot know, and
/// hyper would close it unread.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(1);

/// What its requests tell of a connection.
#[derive(Default)]
pub(crate) struct Requests {
    open: watch::Sender<usize>,
    have_come: AtomicBool,
    is_http1: AtomicBool,
    /// Told when an answer is given up.
    given_up: Notify,
}

/// One of a connection's requests, open until this is dropped or its answer is given up.
pub(crate) struct Open(Arc<Counted>);

struct Counted {
    requests: Arc<Requests>,
    is_open: AtomicBool,
}

/// Gives up the answer to a request; each request has one among its extensions.
#[derive(Clone)]
pub(crate) struct HangUp(Arc<Counted>);

/// The body of an answer, whose request is open for as long.
pub(crate) struct OpenBody {
    body: Body,
    _open: Open,
}

impl Requests {
    /// Counts one more request, of this version.
    pub(crate) fn begin(self: &Arc<Self>, version: Version) -> Open {
        self.have_come.store(true, Ordering::Relaxed);
        self.is_http1.fetch_or(version <= Version::HTTP_11, Ordering::Relaxed);
        self.open.send_modify(|open| *open = open.saturating_add(1));
        Open(Arc::new(Counted { requests: Arc::clone(self), is_open: AtomicBool::new(true) }))
    }

    /// Completes when no request has come for so long, and none is open. Of HTTP/1 only the first is waited for.
    async fn idle(&self, patience: Duration) {
        let mut open = self.open.subscribe();
        while open.wait_for(|open| *open == 0).await.is_ok() && !self.is_http1.load(Ordering::Relaxed) {
            // One that comes and ends within is a change too.
            if timeout(patience, open.changed()).await.is_err() {
                return;
            }
        }
        std::future::pending().await
    }

    /// Completes when the first one has come.
    async fn first(&self) {
        // The sender is this one's, and there.
        let _ = self.open.subscribe().wait_for(|_| self.have_come.load(Ordering::Relaxed)).await;
    }

    /// Completes when no request is open.
    async fn none_open(&self) {
        // The sender is this one's, and there.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl HangUp {
    /// The client does not take this answer: the connection ends after the others.
    pub(crate) fn give_up(&self) {
        self.0.end();
        self.0.requests.given_up.notify_one();
    }
}

impl Counted {
    fn end(&self) {
        if self.is_open.swap(false, Ordering::Relaxed) {
            self.requests.open.send_modify(|open| *open = open.saturating_sub(1));
        }
    }
}

impl Open {
    pub(crate) fn hang_up(&self) -> HangUp {
        HangUp(Arc::clone(&self.0))
    }

    /// The answer to this request.
    pub(crate) fn answer_with(self, body: Body) -> OpenBody {
        OpenBody { body, _open: self }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl HttpBody for OpenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Why a connection is to end.
#[derive(Debug, Clone, Copy)]
enum Reason {
    Idle,
    GivenUp,
}

/// Serves a connection to its end. Broken and slow ones are the client's affair.
pub(crate) async fn drive(
    connection: impl GracefulConnection<Error = BoxError>,
    requests: &Requests,
    bounds: &Connections,
    draining: &Draining,
) {
    let log = |ended: Result<(), BoxError>| match ended {
        Ok(()) => {}
        Err(error) => tracing::debug!(%error, "connection ended"),
    };
    let mut connection = pin!(connection);
    let mut idle = pin!(requests.idle(bounds.head_timeout));
    let mut is_draining = false;
    let mut draining = pin!(async {
        draining.begun().await;
        let _ = timeout(FIRST_REQUEST_MAX, requests.first()).await;
    });
    let reason = loop {
        tokio::select! {
            ended = connection.as_mut() => return log(ended),
            () = &mut idle => break Reason::Idle,
            () = requests.given_up.notified() => break Reason::GivenUp,
            () = &mut draining, if !is_draining => {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    // Says goodbye, and begins nothing new.
    connection.as_mut().graceful_shutdown();
    let patience = async {
        match reason {
            Reason::Idle => sleep(bounds.body_timeout).await,
            Reason::GivenUp => {
                let _ = timeout(OTHERS_END_MAX, requests.none_open()).await;
                sleep(LAST_PIECES_MAX).await;
            }
        }
    };
    tokio::select! {
        ended = connection => log(ended),
        () = patience => tracing::debug!(?reason, "connection cut"),
    }
}
