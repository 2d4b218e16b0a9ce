//! `wasi:logging/logging`: messages with a level and a context, kept in the call's log.

use crate::{CallLog, CallState, Capability, Interface};
use wares_model::log::LogLevel;
use wasmtime::component::HasData;

mod bindings {
    wasmtime::component::bindgen!({ path: "wit", world: "wasi:logging/imports" });
}
use bindings::wasi::logging::logging::{self as generated, Level};

pub(crate) struct Logging;

const INTERFACES: &[Interface] = &[Interface::new("wasi:logging/logging", "0.1.0-draft", |linker| {
    generated::add_to_linker::<CallState, HasLog>(linker, |state| Messages(state.log()))
})];

impl Capability for Logging {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }
}

struct HasLog;

impl HasData for HasLog {
    type Data<'a> = Messages<'a>;
}

struct Messages<'a>(&'a CallLog);

impl generated::Host for Messages<'_> {
    fn log(&mut self, level: Level, context: String, message: String) {
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
            Level::Critical => LogLevel::Critical,
        };
        self.0.write_message(level, &context, &message);
    }
}
