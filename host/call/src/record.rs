//! The ledger entry of one call, from admission to commit.

use crate::{Ending, Prepared, telemetry};
use std::sync::Arc;
use std::time::Instant;
use wares_catalog::ledger::{LedgerError, Slot};
use wares_engine::Meter;
use wares_model::{LedgerEntry, Outcome, Timestamp, Usage};

/// Bytes of an entry's `detail`.
const DETAIL_BYTES_MAX: usize = 4 << 10;

/// An open entry. Dropped without [`Record::close`] (the caller went away), it is written as cancelled.
pub(crate) struct Record<'a> {
    prepared: &'a Prepared,
    slot: Option<Slot>,
    meter: Arc<Meter>,
    bytes_in: usize,
    started: Timestamp,
    clock: Instant,
}

impl<'a> Record<'a> {
    pub(crate) fn open(prepared: &'a Prepared, slot: Slot, meter: Arc<Meter>, bytes_in: usize) -> Self {
        telemetry::began();
        Self { prepared, slot: Some(slot), meter, bytes_in, started: Timestamp::now(), clock: Instant::now() }
    }

    /// Writes the entry and waits until it is durable.
    pub(crate) async fn close(mut self, outcome: Outcome, ending: &Ending, logs: String) -> Result<(), LedgerError> {
        let detail = match ending {
            Ending::Answer(_) => None,
            Ending::Failure(explanation) => Some(explanation.for_the_record(DETAIL_BYTES_MAX)),
        };
        let logs = Some(logs).filter(|logs| !logs.is_empty());
        let entry = self.entry(outcome, ending.bytes_out(), detail, logs);
        match self.slot.take() {
            Some(slot) => slot.enter(entry).await,
            None => Ok(()),
        }
    }

    fn entry(&self, outcome: Outcome, bytes_out: usize, detail: Option<String>, logs: Option<String>) -> LedgerEntry {
        let prepared = self.prepared;
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
                bytes_in: self.bytes_in as u64,
                bytes_out: bytes_out as u64,
            },
            parent: None,
            logs,
        }
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        telemetry::left();
        let Some(slot) = self.slot.take() else { return };
        let (outcome, detail) = match std::thread::panicking() {
            true => (Outcome::HostError, "the host panicked"),
            false => (Outcome::Cancelled, "the caller went away before the answer"),
        };
        let entry = self.entry(outcome, 0, Some(detail.to_owned()), None);
        telemetry::abandoned(self.prepared, outcome);
        drop(slot.enter(entry));
    }
}
