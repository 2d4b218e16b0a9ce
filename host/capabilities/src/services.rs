//! What the host has for capabilities to draw on.

use crate::SecretReader;
use std::sync::Arc;

/// Shared by all calls of a host, made once. What is not there, no guest can use.
#[derive(Clone, Default)]
pub struct Services {
    /// Where secrets are read.
    pub secrets: Option<Arc<dyn SecretReader>>,
}
