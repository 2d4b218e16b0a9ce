//! Why a call ended without a result: the guest's own fault, a limit, or this host's.

use std::fmt::{self, Write as _};
use wares_capabilities::{OverLimit, ShelfFailure, Spent};
use wares_model::limits::{HANDLES_MAX, RESOURCES_MAX};
use wasmtime::component::ResourceTableError;
use wasmtime::{OutOfMemory, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// Bytes of a function's name in a backtrace.
const NAME_BYTES_MAX: usize = 256;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 512;
/// How wasmtime's private error for a guest that passes too much ends.
const HOSTCALL_FUEL_EXHAUSTED: &str = "fuel allocated for hostcalls has been exhausted";
/// The same for one that has too many handles.
const HANDLES_EXHAUSTED: &str = "store handle limit exceeded";

/// Why a call ended without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The guest failed.
    Trap {
        /// How.
        reason: String,
        /// Names of the guest's functions, innermost first.
        backtrace: Vec<String>,
    },
    /// The call used up its CPU time.
    LimitCpu,
    /// The call used up its wall time.
    LimitWall,
    /// The guest wanted more memory, table elements, handles or host memory than the call may have.
    LimitMemory {
        /// Which of them, and how much there is.
        what: String,
    },
    /// A call that it made used up the CPU time or the wall time that both have together.
    SpentBelow {
        /// Which.
        spent: Spent,
        /// What was called.
        what: String,
    },
    /// This host failed.
    Host(String),
}

/// Stops a guest that used up its CPU time.
#[derive(Debug, thiserror::Error)]
#[error("the CPU time is used up")]
pub(crate) struct OutOfCpu;

/// A fault of this host, found while a guest was to run.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct HostFault(pub(crate) String);

impl Failure {
    /// What the error that ended a guest means.
    pub(crate) fn of(error: &wasmtime::Error) -> Self {
        if error.is::<OutOfCpu>() {
            return Self::LimitCpu;
        }
        if let Some(what) = memory_limit(error) {
            return Self::LimitMemory { what };
        }
        if error.is::<HostFault>() || error.is::<PoolConcurrencyLimitError>() || error.is::<OutOfMemory>() {
            return Self::Host(format!("{error:#}"));
        }
        match error.downcast_ref() {
            Some(ShelfFailure { spent: Some(spent), reason }) => {
                Self::SpentBelow { spent: *spent, what: reason.clone() }
            }
            Some(ShelfFailure { spent: None, reason }) => {
                Self::Trap { reason: reason.clone(), backtrace: backtrace(error) }
            }
            None => Self::Trap { reason: reason(error), backtrace: backtrace(error) },
        }
    }
}

fn memory_limit(error: &wasmtime::Error) -> Option<String> {
    if let Some(OverLimit(what)) = error.downcast_ref() {
        return Some(what.clone());
    }
    if error.chain().any(|cause| matches!(cause.downcast_ref(), Some(ResourceTableError::Full))) {
        return Some(format!("the call may hold {RESOURCES_MAX} handles of the host at once"));
    }
    let root = error.root_cause().to_string();
    if root.ends_with(HANDLES_EXHAUSTED) {
        return Some(format!("the call may hold {HANDLES_MAX} handles at once, of its own resources too"));
    }
    root.ends_with(HOSTCALL_FUEL_EXHAUSTED).then(|| {
        "what the guest passed to the host at once, arguments of an import or its own result, takes more memory there \
         than the call may have (host-memory-bytes-max)"
            .to_owned()
    })
}

/// What a guest says of its own failure, as much of it as a reason may have.
pub(crate) fn of_guest(error: &impl fmt::Debug) -> String {
    bounded(REASON_BYTES_MAX, format_args!("{error:?}"))
}

fn reason(error: &wasmtime::Error) -> String {
    if let Some(I32Exit(code)) = error.downcast_ref() {
        return format!("the guest called wasi:cli/exit with code {code} instead of returning");
    }
    let text = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => error.root_cause().to_string(),
    };
    bounded(REASON_BYTES_MAX, format_args!("{}", text.strip_prefix("wasm trap: ").unwrap_or(&text)))
}

fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let name = |frame: &wasmtime::FrameInfo| match frame.func_name() {
        // Names come from the guest; a long one may take long to demangle.
        Some(name) if name.len() <= NAME_BYTES_MAX => match rustc_demangle::try_demangle(name) {
            Ok(demangled) => bounded(NAME_BYTES_MAX, format_args!("{demangled:#}")),
            Err(_) => name.to_owned(),
        },
        Some(name) => bounded(NAME_BYTES_MAX, format_args!("{name}")),
        None => format!("function {}", frame.func_index()),
    };
    backtrace.frames().iter().map(name).collect()
}

/// The text, cut where it becomes too long.
fn bounded(bytes_max: usize, text: fmt::Arguments<'_>) -> String {
    let mut bounded = Bounded { text: String::new(), bytes_max };
    if bounded.write_fmt(text).is_err() {
        bounded.text.push('…');
    }
    bounded.text
}

struct Bounded {
    text: String,
    bytes_max: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.bytes_max - self.text.len();
        let kept = part.get(..part.floor_char_boundary(room)).unwrap_or(part);
        self.text.push_str(kept);
        if kept.len() < part.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_says_of_its_failure_is_bounded() {
        let said = of_guest(&Some("no answer today ".repeat(1 << 20)));
        assert!(said.starts_with("Some(\"no answer today no") && said.len() < REASON_BYTES_MAX + 8, "{}", said.len());
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(bounded(4, format_args!("{}{}", "中", "文")), "中…");
        assert_eq!(bounded(6, format_args!("{}{}", "中", "文")), "中文");
    }
}
