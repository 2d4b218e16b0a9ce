//! The ledger entry of one call, from admission to commit.

use crate::{Explanation, Prepared, telemetry, trace};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;
use wares_catalog::ledger::{LedgerError, Slot};
use wares_engine::{Meter, Written};
use wares_model::{JobAnswer, KeptAnswer, LedgerEntry, Outcome, Timestamp, Usage};

/// Bytes of an entry's `detail`.
const DETAIL_BYTES_MAX: usize = 4 << 10;

/// Bytes that came in and went out, counted while they do.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
}

impl Traffic {
    pub(crate) fn of(bytes_in: usize, bytes_out: usize) -> Self {
        Self { bytes_in: AtomicU64::new(bytes_in as u64), bytes_out: AtomicU64::new(bytes_out as u64) }
    }
}

/// An open entry. Dropped without [`Record::close`] (the caller went away), it is written as cancelled.
pub(crate) struct Record {
    prepared: Arc<Prepared>,
    slot: Option<Slot>,
    traffic: Arc<Traffic>,
    started: Timestamp,
    clock: Instant,
    /// Whether how it ended says something of the version, and not of its caller alone.
    pub(crate) is_telling: bool,
    /// The result for the job that the call is made for.
    pub(crate) answer: Option<JobAnswer>,
    /// The answer for whoever asks for the same again.
    pub(crate) kept: Option<Box<KeptAnswer>>,
}

impl Record {
    pub(crate) fn open(prepared: Arc<Prepared>, slot: Slot, traffic: Arc<Traffic>) -> Self {
        telemetry::began();
        let (slot, started, clock) = (Some(slot), Timestamp::now(), Instant::now());
        Self { prepared, slot, traffic, started, clock, is_telling: true, answer: None, kept: None }
    }

    /// Writes the entry and waits until it and those of the calls below are durable.
    pub(crate) async fn close(
        self,
        outcome: Outcome,
        explanation: Option<&Explanation>,
        logs: Written,
    ) -> Result<(), LedgerError> {
        let caller = self.prepared.caller.clone();
        self.hand_in(outcome, explanation, logs).await?;
        match caller {
            None => Ok(()),
            Some(caller) => caller.entered().await,
        }
    }

    /// Writes the entry. The future tells when it is durable.
    pub(crate) fn hand_in(
        mut self,
        outcome: Outcome,
        explanation: Option<&Explanation>,
        logs: Written,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        explanation.into_iter().for_each(|explanation| explanation.log_fault(self.prepared.call));
        let detail = explanation.map(|explanation| explanation.for_the_record(DETAIL_BYTES_MAX));
        let (answer, kept) = (self.answer.take(), self.kept.take());
        let entry = LedgerEntry { answer, kept, ..self.entry(outcome, detail, logs) };
        let entering = self.slot.take().map(|slot| slot.enter(entry));
        async {
            match entering {
                Some(entering) => entering.await,
                None => Ok(()),
            }
        }
    }

    fn entry(&self, outcome: Outcome, detail: Option<String>, logs: Written) -> LedgerEntry {
        let usage = usage(&self.prepared.meter, self.clock, &self.traffic);
        if self.is_telling {
            self.prepared.report(outcome, usage.wall_us);
        }
        self.prepared.note_used();
        // With the entry, whether or not anybody waits for it to be durable.
        telemetry::entered(&self.prepared, outcome);
        let Written { text, marks: log_marks } = logs;
        let logs = Some(text).filter(|text| !text.is_empty());
        let entry = LedgerEntry { outcome, detail, logs, log_marks, ..identify(&self.prepared, self.started, usage) };
        trace::ended(&self.prepared, &entry);
        self.prepared.followers.tell(&entry);
        entry
    }
}

/// What a call has used until now.
pub(crate) fn usage(meter: &Meter, clock: Instant, traffic: &Traffic) -> Usage {
    Usage {
        cpu_us: meter.cpu_us(),
        wall_us: u64::try_from(clock.elapsed().as_micros()).unwrap_or(u64::MAX),
        memory_peak_bytes: meter.memory_peak_bytes(),
        bytes_in: traffic.bytes_in.load(Relaxed),
        bytes_out: traffic.bytes_out.load(Relaxed),
    }
}

/// The entry of a call that ended well and said nothing.
pub(crate) fn identify(prepared: &Prepared, started: Timestamp, usage: Usage) -> LedgerEntry {
    LedgerEntry {
        call: prepared.call,
        tenant: prepared.tenant.record.id.clone(),
        application: Arc::clone(&prepared.application),
        component: prepared.version.record.component.clone(),
        version: prepared.version.record.version.clone(),
        interface: Arc::clone(&prepared.interface),
        function: Arc::clone(&prepared.function),
        outcome: Outcome::Ok,
        detail: None,
        started,
        usage,
        parent: prepared.parent,
        logs: None,
        log_marks: Vec::new(),
        shadow: None,
        request_id: prepared.request_id.clone(),
        answer: None,
        kept: None,
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
        let entry = self.entry(outcome, Some(detail.to_owned()), self.prepared.context.end_log());
        telemetry::abandoned(&self.prepared, outcome);
        drop(slot.enter(entry));
    }
}
