//! The log of one call: standard output, standard error and log messages, in the order they came.
//!
//! It never holds more than its bound; what comes after is counted and dropped, and the guest goes on.

use crate::output::{Output, Take};
use parking_lot::Mutex;
use std::sync::Arc;
use wares_model::Timestamp;
use wares_model::limits::{LOG_LINES_MAX, LOG_MARKS_MAX};
use wares_model::log::{LogLevel, LogMark, LogStream};

/// Lines of one stream that came within this time share a mark.
const SHARED_US: i64 = 1_000;

/// A bounded log. Clones share it.
#[derive(Clone)]
pub struct CallLog(Arc<Mutex<Buffer>>);

struct Buffer {
    bytes: Vec<u8>,
    bytes_max: usize,
    marks: Vec<LogMark>,
    lines: usize,
    dropped: u64,
}

/// What a guest wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// The text.
    pub text: String,
    /// Which part of it came when and from where. They cover it as a whole.
    pub marks: Vec<LogMark>,
}

impl CallLog {
    /// An empty log that keeps at most so many bytes.
    pub fn new(bytes_max: u64) -> Self {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self(Arc::new(Mutex::new(Buffer { bytes: Vec::new(), bytes_max, marks: Vec::new(), lines: 0, dropped: 0 })))
    }

    /// Takes what has been written, with a note if more was written than kept. The log is empty after it.
    pub fn take(&self) -> Written {
        let mut buffer = self.0.lock();
        let (bytes, dropped) = (std::mem::take(&mut buffer.bytes), std::mem::take(&mut buffer.dropped));
        let marks = std::mem::take(&mut buffer.marks);
        buffer.lines = 0;
        drop(buffer);
        let mut written = match String::from_utf8(bytes) {
            Ok(text) => Written { text, marks },
            Err(error) => replace_invalid(error.as_bytes(), marks),
        };
        if dropped > 0 {
            let note = format!("\n[{dropped} more bytes were not kept: the log is full]\n");
            written.text.push_str(&note);
            written.marks.push(mark(LogStream::Host, None, 1, note.len()));
        }
        written
    }

    /// Writes to a stream.
    pub(crate) fn write(&self, stream: LogStream, bytes: &[u8]) {
        self.0.lock().write(stream, None, 0, bytes);
    }

    /// Writes a line of the host's own.
    pub(crate) fn say(&self, what: std::fmt::Arguments<'_>) {
        self.write(LogStream::Host, format!("{what}\n").as_bytes());
    }

    /// Writes a message.
    pub(crate) fn write_message(&self, level: LogLevel, context: &str, message: &str) {
        let space = if context.is_empty() { "" } else { " " };
        let head = format!("[{level}{space}{context}] ");
        let text = format!("{head}{message}\n");
        self.0.lock().write(LogStream::Log, Some(level), head.len(), text.as_bytes());
    }

    /// The log as one of the guest's streams.
    pub(crate) fn stream(&self, stream: LogStream) -> Output<LogEnd> {
        Output(LogEnd { log: self.clone(), stream })
    }
}

impl Buffer {
    fn write(&mut self, stream: LogStream, level: Option<LogLevel>, head: usize, bytes: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.bytes.len());
        let room = room.min(bytes_of_lines(bytes, LOG_LINES_MAX.saturating_sub(self.lines)));
        let mut mark = mark(stream, level, head, bytes.len().min(room));
        let goes_on = self.bytes.last().is_some_and(|last| *last != b'\n');
        let shares = self.marks.last().is_some_and(|last| {
            let near = goes_on || mark.at.as_micros() - last.at.as_micros() < SHARED_US;
            level.is_none() && last.stream == stream && near
        });
        let room = if !shares && self.marks.len() >= LOG_MARKS_MAX { 0 } else { room };
        let (kept, dropped) = bytes.split_at(room.min(bytes.len()));
        self.dropped = self.dropped.saturating_add(dropped.len() as u64);
        if kept.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(kept);
        self.lines += kept.iter().filter(|byte| **byte == b'\n').count();
        match self.marks.last_mut().filter(|_| shares) {
            Some(last) => last.bytes = last.bytes.saturating_add(mark.bytes),
            None => {
                mark.head = mark.head.min(mark.bytes);
                self.marks.push(mark);
            }
        }
    }
}

/// Bytes of so many lines of a text, or of all of it.
fn bytes_of_lines(text: &[u8], lines: usize) -> usize {
    let mut ends = text.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    match lines.checked_sub(1) {
        None => 0,
        Some(before) => ends.nth(before).unwrap_or(text.len()),
    }
}

