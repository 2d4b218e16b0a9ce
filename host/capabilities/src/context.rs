//! Which call it is, for whom, and what it may use.

use crate::Shelf;
use crate::trace::{CallTrace, TraceParent};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock, Weak};
use tracing::Span;
use wares_model::limits::USED_NAMES_MAX;
use wares_model::{CallId, ComponentName, ConfigOverrides, Granted, TenantId, Version};

/// What is granted outside of any shelf.
static NOTHING: LazyLock<Arc<Granted>> = LazyLock::new(Arc::default);

/// What is set over a manifest outside of any shelf.
static NOT_SET: LazyLock<Arc<ConfigOverrides>> = LazyLock::new(Arc::default);

/// What capabilities know of the call that uses them.
pub struct CallContext {
    /// The call.
    pub call: CallId,
    /// Whose call it is.
    pub tenant: TenantId,
    /// What is called.
    pub component: ComponentName,
    /// Its version.
    pub version: Version,
    /// What it may use.
    pub granted: Arc<Granted>,
    /// The tenant, then the one above it, up to the top.
    line: Arc<[TenantId]>,
    config: Arc<ConfigOverrides>,
    trace: CallTrace,
    used: Mutex<BTreeSet<Arc<str>>>,
    /// Held by the call itself: an instance that is kept after it holds its context, and must not hold the host.
    shelf: Option<Weak<dyn Shelf>>,
}

impl CallContext {
    /// A call that has used nothing yet.
    pub fn new(
        call: CallId,
        tenant: TenantId,
        component: ComponentName,
        version: Version,
        granted: Arc<Granted>,
    ) -> Self {
        let line = Arc::from([tenant.clone()]);
        let (config, used) = (Arc::clone(&NOT_SET), Mutex::default());
        Self { call, tenant, component, version, granted, line, config, trace: CallTrace::default(), used, shelf: None }
    }

    /// The same call of a tenant that stands below others: itself first, then the one above it, up to the top.
    pub fn with_line(mut self, line: Arc<[TenantId]>) -> Self {
        self.line = line;
        self
    }

    /// The same call with values set over those of the manifest.
    pub fn with_config(mut self, config: Arc<ConfigOverrides>) -> Self {
        self.config = config;
        self
    }

    /// The same call as part of a trace: what it continues, and its own span, which may be none.
    pub fn with_trace(mut self, parent: TraceParent, span: Span) -> Self {
        self.trace = CallTrace::new(parent, span);
        self
    }

    /// The tenant, then the one above it, up to the top.
    pub fn line(&self) -> &Arc<[TenantId]> {
        &self.line
    }

    /// What is set over the values of the component's manifest.
    pub fn config(&self) -> &Arc<ConfigOverrides> {
        &self.config
    }

    /// What a request that the call sends says of the trace that it belongs to, as the header `traceparent`.
    pub fn traceparent(&self) -> Option<String> {
        self.trace.traceparent()
    }

    /// The span of the call, for spans below it; a disabled one if no traces are exported.
    pub fn span(&self) -> Span {
        self.trace.span()
    }

    /// Ends the span of the call.
    pub fn end_trace(&self) {
        self.trace.end();
    }

    /// The same call, with a way to call other components for as long as whoever runs it holds that.
    pub fn with_shelf(self, shelf: Weak<dyn Shelf>) -> Self {
        Self { shelf: Some(shelf), ..self }
    }

    /// What calls other components for it.
    pub(crate) fn shelf(&self) -> Option<Arc<dyn Shelf>> {
        self.shelf.as_ref()?.upgrade()
    }

    /// A call outside of any shelf, which is granted nothing: a test, or an example of a version under review.
    pub fn unshelved() -> Self {
        #[expect(clippy::expect_used, reason = "constants that are names")]
        let (tenant, component) = ("local".parse().expect("an id"), "local:sandbox".parse().expect("a name"));
        Self::new(CallId::generate(), tenant, component, Version::new(0, 0, 0), Arc::clone(&NOTHING))
    }

    /// Notes that the call used something that it is granted, as `http GET https://api.example.cn`. Each thing counts once,
    /// and only so many are kept.
    pub fn note_used(&self, what: fmt::Arguments<'_>) {
        let mut used = self.used.lock();
        if used.len() < USED_NAMES_MAX {
            used.insert(what.to_string().into());
        }
    }

    /// What the call used.
    pub fn used(&self) -> Vec<Arc<str>> {
        self.used.lock().iter().cloned().collect()
    }
}
