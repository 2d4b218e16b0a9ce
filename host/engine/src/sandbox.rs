//! A store with one instance in it: made for a call, and for further calls of the same owner where that is wanted.

use crate::bounds::Bounds;
use crate::concurrency::Concurrency;
use crate::failure::{HostFault, OutOfCpu};
use crate::meter::Meter;
use crate::ticker::SLICE_TICKS;
use std::sync::Arc;
use std::time::Instant;
use wares_capabilities::{CallContext, CallLog, CallState, Services, Wiring};
use wares_model::Limits;
use wares_model::limits::{HANDLES_MAX, RESOURCES_MAX};
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre, Val};
use wasmtime::{Store, UpdateDeadline};

pub(crate) struct Sandbox {
    pub(crate) store: Store<CallState>,
    instance: Instance,
    /// What the instance writes goes here; it is emptied after every call.
    pub(crate) log: CallLog,
    pub(crate) born: Instant,
    /// Calls begun.
    pub(crate) calls: u64,
}

/// What a store and its instance are made of.
pub(crate) struct Making<'a> {
    pub(crate) pre: &'a InstancePre<CallState>,
    pub(crate) concurrency: Concurrency,
    pub(crate) wiring: &'a Wiring,
    pub(crate) services: &'a Arc<Services>,
    pub(crate) limits: &'a Limits,
    pub(crate) meter: &'a Arc<Meter>,
    pub(crate) context: &'a Arc<CallContext>,
}

/// A store for one call and what comes after it, its limits in force. Nothing runs in it yet.
pub(crate) fn store(of: &Making<'_>, log: &CallLog) -> wasmtime::Result<Store<CallState>> {
    let Making { pre, concurrency, wiring, services, limits, meter, context } = of;
    let bounds = Bounds::new(limits, Arc::clone(meter));
    let mut state = CallState::new(Arc::clone(context), Arc::clone(services), log.clone(), Box::new(bounds));
    state.limit(limits);
    wiring.prepare(&mut state);
    let mut store = Store::try_new(pre.engine(), state)?;
    store.set_max_component_handles(count(HANDLES_MAX));
    if let (true, Some(tasks)) = (concurrency.has_tasks(), store.concurrent_resource_table()) {
        tasks.set_max_capacity(count(RESOURCES_MAX));
    }
    store.limiter(|state| state.limiter());
    store.set_hostcall_fuel(hostcall_fuel(limits));
    store.set_epoch_deadline(SLICE_TICKS);
    // Takes the thread away from the guest after its slice, and the call when its CPU time is used up.
    store.epoch_deadline_callback(|store| {
        let bounds = store.data().limiter_as::<Bounds>();
        if bounds.is_none_or(Bounds::is_out_of_cpu) {
            return Err(wasmtime::Error::new(OutOfCpu));
        }
        // Tokio's own yield lets the thread look at sockets and timers first; waking at once would not.
        Ok(UpdateDeadline::YieldCustom(SLICE_TICKS, Box::pin(tokio::task::yield_now())))
    });
    Ok(store)
}

/// Bytes that the host takes on the guest's behalf, of each call between the two.
fn hostcall_fuel(limits: &Limits) -> usize {
    count(limits.host_memory_bytes_max)
}

fn count(most: u64) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX)
}

impl Sandbox {
    /// Makes an instance. Start functions run here.
    pub(crate) async fn new(of: &Making<'_>, log: CallLog) -> wasmtime::Result<Self> {
        let born = Instant::now();
        let mut store = store(of, &log)?;
        let instance = of.pre.instantiate_async(&mut store).await?;
        Ok(Self { store, instance, log, born, calls: 0 })
    }

    /// Serves another call from now on, within its limits, and counts for it, if it may use the same as the one before.
    pub(crate) fn hand_over(&mut self, limits: &Limits, meter: &Arc<Meter>, context: &Arc<CallContext>) -> bool {
        if let Some(bounds) = self.store.data_mut().limiter_as_mut::<Bounds>() {
            bounds.hand_over(limits, Arc::clone(meter));
        }
        self.store.set_hostcall_fuel(hostcall_fuel(limits));
        self.store.set_epoch_deadline(SLICE_TICKS);
        self.store.data_mut().hand_over(context, limits)
    }

    /// Whether nothing goes on that its call began.
    pub(crate) fn is_at_rest(&self) -> bool {
        self.store.data().is_at_rest()
    }

    /// Runs a function of the instance; post-return runs within.
    pub(crate) async fn call(
        &mut self,
        export: ComponentExportIndex,
        results: usize,
        arguments: &[Val],
    ) -> wasmtime::Result<Option<Val>> {
        self.calls += 1;
        let function = self.instance.get_func(&mut self.store, export);
        let function = function.ok_or_else(|| wasmtime::Error::new(HostFault("an export is gone".to_owned())))?;
        let mut results = vec![Val::Bool(false); results];
        function.call_async(&mut self.store, arguments, &mut results).await?;
        Ok(results.pop())
    }

    /// Bytes of all memories of the instance.
    pub(crate) fn memory_bytes(&self) -> u64 {
        self.store.data().limiter_as::<Bounds>().map_or(0, Bounds::memory_bytes)
    }
}
