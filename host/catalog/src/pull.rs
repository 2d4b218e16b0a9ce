//! Bytes of a version from the registry that its namespace names as its source.

use crate::Catalog;
use bytes::Bytes;
use wares_model::limits::COMPONENT_BYTES_MAX;
use wares_model::{ComponentName, Version};
use wares_registry::{OciSource, ParseReferenceError, Registry, RegistryError};

/// Why nothing was pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The namespace names no registry.
    #[error(
        "{0} has no source: an operator sets one with `wares namespaces set {0} --source oci://registry.example/place`"
    )]
    NoSource(String),
    /// The name and the source make no reference.
    #[error(transparent)]
    Reference(#[from] ParseReferenceError),
    /// The registry did not give it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

impl Catalog {
    /// Pulls a version from its namespace's source. It is on the shelf only when it is published.
    pub async fn pull(&self, component: &ComponentName, version: &Version) -> Result<Bytes, PullError> {
        let source = self.snapshot().namespace(component.namespace()).and_then(|entry| entry.policy.clone()?.source);
        let source = source.ok_or_else(|| PullError::NoSource(component.namespace().to_owned()))?;
        let reference = source.parse::<OciSource>()?.reference(component, version)?;
        Ok(Registry::of(&reference)?.pull(&reference, COMPONENT_BYTES_MAX).await?.wasm)
    }
}
