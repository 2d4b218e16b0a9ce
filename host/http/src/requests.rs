//! The requests of one connection: which are open, what each holds, and whether the client takes the answers.
//!
//! A request is open from its head until the last byte of its answer has left. Answers go out in pieces: one that stays for too
//! long, or many that go too slowly, are given up. Who gives up an answer of HTTP/2 ends its stream, and the connection only if
//! that does not help.

use crate::pace::Pace;
use crate::streams::{self, StreamEnd};
use crate::{App, Problem};
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, Version};
use axum::response::{IntoResponse as _, Response};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use std::convert::Infallible;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use wares_call::{Full, Held, Holder};
use wares_catalog::Caller;
use wares_model::limits::{ALL_KEYLESS_ANSWERS_MAX, KEYLESS_ANSWERS_MAX};

/// Bytes of an answer that go out as one.
const PIECE_BYTES: usize = 32 << 10;
/// Looks at the answers of a connection within the time that a client has for a piece.
const LOOKS: u32 = 4;

/// Answers of all connections that wait to be taken by who showed no key.
static KEYLESS: AtomicUsize = AtomicUsize::new(0);

/// What its requests tell of a connection.
pub(crate) struct Requests {
    open: watch::Sender<usize>,
    have_come: AtomicBool,
    is_http1: AtomicBool,
    /// Whether a key of this shelf was shown.
    has_key: AtomicBool,
    /// Whether only operators and probes are served on it.
    is_reserved: AtomicBool,
    /// When it was made, and how many milliseconds later its last request ended.
    made: Instant,
    idle_since_ms: AtomicU64,
    /// Told when an answer is given up, and when the connection is to make room for another one.
    given_up: Notify,
    unwanted: Notify,
    answers: Mutex<Vec<Watched>>,
}

/// A request that is open. Clones are of the same one.
#[derive(Clone)]
pub(crate) struct Ongoing(Arc<State>);

struct State {
    requests: Arc<Requests>,
    has_ended: AtomicBool,
    /// Whose key was shown.
    caller: OnceLock<Caller>,
    held: OnceLock<Held>,
    /// Whether it is answered, and counts among those without a key.
    is_keyless: AtomicBool,
    /// Whether something is there for the client to take.
    is_ready: AtomicBool,
    /// Pieces that the connection has, and bytes of those that have left it.
    pieces: AtomicUsize,
    bytes_left: AtomicU64,
    /// Ends the request's stream, if it has one.
    stream: Option<StreamEnd>,
}

/// The body of an answer, in pieces.
pub(crate) struct OpenBody {
    body: Body,
    rest: Bytes,
    ongoing: Ongoing,
}

/// A part of an answer on its way.
struct Piece {
    bytes: Bytes,
    ongoing: Ongoing,
}

/// What was seen of an answer until now.
struct Watched {
    answer: Weak<State>,
    bytes_left: u64,
    /// Looks since something moved, and all in which the client was waited for.
    still: u32,
    waited: u32,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            open: watch::Sender::default(),
            have_come: AtomicBool::default(),
            is_http1: AtomicBool::default(),
            has_key: AtomicBool::default(),
            is_reserved: AtomicBool::default(),
            made: Instant::now(),
            idle_since_ms: AtomicU64::default(),
            given_up: Notify::default(),
            unwanted: Notify::default(),
            answers: Mutex::default(),
        }
    }
}

impl Requests {
    /// The requests of a connection on which only operators and probes are served.
    pub(crate) fn reserved() -> Self {
        Self { is_reserved: AtomicBool::new(true), ..Self::default() }
    }

    pub(crate) fn is_reserved(&self) -> bool {
        self.is_reserved.load(Ordering::Relaxed)
    }

    /// Whether a key of this shelf was shown on it.
    pub(crate) fn has_key(&self) -> bool {
        self.has_key.load(Ordering::Relaxed)
    }

    pub(crate) fn show_key(&self) {
        self.has_key.store(true, Ordering::Relaxed);
    }

