//! What the host logs, to standard error.

use crate::config::{Log, LogFormat};
use anyhow::Context as _;
use std::io::IsTerminal as _;
use tracing_subscriber::EnvFilter;

/// Starts logging, once per process.
pub fn install(log: &Log) -> anyhow::Result<()> {
    let filter: EnvFilter = log.filter.parse().context("log.filter")?;
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let installed = match log.format {
        LogFormat::Text => logger.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => logger.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}