fn mark(stream: LogStream, level: Option<LogLevel>, head: usize, bytes: usize) -> LogMark {
    let size = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
    LogMark { at: Timestamp::now(), stream, level, head: size(head), bytes: size(bytes) }
}

/// The text of bytes that are not all UTF-8, and where its parts are.
fn replace_invalid(bytes: &[u8], marks: Vec<LogMark>) -> Written {
    let mut written = Written::default();
    let mut rest = bytes;
    for mark in marks {
        let (part, after) = rest.split_at_checked(mark.bytes as usize).unwrap_or((rest, &[]));
        rest = after;
        let (head, body) = part.split_at_checked(mark.head as usize).unwrap_or((&[], part));
        let [head, body] = [head, body].map(String::from_utf8_lossy);
        let size = |text: &str| u32::try_from(text.len()).unwrap_or(u32::MAX);
        let (head_bytes, body_bytes) = (size(&head), size(&body));
        written.marks.push(LogMark { head: head_bytes, bytes: head_bytes.saturating_add(body_bytes), ..mark });
        written.text.push_str(&head);
        written.text.push_str(&body);
    }
    written
}

/// An end of a log that a guest writes to.
#[derive(Clone)]
pub(crate) struct LogEnd {
    log: CallLog,
    stream: LogStream,
}

impl Take for LogEnd {
    fn take(&self, bytes: &[u8]) {
        self.log.write(self.stream, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wares_model::log;

    fn lines(written: &Written) -> Vec<String> {
        let lines = log::lines(&written.text, &written.marks, Timestamp::from_micros(0));
        lines.map(|line| format!("{} {}", line.stream, line.message)).collect()
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let log = CallLog::new(8);
        log.write(LogStream::Stdout, b"hello");
        log.write(LogStream::Stdout, b" world");
        log.write(LogStream::Stdout, b"more");
        let written = log.take();
        assert_eq!(written.text, "hello wo\n[7 more bytes were not kept: the log is full]\n");
        let note = "host [7 more bytes were not kept: the log is full]";
        assert_eq!(lines(&written), ["stdout hello wo", note]);
        assert_eq!(log.take(), Written::default());
    }

    #[test]
    fn marks_have_a_bound_too() {
        let log = CallLog::new(1 << 20);
        for _ in 0..LOG_MARKS_MAX {
            log.write(LogStream::Stdout, b"\n");
            log.write(LogStream::Stderr, b"\n");
        }
        let written = log.take();
        assert_eq!(written.marks.len(), LOG_MARKS_MAX + 1);
        // What comes within a moment of the last mark shares it.
        assert!(written.text.contains("more bytes were not kept"), "{}", written.text);
    }

    #[test]
    fn lines_have_a_bound_too() {
        let log = CallLog::new(1 << 20);
        log.write(LogStream::Stdout, &vec![b'\n'; LOG_LINES_MAX - 1]);
        log.write(LogStream::Stdout, b"last\nand\nmore\n");
        log.write(LogStream::Stderr, b"\n");
        let written = log.take();
        assert!(
            written.text.ends_with("\nlast\n\n[10 more bytes were not kept: the log is full]\n"),
            "{:.200}",
            written.text
        );
        log.write(LogStream::Stdout, b"again\n");
        assert_eq!(log.take().text, "again\n");
    }

    #[test]
    fn a_cut_character_is_replaced() {
        let log = CallLog::new(4);
        log.write(LogStream::Stdout, "中文".as_bytes());
        assert_eq!(log.take().text, "中\u{fffd}\n[2 more bytes were not kept: the log is full]\n");
        let log = CallLog::new(100);
        log.write(LogStream::Stdout, b"a\xff\n");
        log.write_message(LogLevel::Warn, "part", "said");
        let written = log.take();
        assert_eq!(written.text, "a\u{fffd}\n[warn part] said\n");
        assert_eq!(lines(&written), ["stdout a\u{fffd}", "log said"]);
    }

    #[test]
    fn a_line_that_is_written_in_pieces_is_one() {
        let log = CallLog::new(100);
        for piece in ["on", "e ", "line\n", "two\n"] {
            log.write(LogStream::Stdout, piece.as_bytes());
        }
        log.write(LogStream::Stderr, b"three\n");
        assert_eq!(lines(&log.take()), ["stdout one line", "stdout two", "stderr three"]);
    }
}
