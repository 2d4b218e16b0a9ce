//! What metrics say of connections.

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use std::sync::LazyLock;

const OPEN: &str = "wares_connections";
const REFUSED: &str = "wares_connections_refused_total";

/// Handles, looked up once.
static HANDLES: LazyLock<(Gauge, Counter)> = LazyLock::new(|| (gauge!(OPEN), counter!(REFUSED)));

/// Tells the metrics recorder what the metrics of connections mean.
pub fn describe_metrics() {
    describe_gauge!(OPEN, "Connections that are open");
    describe_counter!(REFUSED, "Connections that there was no place for");
    LazyLock::force(&HANDLES).1.absolute(0);
}

pub(crate) fn open(connections: usize) {
    // Exact up to 2^53.
    HANDLES.0.set(connections as f64);
}

pub(crate) fn refused() {
    HANDLES.1.increment(1);
}
