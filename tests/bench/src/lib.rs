//! The parts of the benchmark: contenders to measure, a load to put on them, and figures of the shelf.

pub mod contender;
pub mod load;
pub mod shelf;
