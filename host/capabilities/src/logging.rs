//! `wasi:logging/logging`: messages with a level and a context, kept in the call's log.

use crate::{CallLog, CallState, Capability, Interface};
use wasmtime::component::HasData;

mod bindings {
    wasmtime::component::bindgen!({ path: "wit", world: "wasi:logging/imports" });
}
use bindings::wasi::logging::logging::{self as generated, Level};

pub(crate) struct Logging;

const INTERFACES: &[Interface] = &[Interface {
    name: "wasi:logging/logging",
    version: "0.1.0-draft",
    link: |linker| generated::add_to_linker::<CallState, HasLog>(linker, |state| Messages(state.log())),
}];

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
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        };
        let context = if context.is_empty() { String::new() } else { format!(" {context}") };
        self.0.write(&[b"[", level.as_bytes(), context.as_bytes(), b"] ", message.as_bytes(), b"\n"]);
    }
}
