//! Rehearsals: a change is made as any other and leads to an answer, but the shelf and its store stay as they are.
//!
//! What the work has changed so far it sees itself, and nobody else does. It must not leave the task that does it, nor change
//! anything but the store and the snapshot; places that do ask [`is_rehearsal`].

use crate::snapshot::Snapshot;
use std::cell::RefCell;
use std::sync::Arc;

pub use wares_store::is_rehearsal;

tokio::task_local! {
    static CHANGED: RefCell<Option<Arc<Snapshot>>>;
}

/// Does work that changes nothing but what it sees of the shelf itself.
pub async fn rehearse<F: Future>(work: F) -> F::Output {
    CHANGED.scope(RefCell::default(), wares_store::rehearse(work)).await
}

/// The snapshot that a rehearsal has come to, if one is going on that has changed anything.
pub(crate) fn changed() -> Option<Arc<Snapshot>> {
    CHANGED.try_with(|changed| changed.borrow().clone()).ok().flatten()
}

/// Takes a snapshot that would be published. It is handed back if no rehearsal is going on.
pub(crate) fn take(snapshot: Snapshot) -> Option<Snapshot> {
    let mut snapshot = Some(snapshot);
    // An error says that there is no rehearsal to take it.
    let _ = CHANGED.try_with(|changed| changed.replace(snapshot.take().map(Arc::new)));
    snapshot
}