    /// An operator has shown its key.
    pub(crate) fn serve_all(&self) {
        self.is_reserved.store(false, Ordering::Relaxed);
    }

    /// Counts one more request, of this version.
    pub(crate) fn begin(self: &Arc<Self>, version: Version) -> Ongoing {
        self.have_come.store(true, Ordering::Relaxed);
        self.is_http1.fetch_or(version <= Version::HTTP_11, Ordering::Relaxed);
        self.open.send_modify(|open| *open = open.saturating_add(1));
        Ongoing(Arc::new(State::new(Arc::clone(self), streams::current())))
    }

    /// Completes when no request has come for so long, and none is open. Of HTTP/1 only the first is waited for.
    pub(crate) async fn idle(&self, patience: Duration) {
        let mut open = self.open.subscribe();
        while open.wait_for(|open| *open == 0).await.is_ok() && !self.is_http1.load(Ordering::Relaxed) {
            // One that comes and ends within is a change too.
            if timeout(patience, open.changed()).await.is_err() {
                return;
            }
        }
        std::future::pending().await
    }

    /// Completes when no request is open, and none has come for so long.
    pub(crate) async fn quiet(&self, patience: Duration) {
        let mut open = self.open.subscribe();
        while open.wait_for(|open| *open == 0).await.is_ok() {
            // One that comes and ends within is a change too.
            if timeout(patience, open.changed()).await.is_err() {
                return;
            }
        }
    }

