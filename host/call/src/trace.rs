//! The span of one call, made only while traces are exported.

use crate::{CallError, Prepared, Timing};
use std::fmt::Display;
use std::time::{Duration, SystemTime};
use tracing::Span;
use wares_engine::{CallContext, TRACES, TraceParent, add_log};
use wares_model::log::LogLine;
use wares_model::{Application, CallId, LedgerEntry, Outcome};

/// Lines of a call's log that its span tells of.
const LINES_MAX: usize = 128;
/// Bytes of them: spans wait for the collector in memory, bounded by their number.
const LOG_BYTES_MAX: usize = 8 << 10;

/// Begins the span of a call. A component's call is one as well, with its caller's span as [`TraceParent::Local`].
pub(crate) fn open(
    parent: &TraceParent,
    context: &CallContext,
    interface: &str,
    function: &str,
    application: &Application,
) -> Span {
    let CallContext { call, tenant, component, version, .. } = context;
    let (above, kind) = match parent {
        TraceParent::Local(span) => (span.id(), "internal"),
        TraceParent::None | TraceParent::Remote(_) => (None, "server"),
    };
    let span = tracing::info_span!(
        target: TRACES,
        parent: above,
        "call",
        otel.name = format_args!("{component}/{function}"),
        otel.kind = kind,
        otel.status_code = tracing::field::Empty,
        wares.call = %call,
        wares.tenant = %tenant,
        wares.application = &**application,
        wares.component = %component,
        wares.version = %version,
        wares.interface = interface,
        wares.function = function,
        wares.outcome = tracing::field::Empty,
        wares.refused = tracing::field::Empty,
        wares.shadow_of = tracing::field::Empty,
        wares.cpu_us = tracing::field::Empty,
        wares.memory_peak_bytes = tracing::field::Empty,
        wares.bytes_in = tracing::field::Empty,
        wares.bytes_out = tracing::field::Empty,
        wares.resolve_us = tracing::field::Empty,
        wares.queue_us = tracing::field::Empty,
        wares.instantiate_us = tracing::field::Empty,
        wares.run_us = tracing::field::Empty,
        wares.ledger_us = tracing::field::Empty,
        wares.log_cut = tracing::field::Empty,
    );
    parent.adopt(&span);
    span
}

/// Notes which call this one is made again for.
pub(crate) fn repeats(prepared: &Prepared, served: CallId) {
    prepared.context.span().record("wares.shadow_of", tracing::field::display(served));
}

/// Notes why a call was not run.
pub(crate) fn refused(prepared: &Prepared, error: &CallError) {
    let span = prepared.context.span();
    span.record("wares.refused", error.explanation.code.as_str());
    span.record("otel.status_code", "error");
}

/// Notes how a call ended, and what the guest wrote meanwhile.
pub(crate) fn ended(prepared: &Prepared, entry: &LedgerEntry) {
    let span = prepared.context.span();
    if span.is_disabled() {
        return;
    }
    span.record("wares.outcome", entry.outcome.as_str());
    if !matches!(entry.outcome, Outcome::Ok | Outcome::ComponentError) {
        span.record("otel.status_code", "error");
    }
    span.record("wares.cpu_us", number(entry.usage.cpu_us));
    span.record("wares.memory_peak_bytes", number(entry.usage.memory_peak_bytes));
    span.record("wares.bytes_in", number(entry.usage.bytes_in));
    span.record("wares.bytes_out", number(entry.usage.bytes_out));
    let (lines, is_cut) = beginning(entry.log_lines());
    if is_cut {
        span.record("wares.log_cut", true);
    }
    for LogLine { at, stream, level, context, message } in lines {
        let since = Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or_default());
        let mut attributes: Vec<(_, &dyn Display)> = Vec::new();
        attributes.push(("message", &message));
        attributes.push(("stream", &stream));
        if let Some(level) = &level {
            attributes.push(("level", level));
        }
        if let Some(context) = &context {
            attributes.push(("context", context));
        }
        add_log(&span, SystemTime::UNIX_EPOCH + since, &attributes);
    }
}

/// As much of a log as a span tells of, and whether there is more.
fn beginning<'a>(lines: impl Iterator<Item = LogLine<'a>>) -> (Vec<LogLine<'a>>, bool) {
    let (mut told, mut left) = (Vec::new(), LOG_BYTES_MAX);
    for line in lines {
        if left == 0 || told.len() == LINES_MAX {
            return (told, true);
        }
        let context = line.context.map(|text| fit(text, &mut left));
        let message = fit(line.message, &mut left);
        let is_cut = context != line.context || message != line.message;
        told.push(LogLine { context, message, ..line });
        if is_cut {
            return (told, true);
        }
    }
    (told, false)
}

/// The characters at the beginning of a text for which there is room.
fn fit<'a>(text: &'a str, left: &mut usize) -> &'a str {
    let fits = text.get(..text.floor_char_boundary(*left)).unwrap_or_default();
    *left -= fits.len();
    fits
}

/// A number as OpenTelemetry has them: 64 bits with a sign.
fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Notes where the time went, and ends the span.
pub(crate) fn timed(prepared: &Prepared, timing: &Timing) {
    let span = prepared.context.span();
    if span.is_disabled() {
        return;
    }
    let Timing { resolve, queue, instantiate, run, ledger } = *timing;
    for (name, time) in [
        ("wares.resolve_us", resolve),
        ("wares.queue_us", queue),
        ("wares.instantiate_us", instantiate),
        ("wares.run_us", run),
        ("wares.ledger_us", ledger),
    ] {
        span.record(name, i64::try_from(time.as_micros()).unwrap_or(i64::MAX));
    }
    drop(span);
    prepared.context.end_trace();
}

#[cfg(test)]
mod tests {
    use super::*;
    use wares_model::Timestamp;
    use wares_model::log::LogStream;

    fn line<'a>(context: Option<&'a str>, message: &'a str) -> LogLine<'a> {
        LogLine { at: Timestamp::from_micros(0), stream: LogStream::Log, level: None, context, message }
    }

    #[test]
    fn a_log_is_cut_at_a_character_and_at_a_line() {
        assert!(!beginning([line(Some("part"), "said"), line(None, "")].into_iter()).1);
        let long = "中".repeat(LOG_BYTES_MAX);
        let (lines, is_cut) = beginning([line(None, "a"), line(None, &long), line(None, "more")].into_iter());
        assert!(is_cut && lines.len() == 2, "{} lines", lines.len());
        let told: usize = lines.iter().map(|line| line.message.len()).sum();
        assert!((LOG_BYTES_MAX - 2..=LOG_BYTES_MAX).contains(&told), "{told} bytes");
        let (lines, is_cut) = beginning([line(Some(&long), "said")].into_iter());
        assert!(is_cut && lines.iter().all(|line| line.context.is_some_and(|text| text.len() <= LOG_BYTES_MAX)));
        let (lines, is_cut) = beginning(std::iter::repeat_n(line(None, "x"), LINES_MAX));
        assert!(!is_cut && lines.len() == LINES_MAX);
        assert!(beginning(std::iter::repeat_n(line(None, "x"), LINES_MAX + 1)).1);
    }
}
