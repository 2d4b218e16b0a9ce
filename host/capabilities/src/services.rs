//! What the host has for capabilities to draw on.

use crate::files::Files;
use crate::keyvalue::Buckets;
use crate::{Outbound, SecretReader};
use std::sync::Arc;

/// Shared by all calls of a host, made once. What is not there, no guest can use.
#[derive(Clone, Default)]
pub struct Services {
    /// Where secrets are read.
    pub secrets: Option<Arc<dyn SecretReader>>,
    /// What sends HTTP requests.
    pub outbound: Option<Arc<Outbound>>,
    /// Where key-value pairs are kept.
    pub keyvalue: Buckets,
    /// Where files are kept.
    pub files: Files,
}