    /// Since when no request is open, if none is.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let idle_since = Duration::from_millis(self.idle_since_ms.load(Ordering::Relaxed));
        (*self.open.borrow() == 0).then(|| self.made + idle_since)
    }

    /// Completes when the first one has come.
    pub(crate) async fn first(&self) {
        // The sender is this one's, and there.
        let _ = self.open.subscribe().wait_for(|_| self.have_come.load(Ordering::Relaxed)).await;
    }

    /// Completes when no request is open.
    pub(crate) async fn none_open(&self) {
        // The sender is this one's, and there.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// Completes when an answer is given up whose stream cannot end by itself.
    pub(crate) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    /// The connection is to make room for another one.
    pub(crate) fn make_room(&self) {
        self.unwanted.notify_one();
    }

    /// Completes when it is.
    pub(crate) async fn unwanted(&self) {
        self.unwanted.notified().await;
    }

    /// Gives up answers that are not taken, for as long as the connection is there.
    pub(crate) async fn watch(&self, pace: Pace) {
        loop {
            sleep(pace.patience / LOOKS).await;
            // An answer that ends meanwhile looks for itself in the list.
            let mut answers = mem::take(&mut *self.answers.lock());
            answers.retain_mut(|answer| answer.look(pace));
            self.answers.lock().append(&mut answers);
        }
    }

    fn end_one(&self) {
        let idle_since = u64::try_from(self.made.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.idle_since_ms.store(idle_since, Ordering::Relaxed);
        self.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

impl Watched {
    /// Looks how the answer moves on, and gives it up if it does not. Whether it is to be looked at again.
    fn look(&mut self, pace: Pace) -> bool {
        let Some(answer) = self.answer.upgrade() else { return false };
        let is_waited_for = answer.is_ready.load(Ordering::Relaxed) || answer.pieces.load(Ordering::Relaxed) > 0;
        let bytes_left = answer.bytes_left.load(Ordering::Relaxed);
        if !is_waited_for || mem::replace(&mut self.bytes_left, bytes_left) != bytes_left {
            self.still = 0;
        }
        if is_waited_for {
            self.still += 1;
            self.waited += 1;
        }
        // One more than the client has time for: the first look comes at any moment of its time.
        let waited = pace.patience / LOOKS * self.waited.saturating_sub(1);
        let is_slow = self.still > LOOKS + 1 || waited > pace.allowed(bytes_left);
        if is_slow {
            tracing::debug!(bytes_left, "an answer is not taken in time and given up");
            self.still = 0;
            Ongoing(answer).give_up();
        }
        true
    }
}

impl Ongoing {
    /// From now on it is this caller's, and holds what his key's requests hold.
    pub(crate) fn hold(&self, caller: &Caller, holder: &Arc<Holder>) -> Result<(), Full> {
        // A key is looked at once.
        let _ = self.0.caller.set(caller.clone());
        let _ = self.0.held.set(holder.begin()?);
        self.0.requests.show_key();
        Ok(())
    }

    /// Whose it is, as soon as a key was shown.
    pub(crate) fn caller(&self) -> Option<&Caller> {
        self.0.caller.get()
    }

    /// What is answered instead where this answer is not given: if it does not fit into the budget of whoever asks, or nobody
    /// showed a key on the connection and too much waits to be taken there. That has no body, so that it does not wait.
    pub(crate) fn instead_of(&self, answer: &Body) -> Option<Response> {
        let bytes = answer.size_hint().exact().unwrap_or_default();
        match self.held() {
            Some(held) => held.make_room_for(bytes).err().map(|full| Problem::from(full).into_response()),
            None => self.is_one_too_many().then(|| StatusCode::TOO_MANY_REQUESTS.into_response()),
        }
    }

    fn is_one_too_many(&self) -> bool {
        // This one is open, too.
        let waiting = self.0.requests.open.borrow().saturating_sub(1);
        let all = KEYLESS.load(Ordering::Relaxed);
        !self.0.requests.has_key()
            && (waiting >= KEYLESS_ANSWERS_MAX || (waiting > 0 && all >= ALL_KEYLESS_ANSWERS_MAX))
    }

    /// What it holds of its budgets; nothing as long as no key was shown.
    pub(crate) fn held(&self) -> Option<&Held> {
        self.0.held.get()
    }

    /// The host holds so much more for it.
    pub(crate) async fn grow(&self, bytes: u64) -> Result<(), Problem> {
        match self.held() {
            None => Ok(()),
            Some(held) => held.grow(bytes).await.map_err(Problem::from),
        }
    }

    /// The same until its answer is taken.
    pub(crate) async fn keep(&self, bytes: u64) -> Result<(), Problem> {
        match self.held() {
            None => Ok(()),
            Some(held) => held.keep(bytes).await.map_err(Problem::from),
        }
    }

    /// Gives back so many bytes of what it holds.
    pub(crate) fn shrink(&self, bytes: u64) {
        self.held().into_iter().for_each(|held| held.shrink(bytes));
    }

    /// The answer to it, on its way from now on.
    pub(crate) fn answer_with(self, body: Body) -> OpenBody {
        match self.held() {
            Some(held) => held.answered(body.size_hint().exact().unwrap_or_default()),
            None => {
                KEYLESS.fetch_add(1, Ordering::Relaxed);
                self.0.is_keyless.store(true, Ordering::Relaxed);
            }
        }
        self.0.is_ready.store(true, Ordering::Relaxed);
        let answer = Arc::downgrade(&self.0);
        self.0.requests.answers.lock().push(Watched { answer, bytes_left: 0, still: 0, waited: 0 });
        OpenBody { body, rest: Bytes::new(), ongoing: self }
    }

    /// The client does not take the answer: its stream ends, or else the connection, after the others.
    pub(crate) fn give_up(&self) {
        match &self.0.stream {
            Some(stream) if stream.end() => {}
            _ => {
                self.0.end();
                self.0.requests.given_up.notify_one();
            }
        }
    }

    /// The next piece of what is there.
    fn piece(&self, rest: &mut Bytes) -> Bytes {
        let bytes = rest.split_to(rest.len().min(PIECE_BYTES));
        self.0.pieces.fetch_add(1, Ordering::Relaxed);
        Bytes::from_owner(Piece { bytes, ongoing: self.clone() })
    }
}

impl Default for Ongoing {
    /// One of no connection.
    fn default() -> Self {
        Self(Arc::new(State::new(Arc::default(), None)))
    }
}

impl State {
    fn new(requests: Arc<Requests>, stream: Option<StreamEnd>) -> Self {
        let (has_ended, is_keyless, is_ready, pieces, bytes_left) = Default::default();
        let (caller, held) = (OnceLock::new(), OnceLock::new());
        Self { requests, has_ended, caller, held, is_keyless, is_ready, pieces, bytes_left, stream }
    }

    fn end(&self) {
        if !self.has_ended.swap(true, Ordering::Relaxed) {
            self.requests.end_one();
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.end();
        if *self.is_keyless.get_mut() {
            KEYLESS.fetch_sub(1, Ordering::Relaxed);
        }
        let this: *const Self = self;
        self.requests.answers.lock().retain(|watched| !std::ptr::eq(watched.answer.as_ptr(), this));
    }
}

impl Drop for OpenBody {
    fn drop(&mut self) {
        self.ongoing.0.is_ready.store(false, Ordering::Relaxed);
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let State { pieces, bytes_left, .. } = &*self.ongoing.0;
        bytes_left.fetch_add(self.bytes.len() as u64, Ordering::Relaxed);
        pieces.fetch_sub(1, Ordering::Relaxed);
    }
}

impl FromRequestParts<App> for Ongoing {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

impl HttpBody for OpenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Self { body, rest, ongoing } = &mut *self;
        if !rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(ongoing.piece(rest)))));
        }
        let polled = Pin::new(body).poll_frame(context);
        ongoing.0.is_ready.store(polled.is_ready(), Ordering::Relaxed);
        polled.map_ok(|frame| match frame.into_data() {
            Ok(data) => {
                *rest = data;
                Frame::data(ongoing.piece(rest))
            }
            Err(other) => other,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::{StreamExt as _, stream};
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_request_is_open_until_the_last_piece_of_its_answer_has_left() {
        let requests = Arc::new(Requests::default());
        let whole = Bytes::from(vec![7; 2 * PIECE_BYTES + 1]);
        let mut body = requests.begin(Version::HTTP_11).answer_with(whole.clone().into());
        let mut pieces = Vec::new();
        while !body.is_end_stream() {
            pieces.push(body.frame().await.unwrap().unwrap().into_data().unwrap());
        }
        assert_eq!(pieces.iter().map(Bytes::len).collect::<Vec<_>>(), [PIECE_BYTES, PIECE_BYTES, 1]);
        assert_eq!(pieces.concat(), whole);
        drop(body);
        while let Some(piece) = pieces.pop() {
            assert!(requests.idle_since().is_none(), "some are on their way");
            drop(piece);
        }
        assert!(requests.idle_since().is_some() && requests.answers.lock().is_empty());
    }

    /// Whether an answer is given up within a minute of which so many pieces are asked for, and none is taken.
    async fn is_given_up(body: Body, pieces: usize) -> bool {
        let pace = Pace { patience: Duration::from_secs(10), bytes_per_second_min: 0 };
        let requests = Arc::new(Requests::default());
        let mut body = requests.begin(Version::HTTP_11).answer_with(body);
        let mut asked = Vec::new();
        for _ in 0..pieces {
            asked.push(timeout(Duration::from_secs(1), body.frame()).await);
        }
        tokio::select! {
            () = requests.watch(pace) => false,
            () = requests.given_up() => true,
            () = sleep(Duration::from_secs(60)) => false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_waits_for_its_client_is_given_up_and_one_that_is_waited_for_is_not() {
        let endless = || Body::from_stream(stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from_static(b"more"))));
        assert!(is_given_up(endless(), 0).await, "nothing is asked for");
        assert!(is_given_up(endless(), 3).await, "nothing more is asked for");
        let one = stream::iter([Ok::<_, Infallible>(Bytes::from_static(b"one"))]);
        assert!(is_given_up(Body::from_stream(one.chain(stream::pending())), 2).await, "a piece is not taken");
        let nothing = stream::pending::<Result<Bytes, Infallible>>();
        assert!(!is_given_up(Body::from_stream(nothing), 1).await, "the client waits");
    }
}
