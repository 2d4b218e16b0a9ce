//! What the host has for capabilities to draw on.

/// Shared by all calls of a host, made once. What is not there, no guest can use.
#[derive(Clone, Default)]
pub struct Services {}
