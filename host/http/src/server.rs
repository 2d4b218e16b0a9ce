//! Connections: bounded in number, in time and at shutdown.
//!
//! Built on hyper-util because its server takes a timer: slow headers, slow bodies and idle connections end. So do clients
//! that do not take what they are sent.

use crate::connection::drive;
use crate::pace::{Pace, Paced};
use crate::peers::{Peers, Place};
use crate::refusals::{Refusals, Said};
use crate::requests::{OpenBody, Requests};
use crate::streams::Streams;
use crate::{App, Draining, Problem, auth, form, operations, problem};
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::http::{HeaderMap, HeaderValue, Request, Version, header};
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

pub use crate::peers::PeerBounds;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Requests at once on one HTTP/2 connection.
const HTTP2_STREAMS_MAX: u32 = 256;
/// Bytes that a client of HTTP/2 may send for one request before they are read, and for all of a connection: a few requests whose
/// bodies wait to be read do not keep the others from sending.
const HTTP2_WINDOWS_BYTES: (u32, u32) = (128 << 10, 1 << 20);
/// For the first request on a connection that only operators and probes are served on.
const RESERVED_HEAD_MAX: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection (no file descriptors left), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What a client is told for whose connection there is no place.
const NO_PLACE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\nretry-after: 1\r\n\r\n";

/// Bounds of connections.
#[derive(Debug, Clone, Copy)]
pub struct Connections {
    /// How many there may be.
    pub peers: PeerBounds,
    /// For the head of a request to arrive, from the connection's first moment; idle connections end after it too.
    pub head_timeout: Duration,
    /// Between two pieces of a request's body, and for a client to take a piece of what it is sent.
    pub body_timeout: Duration,
    /// Beyond that, bytes that bodies and answers move on by for each second in which a client is waited for.
    pub body_bytes_per_second_min: u64,
    /// For what has begun to end, once the host is told to stop.
    pub drain_timeout: Duration,
}

impl Connections {
    pub(crate) fn pace(&self) -> Pace {
        Pace { patience: self.body_timeout, bytes_per_second_min: self.body_bytes_per_second_min }
    }

    pub(crate) fn head_timeout(&self, requests: &Requests) -> Duration {
        if requests.is_reserved() { self.head_timeout.min(RESERVED_HEAD_MAX) } else { self.head_timeout }
    }
}

/// What is served.
pub struct Api {
    router: Router,
    draining: Draining,
    refusals: Arc<Refusals>,
    /// Whether these are of a request with an operator's key.
    is_operator: Box<dyn Fn(&HeaderMap) -> bool + Send + Sync>,
}

impl From<App> for Api {
    fn from(app: App) -> Self {
        let (router, draining, refusals) =
            (crate::router(app.clone()), app.draining.clone(), Arc::clone(&app.refusals));
        Self { router, draining, refusals, is_operator: Box::new(move |headers| auth::is_operator(&app, headers)) }
    }
}

impl From<Router> for Api {
    /// Something without keys, so that nobody is an operator.
    fn from(router: Router) -> Self {
        let (draining, refusals) = (Draining::default(), Arc::default());
        Self { router, draining, refusals, is_operator: Box::new(|_| false) }
    }
}

/// Where connections come in.
pub struct Listener {
    /// The socket that listens.
    pub socket: TcpListener,
    /// Whether another process holds it too, and whoever serves it next takes what waits there.
    pub is_shared: bool,
}

/// Serves until `stop` completes, then drains: no new connections, and what has come in ends within the drain time. What does
/// not is cut off. Returns whether all did.
///
/// A connection that was taken is served: its client cannot know that the host stops. But each is told with its next answer
/// that it ends, as soon as that is announced, so that none is left open between two requests when the host stops.
pub async fn serve(
    listener: Listener,
    api: impl Into<Api>,
    connections: Connections,
    stop: impl Future<Output = ()>,
) -> bool {
    let Listener { socket, is_shared } = listener;
    let server = Server::new(api.into(), connections);
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            stream = accept(&socket) => server.take(stream),
        }
    }
    server.api.draining.begin();
    if !is_shared {
        server.take_waiting(socket);
    }
    server.open.close();
    let ended = tokio::time::timeout(connections.drain_timeout, server.open.wait()).await.is_ok();
    server.cut.cancel();
    ended
}

/// What all connections have in common.
struct Server {
    api: Api,
    connections: Connections,
    peers: Arc<Peers>,
    http: auto::Builder<Streams>,
    /// The same where only operators and probes are served.
    reserved: auto::Builder<Streams>,
    open: TaskTracker,
    /// Cuts off what is still open.
    cut: CancellationToken,
}

