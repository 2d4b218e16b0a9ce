//! The memory, tables and CPU time of one call, counted over all its instances and held within its limits.
//!
//! A guest that asks for more is stopped: `memory.grow` answering -1 would make it fail later, and less clearly.

use crate::Meter;
use crate::config::TABLE_ELEMENTS_MAX;
use parking_lot::Mutex;
use std::sync::Arc;
use wares_capabilities::{CpuAccount, Limiter, OverLimit};
use wares_model::Limits;
use wares_model::limits::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLES_MAX};
use wasmtime::ResourceLimiter;

pub(crate) struct Bounds {
    memory: Account,
    tables: Account,
    cpu_ms_max: u64,
    meter: Arc<Meter>,
    payer: Arc<Payer>,
}

/// Who pays for what is done for the instance: the call that it serves now. What an instance keeps from one call to the next, an
/// open stream for instance, is paid by whoever uses it.
struct Payer(Mutex<Arc<Meter>>);

impl CpuAccount for Payer {
    fn charge(&self, ns: u64) {
        self.0.lock().charge(ns);
    }
}

impl Bounds {
    pub(crate) fn new(limits: &Limits, meter: Arc<Meter>) -> Self {
        let (memory, tables) = (Account::new(limits.memory_bytes_max), Account::new(tables_max(limits)));
        let payer = Arc::new(Payer(Mutex::new(Arc::clone(&meter))));
        Self { memory, tables, cpu_ms_max: limits.cpu_ms_max, meter, payer }
    }

    /// Counts for another call from now on. What the instance holds, it goes on holding.
    pub(crate) fn hand_over(&mut self, limits: &Limits, meter: Arc<Meter>) {
        meter.memory_in_use(self.memory.used);
        (self.memory.max, self.tables.max) = (limits.memory_bytes_max, tables_max(limits));
        *self.payer.0.lock() = Arc::clone(&meter);
        (self.cpu_ms_max, self.meter) = (limits.cpu_ms_max, meter);
    }

    /// Whether the call that runs now, with those that it made, has used up its CPU time. Ask only on the thread that runs it.
    pub(crate) fn is_out_of_cpu(&self) -> bool {
        self.meter.cpu_ns_left(self.cpu_ms_max) == 0
    }

    /// Bytes of all memories.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory.used
    }
}

/// Elements of all tables.
fn tables_max(limits: &Limits) -> u64 {
    limits.table_elements_max.min(TABLE_ELEMENTS_MAX)
}

/// A sum with a bound.
struct Account {
    used: u64,
    max: u64,
    /// What the last growth added, to be given back should it fail.
    added: u64,
}

/// How a wish to grow ends.
enum Growth {
    Granted,
    /// The guest's own declared maximum forbids it; the guest is told so.
    BeyondOwnMaximum,
    OverLimit,
}

impl Account {
    fn new(max: u64) -> Self {
        Self { used: 0, max, added: 0 }
    }

    fn grow(&mut self, current: usize, desired: usize, own_max: Option<usize>) -> Growth {
        self.added = 0;
        // The pool's maximum arrives as the guest's own, but is never below the limit.
        let own_max = own_max.map_or(u64::MAX, |max| max as u64);
        if desired as u64 > own_max && own_max < self.max {
            return Growth::BeyondOwnMaximum;
        }
        let added = desired.saturating_sub(current) as u64;
        if self.used.saturating_add(added) > self.max {
            return Growth::OverLimit;
        }
        self.used += added;
        self.added = added;
        Growth::Granted
    }

    fn undo(&mut self) {
        self.used -= std::mem::take(&mut self.added);
    }
}

impl Limiter for Bounds {
    fn cpu(&self) -> Arc<dyn CpuAccount> {
        Arc::clone(&self.payer) as Arc<dyn CpuAccount>
    }
}

impl ResourceLimiter for Bounds {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        match self.memory.grow(current, desired, maximum) {
            Growth::Granted => {
                self.meter.memory_in_use(self.memory.used);
                Ok(true)
            }
            Growth::BeyondOwnMaximum => Ok(false),
            Growth::OverLimit => {
                let Account { used, max, .. } = self.memory;
                let wish = match current {
                    0 => format!("a memory was to begin with {desired} bytes"),
                    _ => format!("a memory was to grow from {current} to {desired} bytes"),
                };
                Err(over(format!(
                    "{used} bytes of memory are in use, and {wish}; the call may have {max} bytes in total (memory-bytes-max)"
                )))
            }
        }
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memory.undo();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        match self.tables.grow(current, desired, maximum) {
            Growth::Granted => Ok(true),
            Growth::BeyondOwnMaximum => Ok(false),
            Growth::OverLimit => Err(over(format!(
                "{} table elements are in use, and a table was to grow from {current} to {desired}; \
                 the call may have {} in total (table-elements-max)",
                self.tables.used, self.tables.max
            ))),
        }
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.tables.undo();
        Ok(())
    }

    fn instances(&self) -> usize {
        usize::try_from(CORE_INSTANCES_MAX).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        usize::try_from(TABLES_MAX).unwrap_or(usize::MAX)
    }

    fn memories(&self) -> usize {
        usize::try_from(MEMORIES_MAX).unwrap_or(usize::MAX)
    }
}

fn over(what: String) -> wasmtime::Error {
    wasmtime::Error::new(OverLimit(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_count_together_and_failed_growth_is_given_back() {
        let limits = Limits { memory_bytes_max: 100, ..Limits::DEFAULT };
        let meter = Arc::new(Meter::default());
        let mut bounds = Bounds::new(&limits, Arc::clone(&meter));
        assert!(bounds.memory_growing(0, 60, None).unwrap());
        bounds.memory_grow_failed(wasmtime::Error::msg("no")).unwrap();
        assert!(bounds.memory_growing(0, 60, None).unwrap());
        assert!(bounds.memory_growing(0, 40, None).unwrap());
        assert!(bounds.memory_growing(40, 41, None).unwrap_err().is::<OverLimit>());
        assert_eq!(meter.memory_peak_bytes(), 100);
    }

    #[test]
    fn what_is_kept_is_paid_by_the_call_that_uses_it() {
        let meters = [Arc::<Meter>::default(), Arc::default()];
        let mut bounds = Bounds::new(&Limits::DEFAULT, Arc::clone(&meters[0]));
        let kept = bounds.cpu();
        kept.charge(2_000);
        bounds.hand_over(&Limits::DEFAULT, Arc::clone(&meters[1]));
        kept.charge(3_000);
        assert_eq!(meters.map(|meter| meter.cpu_us()), [2, 3]);
    }

    #[test]
    fn a_guests_own_maximum_is_the_guests_business() {
        let limits = Limits { memory_bytes_max: 100, ..Limits::DEFAULT };
        let mut bounds = Bounds::new(&limits, Arc::default());
        assert!(!bounds.memory_growing(0, 60, Some(50)).unwrap());
        assert!(bounds.memory_growing(0, 101, Some(100)).is_err());
    }
}
