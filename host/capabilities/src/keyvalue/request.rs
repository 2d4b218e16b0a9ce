//! A request to a store, made beside the guest that waits for it.
//!
//! Guests that compute for long take turns on the processors. What one of them held meanwhile, a connection or a transaction,
//! everybody else would wait for, the ledger too.

use super::Error;
use crate::cpu::{Account, handed_over};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use wares_model::limits::KEYVALUE_MS_MAX;
use wares_store::{KeyValueError, KeyValueStore};

/// What a request does to a store.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// It only reads.
    Read,
    /// It changes something.
    Change,
}

/// Makes a request of a store, for which the call pays.
pub(super) async fn request<T: Send + 'static>(
    account: &Account,
    store: Arc<dyn KeyValueStore>,
    kind: Kind,
    work: impl AsyncFnOnce(Arc<dyn KeyValueStore>) -> Result<T, KeyValueError> + Send + 'static,
) -> Result<T, Error> {
    let gates = store.gates();
    let gate = Arc::clone(match kind {
        Kind::Read => &gates.reads,
        Kind::Change => &gates.changes,
    });
    account.charge(store.cpu_ns_elsewhere());
    through(account, gate, async move || work(store).await).await
}

/// Does it when the gate lets it, on a thread that no guest computes on, and waits for it, but not for ever. What waits at the gate
/// ends with its call; what has begun is done to its end.
async fn through<T: Send + 'static>(
    account: &Account,
    gate: Arc<Semaphore>,
    work: impl AsyncFnOnce() -> Result<T, KeyValueError> + Send + 'static,
) -> Result<T, Error> {
    let (account, (mut answer, answered)) = (Arc::clone(account), oneshot::channel());
    let begin = |permit, answer: oneshot::Sender<_>| {
        let runtime = Handle::current();
        tokio::task::spawn_blocking(move || {
            let done = handed_over(&*account, || runtime.block_on(work()));
            drop(permit);
            // A call that was cancelled does not wait for the answer.
            let _ = answer.send(done);
        });
    };
    match Arc::clone(&gate).try_acquire_owned() {
        Ok(permit) => begin(permit, answer),
        Err(_) => drop(tokio::spawn(async move {
            let permit = tokio::select! {
                permit = gate.acquire_owned() => permit,
                () = answer.closed() => return,
            };
            if let Ok(permit) = permit {
                begin(permit, answer);
            }
        })),
    }
    match tokio::time::timeout(Duration::from_millis(KEYVALUE_MS_MAX), answered).await {
        Ok(Ok(done)) => Ok(done?),
        Ok(Err(_)) => Err(KeyValueError::Failed("a request broke off".to_owned()).into()),
        Err(_) => {
            tracing::warn!("a key-value store did not answer within {KEYVALUE_MS_MAX} ms");
            Err(Error::other(format!("the key-value store did not answer within {KEYVALUE_MS_MAX} ms")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::tests::Sum;

    #[tokio::test]
    async fn what_has_begun_is_done_and_what_waits_ends_with_its_call() {
        let gate = Arc::new(Semaphore::new(1));
        let account = || -> Account { Arc::new(Sum::default()) };
        let (begun, has_begun) = oneshot::channel();
        let (go_on, may_go_on) = oneshot::channel::<()>();
        let (done, is_done) = oneshot::channel();
        let at = Arc::clone(&gate);
        let first = tokio::spawn(async move {
            let work = async move || {
                let _ = begun.send(());
                let _ = may_go_on.await;
                let _ = done.send(());
                Ok(())
            };
            through(&account(), at, work).await
        });
        has_begun.await.unwrap();
        let (kept, waits_no_more) = oneshot::channel::<()>();
        let at = Arc::clone(&gate);
        let second = tokio::spawn(async move {
            let work = async move || {
                let _ = kept.send(());
                Ok(())
            };
            through(&account(), at, work).await
        });
        // Once for the call to be polled, once for its request to come to the gate.
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        second.abort();
        assert!(waits_no_more.await.is_err(), "a request was made for a call that is gone");
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        is_done.await.unwrap();
        assert_eq!(through(&account(), gate, async || Ok(7)).await.ok(), Some(7));
    }
}
