//! Black-box tests of Wares: the real binary, real components, real HTTP.

#![expect(clippy::indexing_slicing, reason = "JSON of an answer that lacks what a test looks for fails the test")]

mod api;
mod backup;
mod cli;
mod command;
mod compatibility;
mod composition;
mod crash;
mod demo;
mod deployments;
mod faults;
mod garbage;
mod hostile;
mod lifecycle;
mod mirror;
mod operations;
mod providers;
mod publish;
mod registry;
mod reuse;
mod review;
mod rollout;
mod serve;
mod shadow;
mod signatures;
mod swap;
mod tree;
mod vendor;
