//! What a program is given and what it writes, when a call runs `wasi:cli/run`.
//!
//! Its output is kept for the answer, as much of it as an answer may have and one byte more, by which whoever writes the answer
//! sees that there was too much.

use crate::CallLog;
use crate::output::{Output, Take};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use wares_model::log::LogStream;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

/// A program that a call runs.
#[derive(Debug)]
pub struct Program {
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    input: Bytes,
    output: Kept,
    errors: Kept,
}

/// What was written to a stream. Clones share it.
#[derive(Debug, Clone)]
struct Kept {
    bytes: Arc<Mutex<Vec<u8>>>,
    bytes_max: usize,
}

impl Program {
    /// One that is given this, the first argument its own name, of whose output an answer may have so many bytes.
    pub fn new(
        arguments: Vec<String>,
        environment: Vec<(String, String)>,
        input: String,
        output_bytes_max: u64,
    ) -> Self {
        let bytes_max = usize::try_from(output_bytes_max).unwrap_or(usize::MAX).saturating_add(1);
        let kept = || Kept { bytes: Arc::default(), bytes_max };
        Self { arguments, environment, input: input.into(), output: kept(), errors: kept() }
    }

    /// What it wrote to standard output and to standard error.
    pub fn written(&self) -> [String; 2] {
        [&self.output, &self.errors].map(|kept| {
            let bytes = std::mem::take(&mut *kept.bytes.lock());
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        })
    }

    /// What WASI holds for it. Standard error goes to the call's log too.
    pub(crate) fn context(&self, builder: &mut WasiCtxBuilder, log: &CallLog) -> WasiCtx {
        builder.args(&self.arguments).envs(&self.environment).stdin(MemoryInputPipe::new(self.input.clone()));
        builder.stdout(Output(End { kept: self.output.clone(), log: None }));
        builder.stderr(Output(End { kept: self.errors.clone(), log: Some(log.clone()) }));
        builder.build()
    }
}

/// An end of a stream that a program writes to.
#[derive(Clone)]
struct End {
    kept: Kept,
    log: Option<CallLog>,
}

impl Take for End {
    fn take(&self, bytes: &[u8]) {
        let mut kept = self.kept.bytes.lock();
        let room = self.kept.bytes_max.saturating_sub(kept.len());
        kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        drop(kept);
        if let Some(log) = &self.log {
            log.write(LogStream::Stderr, bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_until_one_byte_more_than_an_answer_may_have() {
        let program = Program::new(Vec::new(), Vec::new(), String::new(), 4);
        let end = End { kept: program.output.clone(), log: None };
        for piece in ["ab", "cd", "ef"] {
            end.take(piece.as_bytes());
        }
        assert_eq!(program.written(), ["abcde", ""]);
    }
}
