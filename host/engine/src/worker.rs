//! The child process that compiles: a byte that names the configuration and then wasm on standard input, native code to
//! standard output, one line of JSON to standard error when it fails.
//!
//! Compilation is not made to withstand hostile input: it may take long, take much memory, or crash. Here that ends a
//! process that bounded itself before it read the first byte.

use crate::concurrency::Concurrency;
use crate::config;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::io::{self, Read as _, Write as _};
use std::panic;
use std::process::ExitCode;
use wares_model::limits::{COMPILE_MEMORY_BYTES_MAX, COMPILE_SECONDS_MAX, COMPONENT_BYTES_MAX};

/// Bytes of the native code of one component.
pub(crate) const NATIVE_BYTES_MAX: u64 = 512 << 20;
/// Bytes of a message to the parent.
const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// Seconds between the CPU limit and the kill.
const CPU_GRACE_SECONDS: u64 = 5;

/// What the worker tells its parent when it fails.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Complaint {
    /// The component is at fault.
    Invalid(String),
    /// Too much memory or too much native code.
    TooBig,
    /// The compiler panicked.
    Panicked(String),
    /// The host is at fault.
    Host(String),
}

/// The whole of a process that compiles one component; [`crate::WorkerCommand`] names the program whose `main` calls it.
pub fn compile_worker_main() -> ExitCode {
    // What a panic says goes into the complaint.
    panic::set_hook(Box::new(|_| {}));
    let complaint = match panic::catch_unwind(compile) {
        Ok(Ok(())) => return ExitCode::SUCCESS,
        Ok(Err(complaint)) => complaint,
        Err(panic) => Complaint::Panicked(said(panic.as_ref())),
    };
    if let Ok(line) = serde_json::to_string(&complaint) {
        // If the parent is gone there is nobody to tell.
        let _ = writeln!(io::stderr(), "{line}");
    }
    ExitCode::FAILURE
}

fn compile() -> Result<(), Complaint> {
    bound_this_process().map_err(|error| Complaint::Host(format!("setting the worker's limits: {error}")))?;
    let unreadable = |error: io::Error| Complaint::Host(format!("reading the component: {error}"));
    let mut input = io::stdin().lock();
    let mut first = [0];
    input.read_exact(&mut first).map_err(unreadable)?;
    let concurrency = Concurrency::of_byte(first[0]);
    let concurrency = concurrency.ok_or_else(|| Complaint::Host("no configuration of that name".to_owned()))?;
    let mut wasm = Vec::new();
    input.take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut wasm).map_err(unreadable)?;
    if wasm.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(Complaint::Invalid(format!("the component has more than {COMPONENT_BYTES_MAX} bytes")));
    }
    let engine = wasmtime::Engine::new(&config::compiling(concurrency));
    let engine = engine.map_err(|error| Complaint::Host(format!("starting the compiler: {error:#}")))?;
    let native = engine.precompile_component(&wasm);
    let native = native.map_err(|error| match error.is::<wasmtime::OutOfMemory>() {
        true => Complaint::TooBig,
        false => Complaint::Invalid(cut(format!("{error:#}"))),
    })?;
    if native.len() as u64 > NATIVE_BYTES_MAX {
        return Err(Complaint::TooBig);
    }
    let mut output = io::stdout().lock();
    let written = output.write_all(&native).and_then(|()| output.flush());
    written.map_err(|error| Complaint::Host(format!("writing native code: {error}")))
}

fn bound_this_process() -> io::Result<()> {
    let bound =
        |resource, most, grace| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most + grace) });
    bound(Resource::Core, 0, 0)?;
    bound(Resource::As, COMPILE_MEMORY_BYTES_MAX, 0)?;
    // At the soft limit comes the signal that says so, at the hard one a plain kill.
    bound(Resource::Cpu, COMPILE_SECONDS_MAX, CPU_GRACE_SECONDS)?;
    bound(Resource::Fsize, NATIVE_BYTES_MAX, 0)?;
    Ok(())
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    cut(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned())
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
    text
}
