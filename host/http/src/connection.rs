//! One connection, from its first byte to its end: how long it may be without a request, and what becomes of it when it is not
//! wanted any more.
//!
//! hyper bounds the time between requests of HTTP/1. Bounded here is what it leaves open: a client that has not said yet which
//! version it speaks, and one of HTTP/2 without requests.

use crate::Draining;
use crate::requests::Requests;
use crate::server::Connections;
use axum::BoxError;
use hyper_util::server::graceful::GracefulConnection;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use wares_model::Limits;

/// How long the other requests of a connection go on when it ends because of one of them: as long as any call may.
const OTHERS_END_MAX: Duration = Duration::from_millis(Limits::CEILING.wall_ms_max);
/// For the last pieces of those to arrive.
const LAST_PIECES_MAX: Duration = Duration::from_secs(1);
/// For a connection without requests to say goodbye when another one needs its place.
const GOODBYE_MAX: Duration = Duration::from_millis(100);
/// For the first request to come over a connection that was taken just before the host drained. Its client cannot know, and
/// hyper would close it unread.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(1);

/// Why a connection is to end.
#[derive(Debug, Clone, Copy)]
enum Reason {
    Idle,
    GivenUp,
    Unwanted,
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
    let mut idle = pin!(requests.idle(bounds.head_timeout(requests)));
    let mut watch = pin!(requests.watch(bounds.pace()));
    let mut is_draining = false;
    let mut draining = pin!(async {
        draining.begun().await;
        let _ = timeout(FIRST_REQUEST_MAX, requests.first()).await;
    });
    // A head that only begins to come keeps nobody waiting.
    let mut quiet = pin!(requests.quiet(FIRST_REQUEST_MAX));
    let reason = loop {
        tokio::select! {
            ended = connection.as_mut() => return log(ended),
            () = &mut idle => break Reason::Idle,
            () = &mut watch => {}
            () = requests.given_up() => break Reason::GivenUp,
            () = requests.unwanted() => break Reason::Unwanted,
            () = &mut quiet, if is_draining => break Reason::Unwanted,
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
            Reason::Unwanted => sleep(GOODBYE_MAX).await,
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
