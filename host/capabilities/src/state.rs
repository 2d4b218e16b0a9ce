//! What one call holds while it runs.

use crate::config::CallConfig;
use crate::cpu::Account;
use crate::files::{FilesView, Held};
use crate::http::{self, Requests};
use crate::wasi::{self, Seed};
use crate::{CallContext, CallLog, CpuAccount, Services};
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

/// What counts a guest's memories, tables and CPU time. The engine finds its own type again with [`CallState::limiter_as`].
pub trait Limiter: ResourceLimiter + Any + Send + Sync {
    /// What counts the CPU time of the call that is served now.
    fn cpu(&self) -> Arc<dyn CpuAccount>;
}

/// The data of one call's store: dropped with it, shared with nothing.
pub struct CallState {
    table: ResourceTable,
    limiter: Box<dyn Limiter>,
    context: Arc<CallContext>,
    services: Arc<Services>,
    log: CallLog,
    /// Made when a guest first uses a WASI interface: most calls of most guests only import them.
    wasi: Option<WasiCtx>,
    seed: Seed,
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
    pub(crate) cpu: Account,
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
            seed: Seed::default(),
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

    /// Whether nothing that the call began goes on: its instance may wait for another call, and holds nothing of the host's.
    pub fn is_at_rest(&self) -> bool {
        self.requests.as_ref().is_none_or(Requests::is_at_rest)
    }

    /// Serves another call of the same tenant from now on, within these limits, if it may use the same as the one before.
    pub fn hand_over(&mut self, context: &Arc<CallContext>, limits: &Limits) -> bool {
        let alike = Arc::ptr_eq(&self.context.granted, &context.granted)
            && Arc::ptr_eq(self.context.config(), context.config())
            && self.files.is_current();
        self.context = Arc::clone(context);
        self.limit(limits);
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

    /// What counts the CPU time of the call that is served now.
    pub(crate) fn cpu(&self) -> Account {
        self.limiter.cpu()
    }

    pub(crate) fn log(&self) -> &CallLog {
        &self.log
    }

    /// What a capability works with.
    pub(crate) fn view(&mut self) -> View<'_> {
        let Self { context, services, log, table, limiter, .. } = self;
        View { context, services, log, cpu: limiter.cpu(), table }
    }

    /// What files are worked with.
    pub(crate) fn files(&mut self) -> FilesView<'_> {
        let Self { context, services, log, table, files: held, limiter, .. } = self;
        FilesView { context, services, log, cpu: limiter.cpu(), table, held }
    }

    pub(crate) fn seed(&mut self) -> &mut Seed {
        &mut self.seed
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Takes host memory for a text of HTTP that a handle keeps, if the call has as much left for it.
    pub(crate) fn keep_text(&mut self, text: &str) -> bool {
        let Self { context, services, log, limiter, limits, requests, .. } = self;
        let requests = requests.get_or_insert_with(|| Requests::new(context, services, log, limiter.cpu(), *limits));
        requests.keep(text)
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let Self { context, log, wasi, table, .. } = self;
        WasiCtxView { ctx: wasi.get_or_insert_with(|| wasi::context(log, context.program())), table }
    }
}

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let Self { context, services, log, limiter, limits, requests, table, http: ctx, .. } = self;
        let hooks = requests.get_or_insert_with(|| Requests::new(context, services, log, limiter.cpu(), *limits));
        WasiHttpCtxView { hooks, table, ctx }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Empty};
    use wasmtime_wasi_http::Error;

    struct Unlimited;

    impl Limiter for Unlimited {
        fn cpu(&self) -> Arc<dyn CpuAccount> {
            Arc::new(crate::cpu::tests::Sum::default())
        }
    }

    impl ResourceLimiter for Unlimited {
        fn memory_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
            Ok(true)
        }

        fn table_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
            Ok(true)
        }
    }

    /// What comes of a request, none of which is granted.
    async fn send(state: &mut CallState) -> Error {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = ::http::Request::get("http://a.cn").body(body).unwrap();
        let sent = state.http().hooks.send_request(request, None, Box::new(async { Ok(()) }));
        Box::into_pin(sent).await.map(drop).unwrap_err()
    }

    #[tokio::test]
    async fn each_call_is_held_to_its_own_limits_and_told_once() {
        let (context, log) = (Arc::new(CallContext::unshelved()), CallLog::new(4_096));
        let mut state = CallState::new(Arc::clone(&context), Arc::default(), log, Box::new(Unlimited));
        state.limit(&Limits { outbound_requests_max: 0, ..Limits::DEFAULT });
        assert!(matches!(send(&mut state).await, Error::ConnectionLimitReached));
        assert!(state.hand_over(&context, &Limits { outbound_requests_max: 1, ..Limits::DEFAULT }));
        assert!(matches!(send(&mut state).await, Error::HttpRequestDenied));
        state.log.take();
        for _ in 0..3 {
            assert!(matches!(send(&mut state).await, Error::ConnectionLimitReached));
        }
        let told = state.log.take().text;
        assert_eq!(told.matches("outbound-requests-max").count(), 1, "{told}");
        assert!(state.is_at_rest());
    }

    #[test]
    fn unsent_bodies_and_paths_stay_within_the_host_memory_of_their_call() {
        let (context, log) = (Arc::new(CallContext::unshelved()), CallLog::new(4_096));
        let mut state = CallState::new(context, Arc::default(), log, Box::new(Unlimited));
        state.limit(&Limits { host_memory_bytes_max: 1 << 20, ..Limits::DEFAULT });
        let path = "p".repeat(1_000);
        assert!(state.keep_text(&path));
        let chunks: Vec<_> = (0..RESOURCES_MAX).map(|_| state.http().hooks.p2_outgoing_body_chunk_size()).collect();
        assert_eq!(chunks.first(), Some(&(64 << 10)), "the first ones are not held back");
        assert_eq!(chunks.last(), Some(&256), "the last ones go on, slowly");
        // Of each, two may wait.
        let waiting: usize = chunks.iter().map(|chunk| 2 * chunk).sum();
        assert!(waiting + path.len() <= (1 << 20) + chunks.len() * 2 * 256, "{waiting}");
        assert!(!state.keep_text(&path), "nothing is left");
    }
}
