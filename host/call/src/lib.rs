//! The pipeline of one call: resolve, admit, lower, run, lift, record, answer.
//!
//! [`Calls::prepare`] finds out what serves the call, so that the caller's body is read within that version's limit;
//! [`Calls::run`] does the rest. Once a call is admitted every way out passes the ledger, a caller that goes away included.

mod admission;
mod arguments;
mod budget;
mod compose;
mod error;
mod follow;
mod holders;
pub mod jobs;
mod once;
mod record;
mod serve;
mod shadow;
mod telemetry;
mod trace;

pub use admission::Capacity;
pub use budget::{Full, Held, Holder};
pub use error::{CallError, Explanation};
pub use follow::{Followed, Followers, Following, TooManyFollowers};
pub use holders::{Holders, OpenBounds};
pub use once::{Asked, IdempotencyKey, Once, OnceError, ParseIdempotencyKeyError, Replay};
pub use shadow::Repeat;
pub use telemetry::describe_metrics;

use admission::{Admission, Patience, Permits};
use compose::{Above, Caller};
use jobs::Attempt;
use once::Taken;
use record::{Record, Traffic};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tracing::Instrument as _;
use wares_catalog::ledger::{Ledger, LedgerError, Slot};
use wares_catalog::snapshot::{ComponentEntry, Live, VersionEntry};
use wares_catalog::tenancy::TenantEntry;
use wares_catalog::{Catalog, ResolveError, Resolved, Target, UsedCalls};
use wares_engine::{CallContext, CallReport, Invocation, Meter, TraceParent};
use wares_model::manifest::Reuse;
use wares_model::{Application, CallId, Outcome, ProblemCode};
use wares_typed::{Answer, Function, Val, WriteError};

/// Who calls and what.
#[derive(Clone)]
pub struct Request {
    /// The tenant that the call is counted for.
    pub tenant: Arc<TenantEntry>,
    /// Which of its systems calls.
    pub application: Application,
    /// What serves it.
    pub target: Target,
    /// The interface, short or full, when the target is a component; none for a function of the world itself.
    pub interface: Option<String>,
    /// The function.
    pub function: String,
    /// The trace that the call continues.
    pub trace: TraceParent,
    /// The caller's own name for its request.
    pub request_id: Option<Arc<str>>,
}

/// A call that has found its version and function.
pub struct Prepared {
    call: CallId,
    tenant: Arc<TenantEntry>,
    application: Application,
    version: Arc<VersionEntry>,
    live: Arc<Live>,
    interface: Arc<str>,
    function: Arc<str>,
    resolve: Duration,
    /// Counts what it uses.
    meter: Arc<Meter>,
    /// What capabilities know of the call.
    context: Arc<CallContext>,
    used: Arc<UsedCalls>,
    followers: Followers,
    /// The component, if somebody wants to know how the call ends.
    looked_at: Option<Arc<ComponentEntry>>,
    /// What it calls other components with, if it does.
    caller: Option<Arc<Caller>>,
    /// The call that made it, if a component did.
    parent: Option<CallId>,
    request_id: Option<Arc<str>>,
}

/// What serves a call, and whose call it is.
struct Found {
    tenant: Arc<TenantEntry>,
    application: Application,
    version: Arc<VersionEntry>,
    live: Arc<Live>,
    interface: Arc<str>,
    function: Arc<str>,
    resolve: Duration,
    looked_at: Option<Arc<ComponentEntry>>,
    /// The trace that the call continues.
    trace: TraceParent,
    request_id: Option<Arc<str>>,
}

/// A call that was answered.
#[derive(Debug)]
pub struct Answered {
    /// The result's JSON.
    pub json: Vec<u8>,
    /// Where the time went.
    pub timing: Timing,
}

/// Where a call's time went.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timing {
    /// Finding the version and the function.
    pub resolve: Duration,
    /// Waiting for slots, and for other calls of long CPU time.
    pub queue: Duration,
    /// Making the instance.
    pub instantiate: Duration,
    /// Running the function, arguments and result included.
    pub run: Duration,
    /// Writing the ledger.
    pub ledger: Duration,
}

