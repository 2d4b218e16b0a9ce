//! What one call holds while it runs.

use crate::config::CallConfig;
use crate::files::{FilesView, Held};
use crate::http::{self, Requests};
use crate::{CallContext, CallLog, Services, wasi};
use std::any::Any;
use std::sync::Arc;
use wares_model::Limits;
use wares_model::limits::RESOURCES_MAX;
use wasmtime::ResourceLimiter;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// A bound that a guest ran into, as the error that stops it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct OverLimit(pub String);

/// What counts a guest's memories and tables. The engine finds its own type again with [`CallState::limiter_as`].
pub trait Limiter: ResourceLimiter + Any + Send + Sync {}

impl<T: ResourceLimiter + Any + Send + Sync> Limiter for T {}

/// The data of one call's store: dropped with it, shared with nothing.
pub struct CallState {
    table: ResourceTable,
    limiter: Box<dyn Limiter>,
    context: Arc<CallContext>,
    services: Arc<Services>,
    log: CallLog,
    /// Made when a guest first uses a WASI interface: most calls of most guests only import them.
    wasi: Option<WasiCtx>,
    files: Held,
    http: WasiHttpCtx,
    /// Made when a guest first uses HTTP.
    requests: Option<Requests>,
    limits: Limits,
    pub(crate) config: CallConfig,
}

/// What a capability works with.
pub(crate) struct View<'a> {
    pub(crate) context: &'a Arc<CallContext>,
    pub(crate) services: &'a Arc<Services>,
    pub(crate) log: &'a CallLog,
    pub(crate) table: &'a mut ResourceTable,
}

impl CallState {
    /// The state of a call that writes to `log` and whose memories and tables are counted by `limiter`.
    pub fn new(context: Arc<CallContext>, services: Arc<Services>, log: CallLog, limiter: Box<dyn Limiter>) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(usize::try_from(RESOURCES_MAX).unwrap_or(usize::MAX));
        let (http, limits) = (http::context(), Limits::DEFAULT);
        Self {
            table,
            limiter,
            context,
            services,
            log,
            wasi: None,
            files: Held::default(),
            http,
            requests: None,
            limits,
            config: CallConfig::default(),
        }
    }

    /// Holds capabilities within these limits, where they keep some.
    pub fn limit(&mut self, limits: &Limits) {
        self.limits = *limits;
    }

    /// The call that is served now.
    pub fn context(&self) -> &Arc<CallContext> {
        &self.context
    }

    /// Serves another call of the same tenant from now on, if it may use the same as the one before.
    pub fn hand_over(&mut self, context: &Arc<CallContext>) -> bool {
        let alike = Arc::ptr_eq(&self.context.granted, &context.granted)
            && Arc::ptr_eq(self.context.config(), context.config())
            && self.files.is_current();
        self.context = Arc::clone(context);
        self.requests = None;
        alike
    }

    /// What the host has for capabilities.
    pub fn services(&self) -> &Arc<Services> {
        &self.services
    }

    /// What counts memories and tables.
    pub fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        self.limiter.as_mut()
    }

    /// What counts memories and tables, if it is of this type.
    pub fn limiter_as<T: Limiter>(&self) -> Option<&T> {
        let limiter: &dyn Any = self.limiter.as_ref();
        limiter.downcast_ref()
    }

    /// The same, to change it.
    pub fn limiter_as_mut<T: Limiter>(&mut self) -> Option<&mut T> {
        let limiter: &mut dyn Any = self.limiter.as_mut();
        limiter.downcast_mut()
    }

    pub(crate) fn log(&self) -> &CallLog {
        &self.log
    }

    /// What a capability works with.
    pub(crate) fn view(&mut self) -> View<'_> {
        View { context: &self.context, services: &self.services, log: &self.log, table: &mut self.table }
    }

    /// What files are worked with.
    pub(crate) fn files(&mut self) -> FilesView<'_> {
        let Self { context, services, table, files: held, .. } = self;
        FilesView { context, services, table, held }
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let log = &self.log;
        WasiCtxView { ctx: self.wasi.get_or_insert_with(|| wasi::context(log)), table: &mut self.table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (context, services, log) = (&self.context, &self.services, &self.log);
        let requests = self.requests.get_or_insert_with(|| Requests::new(context, services, log, self.limits));
        WasiHttpCtxView { hooks: requests, table: &mut self.table, ctx: &mut self.http }
    }
}
