//! Lines for the log of a call, over `wasi:logging`; natively they go to stderr.
//!
//! ```ignore
//! use wares_sdk::log;
//! log::info!("matched {} of {} policies", matched.len(), all.len());
//! ```

use std::fmt;

pub use crate::__debug as debug;
pub use crate::__error as error;
pub use crate::__info as info;
pub use crate::__trace as trace;
pub use crate::__warn as warn;

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Steps inside the program.
    Trace,
    /// For who looks for a fault.
    Debug,
    /// For who watches the system.
    Info,
    /// Something unexpected that the call survives.
    Warn,
    /// Something that makes the call fail.
    Error,
}

/// Writes one line; `context` says which part of the program speaks. The macros call it with their module's path.
pub fn write(level: Level, context: &str, message: fmt::Arguments<'_>) {
    #[cfg(target_family = "wasm")]
    {
        use crate::bindings::wasi::logging::logging;
        let level = match level {
            Level::Trace => logging::Level::Trace,
            Level::Debug => logging::Level::Debug,
            Level::Info => logging::Level::Info,
            Level::Warn => logging::Level::Warn,
            Level::Error => logging::Level::Error,
        };
        match message.as_str() {
            Some(text) => logging::log(level, context, text),
            None => logging::log(level, context, &message.to_string()),
        }
    }
    #[cfg(not(target_family = "wasm"))]
    eprintln!("{level:?} {context}: {message}");
}

/// [`log::trace!`](crate::log::trace)
#[doc(hidden)]
#[macro_export]
macro_rules! __trace {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Trace, ::core::module_path!(), ::core::format_args!($($message)+))
    };
}

/// [`log::debug!`](crate::log::debug)
#[doc(hidden)]
#[macro_export]
macro_rules! __debug {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, ::core::module_path!(), ::core::format_args!($($message)+))
    };
}

/// [`log::info!`](crate::log::info)
#[doc(hidden)]
#[macro_export]
macro_rules! __info {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Info, ::core::module_path!(), ::core::format_args!($($message)+))
    };
}

/// [`log::warn!`](crate::log::warn)
#[doc(hidden)]
#[macro_export]
macro_rules! __warn {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, ::core::module_path!(), ::core::format_args!($($message)+))
    };
}

/// [`log::error!`](crate::log::error)
#[doc(hidden)]
#[macro_export]
macro_rules! __error {
    ($($message:tt)+) => {
        $crate::log::write($crate::log::Level::Error, ::core::module_path!(), ::core::format_args!($($message)+))
    };
}
