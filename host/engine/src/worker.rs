//! The child process that reads and compiles what others hand in.
//!
//! Neither is made to withstand hostile input: it may take long, take much memory, nest too deep or crash. Here that ends a
//! process that bounded itself before it took the first byte of it.

use crate::concurrency::Concurrency;
use crate::config;
use crate::order::{Answer, Complaint, ORDER_LINE_BYTES_MAX, Order, Work};
use rustix::process::{Resource, Rlimit, getrlimit, nice, setrlimit};
use rustix::time::{ClockId, clock_gettime};
use std::any::Any;
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::panic;
use std::process::ExitCode;
use std::thread;
use wares_model::limits::{
    COMPILE_MEMORY_BYTES_MAX, COMPILE_SECONDS_MAX, COMPONENT_BYTES_MAX, DESCRIPTION_BYTES_MAX, READ_CPU_SECONDS_MAX,
    READ_MEMORY_BYTES_MAX, READ_STACK_BYTES,
};
use wares_typed::{CompareError, DescribeError};

/// Bytes of the native code of one component.
pub(crate) const NATIVE_BYTES_MAX: u64 = 512 << 20;
/// Bytes of a message to the parent.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// How far calls go before reading: it has a quarter of a CPU that they need too, and time enough for it.
const NICE: i32 = 5;
/// Seconds between the CPU limit and the kill.
const CPU_GRACE_SECONDS: u64 = 5;

