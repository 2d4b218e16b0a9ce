//! A loaded version, and one call of it from the instance's making or finding to its end.

use crate::concurrency::Concurrency;
use crate::failure::Failure;
use crate::kept::{Keeper, KeptInstances};
use crate::meter::{Meter, Metered};
use crate::program;
use crate::sandbox::{Making, Sandbox};
use crate::serve::Handler;
use crate::turns::{Habit, Turns};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use wares_capabilities::{CallContext, CallLog, CallState, Services, ShelfImport, Wiring, Written, is_same_type};
use wares_model::Limits;
use wares_typed::is_program;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{ComponentExportIndex, InstancePre, Val};

/// What to run, and within which limits.
pub struct Invocation<'a> {
    /// The interface's full name; none for a function of the world itself.
    pub interface: Option<&'a str>,
    /// The function's name.
    pub function: &'a str,
    /// Its arguments, of the function's types.
    pub arguments: Cow<'a, [Val]>,
    /// What the call may use.
    pub limits: &'a Limits,
    /// Counts what it uses.
    pub meter: Arc<Meter>,
    /// Which call it is, and what it may use.
    pub context: Arc<CallContext>,
    /// Whose call it is, if an instance that served a call of the same owner may serve it, and may be kept after it.
    /// Without an owner the instance is a fresh one and gone after the call.
    pub owner: Option<&'a str>,
}

/// How a call went.
#[derive(Debug)]
pub struct CallReport<T = Option<Val>> {
    /// The function's result, if it has one, or why there is none.
    pub result: Result<T, Failure>,
    /// What the guest wrote to standard output, standard error and its log.
    pub logs: Written,
    /// The time that it waited for other calls of long CPU time.
    pub wait: Duration,
    /// The time to make the instance; next to nothing if it was kept from an earlier call.
    pub instantiate: Duration,
    /// The time from there to the end, the instance's removal included.
    pub run: Duration,
}

/// A version that is ready to be called.
pub struct Component {
    pub(crate) pre: InstancePre<CallState>,
    pub(crate) wiring: Wiring,
    shelf: Vec<ShelfImport>,
    pub(crate) services: Arc<Services>,
    pub(crate) concurrency: Concurrency,
    /// What it answers HTTP requests with, if it does.
    pub(crate) http: Option<Handler>,
    /// By interface, with the empty name for the world itself, then by function.
    exports: HashMap<String, HashMap<String, Export>>,
    kept: Arc<KeptInstances>,
    keeper: Keeper,
    pub(crate) turns: Arc<Turns>,
    /// Of its answers to HTTP requests.
    pub(crate) http_habit: Habit,
}

struct Export {
    index: ComponentExportIndex,
    ty: ComponentFunc,
    habit: Habit,
    is_program: bool,
}

/// Why a function cannot be called where another one of its name is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherType {
    /// There is no function of this name.
    Missing,
    /// Its parameters or its result are of other types.
    Differs,
}

/// The moments of a call.
pub(crate) struct Clock {
    began: Instant,
    in_turn: OnceLock<Instant>,
    instantiated: OnceLock<Instant>,
}

impl Component {
    pub(crate) fn new(
        pre: InstancePre<CallState>,
        concurrency: Concurrency,
        wiring: Wiring,
        shelf: Vec<ShelfImport>,
        services: Arc<Services>,
        kept: Arc<KeptInstances>,
        turns: Arc<Turns>,
    ) -> Self {
        let exports = exports(pre.component());
        let keeper = kept.keeper();
        let http = Handler::of(&pre);
        let http_habit = Habit::default();
        Self { pre, wiring, shelf, services, concurrency, http, exports, kept, keeper, turns, http_habit }
    }

    /// Runs a function in an instance of its own, or in one that is kept for the owner.
    ///
    /// A fresh instance is gone when this returns, and any instance is gone when its call fails or is cancelled.
    pub async fn call(&self, invocation: Invocation<'_>) -> CallReport {
        let clock = Clock::start();
        let Some(export) = self.export(invocation.interface, invocation.function) else {
            let place = invocation.interface.unwrap_or("the world");
            let result = Err(Failure::Host(format!("no export {} in {place}", invocation.function)));
            return clock.report(result, Written::default());
        };
        let owner = self.owner(&invocation).filter(|_| !export.is_program);
        let kept = owner.and_then(|owner| self.kept.take(self.keeper, owner));
        let log = kept.as_ref().map_or_else(|| CallLog::new(invocation.limits.log_bytes_max), |kept| kept.log.clone());
        invocation.context.begin_log(&log);
        let meter = &*invocation.meter;
        let run = Metered::new(self.run(export, &invocation, kept, &log, &clock), meter);
        let result = match meter.is_below() {
            true => within_wall_time(invocation.limits, run).await,
            false => within_wall_time(invocation.limits, self.turns.take(run, meter, &export.habit)).await,
        };
        let logs = invocation.context.end_log();
        let result = result.map(|(value, sandbox)| {
            // Only now that the log is empty for the next call.
            if let (Some(owner), Some(sandbox)) = (owner, sandbox) {
                self.kept.put(self.keeper, owner, sandbox);
            }
            value
        });
        clock.report(result, logs)
    }

