//! Connections: bounded in number, in time and at shutdown.
//!
//! Built on hyper-util because its server takes a timer: slow headers, slow bodies and idle connections end. So do clients
//! that do not take what they are sent.

use crate::connection::{OpenBody, Requests, drive};
use crate::{Draining, problem};
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderValue, Request, Version, header};
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
use tokio_util::sync::CancellationToken;
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

/// Where connections come in.
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// Whether another process holds it too, and whoever serves it next takes what waits there.
    pub is_shared: bool,
}

/// Serves `router` until `stop` completes, then drains: no new connections, and what has come in ends within the drain time.
/// What does not is cut off. Returns whether all did.
///
/// A connection that was taken is served: its client cannot know that the host stops. But each is told with its next answer
/// that it ends, as soon as that is announced, so that none is left open between two requests when the host stops.
pub async fn serve(
    listener: Listener,
    router: Router,
    bounds: Connections,
    draining: Draining,
    stop: impl Future<Output = ()>,
) -> bool {
    let Listener { socket, is_shared } = listener;
    let slots = Arc::new(Semaphore::new(bounds.open_max));
    let server = Server { builder: Arc::new(builder(&bounds)), router, bounds, draining, open: TaskTracker::new() };
    let cut = CancellationToken::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            (stream, slot) = accept(&socket, &slots) => server.take(stream, slot, &cut),
        }
    }
    server.draining.begin();
    if !is_shared {
        server.take_waiting(socket, &slots, &cut);
    }
    server.open.close();
    let ended = tokio::time::timeout(bounds.drain_timeout, server.open.wait()).await.is_ok();
    cut.cancel();
    ended
}

struct Server {
    builder: Arc<auto::Builder<TokioExecutor>>,
    router: Router,
    bounds: Connections,
    draining: Draining,
    open: TaskTracker,
}

impl Server {
    /// Serves a connection in a task of its own, until it ends or all are cut off.
    fn take(&self, stream: TcpStream, slot: Option<OwnedSemaphorePermit>, cut: &CancellationToken) {
        let requests = Arc::<Requests>::default();
        let (bounds, draining, cut) = (self.bounds, self.draining.clone(), cut.clone());
        let service = {
            let (router, draining, requests) = (self.router.clone(), draining.clone(), Arc::clone(&requests));
            service_fn(move |request: Request<Incoming>| {
                let request = request.map(|body| timed(body, bounds.body_timeout));
                answer(router.clone(), draining.clone(), Arc::clone(&requests), request)
            })
        };
        // Answers are small and written at once; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(bounds.body_timeout));
        let io = TokioIo::new(Box::pin(stream));
        let connection = self.builder.serve_connection_with_upgrades(io, service).into_owned();
        self.open.spawn(async move {
            cut.run_until_cancelled(drive(connection, &requests, &bounds, &draining)).await;
            drop(slot);
        });
    }

    /// Takes the connections that the system has accepted for this host already, then ends the socket.
    fn take_waiting(&self, socket: TcpListener, slots: &Arc<Semaphore>, cut: &CancellationToken) {
        let Ok(socket) = socket.into_std() else { return };
        while let (Ok(slot), Ok((stream, _))) = (Arc::clone(slots).try_acquire_owned(), socket.accept()) {
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                self.take(stream, Some(slot), cut);
            }
        }
    }
}

/// The answer to one request. A handler that panics is a fault of the host, and takes nothing else down.
async fn answer(
    mut router: Router,
    draining: Draining,
    requests: Arc<Requests>,
    mut request: Request<Body>,
) -> Result<Response<OpenBody>, Infallible> {
    let version = request.version();
    let open = requests.begin(version);
    request.extensions_mut().insert(open.hang_up());
    let mut answer = match AssertUnwindSafe(async { router.call(request).await }).catch_unwind().await {
        Ok(Ok(answer)) => answer,
        Err(panic) => problem::of_panic(panic),
    };
    if version <= Version::HTTP_11 && draining.is_announced() {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
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
            Ok((stream, _)) => return (stream, slot),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
