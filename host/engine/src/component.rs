//! A loaded version, and one call of it from the fresh store to the dropped one.

use crate::bounds::Bounds;
use crate::failure::{Failure, HostFault, OutOfCpu};
use crate::meter::{Meter, Metered};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use wares_capabilities::{CallLog, CallState, Wiring};
use wares_model::Limits;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, InstancePre, Val};
use wasmtime::{Store, UpdateDeadline};

/// What to run, and within which limits.
pub struct Invocation<'a> {
    /// The interface's full name; none for a function of the world itself.
    pub interface: Option<&'a str>,
    /// The function's name.
    pub function: &'a str,
    /// Its arguments, of the function's types.
    pub arguments: Vec<Val>,
    /// What the call may use.
    pub limits: &'a Limits,
    /// Counts what it uses.
    pub meter: Arc<Meter>,
}

/// How a call went.
#[derive(Debug)]
pub struct CallReport {
    /// The function's result, if it has one, or why there is none.
    pub result: Result<Option<Val>, Failure>,
    /// What the guest wrote to standard output, standard error and its log.
    pub logs: String,
    /// The time to make the instance.
    pub instantiate: Duration,
    /// The time from there to the end, the instance's removal included.
    pub run: Duration,
}

/// A version that is ready to be called.
pub struct Component {
    pre: InstancePre<CallState>,
    wiring: Wiring,
    /// By interface, with the empty name for the world itself, then by function.
    exports: HashMap<String, HashMap<String, Export>>,
}

struct Export {
    index: ComponentExportIndex,
    results: usize,
}

impl Component {
    pub(crate) fn new(pre: InstancePre<CallState>, wiring: Wiring) -> Self {
        let exports = exports(pre.component());
        Self { pre, wiring, exports }
    }

    /// Runs a function in an instance of its own. The instance is gone when this returns, and when it is cancelled.
    pub async fn call(&self, invocation: Invocation<'_>) -> CallReport {
        let Invocation { interface, function, arguments, limits, meter } = invocation;
        let began = Instant::now();
        let log = CallLog::new(limits.log_bytes_max);
        let instantiated = OnceLock::new();
        let result = match self.export(interface, function) {
            None => Err(Failure::Host(format!("no export {function} in {}", interface.unwrap_or("the world")))),
            Some(export) => {
                let state = CallState::new(log.clone(), Box::new(Bounds::new(limits, Arc::clone(&meter))));
                let run = self.run(export, &arguments, limits, &meter, state, &instantiated);
                let wall = Duration::from_millis(limits.wall_ms_max);
                match tokio::time::timeout(wall, Metered::new(run, &meter)).await {
                    Ok(ended) => ended.map_err(|error| Failure::of(&error)),
                    Err(_) => Err(Failure::LimitWall),
                }
            }
        };
        let ended = Instant::now();
        let instantiated = instantiated.get().copied().unwrap_or(ended);
        CallReport { result, logs: log.take(), instantiate: instantiated - began, run: ended - instantiated }
    }

    fn export(&self, interface: Option<&str>, function: &str) -> Option<&Export> {
        self.exports.get(interface.unwrap_or_default())?.get(function)
    }

    async fn run(
        &self,
        export: &Export,
        arguments: &[Val],
        limits: &Limits,
        meter: &Arc<Meter>,
        mut state: CallState,
        instantiated: &OnceLock<Instant>,
    ) -> wasmtime::Result<Option<Val>> {
        self.wiring.prepare(&mut state);
        let mut store = Store::try_new(self.pre.engine(), state)?;
        store.limiter(|state| state.limiter());
        store.set_hostcall_fuel(usize::try_from(limits.host_memory_bytes_max).unwrap_or(usize::MAX));
        interrupt(&mut store, limits, Arc::clone(meter));

        // Start functions run here.
        let instance = self.pre.instantiate_async(&mut store).await?;
        let _ = instantiated.set(Instant::now());
        let function = instance
            .get_func(&mut store, export.index)
            .ok_or_else(|| wasmtime::Error::new(HostFault("an export is gone".to_owned())))?;
        let mut results = vec![Val::Bool(false); export.results];
        // Post-return runs within.
        function.call_async(&mut store, arguments, &mut results).await?;
        Ok(results.pop())
    }
}

/// Takes the thread away from the guest at every tick, and the call when its CPU time is used up.
fn interrupt(store: &mut Store<CallState>, limits: &Limits, meter: Arc<Meter>) {
    let cpu_ns_max = limits.cpu_ms_max.saturating_mul(1_000_000);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| {
        if meter.cpu_ns_within_poll() >= cpu_ns_max {
            return Err(wasmtime::Error::new(OutOfCpu));
        }
        // Tokio's own yield lets the thread look at sockets and timers first; waking at once would not.
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
}

/// Every exported function, found once so that no call looks up a name in the component.
fn exports(component: &wasmtime::component::Component) -> HashMap<String, HashMap<String, Export>> {
    let engine = component.engine();
    let mut found: HashMap<String, HashMap<String, Export>> = HashMap::new();
    let mut add = |interface: &str, name: &str, index: Option<ComponentExportIndex>, results: usize| {
        if let Some(index) = index {
            found.entry(interface.to_owned()).or_default().insert(name.to_owned(), Export { index, results });
        }
    };
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(function) => {
                add("", name, component.get_export_index(None, name), function.results().len());
            }
            ComponentItem::ComponentInstance(interface) => {
                let parent = component.get_export_index(None, name);
                for (function, item) in interface.exports(engine) {
                    if let ComponentItem::ComponentFunc(ty) = item.ty {
                        let index = component.get_export_index(parent.as_ref(), function);
                        add(name, function, index, ty.results().len());
                    }
                }
            }
            _ => {}
        }
    }
    found
}
