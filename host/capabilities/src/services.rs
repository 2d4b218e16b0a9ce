//! What the host has for capabilities to draw on.

use crate::files::Files;
use crate::keyvalue::Buckets;

/// Shared by all calls of a host, made once. What is not there, no guest can use.
#[derive(Clone, Default)]
pub struct Services {
    /// Where key-value pairs are kept.
    pub keyvalue: Buckets,
    /// Where files are kept.
    pub files: Files,
}
