//! The span of one call, made only while traces are exported.

use crate::{CallError, Prepared, Timing};
use std::fmt::Display;
use std::time::{Duration, SystemTime};
use tracing::Span;
use wares_engine::{CallContext, TRACES, TraceParent, add_log};
use wares_model::log::LogLine;
use wares_model::{Application, LedgerEntry, Outcome};

/// Lines of a call's log that its span tells of.
const LINES_MAX: usize = 128;

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
        wares.cpu_us = tracing::field::Empty,
        wares.memory_peak_bytes = tracing::field::Empty,
        wares.bytes_in = tracing::field::Empty,
        wares.bytes_out = tracing::field::Empty,
        wares.resolve_us = tracing::field::Empty,
        wares.queue_us = tracing::field::Empty,
        wares.instantiate_us = tracing::field::Empty,
        wares.run_us = tracing::field::Empty,
        wares.ledger_us = tracing::field::Empty,
    );
    parent.adopt(&span);
    span
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
    for LogLine { at, stream, level, context, message } in entry.log_lines().take(LINES_MAX) {
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
