//! CPU time that the host spends for a call on other threads than the one that the call runs on.
//!
//! What a host function does while the guest's own thread waits in it is measured with the guest. What it hands to another thread
//! or task is measured there, by that thread's own clock, and charged to the call: so a guest that has the host work for it
//! runs into its CPU limit like one that works itself. The limit is looked at when the guest goes on.

use rustix::time::{ClockId, clock_gettime};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use wasmtime_wasi::runtime::AbortOnDropJoinHandle;

/// CPU time in nanoseconds that a call is charged for handing work to another thread beside what that takes: two threads are woken,
/// and two tasks of the runtime run.
const HAND_OVER_NS: u64 = 25_000;

/// What counts the CPU time of one call.
pub trait CpuAccount: Send + Sync {
    /// Adds what another thread than the call's own used for it.
    fn charge(&self, ns: u64);
}

/// Where CPU time is charged to.
pub(crate) type Account = Arc<dyn CpuAccount>;

/// CPU time of this thread in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Does something that was handed over to this thread, and charges what it used.
pub(crate) fn handed_over<T>(account: &dyn CpuAccount, work: impl FnOnce() -> T) -> T {
    account.charge(HAND_OVER_NS);
    charged(account, work)
}

/// Does something and charges what it used. Not for the thread that the call runs on: it is measured already.
fn charged<T>(account: &dyn CpuAccount, work: impl FnOnce() -> T) -> T {
    let began = thread_cpu_ns();
    let done = work();
    account.charge(thread_cpu_ns().saturating_sub(began));
    done
}

/// Does what may block, and to its end even if the call is cancelled, on a thread that nothing else waits for.
pub(crate) async fn blocking<T: Send + 'static>(
    account: &Account,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let account = Arc::clone(account);
    tokio::task::spawn_blocking(move || handed_over(&*account, work)).await
}

/// Starts a task of its own, which ends when the handle is dropped.
pub(crate) fn spawn<F: Future<Output: Send> + Send + 'static>(
    account: &Account,
    work: F,
) -> AbortOnDropJoinHandle<F::Output> {
    wasmtime_wasi::runtime::spawn(Charged { work: Box::pin(work), account: Arc::clone(account) })
}

/// A future whose polls are charged.
struct Charged<F> {
    work: Pin<Box<F>>,
    account: Account,
}

impl<F: Future> Future for Charged<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { work, account } = &mut *self;
        charged(&**account, || work.as_mut().poll(context))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    /// A sum.
    #[derive(Default)]
    pub(crate) struct Sum(pub(crate) AtomicU64);

    impl CpuAccount for Sum {
        fn charge(&self, ns: u64) {
            self.0.fetch_add(ns, Relaxed);
        }
    }

    fn burn(ns: u64) {
        let until = thread_cpu_ns() + ns;
        while thread_cpu_ns() < until {
            std::hint::spin_loop();
        }
    }

    #[tokio::test]
    async fn what_other_threads_and_tasks_use_is_charged() {
        const MS: u64 = 1_000_000;
        let sum = Arc::new(Sum::default());
        let account: Account = sum.clone();
        blocking(&account, || burn(2 * MS)).await.unwrap();
        let blocked = sum.0.load(Relaxed);
        assert!(blocked >= 2 * MS, "{blocked}");
        let work = async {
            burn(MS);
            tokio::task::yield_now().await;
            burn(MS);
        };
        spawn(&account, work).await;
        assert!(sum.0.load(Relaxed) >= blocked + 2 * MS);
    }
}
