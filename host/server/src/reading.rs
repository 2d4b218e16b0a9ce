//! Reads component files, in a process of its own as a host does: their bytes may be anybody's.

use crate::serve::worker;
use wares_engine::{Lane, Reader};
use wares_typed::{Changes, Description};

/// Nobody else is here.
const ALONE: Lane = Lane::Operator(None);

/// Describes a component.
pub async fn describe(wasm: &[u8]) -> anyhow::Result<Description> {
    Ok(Reader::new(worker()?).describe(&ALONE, wasm).await?)
}

/// What callers of one component lose with a later one, by their WIT.
pub async fn compare(earlier: &str, later: &str) -> anyhow::Result<Changes> {
    Ok(Reader::new(worker()?).compare(&ALONE, earlier, later).await?)
}
