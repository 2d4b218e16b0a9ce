//! Traces: spans of calls go to a collector over OTLP, beside the calls and never in their way.
//!
//! Spans that ended wait in a bounded queue. What does not fit, and what the collector does not take, is dropped and counted.

use crate::{client, config};
use anyhow::Context as _;
use metrics::{counter, describe_counter};
use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _, SpanProcessor,
};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Spans that wait for the collector.
const QUEUE_SPANS_MAX: usize = 4_096;
/// Spans of one request to it. Each has at most a few KiB of its call's log.
const BATCH_SPANS_MAX: usize = 128;
/// For one request to it.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// For what waits when the host ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

const DROPPED: &str = "wares_trace_spans_dropped_total";
const EXPORTED: &str = "wares_trace_spans_exported_total";

/// Tells the metrics recorder what the metrics of traces mean.
pub fn describe_metrics() {
    describe_counter!(DROPPED, "Spans that did not reach the collector, by reason");
    describe_counter!(EXPORTED, "Spans that the collector took");
}

/// The export of spans, while it runs.
pub struct Traces {
    provider: SdkTracerProvider,
    stop: oneshot::Sender<()>,
    exporting: JoinHandle<()>,
}

impl Traces {
    /// Starts it, on the runtime that this is called on.
    pub fn start(settings: &config::Traces) -> anyhow::Result<Self> {
        let scheme = settings.endpoint.split(':').next().unwrap_or_default();
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client::http(scheme).context("traces: the HTTP client")?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&settings.endpoint)
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .context("traces.endpoint")?;
        let resource = Resource::builder().with_service_name("wares").build();
        exporter.set_resource(&resource);
        let (sender, queue) = mpsc::channel(QUEUE_SPANS_MAX);
        let (stop, stopped) = oneshot::channel();
        let exporting = tokio::spawn(export(exporter, queue, stopped));
        let ratio = 1.0 / settings.sample_one_in as f64;
        let provider = SdkTracerProvider::builder()
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .with_resource(resource)
            .with_span_processor(Queue(sender))
            .build();
        Ok(Self { provider, stop, exporting })
    }

    /// Makes spans.
    pub fn tracer(&self) -> SdkTracer {
        self.provider.tracer("wares")
    }

    /// Sends what waits, as far as the collector takes it in time.
    pub async fn finish(self) {
        let _ = self.stop.send(());
        if tokio::time::timeout(FLUSH_TIMEOUT, self.exporting).await.is_err() {
            tracing::warn!("some spans did not reach the collector of traces before the host ended");
        }
    }
}

/// Takes spans that ended. It never waits.
#[derive(Debug)]
struct Queue(mpsc::Sender<SpanData>);

impl SpanProcessor for Queue {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() && self.0.try_send(span).is_err() {
            counter!(DROPPED, "reason" => "queue-full").increment(1);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Sends whatever waits; the next batch forms meanwhile.
async fn export(exporter: SpanExporter, mut queue: mpsc::Receiver<SpanData>, mut stopped: oneshot::Receiver<()>) {
    let mut failing = false;
    loop {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            count = queue.recv_many(&mut batch, BATCH_SPANS_MAX) => if count == 0 { return },
            _ = &mut stopped, if !queue.is_closed() => {
                queue.close();
                continue;
            }
        }
        let spans = batch.len() as u64;
        let sent = tokio::time::timeout(EXPORT_TIMEOUT, exporter.export(batch)).await;
        let failure = match sent {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", EXPORT_TIMEOUT.as_secs())),
        };
        match &failure {
            None => counter!(EXPORTED).increment(spans),
            Some(_) => counter!(DROPPED, "reason" => "export-failed").increment(spans),
        }
        // Once, not for every batch.
        match failure {
            Some(error) if !failing => {
                tracing::warn!(error, "the collector of traces does not take spans; they are dropped")
            }
            None if failing => tracing::info!("the collector of traces takes spans again"),
            _ => continue,
        }
        failing = !failing;
    }
}
