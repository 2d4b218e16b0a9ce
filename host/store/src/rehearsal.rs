//! Changes that are rehearsed: made as any other, with all that is checked on the way, and taken back instead of committed.

tokio::task_local! {
    static REHEARSED: ();
}

/// Does work whose changes of the store are none: every transaction in it is rolled back at its end. What the work hands to other
/// tasks is not rehearsed.
pub async fn rehearse<F: Future>(work: F) -> F::Output {
    REHEARSED.scope((), work).await
}

/// Whether the work that is being done is a rehearsal.
pub fn is_rehearsal() -> bool {
    REHEARSED.try_with(|()| ()).is_ok()
}
