//! Which call it is, for whom, and what it may use.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock};
use wares_model::limits::USED_NAMES_MAX;
use wares_model::{CallId, ComponentName, Granted, TenantId, Version};

/// What is granted outside of any shelf.
static NOTHING: LazyLock<Arc<Granted>> = LazyLock::new(Arc::default);

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
    traceparent: Option<Box<str>>,
    used: Mutex<BTreeSet<Arc<str>>>,
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
        Self { call, tenant, component, version, granted, line, traceparent: None, used: Mutex::default() }
    }

    /// The same call of a tenant that stands below others: itself first, then the one above it, up to the top.
    pub fn with_line(mut self, line: Arc<[TenantId]>) -> Self {
        self.line = line;
        self
    }

    /// The same call as part of a trace, named as W3C's `traceparent`.
    pub fn with_traceparent(mut self, traceparent: Option<Box<str>>) -> Self {
        self.traceparent = traceparent;
        self
    }

    /// The tenant, then the one above it, up to the top.
    pub fn line(&self) -> &Arc<[TenantId]> {
        &self.line
    }

    /// What a request that the call sends says of the trace that it belongs to, as the header `traceparent`.
    pub fn traceparent(&self) -> Option<String> {
        self.traceparent.as_deref().map(str::to_owned)
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
