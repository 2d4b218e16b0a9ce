//! Who waits for the end of a job: each is told of its own job alone, however many others end.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use wares_model::JobId;

/// One bell for each job that somebody waits for.
#[derive(Default)]
pub(super) struct Watchers(Mutex<HashMap<JobId, Arc<Notify>>>);

/// Somebody who waits for a job.
pub(super) struct Watcher<'a> {
    watchers: &'a Watchers,
    id: JobId,
    bell: Arc<Notify>,
}

impl Watchers {
    pub(super) fn watch(&self, id: JobId) -> Watcher<'_> {
        let bell = Arc::clone(self.0.lock().entry(id).or_default());
        Watcher { watchers: self, id, bell }
    }

    /// Something became of the job.
    pub(super) fn tell(&self, id: JobId) {
        if let Some(bell) = self.0.lock().get(&id) {
            bell.notify_waiters();
        }
    }
}

impl Watcher<'_> {
    /// Completes when something becomes of the job from now on.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.bell.notified()
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        let mut bells = self.watchers.0.lock();
        // The map's and this one.
        if Arc::strong_count(&self.bell) == 2 {
            bells.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;

    #[tokio::test]
    async fn each_hears_of_its_own_job_and_nothing_stays() {
        let watchers = Watchers::default();
        let [one, other] = [JobId::generate(), JobId::generate()];
        let (first, second, third) = (watchers.watch(one), watchers.watch(one), watchers.watch(other));
        {
            let mut waiting = [pin!(first.changed()), pin!(second.changed()), pin!(third.changed())];
            assert!(waiting.iter_mut().all(|changed| !changed.as_mut().enable()));
            watchers.tell(one);
            assert_eq!(waiting.map(|mut changed| changed.as_mut().enable()), [true, true, false]);
        }
        drop((first, third));
        assert_eq!(watchers.0.lock().len(), 1);
        drop(second);
        assert!(watchers.0.lock().is_empty());
    }
}