/// Runs calls. Clones share everything.
#[derive(Clone)]
pub struct Calls {
    catalog: Arc<Catalog>,
    ledger: Ledger,
    admission: Arc<Admission>,
    /// Slots of calls that are made a second time.
    shadows: Arc<Semaphore>,
    followers: Followers,
    holders: Arc<Holders>,
    /// Keys of callers under which calls run.
    taken: Arc<Taken>,
}

/// What a call is made for.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// For whoever waits for its answer.
    Caller,
    /// For a job.
    Attempt(&'a Attempt),
    /// For whoever asks for it under this key, once.
    Once(&'a Once),
}

impl<'a> Purpose<'a> {
    fn attempt(self) -> Option<&'a Attempt> {
        match self {
            Self::Attempt(attempt) => Some(attempt),
            Self::Caller | Self::Once(_) => None,
        }
    }
}

impl Calls {
    /// Calls of what is on this shelf, counted in this ledger.
    pub fn new(catalog: Arc<Catalog>, ledger: Ledger, capacity: Capacity, open: OpenBounds) -> Self {
        let shadows = Arc::new(Semaphore::new(capacity.shadows_max));
        Self {
            catalog,
            ledger,
            admission: Arc::new(Admission::new(capacity)),
            shadows,
            followers: Followers::default(),
            holders: Arc::new(Holders::new(open)),
            taken: Arc::default(),
        }
    }

    /// Who holds how much of the host's memory with open requests.
    pub fn holders(&self) -> &Holders {
        &self.holders
    }

    /// Whether calls can be entered in the ledger now, and what keeps them from it.
    pub async fn check_ledger(&self) -> Result<(), LedgerError> {
        self.ledger.check().await
    }

    /// Who follows what calls write.
    pub fn followers(&self) -> &Followers {
        &self.followers
    }

    /// Finds the version and the function that serve the call.
    pub async fn prepare(&self, request: Request) -> Result<Arc<Prepared>, CallError> {
        self.prepare_as(CallId::generate(), request).await
    }

    /// The same for a call whose id is known already.
    async fn prepare_as(&self, call: CallId, request: Request) -> Result<Arc<Prepared>, CallError> {
        self.find(call, request, error::names_of_function).await.inspect_err(telemetry::refused)
    }

    /// Runs a prepared call with the JSON of its arguments, which is held already.
    pub async fn run(&self, prepared: &Arc<Prepared>, body: &[u8], held: &Held) -> Result<Answered, CallError> {
        self.run_for(prepared, body, held, Purpose::Caller).await
    }

    /// The same, for whatever it is for.
    async fn run_for(
        &self,
        prepared: &Arc<Prepared>,
        body: &[u8],
        held: &Held,
        purpose: Purpose<'_>,
    ) -> Result<Answered, CallError> {
        let patience = purpose.attempt().map_or(Patience::Caller, |_| Patience::Job);
        let refused = |error: &CallError| trace::refused(prepared, error);
        let entered =
            self.enter(prepared, body, held, patience).await.inspect_err(telemetry::refused).inspect_err(refused);
        let answered = match entered {
            Ok(entered) => {
                purpose.attempt().iter().for_each(|attempt| attempt.begin());
                self.execute(prepared, entered, body.len(), purpose).await
            }
            Err(refused) => Err(refused),
        };
        answered.map_err(|error| error.of(&prepared.version))
    }

    /// Finds the version, and in it what `entry` says is to be run: an interface and a function.
    async fn find(
        &self,
        call: CallId,
        request: Request,
        entry: impl FnOnce(&Live, Option<&str>, &str) -> Result<(Arc<str>, Arc<str>), Box<Explanation>>,
    ) -> Result<Arc<Prepared>, CallError> {
        let started = Instant::now();
        let resolved = self.catalog.snapshot().resolve(&request.target, &request.tenant.record.id);
        let found = self.found(call, request, resolved, entry).await?;
        Ok(self.prepared(call, Found { resolve: started.elapsed(), ..found }, Arc::default(), None))
    }

