//! The parts of the benchmark: contenders to measure, work to give them, a load to put on them, and figures of the shelf.

pub mod by_hand;
pub mod chain;
pub mod contender;
pub mod load;
pub mod mirror;
pub mod process;
pub mod report;
pub mod shelf;
pub mod swap;
pub mod uncounted;
pub mod work;
