//! What a guest may import, one capability per file.
//!
//! A capability has three moments. *Init*: its interfaces are linked, only those that a component imports. *Configure*:
//! what a version asks for is checked against what exists, once, when it is loaded. *Prepare*: each call gets what it
//! needs, cheaply. The engine knows no capability by name; [`ALL`] is the one list of them. To add one, add its file, a
//! line to that list, and, if a call holds something for it, a field to [`CallState`].
//!
//! What bounds a guest here: handles in [`CallState`]'s table, bytes of its log, bytes of one request for random data, bytes of
//! HTTP header fields, and what `http` says of requests that it sends.
//! Over a bound the guest is stopped with [`OverLimit`]; only the log is cut instead.

mod capability;
mod config;
mod context;
mod cpu;
pub mod files;
mod http;
pub mod keyvalue;
mod log;
mod logging;
mod output;
mod program;
mod refusal;
mod secrets;
mod services;
mod shelf;
mod sockets;
mod state;
mod trace;
mod wasi;
mod wasi3;
mod wiring;

pub use capability::{Capability, ConfigureError, Interface, Prepare, VersionConfig};
pub use context::CallContext;
pub use cpu::{CpuAccount, thread_cpu_ns};
pub use http::{Outbound, OutboundConfig, OutboundError, describe_metrics, hop_by_hop};
pub use log::{CallLog, Written};
pub use program::Program;
pub use secrets::{SecretError, SecretReader};
pub use services::Services;
pub use shelf::{Shelf, ShelfCall, ShelfFailure, ShelfImport, Spent, is_same_type, link_shelf};
pub use state::{CallState, Limiter, OverLimit};
pub use trace::{TRACES, TraceParent, add_log, traceparent};
pub use wiring::{ImportError, RefusedImport, Wiring, WiringError, are_asynchronous, check_imports};

/// Every capability of this host.
pub const ALL: &[&dyn Capability] = &[
    &wasi::Wasi,
    &wasi3::Wasi3,
    &sockets::Sockets,
    &config::Config,
    &logging::Logging,
    &http::Http,
    &keyvalue::KeyValue,
    &files::FileSystem,
    &secrets::Secrets,
];
