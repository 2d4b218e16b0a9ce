//! A worker process as its parent sees it: how it is started and spoken to, and what its end says.

use crate::order::{ANSWER_BYTES_MAX, Complaint, Order, Work};
use rustix::process::Signal;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

/// Bytes read of what a worker says when it fails.
const COMPLAINT_BYTES_MAX: u64 = 64 << 10;
/// Threads of one worker: more would only divide its address space further.
const WORKER_THREADS_MAX: usize = 4;

/// The process that reads and compiles: a program whose `main` calls [`crate::worker_main`].
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// Why a worker came to its end before it had done its work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// What it was given is wrong.
    Invalid(String),
    /// It ran out of time.
    TooSlow,
    /// It ran out of memory.
    TooBig,
    /// It ran out of stack.
    TooDeep,
    /// It crashed.
    Crashed(String),
    /// This host failed.
    Host(String),
}

impl WorkerCommand {
    /// Starts a worker. It ends with the returned child at the latest.
    pub(crate) fn start(&self, stdout: Stdio) -> Result<Child, Fault> {
        let child = Command::new(&self.program)
            .args(&self.args)
            .env_clear()
            // Every thread's arena reserves address space, of which the worker has little.
            .env("MALLOC_ARENA_MAX", "2")
            // What is reserved is no memory before it is used, and so it is counted.
            .env("MIMALLOC_ARENA_EAGER_COMMIT", "0")
            .env("RAYON_NUM_THREADS", cores().min(WORKER_THREADS_MAX).to_string())
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn();
        child.map_err(|error| Fault::Host(format!("starting the worker {}: {error}", self.program.display())))
    }
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Gives an order. A worker that does not take all of it has ended, and says why by its status.
pub(crate) async fn give(stdin: &mut ChildStdin, work: Work, parts: &[&[u8]]) {
    let bytes = parts.iter().map(|part| part.len() as u64).sum();
    let Ok(mut line) = serde_json::to_vec(&Order { work, bytes }) else { return };
    line.push(b'\n');
    for part in [line.as_slice()].iter().chain(parts) {
        if stdin.write_all(part).await.is_err() {
            return;
        }
    }
}

/// What a worker that ended says.
pub(crate) async fn complaint(stderr: impl AsyncRead + Unpin) -> io::Result<String> {
    let mut said = Vec::new();
    stderr.take(COMPLAINT_BYTES_MAX).read_to_end(&mut said).await?;
    Ok(String::from_utf8_lossy(&said).into_owned())
}

/// Why a worker ended that did not do its work.
pub(crate) fn explain(status: ExitStatus, said: &str) -> Fault {
    let complaint = said.lines().find_map(|line| serde_json::from_str(line).ok());
    match complaint {
        Some(Complaint::Invalid(message)) => return Fault::Invalid(message),
        Some(Complaint::TooBig) => return Fault::TooBig,
        Some(Complaint::Host(message)) => return Fault::Host(message),
        // Threads that cannot be started for want of address space panic.
        Some(Complaint::Panicked(message)) if message.contains("Resource temporarily unavailable") => {
            return Fault::TooBig;
        }
        Some(Complaint::Panicked(message)) => return Fault::Crashed(message),
        None => {}
    }
    if said.contains("memory allocation of") {
        return Fault::TooBig;
    }
    if said.contains("has overflowed its stack") {
        return Fault::TooDeep;
    }
    match status.signal().and_then(Signal::from_named_raw) {
        Some(Signal::XCPU) => Fault::TooSlow,
        // A kill that this host did not send is the kernel's, for want of memory.
        Some(Signal::XFSZ | Signal::KILL) => Fault::TooBig,
        _ => Fault::Crashed(status.to_string()),
    }
}

/// A worker that reads one component after the other.
#[derive(Debug)]
pub(crate) struct Reading {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
}

impl Reading {
    pub(crate) fn start(command: &WorkerCommand) -> Result<Self, Fault> {
        let mut child = command.start(Stdio::piped())?;
        match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(stdin), Some(stdout), Some(stderr)) => {
                Ok(Self { child, stdin, stdout: BufReader::new(stdout), stderr })
            }
            _ => Err(Fault::Host("the worker has no pipes".to_owned())),
        }
    }

    /// The line that answers an order. After a fault nothing more can be ordered.
    pub(crate) async fn ask(&mut self, work: Work, parts: &[&[u8]]) -> Result<Vec<u8>, Fault> {
        let broken = |error: io::Error| Fault::Host(format!("the worker: {error}"));
        let mut line = Vec::new();
        let mut answer = (&mut self.stdout).take(ANSWER_BYTES_MAX as u64);
        let ((), read) = tokio::join!(give(&mut self.stdin, work, parts), answer.read_until(b'\n', &mut line));
        read.map_err(broken)?;
        if line.last() == Some(&b'\n') {
            return Ok(line);
        }
        if line.len() >= ANSWER_BYTES_MAX {
            return Err(Fault::Crashed("its answer has no end".to_owned()));
        }
        let said = complaint(&mut self.stderr).await.map_err(broken)?;
        Err(explain(self.child.wait().await.map_err(broken)?, &said))
    }
}
