//! A component that calls another one: a call like any other, within the call that makes it.
//!
//! It has its own sandbox, id, limits and ledger entry. What it may use at most is what its caller has left, in CPU time and in
//! wall time, so that a whole tree of calls stays within the limits of the one call that came from outside; of a tree, only one
//! call computes at a time. How deep it goes and how many calls it has are bounded, and a component never calls one that waits
//! for it.
//!
//! Nothing here can wait forever. A call that may make others was let in with room in the engine's pool and in the ledger for
//! all of its depth. Tenant and host count the tree as the one call that it is. For a slot of its version a call waits, as any
//! other does; components do not wait for each other in a circle, since deployments in a circle are refused, and no wait is
//! longer than the queue's.
//!
//! The entry of a call that was made by another one is handed in when it ends; the answer to the outermost call waits until
//! the entries of all calls below are durable, which a single commit usually is enough for.

use crate::record::{Record, Traffic};
use crate::{CallError, Calls, Explanation, Found, Prepared, Timing, error, telemetry};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tracing::Instrument as _;
use wares_catalog::ledger::{self, LedgerError};
use wares_catalog::providers::Importer;
use wares_catalog::slots::Slot;
use wares_catalog::snapshot::VersionEntry;
use wares_catalog::tenancy::TenantEntry;
use wares_engine::{CallReport, Failure, Invocation, Meter, OtherType, Shelf, ShelfCall, ShelfFailure, Spent};
use wares_model::limits::{COMPONENT_CALL_DEPTH_MAX, COMPONENT_CALLS_MAX};
use wares_model::{Application, CallId, ComponentName, Limits, Outcome};
use wares_typed::Val;

/// An entry on its way into the ledger.
type Entering = Pin<Box<dyn Future<Output = Result<(), LedgerError>> + Send>>;

/// What a call needs to call components.
pub(crate) struct Caller {
    calls: Calls,
    call: CallId,
    tenant: Arc<TenantEntry>,
    application: Application,
    /// Components whose calls wait for each other, this one last.
    chain: Vec<ComponentName>,
    limits: Limits,
    meter: Arc<Meter>,
    begun: OnceLock<Instant>,
    tree: Arc<Tree>,
}

/// What all calls have in common that one call from outside led to.
#[derive(Default)]
struct Tree {
    calls: AtomicU64,
    entries: Mutex<Vec<Entering>>,
}

/// The call that made another one.
pub(crate) struct Above<'a> {
    pub(crate) caller: &'a Caller,
    /// What the other one may use.
    pub(crate) limits: Limits,
}

/// Limits of a call below another one, and which of them are what that one has left.
struct Share {
    limits: Limits,
    cpu_left_ns: u64,
    cpu_is_shared: bool,
    wall_is_shared: bool,
}

/// What a call below another one holds that was let in.
struct Admitted {
    _version: Slot,
    slot: ledger::Slot,
    queue: Duration,
}

/// Why a call is not made, or failed.
struct Refusal {
    spent: Option<Spent>,
    why: String,
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self { spent: None, why }
    }
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        error.explanation.detail.into()
    }
}

impl Above<'_> {
    /// Its id.
    pub(crate) fn call(&self) -> CallId {
        self.caller.call
    }
}

impl Caller {
    /// What this call needs to call components, if its version does that at all.
    pub(crate) fn of(
        calls: &Calls,
        call: CallId,
        found: &Found,
        meter: &Arc<Meter>,
        above: Option<&Above<'_>>,
    ) -> Option<Arc<Self>> {
        if found.live.component.shelf_imports().is_empty() {
            return None;
        }
        let mut chain = above.map(|above| above.caller.chain.clone()).unwrap_or_default();
        chain.push(found.version.record.component.clone());
        Some(Arc::new(Self {
            calls: calls.clone(),
            call,
            tenant: Arc::clone(&found.tenant),
            application: Arc::clone(&found.application),
            chain,
            limits: above.map_or(found.version.limits, |above| above.limits),
            meter: Arc::clone(meter),
            begun: OnceLock::new(),
            tree: above.map(|above| Arc::clone(&above.caller.tree)).unwrap_or_default(),
        }))
    }

    /// What the call's context has of it.
    pub(crate) fn for_context(self: &Arc<Self>) -> Weak<dyn Shelf> {
        let caller: Weak<Self> = Arc::downgrade(self);
        caller
    }

    /// The call runs from now on.
    pub(crate) fn begin(&self) {
        let _ = self.begun.set(Instant::now());
    }

    /// Waits until the entries of all calls that this one led to are durable.
    pub(crate) async fn entered(&self) -> Result<(), LedgerError> {
        let entries = std::mem::take(&mut *self.tree.entries.lock());
        for entry in entries {
            entry.await?;
        }
        Ok(())
    }

