//! What a guest may import, one capability per file.
//!
//! A capability has three moments. *Init*: its interfaces are linked, only those that a component imports. *Configure*:
//! what a version asks for is checked against what exists, once, when it is loaded. *Prepare*: each call gets what it
//! needs, cheaply. The engine knows no capability by name; [`ALL`] is the one list of them. To add one, add its file, a
//! line to that list, and, if a call holds something for it, a field to [`CallState`].
//!
//! What bounds a guest here: handles in [`CallState`]'s table, bytes of its log, bytes of one request for random data, bytes of
//! HTTP header fields.
//! Over a bound the guest is stopped with [`OverLimit`]; only the log is cut instead.

mod capability;
mod config;
mod context;
mod http;
mod log;
mod logging;
mod services;
mod shelf;
mod state;
mod wasi;
mod wiring;

pub use capability::{Capability, ConfigureError, Interface, Prepare, VersionConfig};
pub use context::CallContext;
pub use log::CallLog;
pub use services::Services;
pub use shelf::{Shelf, ShelfCall, ShelfFailure, ShelfImport, Spent, is_same_type, link_shelf};
pub use state::{CallState, Limiter, OverLimit};
pub use wiring::{ImportError, RefusedImport, Wiring, WiringError, check_imports};

/// Every capability of this host.
pub const ALL: &[&dyn Capability] = &[&wasi::Wasi, &config::Config, &logging::Logging, &http::Http];
