//! One request as it is seen from outside: its span, its metric, and the line in the call's log if it fails.

use super::failure::Failure;
use super::target::Target;
use crate::{CallContext, CallLog, TRACES};
use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use std::time::Instant;
use tracing::Span;
use tracing::field::Empty;
use wasmtime_wasi_http::Error;

const REQUESTS: &str = "wares_outbound_requests_total";
const SECONDS: &str = "wares_outbound_request_seconds";

/// Tells the metrics recorder what the metrics of outbound requests mean.
pub fn describe_metrics() {
    describe_counter!(REQUESTS, "HTTP requests that components sent or wanted to send, by outcome");
    describe_histogram!(SECONDS, Unit::Seconds, "Time from a component's HTTP request to the end of its response");
}

/// Follows one request to its end. Dropped before that, it counts as `dropped`: the guest lost interest, or its call ended.
pub(crate) struct Watch {
    span: Span,
    log: CallLog,
    target: Option<String>,
    began: Instant,
    outcome: &'static str,
    bytes_in: u64,
}

impl Watch {
    /// Of a request that the call sends. Its span is named as OpenTelemetry's conventions for HTTP clients have it.
    pub(crate) fn new(context: &CallContext, log: CallLog) -> Self {
        let span = tracing::info_span!(
            target: TRACES,
            parent: context.span(),
            "outbound",
            otel.kind = "client",
            otel.status_code = Empty,
            server.address = Empty,
            server.port = Empty,
            http.request.method = Empty,
            http.response.status_code = Empty,
            wares.bytes_in = Empty,
            wares.outcome = Empty,
        );
        Self { span, log, target: None, began: Instant::now(), outcome: "dropped", bytes_in: 0 }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    pub(crate) fn addressed(&mut self, target: &Target) {
        self.span.record("server.address", target.host.trim_matches(['[', ']']));
        self.span.record("server.port", i64::from(target.port));
        self.span.record("http.request.method", target.method.as_str());
        self.target = Some(target.to_string());
    }

    pub(crate) fn answered(&self, status: u16) {
        self.span.record("http.response.status_code", i64::from(status));
    }

    pub(crate) fn received(&mut self, bytes: usize) {
        self.bytes_in = self.bytes_in.saturating_add(bytes as u64);
    }

    /// Bytes of the response's body so far.
    pub(crate) fn bytes_in(&self) -> u64 {
        self.bytes_in
    }

    pub(crate) fn ended_well(&mut self) {
        self.outcome = "ok";
    }

    /// Says in the call's log why the request failed, and returns what the guest is told.
    pub(crate) fn failed(&mut self, failure: Failure) -> Error {
        let Failure { code, outcome, reason } = failure;
        self.outcome = outcome;
        let target = self.target.as_deref().unwrap_or("a request");
        tracing::debug!(parent: &self.span, target, outcome, reason, "outbound request failed");
        self.log.say(format_args!("[http] {target}: {reason}"));
        code
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.span.record("wares.bytes_in", i64::try_from(self.bytes_in).unwrap_or(i64::MAX));
        self.span.record("wares.outcome", self.outcome);
        if self.outcome != "ok" {
            self.span.record("otel.status_code", "error");
        }
        counter!(REQUESTS, "outcome" => self.outcome).increment(1);
        histogram!(SECONDS).record(self.began.elapsed());
    }
}
