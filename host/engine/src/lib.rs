//! Runs components: reads and compiles them out of process, keeps their native code, gives every call its own instance.
//!
//! ```text
//! Reader::describe bytes -> worker process -> description        (publishing)
//! Engine::compile  bytes -> worker process -> native cache      (publishing)
//! Engine::load     native cache -> Component                    (first call of a version)
//! Component::call  fresh store and instance -> function -> CallReport
//! Component::serve fresh store and instance -> wasi:http handler -> response, CallReport
//! ```
//!
//! Invariants: a call never outlives its wall time, never uses its CPU time up by more than one slice plus one bulk
//! memory instruction, and never holds more memory than its limits say, counted over all its memories. A store serves one
//! call and is dropped before [`Component::call`] returns, unless the call has an owner: then it may serve further calls of
//! the same owner, within [`KeepBounds`], until one fails. Only native code with this host's own seal is mapped.
//! No component is parsed in this process. A call
//! that was admitted (at most [`EngineConfig::calls_max`] at once) always finds its slots in the pool, or, if its functions are
//! tasks ([`Concurrency`]), needs none.

mod bounds;
mod compile;
mod component;
mod concurrency;
mod config;
mod engine;
mod failure;
mod kept;
mod meter;
mod native;
mod order;
mod process;
mod program;
mod queue;
mod read;
mod sandbox;
mod sent;
mod serve;
mod ticker;
mod turns;
mod worker;

pub use compile::CompileError;
pub use component::{CallReport, Component, Invocation, OtherType};
pub use concurrency::Concurrency;
pub use engine::{Engine, EngineConfig, EngineError, LoadError};
pub use failure::Failure;
pub use kept::KeepBounds;
pub use meter::Meter;
pub use native::NativeFile;
pub use process::WorkerCommand;
pub use queue::{Lane, Overloaded};
pub use read::{ReadError, Reader};
pub use serve::{Body, BodyError, HttpInvocation, Respond};
pub use wares_capabilities::files::Files;
pub use wares_capabilities::keyvalue::Buckets;
pub use wares_capabilities::{
    CallContext, ImportError, Outbound, OutboundConfig, OutboundError, RefusedImport, SecretError, SecretReader,
    Services, Shelf, ShelfCall, ShelfFailure, ShelfImport, Spent, TRACES, TraceParent, Written, add_log,
    describe_metrics, hop_by_hop,
};
pub use worker::worker_main;
