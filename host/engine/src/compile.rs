//! Compiles in a child process that is bounded in memory, CPU time and wall time.

use crate::concurrency::Concurrency;
use crate::worker::Complaint;
use bytes::Bytes;
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;
use wares_model::limits::{COMPILE_MEMORY_BYTES_MAX, COMPILE_SECONDS_MAX};

/// Bytes read of what the worker says.
const COMPLAINT_BYTES_MAX: u64 = 64 << 10;
/// Threads of one worker: more would only divide its address space further.
const WORKER_THREADS_MAX: usize = 4;

/// The process that compiles: a program whose `main` calls [`crate::compile_worker_main`].
#[derive(Debug, Clone)]
pub struct WorkerCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
}

/// Why there is no native code.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum CompileError {
    /// The component is malformed, uses a feature that is off, or cannot be linked.
    #[error("the component cannot be compiled: {0}")]
    Invalid(String),
    /// Compilation took too long.
    #[error("compiling the component took more than {COMPILE_SECONDS_MAX} s; split its largest functions")]
    TooSlow,
    /// Compilation took too much memory, or gave too much code.
    #[error(
        "compiling the component took more than {} MiB; make it smaller",
        COMPILE_MEMORY_BYTES_MAX >> 20
    )]
    TooBig,
    /// The compiler crashed.
    #[error("the compiler crashed on the component ({0}); the host is unharmed")]
    Crashed(String),
    /// This host failed.
    #[error("the host could not compile: {0}")]
    Host(String),
}

/// Starts workers, a few at a time.
pub(crate) struct Compiler {
    worker: WorkerCommand,
    slots: Semaphore,
}

impl Compiler {
    pub(crate) fn new(worker: WorkerCommand) -> Self {
        Self { worker, slots: Semaphore::new((cores() / 2).max(1)) }
    }

    /// Compiles `wasm` into `native`.
    pub(crate) async fn compile(
        &self,
        wasm: &Bytes,
        concurrency: Concurrency,
        native: File,
    ) -> Result<(), CompileError> {
        let _slot = self.slots.acquire().await.map_err(|error| CompileError::Host(error.to_string()))?;
        let mut child = self.start(native).map_err(|error| {
            CompileError::Host(format!("starting the worker {}: {error}", self.worker.program.display()))
        })?;
        let order = Order { concurrency, wasm };
        let work = tokio::time::timeout(Duration::from_secs(COMPILE_SECONDS_MAX), converse(&mut child, order));
        let Ok(ended) = work.await else {
            // Reaped by the runtime; it holds nothing of this host's but its output file.
            let _ = child.start_kill();
            return Err(CompileError::TooSlow);
        };
        let (status, complaint) = ended.map_err(|error| CompileError::Host(format!("the worker: {error}")))?;
        if status.success() { Ok(()) } else { Err(explain(status, &complaint)) }
    }

    fn start(&self, native: File) -> std::io::Result<Child> {
        Command::new(&self.worker.program)
            .args(&self.worker.args)
            .env_clear()
            // Every thread's arena reserves address space, of which the worker has little.
            .env("MALLOC_ARENA_MAX", "2")
            .env("RAYON_NUM_THREADS", cores().min(WORKER_THREADS_MAX).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::from(native))
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What a worker is to compile, and for which configuration.
struct Order<'a> {
    concurrency: Concurrency,
    wasm: &'a Bytes,
}

/// Hands the component over and waits for the end, whichever side stops first.
async fn converse(child: &mut Child, order: Order<'_>) -> std::io::Result<(ExitStatus, String)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A worker that does not read on has ended and says why by its status.
            if stdin.write_all(&[order.concurrency.byte()]).await.is_ok() {
                let _ = stdin.write_all(order.wasm).await;
            }
        }
    };
    let read = async {
        let mut complaint = Vec::new();
        if let Some(stderr) = stderr {
            stderr.take(COMPLAINT_BYTES_MAX).read_to_end(&mut complaint).await?;
        }
        std::io::Result::Ok(String::from_utf8_lossy(&complaint).into_owned())
    };
    let ((), complaint) = tokio::join!(write, read);
    let complaint = complaint?;
    Ok((child.wait().await?, complaint))
}

fn explain(status: ExitStatus, said: &str) -> CompileError {
    let complaint = said.lines().find_map(|line| serde_json::from_str(line).ok());
    match complaint {
        Some(Complaint::Invalid(message)) => return CompileError::Invalid(message),
        Some(Complaint::TooBig) => return CompileError::TooBig,
        Some(Complaint::Host(message)) => return CompileError::Host(message),
        // Threads that cannot be started for want of address space panic.
        Some(Complaint::Panicked(message)) if message.contains("Resource temporarily unavailable") => {
            return CompileError::TooBig;
        }
        Some(Complaint::Panicked(message)) => return CompileError::Crashed(message),
        None => {}
    }
    if said.contains("memory allocation of") {
        return CompileError::TooBig;
    }
    match status.signal().and_then(Signal::from_named_raw) {
        Some(Signal::XCPU) => CompileError::TooSlow,
        // A kill that this host did not send is the kernel's, for want of memory.
        Some(Signal::XFSZ | Signal::KILL) => CompileError::TooBig,
        _ => CompileError::Crashed(status.to_string()),
    }
}