    /// What serves the call, of the version that was resolved.
    async fn found(
        &self,
        call: CallId,
        request: Request,
        resolved: Result<Resolved, ResolveError>,
        entry: impl FnOnce(&Live, Option<&str>, &str) -> Result<(Arc<str>, Arc<str>), Box<Explanation>>,
    ) -> Result<Found, CallError> {
        let Request { tenant, application, interface, function, trace, request_id, .. } = request;
        let resolved = resolved.map_err(|error| CallError::unresolved(call, error))?;
        let version = resolved.version;
        let live = self.admission.loaded(&self.catalog, call, &version).await;
        let live = live.map_err(|error| error.of(&version))?;
        let interface = resolved.interface.or(interface);
        let (interface, function) = entry(&live, interface.as_deref(), &function)
            .map_err(|explanation| CallError::new(call, explanation).of(&version))?;
        let (resolve, looked_at) = (Duration::ZERO, resolved.looked_at);
        Ok(Found { tenant, application, version, live, interface, function, resolve, looked_at, trace, request_id })
    }

    /// A call that is ready to be made, by another one if there is one above.
    fn prepared(&self, call: CallId, found: Found, meter: Arc<Meter>, above: Option<&Above<'_>>) -> Arc<Prepared> {
        let caller = Caller::of(self, call, &found, &meter, above);
        let Found { tenant, application, version, live, interface, function, resolve, looked_at, trace, request_id } =
            found;
        let context = context(call, &tenant, &version);
        let context = match &caller {
            None => context,
            Some(caller) => context.with_shelf(caller.for_context()),
        };
        let span = trace::open(&trace, &context, &interface, &function, &application);
        let context = Arc::new(context.with_trace(trace, span));
        let used = Arc::clone(self.catalog.used());
        let parent = above.map(Above::call);
        Arc::new(Prepared {
            call,
            tenant,
            application,
            version,
            live,
            interface,
            function,
            resolve,
            meter,
            context,
            used,
            followers: self.followers.clone(),
            looked_at,
            caller,
            parent,
            request_id,
        })
    }

    /// Waits for all that a call needs before it may run.
    async fn admit(&self, prepared: &Prepared, patience: Patience) -> Result<Admitted, CallError> {
        let queued = Instant::now();
        let permits = self.admission.admit(prepared, &self.ledger, patience).await?;
        let slot = self.ledger.slot().await.map_err(|error| CallError::ledger(prepared.call, &error))?;
        Ok(Admitted { _permits: permits, slot, queue: queued.elapsed() })
    }

    /// Admits the call and reads its arguments. What is refused here never ran and is not counted.
    async fn enter(
        &self,
        prepared: &Prepared,
        body: &[u8],
        held: &Held,
        patience: Patience,
    ) -> Result<(Admitted, Vec<Val>), CallError> {
        let admitted = self.admit(prepared, patience).await?;
        let arguments = arguments::read(prepared, body, held).await?;
        Ok((admitted, arguments))
    }

    /// Runs what was admitted. From here on the call is counted, whatever happens.
    async fn execute(
        &self,
        prepared: &Arc<Prepared>,
        (admitted, arguments): (Admitted, Vec<Val>),
        bytes_in: usize,
        purpose: Purpose<'_>,
    ) -> Result<Answered, CallError> {
        let Admitted { _permits, slot, queue } = admitted;
        let traffic = Arc::new(Traffic::of(bytes_in, 0));
        let mut record = Record::open(Arc::clone(prepared), slot, Arc::clone(&traffic));
        prepared.begin();
        let invocation = Invocation {
            interface: prepared.interface(),
            function: &prepared.function,
            arguments: arguments.into(),
            limits: &prepared.version.limits,
            meter: Arc::clone(&prepared.meter),
            context: Arc::clone(&prepared.context),
            owner: prepared.owner(),
        };
        let CallReport { result, logs, wait, instantiate, run } =
            prepared.live.component.call(invocation).instrument(prepared.context.span()).await;
        let ending = match result {
            Err(failure) => Err(error::of_failure(failure)),
            Ok(value) => lift(prepared, value.as_ref()),
        };

        let recording = Instant::now();
        let (outcome, explanation, bytes_out) = match &ending {
            Ok(json) => (Outcome::Ok, None, json.len()),
            Err((outcome, explanation)) => (*outcome, Some(explanation.as_ref()), explanation.error_bytes()),
        };
        traffic.bytes_out.store(bytes_out as u64, Ordering::Relaxed);
        match purpose {
            Purpose::Caller => {}
            Purpose::Attempt(attempt) => record.answer = ending.as_ref().ok().and_then(|json| attempt.answer(json)),
            Purpose::Once(once) => record.kept = once.keep(&ending),
        }
        let recorded = record.close(outcome, explanation, logs).await;
        recorded.map_err(|error| CallError::ledger(prepared.call, &error))?;
        let queue = queue + wait;
        let timing = Timing { resolve: prepared.resolve, queue, instantiate, run, ledger: recording.elapsed() };
        telemetry::ended(prepared, outcome, &timing);
        match ending {
            Ok(json) => Ok(Answered { json, timing }),
            Err((outcome, explanation)) => Err(CallError::new(prepared.call, explanation).ended(outcome)),
        }
    }
}

