//! Reads that look through the whole shelf: on threads that no call waits for, a few at once.

use crate::Problem;
use tokio::sync::Semaphore;
use wares_model::limits::SEARCHES_MAX;

static PLACES: Semaphore = Semaphore::const_new(SEARCHES_MAX);

/// Does what takes longer the more there is on the shelf.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let _place = PLACES.acquire().await.map_err(|error| Problem::host(&error))?;
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::host(&error))
}
