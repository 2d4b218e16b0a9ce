//! What a guest wrote during a call: one text, and marks that say which part of it came when, from where, and how important.

use crate::{CallId, ComponentName, LedgerEntry, TenantId, Timestamp, Version};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where a guest wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The interface for log messages.
    Log,
    /// Nowhere: the host says why it refused something, or what it did not keep.
    Host,
}

/// How important a guest says that a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the words of wasi:logging")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

impl fmt::Display for LogStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Log => "log",
            Self::Host => "host",
        })
    }
}

impl LogLevel {
    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of a log's text, from where the part before it ends. As JSON it is an array, so that it takes little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "MarkArray", into = "MarkArray")]
pub struct LogMark {
    /// When its writing began.
    pub at: Timestamp,
    /// Where it was written.
    pub stream: LogStream,
    /// How important it is; of messages only.
    pub level: Option<LogLevel>,
    /// Bytes at its beginning that tell level and context.
    pub head: u32,
    /// All its bytes.
    pub bytes: u32,
}

type MarkArray = (i64, LogStream, Option<LogLevel>, u32, u32);

impl From<MarkArray> for LogMark {
    fn from((at, stream, level, head, bytes): MarkArray) -> Self {
        Self { at: Timestamp::from_micros(at), stream, level, head, bytes }
    }
}

impl From<LogMark> for MarkArray {
    fn from(mark: LogMark) -> Self {
        (mark.at.as_micros(), mark.stream, mark.level, mark.head, mark.bytes)
    }
}

/// A line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LogLine<'a> {
    /// When its writing began.
    pub at: Timestamp,
    /// Where it was written.
    pub stream: LogStream,
    /// How important it is; of messages only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<LogLevel>,
    /// Which part of the program speaks; of messages only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<&'a str>,
    /// What it says. A message may have several lines.
    pub message: &'a str,
}

/// A line, and which call it is of.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CallLogLine<'a> {
    /// The call.
    pub call: CallId,
    /// Whose.
    pub tenant: &'a TenantId,
    /// What was called.
    pub component: &'a ComponentName,
    /// Its version.
    pub version: &'a Version,
    /// The line.
    #[serde(flatten)]
    pub line: LogLine<'a>,
}

/// Cuts a text into its lines. Of a text without marks nothing but the time of the call is known.
pub fn lines<'a>(text: &'a str, marks: &'a [LogMark], started: Timestamp) -> impl Iterator<Item = LogLine<'a>> {
    let bytes = u32::try_from(text.len()).unwrap_or(u32::MAX);
    let unmarked = LogMark { at: started, stream: LogStream::Stdout, level: None, head: 0, bytes };
    let unmarked = marks.is_empty().then_some(unmarked);
    let mut rest = text;
    marks.iter().copied().chain(unmarked).flat_map(move |mark| {
        // Stored marks may be of no use; then the rest of the text is one part.
        let (part, after) = rest.split_at_checked(mark.bytes as usize).unwrap_or((rest, ""));
        rest = after;
        lines_of(part, mark)
    })
}

fn lines_of(part: &str, mark: LogMark) -> impl Iterator<Item = LogLine<'_>> {
    let LogMark { at, stream, level, head, .. } = mark;
    let (head, body) = part.split_at_checked(head as usize).unwrap_or(("", part));
    let context = head.strip_prefix('[').and_then(|head| head.strip_suffix("] ")?.split_once(' '));
    let context = context.map(|(_, context)| context);
    let whole = (stream == LogStream::Log).then(|| body.strip_suffix('\n').unwrap_or(body));
    let split = whole.is_none().then(|| body.lines());
    let lines = whole.into_iter().chain(split.into_iter().flatten());
    lines.map(move |message| LogLine { at, stream, level, context, message })
}

impl LedgerEntry {
    /// The lines of its log.
    pub fn log_lines(&self) -> impl Iterator<Item = LogLine<'_>> {
        lines(self.logs.as_deref().unwrap_or_default(), &self.log_marks, self.started)
    }

    /// The same, each with the call that it is of.
    pub fn call_log_lines(&self) -> impl Iterator<Item = CallLogLine<'_>> {
        let Self { call, tenant, component, version, .. } = self;
        self.log_lines().map(move |line| CallLogLine { call: *call, tenant, component, version, line })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at: i64, stream: LogStream, head: u32, bytes: u32) -> LogMark {
        let level = (stream == LogStream::Log).then_some(LogLevel::Warn);
        LogMark { at: Timestamp::from_micros(at), stream, level, head, bytes }
    }

    fn cut(text: &str, marks: &[LogMark]) -> Vec<String> {
        lines(text, marks, Timestamp::from_micros(9))
            .map(|line| format!("{} {} {:?} {:?}", line.at.as_micros(), line.stream, line.context, line.message))
            .collect()
    }

    #[test]
    fn marks_cut_a_text_into_lines() {
        let text = "a\nb\n[warn my part] two\nlines\n[warn] x\nlast";
        let marks = [
            mark(1, LogStream::Stdout, 0, 4),
            mark(2, LogStream::Log, 15, 25),
            mark(3, LogStream::Log, 7, 9),
            mark(4, LogStream::Stderr, 0, 4),
        ];
        let expected = [
            "1 stdout None \"a\"",
            "1 stdout None \"b\"",
            "2 log Some(\"my part\") \"two\\nlines\"",
            "3 log None \"x\"",
            "4 stderr None \"last\"",
        ];
        assert_eq!(cut(text, &marks), expected);
        assert_eq!(cut("a\nb", &[]), ["9 stdout None \"a\"", "9 stdout None \"b\""]);
        let stored = serde_json::to_string(&marks).unwrap();
        assert_eq!(serde_json::from_str::<Vec<LogMark>>(&stored).unwrap(), marks);
    }

    #[test]
    fn marks_that_do_not_fit_lose_nothing() {
        assert_eq!(cut("中文", &[mark(1, LogStream::Stdout, 0, 1)]), ["1 stdout None \"中文\""]);
        assert_eq!(cut("ab", &[mark(1, LogStream::Log, 7, 2)]), ["1 log None \"ab\""]);
        assert_eq!(cut("", &[mark(1, LogStream::Stdout, 0, 8)]), Vec::<String>::new());
    }
}