    async fn make(&self, call: &ShelfCall<'_>) -> Result<Option<Val>, Refusal> {
        if self.tree.calls.fetch_add(1, Ordering::Relaxed) >= COMPONENT_CALLS_MAX {
            return Err(format!("{COMPONENT_CALLS_MAX} calls of components were made for this call already").into());
        }
        if self.chain.len() > COMPONENT_CALL_DEPTH_MAX {
            let why = format!("components call each other {COMPONENT_CALL_DEPTH_MAX} deep already: {}", self.path());
            return Err(why.into());
        }
        let began = Instant::now();
        let found = self.find(call).await?;
        let found = Found { resolve: began.elapsed(), ..found };
        call.caller.note_used(format_args!("component {}", found.version.record.component));
        let id = CallId::generate();
        let admitted = self.admit(id, &found.version).await?;
        // Only now: this call's wall time goes on while it waits.
        let share = self.share(&found.version.limits)?;
        let meter = Arc::new(Meter::below(&self.meter, share.cpu_left_ns));
        let above = Above { caller: self, limits: share.limits };
        let prepared = self.calls.prepared(id, found, meter, Some(&above));
        self.run(&prepared, admitted, call.arguments, &share).await
    }

    /// Waits for all that a call below this one needs before it may run, which is no longer than this one may.
    async fn admit(&self, call: CallId, version: &VersionEntry) -> Result<Admitted, Refusal> {
        let queued = Instant::now();
        let admission = &self.calls.admission;
        let version = admission.admit_below(call, version, self.wall_left()).await.inspect_err(telemetry::refused)?;
        let slot = self.calls.ledger.slot().await.map_err(|error| CallError::ledger(call, &error))?;
        Ok(Admitted { _version: version, slot, queue: queued.elapsed() })
    }

    /// The version that serves the call, if it may be called and its function is what the caller imports.
    async fn find(&self, call: &ShelfCall<'_>) -> Result<Found, Refusal> {
        let ShelfCall { caller, interface, function, ty, .. } = call;
        let importer = Importer { component: &caller.component, grants: caller.granted.grants() };
        let resolved = self.calls.catalog.snapshot().provider_for(importer, interface, &self.tenant.record.id);
        let resolved = resolved.map_err(|error| error.detail)?;
        let (version, provided) = (resolved.version, resolved.interface.unwrap_or_default());
        let provider = &version.record.component;
        if self.chain.contains(provider) {
            return Err(
                format!("{provider} provides it, which waits for this call: {} -> {provider}", self.path()).into()
            );
        }
        if !caller.granted.component(provider) {
            return Err(format!(
                "{provider} provides it, which {} may not call: `wares grants add {} --component {provider}` would allow it",
                caller.component, caller.component
            )
            .into());
        }
        let live = self.calls.admission.loaded(&self.calls.catalog, self.call, &version).await?;
        live.component.check_function(&provided, function, ty).map_err(|other| match other {
            OtherType::Missing => format!("{version:?} provides {provided}, which has no such function"),
            OtherType::Differs => {
                format!("{version:?} provides {provided}, whose function of this name has other parameters or another result")
            }
        })?;
        Ok(Found {
            tenant: Arc::clone(&self.tenant),
            application: Arc::clone(&self.application),
            version,
            live,
            interface: provided.into(),
            function: (*function).into(),
            resolve: Duration::ZERO,
            looked_at: resolved.looked_at,
            trace: caller.below(),
            request_id: None,
        })
    }

    /// What a call of a version with these limits may use: no more than this one has left.
    fn share(&self, own: &Limits) -> Result<Share, Refusal> {
        let spent = |spent, what: &str| Refusal { spent: Some(spent), why: format!("the call has no {what} left") };
        let cpu_left_ns = self.meter.cpu_ns_left(self.limits.cpu_ms_max);
        if cpu_left_ns == 0 {
            return Err(spent(Spent::Cpu, "CPU time"));
        }
        // Rounded down, so that the call below ends before its caller does and can say what it was.
        let wall_left_ms = u64::try_from(self.wall_left().as_millis()).unwrap_or(u64::MAX);
        if wall_left_ms == 0 {
            return Err(spent(Spent::Wall, "wall time"));
        }
        Ok(Share {
            limits: Limits { wall_ms_max: own.wall_ms_max.min(wall_left_ms), ..*own },
            cpu_left_ns,
            cpu_is_shared: cpu_left_ns < own.cpu_ms_max.saturating_mul(1_000_000),
            wall_is_shared: wall_left_ms < own.wall_ms_max,
        })
    }

    /// The wall time that this call has left.
    fn wall_left(&self) -> Duration {
        let elapsed = self.begun.get().map(Instant::elapsed).unwrap_or_default();
        Duration::from_millis(self.limits.wall_ms_max).saturating_sub(elapsed)
    }

