//! Connections: bounded in number, in time and at shutdown.
//!
//! Built on hyper-util because its server takes a timer: slow headers, slow bodies and idle connections end. So do clients
//! that do not take what they are sent.

use crate::connection::{OpenBody, Requests, drive};
use crate::{Draining, operations, problem};
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::Request;
use axum::response::Response;
use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;
use tokio_util::task::TaskTracker;
use tower::Service as _;
use tower_http::timeout::TimeoutBody;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 256;
/// Pause after the system refused a connection (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of connections.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// Open at once.
    pub open_max: usize,
    /// For the head of a request to arrive, from the connection's first moment; idle connections end after it too.
    pub head_timeout: Duration,
    /// Between two pieces of a request's body, and for a client to take a piece of what it is sent.
    pub body_timeout: Duration,
    /// For what has begun to end, once the host is told to stop.
    pub drain_timeout: Duration,
}

/// Serves `router` until `stop` completes, then drains: no new connections, new requests are refused, running ones end within
/// the drain time. Returns whether all did.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    connections: Connections,
    draining: Draining,
    stop: impl Future<Output = ()>,
) -> bool {
    let server = Arc::new(builder(&connections));
    let slots = Arc::new(Semaphore::new(connections.open_max));
    let open = TaskTracker::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, slot) = accepted;
        let requests = Arc::<Requests>::default();
        let service = {
            let (router, draining, requests) = (router.clone(), draining.clone(), Arc::clone(&requests));
            service_fn(move |request: Request<Incoming>| {
                let request = request.map(|body| timed(body, connections.body_timeout));
                answer(router.clone(), draining.clone(), Arc::clone(&requests), request)
            })
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(connections.body_timeout));
        let connection = server.serve_connection_with_upgrades(TokioIo::new(Box::pin(stream)), service).into_owned();
        let draining = draining.clone();
        open.spawn(async move {
            drive(connection, &requests, &connections, &draining).await;
            drop(slot);
        });
    }
    draining.begin();
    drop(listener);
    open.close();
    tokio::time::timeout(connections.drain_timeout, open.wait()).await.is_ok()
}

/// The answer to one request. A handler that panics is a fault of the host, and takes nothing else down.
async fn answer(
    mut router: Router,
    draining: Draining,
    requests: Arc<Requests>,
    mut request: Request<Body>,
) -> Result<Response<OpenBody>, Infallible> {
    let open = requests.begin(request.version());
    let refusal = operations::refuse_while_draining(&draining, request.uri().path());
    let answer = match refusal {
        Some(refusal) => refusal,
        None => {
            request.extensions_mut().insert(open.hang_up());
            match AssertUnwindSafe(async { router.call(request).await }).catch_unwind().await {
                Ok(Ok(answer)) => answer,
                Err(panic) => problem::of_panic(panic),
            }
        }
    };
    Ok(answer.map(|body| open.answer_with(body)))
}

/// A body that ends with an error when nothing comes for too long.
fn timed(body: Incoming, timeout: Duration) -> Body {
    if body.is_end_stream() { Body::empty() } else { Body::new(TimeoutBody::new(timeout, body)) }
}

fn builder(connections: &Connections) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(connections.head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(connections.head_timeout)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
    server
}

/// The next connection, once there is a slot for it.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    let slot = Arc::clone(slots).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Answers are small and written at once; waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                return (stream, slot);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
