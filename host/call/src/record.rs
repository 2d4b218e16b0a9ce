//! The ledger entry of one call, from admission to commit.

use crate::{Explanation, Prepared, telemetry};
use std::sync::Arc;
use std::time::Instant;
use wares_catalog::ledger::{LedgerError, Slot};
use wares_engine::Meter;
use wares_model::{LedgerEntry, Outcome, Timestamp, Usage};

/// Bytes of an entry's `detail`.
const DETAIL_BYTES_MAX: usize = 4 << 10;

/// An open entry. Dropped without [`Record::close`] (the caller went away), it is written as cancelled.
pub(crate) struct Record {
    prepared: Arc<Prepared>,
    slot: Option<Slot>,
    meter: Arc<Meter>,
    started: Timestamp,
    clock: Instant,
}

impl Record {
    pub(crate) fn open(prepared: Arc<Prepared>, slot: Slot, meter: Arc<Meter>) -> Self {
        telemetry::began();
        Self { prepared, slot: Some(slot), meter, started: Timestamp::now(), clock: Instant::now() }
    }

    /// Writes the entry, with the bytes that came in and went out, and waits until it is durable.
    pub(crate) async fn close(
        mut self,
        outcome: Outcome,
        explanation: Option<&Explanation>,
        bytes: (u64, u64),
        logs: String,
    ) -> Result<(), LedgerError> {
        let detail = explanation.map(|explanation| explanation.for_the_record(DETAIL_BYTES_MAX));
        let logs = Some(logs).filter(|logs| !logs.is_empty());
        let entry = self.entry(outcome, bytes, detail, logs);
        match self.slot.take() {
            Some(slot) => slot.enter(entry).await,
            None => Ok(()),
        }
    }

    fn entry(
        &self,
        outcome: Outcome,
        (bytes_in, bytes_out): (u64, u64),
        detail: Option<String>,
        logs: Option<String>,
    ) -> LedgerEntry {
        let prepared = &self.prepared;
        LedgerEntry {
            call: prepared.call,
            tenant: prepared.tenant.record.id.clone(),
            application: Arc::clone(&prepared.application),
            component: prepared.version.record.component.clone(),
            version: prepared.version.record.version.clone(),
            interface: Arc::clone(&prepared.interface),
            function: Arc::clone(&prepared.function),
            outcome,
            detail,
            started: self.started,
            usage: Usage {
                cpu_us: self.meter.cpu_us(),
                wall_us: u64::try_from(self.clock.elapsed().as_micros()).unwrap_or(u64::MAX),
                memory_peak_bytes: self.meter.memory_peak_bytes(),
                bytes_in,
                bytes_out,
            },
            parent: None,
            logs,
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        telemetry::left();
        let Some(slot) = self.slot.take() else { return };
        let (outcome, detail) = match std::thread::panicking() {
            true => (Outcome::HostError, "the host panicked"),
            false => (Outcome::Cancelled, "the caller went away before the answer"),
        };
        let entry = self.entry(outcome, (0, 0), Some(detail.to_owned()), None);
        telemetry::abandoned(&self.prepared, outcome);
        drop(slot.enter(entry));
    }
}