impl Server {
    fn new(api: Api, connections: Connections) -> Arc<Self> {
        let peers = Peers::new(connections.peers);
        let http = builder(connections.head_timeout);
        let reserved = builder(connections.head_timeout.min(RESERVED_HEAD_MAX));
        Arc::new(Self {
            api,
            connections,
            peers,
            http,
            reserved,
            open: TaskTracker::new(),
            cut: CancellationToken::new(),
        })
    }

    /// Serves a connection in a task of its own, if there is a place for it.
    fn take(self: &Arc<Self>, stream: TcpStream) {
        // Answers are small and written at once; waiting to fill a packet only delays them.
        let _ = stream.set_nodelay(true);
        match stream.peer_addr().ok().and_then(|peer| self.peers.place(peer.ip())) {
            Some(place) => drop(self.open.spawn(Arc::clone(self).connection(stream, place))),
            // A client that does not see it sees the connection end.
            None => drop(stream.try_write(NO_PLACE)),
        }
    }

    /// Takes the connections that the system has accepted for this host already, then ends the socket.
    fn take_waiting(self: &Arc<Self>, socket: TcpListener) {
        let Ok(socket) = socket.into_std() else { return };
        let waiting = std::iter::from_fn(|| socket.accept().ok());
        for (stream, _) in waiting.take(self.connections.peers.open_max) {
            if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                self.take(stream);
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, place: Place) {
        let requests = Arc::clone(&place.requests);
        let service = {
            let (server, requests) = (Arc::clone(&self), Arc::clone(&requests));
            service_fn(move |request: Request<Incoming>| Arc::clone(&server).answer(Arc::clone(&requests), request))
        };
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(self.connections.body_timeout));
        let http = if requests.is_reserved() { &self.reserved } else { &self.http };
        let connection = http.serve_connection_with_upgrades(TokioIo::new(Box::pin(stream)), service).into_owned();
        let driven = drive(connection, &requests, &self.connections, &self.api.draining);
        self.cut.run_until_cancelled(driven).await;
        drop(place);
    }

    /// The answer to one request. A handler that panics is a fault of the host, and takes nothing else down.
    async fn answer(
        self: Arc<Self>,
        requests: Arc<Requests>,
        request: Request<Incoming>,
    ) -> Result<Response<OpenBody>, Infallible> {
        let version = request.version();
        let ongoing = requests.begin(version);
        let said = Said::of(&request);
        let refusal = form::refusal(&request).map(Problem::into_response);
        let refusal = refusal.or_else(|| self.refusal(&requests, request.uri().path(), request.headers()));
        let mut answer = match refusal {
            Some(refusal) => refusal,
            None => {
                let mut request = self.paced(request);
                request.extensions_mut().insert(ongoing.clone());
                let mut router = self.api.router.clone();
                match AssertUnwindSafe(async { router.call(request).await }).catch_unwind().await {
                    Ok(Ok(answer)) => answer,
                    Err(panic) => problem::of_panic(panic),
                }
            }
        };
        said.answered(&mut answer, &ongoing, &self.api.refusals);
        if version <= Version::HTTP_11 && self.api.draining.is_announced() {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        Ok(answer.map(|body| ongoing.answer_with(body)))
    }

    /// Why a request is not served on this connection.
    fn refusal(&self, requests: &Requests, path: &str, headers: &HeaderMap) -> Option<Response> {
        if requests.is_reserved() && (self.api.is_operator)(headers) {
            requests.serve_all();
        }
        requests.is_reserved().then(|| operations::refuse_on_reserve(path)).flatten()
    }

    /// The request with a body that ends when it does not move on. What a component answers itself is bounded by the time of its
    /// call, and may come at any pace.
    fn paced(&self, request: Request<Incoming>) -> Request<Body> {
        let mut pace = self.connections.pace();
        if request.uri().path().starts_with(SERVED_PATH) {
            pace.bytes_per_second_min = 0;
        }
        request.map(|body| if body.is_end_stream() { Body::empty() } else { Body::new(Paced::new(body, pace)) })
    }
}

/// Where components answer themselves.
const SERVED_PATH: &str = "/serve/";

fn builder(head_timeout: Duration) -> auto::Builder<Streams> {
    let mut server = auto::Builder::new(Streams);
    let (stream_window, connection_window) = HTTP2_WINDOWS_BYTES;
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(head_timeout)
        .initial_stream_window_size(stream_window)
        .initial_connection_window_size(connection_window)
        .max_concurrent_streams(HTTP2_STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
    server
}

/// The next connection.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