/// What a call holds that was let in.
struct Admitted {
    _permits: Permits,
    slot: Slot,
    queue: Duration,
}

impl Drop for Prepared {
    /// A call that never ran, or failed on its way, ends here.
    fn drop(&mut self) {
        self.context.end_trace();
    }
}

impl Prepared {
    /// The call's id.
    pub fn call(&self) -> CallId {
        self.call
    }

    /// The version that serves it; its limits bound the body to be read.
    pub fn version(&self) -> &VersionEntry {
        &self.version
    }

    fn interface(&self) -> Option<&str> {
        Some(self.interface.as_ref()).filter(|interface| !interface.is_empty())
    }

    /// Whose instances may serve the call: the tenant's, if the component says that its instances may serve again.
    fn owner(&self) -> Option<&str> {
        match self.version.summary.reuse {
            Reuse::None => None,
            Reuse::Tenant => Some(self.tenant.record.id.as_str()),
        }
    }

    /// The call runs from now on.
    fn begin(&self) {
        self.caller.iter().for_each(|caller| caller.begin());
    }

    /// Tells a rollout how the call ended, if it is one of its calls.
    fn report(&self, outcome: Outcome, wall_us: u64) {
        if let Some(rollout) = self.looked_at.as_ref().and_then(|component| component.rollout.as_ref()) {
            rollout.watch.count(&self.version.record.version, outcome, wall_us);
        }
    }

    /// Remembers what the call used of what it is granted.
    fn note_used(&self) {
        self.used.note(&self.context.component, self.context.used());
    }

    fn function(&self) -> Result<&Function, CallError> {
        let found = error::find_function(&self.live.description, self.interface(), &self.function);
        found.map(|(_, function)| function).map_err(|explanation| CallError::new(self.call, explanation))
    }
}

/// What capabilities know of a call.
fn context(call: CallId, tenant: &TenantEntry, version: &VersionEntry) -> CallContext {
    let (id, record) = (tenant.record.id.clone(), &version.record);
    let (component, number) = (record.component.clone(), record.version.clone());
    let context = CallContext::new(call, id, component, number, Arc::clone(&version.granted));
    context.with_line(Arc::clone(&tenant.line)).with_config(Arc::clone(&version.config))
}

/// The JSON of what a function returned, or why there is none.
fn lift(prepared: &Prepared, value: Option<&Val>) -> Result<Vec<u8>, (Outcome, Box<Explanation>)> {
    let host = |error: &dyn fmt::Display| (Outcome::HostError, Box::new(Explanation::host(error)));
    let function = prepared.function().map_err(|error| host(&error))?;
    let bytes_max = prepared.version.limits.result_bytes_max;
    let most = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    match wares_typed::write_result(&prepared.live.description, function, value, most) {
        Ok(Answer::Ok(json)) => Ok(json),
        Ok(Answer::ComponentError(json)) => {
            let own = error::raw_json(json).map_err(|error| host(&error))?;
            let detail = error::COMPONENT_ERROR.to_owned();
            let explanation = Explanation::new(ProblemCode::ComponentError, detail).with_error(own);
            Err((Outcome::ComponentError, Box::new(explanation)))
        }
        Err(WriteError::TooLarge { .. }) => {
            let detail = format!("the result's JSON is larger than {bytes_max} bytes");
            Err((Outcome::LimitOutput, Box::new(Explanation::new(ProblemCode::LimitOutput, detail))))
        }
        Err(error) => Err(host(&error)),
    }
}
