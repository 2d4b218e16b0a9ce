//! Black-box tests of Wares: the real binary, real components, real HTTP.

#![expect(clippy::indexing_slicing, reason = "JSON of an answer that lacks what a test looks for fails the test")]

mod api;
mod backup;
mod cli;
mod command;
mod compatibility;
mod composition;
mod config;
mod crash;
mod demo;
mod deployments;
mod faults;
mod files;
mod garbage;
mod grants;
mod hostile;
mod jobs;
mod keyvalue;
mod languages;
mod lifecycle;
mod logs;
mod mirror;
mod operations;
mod outbound;
mod providers;
mod publish;
mod raw;
mod registry;
mod reuse;
mod review;
mod rollout;
mod schedules;
mod secrets;
mod serve;
mod serve_async;
mod serve_proxy;
mod shadow;
mod signatures;
mod swap;
mod traces;
mod tree;
mod vendor;
