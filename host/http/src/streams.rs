//! Streams of HTTP/2, each a task of its own that can be ended without the others.
//!
//! A stream whose client opens no window waits in hyper, which asks nobody. What ends its task resets the stream, and frees what
//! waits there.

use hyper::rt::Executor;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

tokio::task_local! {
    static STREAM: StreamEnd;
}

/// Ends a stream. Clones end the same one.
#[derive(Clone, Default)]
pub(crate) struct StreamEnd(Arc<(AtomicBool, Notify)>);

impl StreamEnd {
    /// Ends it. Whether that is new.
    pub(crate) fn end(&self) -> bool {
        let (has_ended, told) = &*self.0;
        told.notify_one();
        !has_ended.swap(true, Ordering::Relaxed)
    }

    async fn ended(&self) {
        self.0.1.notified().await;
    }
}

/// What ends the stream that is being served here, if there is one.
pub(crate) fn current() -> Option<StreamEnd> {
    STREAM.try_with(Clone::clone).ok()
}

/// Runs streams as tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Streams;

impl<F> Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let end = StreamEnd::default();
        tokio::spawn(STREAM.scope(end.clone(), async move {
            tokio::select! {
                biased;
                _ = stream => {}
                () = end.ended() => {}
            }
        }));
    }
}
