//! What the host logs, to standard error, and the traces that it exports.

use crate::config;
use crate::config::{Log, LogFormat};
use crate::traces::Traces;
use anyhow::Context as _;
use std::io::IsTerminal as _;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};
use wares_engine::TRACES;

/// What is logged, which can be changed.
pub struct LogFilter(Box<dyn Fn(EnvFilter) -> Result<(), reload::Error> + Send + Sync>);

impl LogFilter {
    /// Logs this from now on. How it is written stays.
    pub fn set(&self, log: &Log) -> anyhow::Result<()> {
        Ok((self.0)(filter(log)?)?)
    }
}

/// Starts logging and, where it is asked for, the export of traces, once per process.
pub fn install(log: &Log, traces: &config::Traces) -> anyhow::Result<(Option<Traces>, LogFilter)> {
    let (filter, handle) = reload::Layer::new(filter(log)?);
    let logger = fmt::layer().with_writer(std::io::stderr);
    let logger = match log.format {
        LogFormat::Text => logger.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => logger.json().flatten_event(true).boxed(),
    };
    let logger = Registry::default().with(logger.with_filter(filter));
    let (installed, traces) = match traces.endpoint.as_str() {
        "" => (logger.try_init(), None),
        _ => {
            let traces = Traces::start(traces)?;
            let layer = tracing_opentelemetry::layer().with_tracer(traces.tracer());
            let layer =
                layer.with_location(false).with_threads(false).with_target(false).with_tracked_inactivity(false);
            let exported = Targets::new().with_target(TRACES, LevelFilter::TRACE);
            (logger.with(layer.with_filter(exported)).try_init(), Some(traces))
        }
    };
    installed.map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))?;
    Ok((traces, LogFilter(Box::new(move |filter| handle.reload(filter)))))
}

/// What is logged. Spans of traces are not; as nothing else listens to them, none is made without an exporter. Of requests that
/// components send wasmtime would warn, whenever a component wants it to; what there is to say stands in the call's log.
fn filter(log: &Log) -> anyhow::Result<EnvFilter> {
    let filter: EnvFilter = log.filter.parse().context("log.filter")?;
    let filter = filter.add_directive("wasmtime_wasi_http::p2=error".parse()?);
    Ok(filter.add_directive(format!("{TRACES}=off").parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_exporter_there_are_no_spans_of_traces_whatever_is_logged() {
        for words in ["info", "trace", "trace,wares=trace", "wares::traces=trace"] {
            let log = Log { filter: words.to_owned(), format: LogFormat::Text };
            let logger = Registry::default().with(fmt::layer().with_filter(filter(&log).unwrap()));
            tracing::subscriber::with_default(logger, || {
                assert!(tracing::info_span!(target: TRACES, "call").is_disabled(), "{words}");
                assert!(!tracing::info_span!(target: "wares", "other").is_disabled() || words == "wares::traces=trace");
            });
        }
    }
}
