//! What becomes of failures of key-value requests: an error for the guest, or its end.

use super::store;
use wares_store::KeyValueError;
use wasmtime::component::ResourceTableError;

/// Why a request was not done.
#[derive(Debug)]
pub enum Error {
    /// The guest is told.
    Guest(store::Error),
    /// The guest is stopped.
    Trap(wasmtime::Error),
}

impl Error {
    /// Something that the guest did, in words for it.
    pub(crate) fn other(detail: impl Into<String>) -> Self {
        Self::Guest(store::Error::Other(detail.into()))
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Guest(error)
    }
}

impl From<ResourceTableError> for Error {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

impl From<KeyValueError> for Error {
    fn from(error: KeyValueError) -> Self {
        match error {
            KeyValueError::Failed(detail) => {
                tracing::error!(detail, "a key-value store failed");
                Self::other("the key-value store failed; the host's operator finds the reason in its log")
            }
            guests => Self::other(guests.to_string()),
        }
    }
}
