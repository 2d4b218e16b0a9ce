//! Attacks on the host: what each is, what it is answered with, and what others feel of it meanwhile.
//!
//! Every attack is watched ([`measure::Watch`]): the host's memory and the time it takes to answer somebody else stay within
//! bounds.

mod documents;
mod fairness;
mod measure;
mod reading;
mod wasm;
