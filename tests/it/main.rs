//! Black-box tests of Wares: the real binary, real components, real HTTP.

mod api;
mod cli;
mod command;
mod crash;
mod demo;
mod hostile;
mod operations;
mod publish;
mod swap;
mod vendor;