/// The whole of a process that reads components, or compiles one; [`crate::WorkerCommand`] names the program whose `main`
/// calls it.
pub fn worker_main() -> ExitCode {
    // What a panic says goes into the complaint.
    panic::set_hook(Box::new(|_| {}));
    let complaint = match panic::catch_unwind(work) {
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

fn work() -> Result<(), Complaint> {
    let mut input = BufReader::new(io::stdin());
    let Some(order) = next_order(&mut input)? else { return Ok(()) };
    match order.work {
        Work::Compile(concurrency) => {
            bound_compiling().map_err(unbounded)?;
            compile(&body(&mut input, order.bytes)?, concurrency)
        }
        Work::Describe | Work::Compare { .. } => {
            bound_reading().map_err(unbounded)?;
            // How much stack there is does not depend on who started this.
            let reading = thread::Builder::new().name("read".to_owned()).stack_size(READ_STACK_BYTES);
            let reading = reading.spawn(move || read(order, input));
            let reading = reading.map_err(|error| Complaint::Host(format!("starting to read: {error}")))?;
            reading.join().unwrap_or_else(|panic| Err(Complaint::Panicked(said(panic.as_ref()))))
        }
    }
}

fn unbounded(error: io::Error) -> Complaint {
    Complaint::Host(format!("setting the worker's limits: {error}"))
}

/// The next order, unless the parent has no more.
fn next_order(input: &mut BufReader<io::Stdin>) -> Result<Option<Order>, Complaint> {
    let mut line = Vec::new();
    input.take(ORDER_LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(unreadable)?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| Complaint::Host(format!("an order that is none: {error}")))
}

fn body(input: &mut impl Read, bytes: u64) -> Result<Vec<u8>, Complaint> {
    if bytes > COMPONENT_BYTES_MAX {
        return Err(Complaint::Invalid(format!("the component has more than {COMPONENT_BYTES_MAX} bytes")));
    }
    let mut body = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
    input.take(bytes).read_to_end(&mut body).map_err(unreadable)?;
    if body.len() as u64 == bytes { Ok(body) } else { Err(unreadable(io::ErrorKind::UnexpectedEof.into())) }
}

fn unreadable(error: io::Error) -> Complaint {
    Complaint::Host(format!("reading the component: {error}"))
}

/// Reads one component after the other, each within the same bounds.
fn read(first: Order, mut input: BufReader<io::Stdin>) -> Result<(), Complaint> {
    let mut next = Some(first);
    while let Some(Order { work, bytes }) = next {
        let body = body(&mut input, bytes)?;
        grant_cpu().map_err(unbounded)?;
        answer(&examine(work, &body))?;
        next = next_order(&mut input)?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "this is the process for it")]
fn examine(work: Work, body: &[u8]) -> Answer {
    match work {
        Work::Compare { earlier_bytes } => {
            let texts = usize::try_from(earlier_bytes).ok().and_then(|at| body.split_at_checked(at));
            let (earlier, later) = texts.unwrap_or_default();
            match wares_typed::compare(&String::from_utf8_lossy(earlier), &String::from_utf8_lossy(later)) {
                Ok(changes) => Answer::Compared(changes),
                Err(error) => Answer::Incomparable(error),
            }
        }
        Work::Describe | Work::Compile(_) => match wares_typed::describe(body) {
            Ok(description) => Answer::Described(Box::new(description)),
            Err(error) => Answer::Refused(error),
        },
    }
}

/// Answers with one line.
fn answer(answer: &Answer) -> Result<(), Complaint> {
    let unwritable = |error: io::Error| Complaint::Host(format!("writing an answer: {error}"));
    let mut line = serde_json::to_vec(answer).map_err(|error| unwritable(error.into()))?;
    if line.len() > DESCRIPTION_BYTES_MAX {
        let too_long = match answer {
            Answer::Compared(_) | Answer::Incomparable(_) => Answer::Incomparable(CompareError::too_long()),
            Answer::Described(_) | Answer::Refused(_) => Answer::Refused(too_long(line.len())),
        };
        line = serde_json::to_vec(&too_long).map_err(|error| unwritable(error.into()))?;
    }
    line.push(b'\n');
    let mut output = io::stdout().lock();
    output.write_all(&line).and_then(|()| output.flush()).map_err(unwritable)
}

fn too_long(count: usize) -> DescribeError {
    DescribeError::TooMany { what: "bytes of description".into(), count, max: DESCRIPTION_BYTES_MAX }
}

#[expect(clippy::disallowed_methods, reason = "this is the process for it")]
fn compile(wasm: &[u8], concurrency: Concurrency) -> Result<(), Complaint> {
    let engine = wasmtime::Engine::new(&config::compiling(concurrency));
    let engine = engine.map_err(|error| Complaint::Host(format!("starting the compiler: {error:#}")))?;
    let native = engine.precompile_component(wasm);
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

fn bound_compiling() -> io::Result<()> {
    bound(Resource::Core, 0, 0)?;
    bound(Resource::As, COMPILE_MEMORY_BYTES_MAX, 0)?;
    // At the soft limit comes the signal that says so, at the hard one a plain kill.
    bound(Resource::Cpu, COMPILE_SECONDS_MAX, CPU_GRACE_SECONDS)?;
    bound(Resource::Fsize, NATIVE_BYTES_MAX, 0)
}

fn bound_reading() -> io::Result<()> {
    nice(NICE)?;
    bound(Resource::Core, 0, 0)?;
    bound(Resource::Fsize, 0, 0)?;
    // What can be written, however it was reserved. The allocator reserves more than it ever uses.
    bound(Resource::Data, READ_MEMORY_BYTES_MAX, 0)
}

/// From now on there is so much CPU time. The hard limit stays: an order more is granted as much again. A worker that granted
/// itself more would be ended by its parent's clock.
fn grant_cpu() -> io::Result<()> {
    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or_default();
    let maximum = getrlimit(Resource::Cpu).maximum;
    let current = Some(used.saturating_add(READ_CPU_SECONDS_MAX).min(maximum.unwrap_or(u64::MAX)));
    Ok(setrlimit(Resource::Cpu, Rlimit { current, maximum })?)
}

fn bound(resource: Resource, most: u64, grace: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most + grace) })?)
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    cut(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message").to_owned())
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
    text
}
