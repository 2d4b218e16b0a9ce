//! Attacks on the host: what each is, what it is answered with, and what others feel of it meanwhile.
//!
//! Every attack is watched ([`crate::watch::Watch`]): the host's memory and the time it takes to answer somebody else stay within
//! bounds.

mod documents;
mod fairness;
mod generated;
mod reading;
mod wasm;

use crate::watch::Bounds;
use std::time::Duration;

/// What others may feel of an attack by which the host may grow so much.
const fn bounds(growth_bytes: u64) -> Bounds {
    Bounds { growth_bytes, health: Duration::from_millis(100), neighbour: Duration::from_millis(100) }
}
