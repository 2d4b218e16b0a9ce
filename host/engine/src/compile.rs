//! Compiles in a child process that is bounded in memory, CPU time and wall time.

use crate::concurrency::Concurrency;
use crate::order::Work;
use crate::process::{Fault, WorkerCommand, complaint, cores, explain, give};
use crate::queue::{Bounds, Lane, Overloaded, Queue};
use bytes::Bytes;
use std::fs::File;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::Child;
use wares_model::limits::{COMPILE_MEMORY_BYTES_MAX, COMPILE_SECONDS_MAX, WAITING_COMPONENTS_MAX};

/// Workers that compile at once for others than operators; two at least, so that nobody has them all. Each uses several threads.
const COMPILING_MIN: usize = 2;

/// Why there is no native code.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum CompileError {
    /// The component is malformed, or uses a feature that is off.
    #[error("the component cannot be compiled: {0}")]
    Invalid(String),
    /// It does not fit what this host gives it to import.
    #[error("{0}")]
    Unlinked(String),
    /// Compilation took too long.
    #[error("compiling the component took more than {COMPILE_SECONDS_MAX} s; split its largest functions")]
    TooSlow,
    /// Compilation took too much memory, or gave too much code.
    #[error(
        "compiling the component took more than {} MiB; make it smaller",
        COMPILE_MEMORY_BYTES_MAX >> 20
    )]
    TooBig,
    /// Compilation took too much stack.
    #[error("the component nests deeper than can be compiled: nest its blocks, types and components less deep")]
    TooDeep,
    /// The compiler crashed.
    #[error("the compiler crashed on the component ({0}); the host is unharmed")]
    Crashed(String),
    /// Too many components wait to be compiled.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// This host failed.
    #[error("the host could not compile: {0}")]
    Host(String),
}

impl From<Fault> for CompileError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Invalid(message) => Self::Invalid(message),
            Fault::TooSlow => Self::TooSlow,
            Fault::TooBig => Self::TooBig,
            Fault::TooDeep => Self::TooDeep,
            Fault::Crashed(message) => Self::Crashed(message),
            Fault::Host(message) => Self::Host(message),
        }
    }
}

/// Starts workers, a few at a time.
pub(crate) struct Compiler {
    worker: WorkerCommand,
    queue: Queue,
}

impl Compiler {
    pub(crate) fn new(worker: WorkerCommand) -> Self {
        let running_max = (cores() / 2).max(COMPILING_MIN);
        let queue = Queue::new(Bounds {
            running_max,
            operators_max: 1,
            lane_running_max: running_max - 1,
            lane_waiting_max: WAITING_COMPONENTS_MAX,
        });
        Self { worker, queue }
    }

    /// Compiles `wasm` into `native`. Who waits no longer ends the work.
    pub(crate) async fn compile(
        &self,
        lane: &Lane,
        wasm: &Bytes,
        concurrency: Concurrency,
        native: File,
    ) -> Result<(), CompileError> {
        let _turn = self.queue.turn(lane).await?;
        // A worker that is dropped is killed; it holds nothing of this host's but its output file.
        let mut child = self.worker.start(Stdio::from(native))?;
        let work = converse(&mut child, Work::Compile(concurrency), wasm);
        let ended = tokio::time::timeout(Duration::from_secs(COMPILE_SECONDS_MAX), work).await;
        let ended = ended.map_err(|_| CompileError::TooSlow)?;
        let (status, said) = ended.map_err(|error| CompileError::Host(format!("the worker: {error}")))?;
        if status.success() { Ok(()) } else { Err(explain(status, &said).into()) }
    }
}

/// Hands the component over and waits for the end, whichever side stops first.
async fn converse(child: &mut Child, work: Work, wasm: &Bytes) -> std::io::Result<(ExitStatus, String)> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            give(&mut stdin, work, &[wasm]).await;
        }
    };
    let read = async {
        match stderr {
            Some(stderr) => complaint(stderr).await,
            None => Ok(String::new()),
        }
    };
    let ((), said) = tokio::join!(write, read);
    let said = said?;
    Ok((child.wait().await?, said))
}
