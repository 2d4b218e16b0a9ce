//! The trace that a call belongs to: what its caller says of it, and the call's own span while traces are exported.
//!
//! Spans have a target of their own that nothing but the exporter listens to. Without an exporter none is ever made.

use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use parking_lot::Mutex;
use std::fmt;
use std::time::SystemTime;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The target of spans that are exported. A capability makes one for something that takes a while, below the call's:
/// `tracing::info_span!(target: TRACES, parent: context.span(), "request", …)`.
pub const TRACES: &str = "wares::traces";

/// Bytes of a header that are looked at.
const HEADER_BYTES_MAX: usize = 512;

/// What a call's trace is continued from.
#[derive(Debug, Clone, Default)]
pub enum TraceParent {
    /// Nothing: a trace begins with the call.
    #[default]
    None,
    /// A span of the caller, as it named it.
    Remote(SpanContext),
    /// A span of this host.
    Local(Span),
}

impl TraceParent {
    /// What W3C's headers `traceparent` and `tracestate` say. Headers that say nothing valid are as if they were not there.
    pub fn of_headers(traceparent: &str, tracestate: Option<&str>) -> Self {
        if traceparent.len() > HEADER_BYTES_MAX {
            return Self::None;
        }
        let tracestate = tracestate.filter(|state| state.len() <= HEADER_BYTES_MAX);
        let context =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers { traceparent, tracestate });
        let parent = context.span().span_context().clone();
        if parent.is_valid() { Self::Remote(parent) } else { Self::None }
    }

    /// W3C's header `traceparent` of this, if there is anything to continue.
    pub fn traceparent(&self) -> Option<String> {
        match self {
            Self::None => None,
            Self::Remote(parent) => write(parent),
            Self::Local(span) => traceparent(span),
        }
    }

    /// Makes the span of a call continue this, if the span is one. To be done before anything else is with it.
    pub fn adopt(&self, span: &Span) {
        if let Self::Remote(parent) = self
            && !span.is_disabled()
        {
            // Fails only for a span that is not exported.
            let _ = span.set_parent(Context::new().with_remote_span_context(parent.clone()));
        }
    }
}

struct Headers<'a> {
    traceparent: &'a str,
    tracestate: Option<&'a str>,
}

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.traceparent),
            "tracestate" => self.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

/// A call's place in its trace.
pub(crate) struct CallTrace {
    parent: TraceParent,
    /// A kept instance holds its last call: the span must end without that.
    span: Mutex<Span>,
}

impl Default for CallTrace {
    fn default() -> Self {
        Self { parent: TraceParent::None, span: Mutex::new(Span::none()) }
    }
}

impl CallTrace {
    pub(crate) fn new(parent: TraceParent, span: Span) -> Self {
        // A span that is kept would not end; the call's own span says all that would be asked of it.
        let parent = if matches!(parent, TraceParent::Local(_)) { TraceParent::None } else { parent };
        Self { parent, span: Mutex::new(span) }
    }

    pub(crate) fn span(&self) -> Span {
        self.span.lock().clone()
    }

    pub(crate) fn end(&self) {
        let ended = std::mem::replace(&mut *self.span.lock(), Span::none());
        // Outside of the lock: it goes to the exporter.
        drop(ended);
    }

    /// Of the call's span, or else what the caller said.
    pub(crate) fn traceparent(&self) -> Option<String> {
        traceparent(&self.span()).or_else(|| match &self.parent {
            TraceParent::Remote(parent) => write(parent),
            TraceParent::None | TraceParent::Local(_) => None,
        })
    }

    /// What a call continues that this one makes.
    pub(crate) fn below(&self) -> TraceParent {
        let span = self.span();
        if span.is_disabled() { self.parent.clone() } else { TraceParent::Local(span) }
    }
}

/// The header `traceparent` of a request that a span stands for, if the span is one that is exported.
pub fn traceparent(span: &Span) -> Option<String> {
    if span.is_disabled() { None } else { write(span.context().span().span_context()) }
}

fn write(context: &SpanContext) -> Option<String> {
    let flags = context.trace_flags().to_u8();
    context.is_valid().then(|| format!("00-{}-{}-{flags:02x}", context.trace_id(), context.span_id()))
}

/// Adds what a guest wrote to a span, at the time when it did.
pub fn add_log(span: &Span, at: SystemTime, attributes: &[(&'static str, &dyn fmt::Display)]) {
    let attributes = attributes.iter().map(|(name, value)| KeyValue::new(*name, value.to_string())).collect();
    span.add_event_with_timestamp("log", at, attributes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tracing_subscriber::layer::{Layer, SubscriberExt as _};

    /// Counts spans that end.
    struct Ends(Arc<AtomicUsize>);

    impl<S: tracing::Subscriber> Layer<S> for Ends {
        fn on_close(&self, _: tracing::span::Id, _: tracing_subscriber::layer::Context<'_, S>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn passed_on(header: &str) -> Option<String> {
        CallTrace::new(TraceParent::of_headers(header, None), Span::none()).traceparent()
    }

    #[test]
    fn a_callers_trace_is_passed_on_and_nonsense_is_not() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(passed_on(good).as_deref(), Some(good));
        for bad in [
            "",
            "00",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nx: y",
            &format!("{good}{}", "-".repeat(600)),
        ] {
            assert_eq!(passed_on(bad), None, "{bad:?}");
        }
        assert_eq!(CallTrace::default().traceparent(), None);
    }

    #[test]
    fn without_an_exporter_a_callers_trace_reaches_the_calls_below() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let outer = CallTrace::new(TraceParent::of_headers(good, None), Span::none());
        let inner = CallTrace::new(outer.below(), Span::none());
        assert_eq!(inner.traceparent().as_deref(), Some(good));
        assert_eq!(CallTrace::new(inner.below(), Span::none()).traceparent().as_deref(), Some(good));
    }

    #[test]
    fn a_call_below_does_not_hold_the_span_of_its_caller() {
        let ends = Arc::new(AtomicUsize::new(0));
        let registry = tracing_subscriber::registry().with(Ends(Arc::clone(&ends)));
        tracing::subscriber::with_default(registry, || {
            let outer = CallTrace::new(TraceParent::None, tracing::info_span!(target: TRACES, "outer"));
            assert!(matches!(outer.below(), TraceParent::Local(_)));
            let inner = CallTrace::new(outer.below(), tracing::info_span!(target: TRACES, "inner"));
            outer.end();
            assert_eq!(ends.load(Ordering::Relaxed), 1);
            inner.end();
            assert_eq!(ends.load(Ordering::Relaxed), 2);
        });
    }
}