    /// What it imports of other components.
    pub fn shelf_imports(&self) -> &[ShelfImport] {
        &self.shelf
    }

    /// Checks that it exports this function, and with this type.
    pub fn check_function(&self, interface: &str, function: &str, ty: &ComponentFunc) -> Result<(), OtherType> {
        let export = self.export(Some(interface), function).ok_or(OtherType::Missing)?;
        if is_same_type(&export.ty, ty) { Ok(()) } else { Err(OtherType::Differs) }
    }

    pub(crate) fn making<'a>(
        &'a self,
        limits: &'a Limits,
        meter: &'a Arc<Meter>,
        context: &'a Arc<CallContext>,
    ) -> Making<'a> {
        let Self { pre, concurrency, wiring, services, .. } = self;
        Making { pre, concurrency: *concurrency, wiring, services, limits, meter, context }
    }

    /// Whose further calls the instance may serve. A task may go on after it has returned: it is never ready for another call.
    fn owner<'a>(&self, invocation: &Invocation<'a>) -> Option<&'a str> {
        invocation.owner.filter(|_| !self.concurrency.has_tasks())
    }

    fn export(&self, interface: Option<&str>, function: &str) -> Option<&Export> {
        self.exports.get(interface.unwrap_or_default())?.get(function)
    }

    /// Returns the function's result, and the sandbox if it may serve another call.
    async fn run(
        &self,
        export: &Export,
        invocation: &Invocation<'_>,
        kept: Option<Sandbox>,
        log: &CallLog,
        clock: &Clock,
    ) -> wasmtime::Result<(Option<Val>, Option<Sandbox>)> {
        clock.in_turn();
        let Invocation { limits, meter, context, .. } = invocation;
        let program = export.is_program.then(|| program::begin(invocation));
        let kept = kept.and_then(|mut sandbox| sandbox.hand_over(limits, meter, context).then_some(sandbox));
        let mut sandbox = match kept {
            Some(sandbox) => sandbox,
            None => Sandbox::new(&self.making(limits, meter, context), log.clone()).await?,
        };
        clock.instantiated();
        let results = export.ty.results().len();
        let result = match program {
            None => sandbox.call(export.index, results, &invocation.arguments).await?,
            Some(program) => Some(program::end(program, sandbox.call(export.index, results, &[]).await)?),
        };
        let may_serve_on = self.owner(invocation).is_some() && sandbox.is_at_rest();
        Ok((result, may_serve_on.then_some(sandbox)))
    }
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now(), in_turn: OnceLock::new(), instantiated: OnceLock::new() }
    }

    pub(crate) fn in_turn(&self) {
        let _ = self.in_turn.set(Instant::now());
    }

    pub(crate) fn instantiated(&self) {
        let _ = self.instantiated.set(Instant::now());
    }

    /// What did not happen took no time.
    pub(crate) fn report<T>(self, result: Result<T, Failure>, logs: Written) -> CallReport<T> {
        let ended = Instant::now();
        let in_turn = self.in_turn.into_inner().unwrap_or(ended);
        let instantiated = self.instantiated.into_inner().unwrap_or(ended);
        CallReport {
            result,
            logs,
            wait: in_turn - self.began,
            instantiate: instantiated - in_turn,
            run: ended - instantiated,
        }
    }
}

/// Runs a guest until it ends or its wall time is used up.
pub(crate) async fn within_wall_time<T>(
    limits: &Limits,
    run: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Failure> {
    let wall = Duration::from_millis(limits.wall_ms_max);
    match tokio::time::timeout(wall, run).await {
        Ok(ended) => ended.map_err(|error| Failure::of(&error)),
        Err(_) => Err(Failure::LimitWall),
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.kept.forget(self.keeper);
    }
}

/// Every exported function, found once so that no call looks up a name in the component.
fn exports(component: &wasmtime::component::Component) -> HashMap<String, HashMap<String, Export>> {
    let engine = component.engine();
    let mut found: HashMap<String, HashMap<String, Export>> = HashMap::new();
    let mut add = |interface: &str, name: &str, index: Option<ComponentExportIndex>, ty: ComponentFunc| {
        let is_program = is_program(Some(interface), name);
        if let Some(index) = index {
            let export = Export { index, ty, habit: Habit::default(), is_program };
            found.entry(interface.to_owned()).or_default().insert(name.to_owned(), export);
        }
    };
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(function) => {
                add("", name, component.get_export_index(None, name), function);
            }
            ComponentItem::ComponentInstance(interface) => {
                let parent = component.get_export_index(None, name);
                for (function, item) in interface.exports(engine) {
                    if let ComponentItem::ComponentFunc(ty) = item.ty {
                        let index = component.get_export_index(parent.as_ref(), function);
                        add(name, function, index, ty);
                    }
                }
            }
            _ => {}
        }
    }
    found
}