    /// Runs the call, and hands its entry in.
    async fn run(
        &self,
        prepared: &Arc<Prepared>,
        admitted: Admitted,
        arguments: &[Val],
        share: &Share,
    ) -> Result<Option<Val>, Refusal> {
        let Admitted { _version, slot, queue } = admitted;
        let traffic = Arc::new(Traffic::of(arguments.iter().map(bytes).sum(), 0));
        let mut record = Record::open(Arc::clone(prepared), slot, Arc::clone(&traffic));
        prepared.begin();
        let invocation = Invocation {
            interface: prepared.interface(),
            function: &prepared.function,
            arguments: arguments.into(),
            limits: &share.limits,
            meter: Arc::clone(&prepared.meter),
            context: Arc::clone(&prepared.context),
            owner: prepared.owner(),
        };
        let CallReport { result, logs, wait, instantiate, run } =
            prepared.live.component.call(invocation).instrument(prepared.context.span()).await;
        let spent = result.as_ref().err().and_then(|failure| share.spent(failure));
        let ending = result.map_err(error::of_failure);
        let (outcome, explanation) = match &ending {
            Ok(value) => (outcome(value.as_ref()), None),
            Err((outcome, explanation)) => (*outcome, Some(explanation.as_ref())),
        };
        let bytes_out = ending.as_ref().ok().and_then(Option::as_ref).map_or(0, bytes);
        traffic.bytes_out.store(bytes_out as u64, Ordering::Relaxed);
        record.is_telling = spent.is_none();
        let entering = record.hand_in(outcome, explanation, logs);
        self.tree.entries.lock().push(Box::pin(entering));
        let queue = queue + wait;
        let timing = Timing { resolve: prepared.resolve, queue, instantiate, run, ledger: Duration::ZERO };
        telemetry::ended(prepared, outcome, &timing);
        ending.map_err(|(outcome, explanation)| Refusal { spent, why: ended(prepared, outcome, &explanation) })
    }

    /// The components that wait for each other, for people.
    fn path(&self) -> String {
        self.chain.iter().map(ComponentName::as_str).collect::<Vec<_>>().join(" -> ")
    }
}

#[async_trait]
impl Shelf for Caller {
    async fn call(&self, call: ShelfCall<'_>) -> Result<Option<Val>, ShelfFailure> {
        let made = self.make(&call).await;
        made.map_err(|Refusal { spent, why }| ShelfFailure::new(call.interface, call.function, spent, &why))
    }
}

impl Share {
    /// What of the caller's has run out too, if that is why the call failed.
    fn spent(&self, failure: &Failure) -> Option<Spent> {
        match failure {
            Failure::LimitCpu => self.cpu_is_shared.then_some(Spent::Cpu),
            Failure::LimitWall => self.wall_is_shared.then_some(Spent::Wall),
            Failure::SpentBelow { spent: Spent::Cpu, .. } => self.cpu_is_shared.then_some(Spent::Cpu),
            Failure::SpentBelow { spent: Spent::Wall, .. } => self.wall_is_shared.then_some(Spent::Wall),
            _ => None,
        }
    }
}

fn ended(prepared: &Prepared, outcome: Outcome, explanation: &Explanation) -> String {
    format!("{:?} (call {}) ended with {outcome}: {}", prepared.version, prepared.call, explanation.detail)
}

/// What a function that returned says of itself: the error case of a `result` is an error of the component.
fn outcome(value: Option<&Val>) -> Outcome {
    match value {
        Some(Val::Result(Err(_))) => Outcome::ComponentError,
        _ => Outcome::Ok,
    }
}

/// Bytes of a value: its texts and numbers, without what holds them together.
fn bytes(value: &Val) -> usize {
    let one = |value: &Option<Box<Val>>| value.as_deref().map_or(0, bytes);
    match value {
        Val::Bool(_) | Val::S8(_) | Val::U8(_) => 1,
        Val::S16(_) | Val::U16(_) => 2,
        Val::S32(_) | Val::U32(_) | Val::Float32(_) | Val::Char(_) => 4,
        Val::S64(_) | Val::U64(_) | Val::Float64(_) => 8,
        Val::String(text) | Val::Enum(text) => text.len(),
        Val::List(values) | Val::Tuple(values) | Val::FixedLengthList(values) => values.iter().map(bytes).sum(),
        Val::Map(pairs) => pairs.iter().map(|(key, value)| bytes(key) + bytes(value)).sum(),
        Val::Record(fields) => fields.iter().map(|(_, value)| bytes(value)).sum(),
        Val::Variant(case, value) => case.len() + one(value),
        Val::Option(value) => 1 + one(value),
        Val::Result(Ok(value) | Err(value)) => 1 + one(value),
        Val::Flags(flags) => flags.iter().map(String::len).sum(),
        // These do not leave a sandbox.
        Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_large_as_their_texts_and_numbers() {
        let record = Val::Record(vec![
            ("name".to_owned(), Val::String("陈明".to_owned())),
            ("at".to_owned(), Val::Option(Some(Box::new(Val::U64(1))))),
            ("points".to_owned(), Val::List(vec![Val::U8(1), Val::U8(2)])),
        ]);
        assert_eq!(bytes(&record), 6 + 9 + 2);
        assert_eq!(bytes(&Val::Result(Err(None))), 1);
        assert_eq!(outcome(Some(&Val::Result(Err(None)))), Outcome::ComponentError);
        assert_eq!(outcome(Some(&Val::Result(Ok(None)))), Outcome::Ok);
    }
}
