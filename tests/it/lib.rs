//! What black-box tests and benchmarks share: a running host of the real binary, and components to put on it.

pub mod guests;
pub mod host;
pub mod wait;
