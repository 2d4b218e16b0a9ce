//! Which call it is, for whom, and what it may use.

use crate::trace::{CallTrace, TraceParent};
use crate::{CallLog, Program, Shelf, Written};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock, OnceLock, Weak};
use tracing::Span;
use wares_model::limits::{USED_NAME_BYTES_MAX, USED_NAMES_MAX};
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
    /// Where the call writes while it runs: whoever writes its entry must find it even if the call is cut off.
    log: Mutex<Option<CallLog>>,
    /// What is given to the program that the call runs, if it runs one.
    program: OnceLock<Program>,
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
        let (config, trace) = (Arc::clone(&NOT_SET), CallTrace::default());
        let (used, log, program) = Default::default();
        Self { call, tenant, component, version, granted, line, config, trace, used, log, program, shelf: None }
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

    /// What the trace of a call continues that this one makes.
    pub fn below(&self) -> TraceParent {
        self.trace.below()
    }

    /// Ends the span of the call.
    pub fn end_trace(&self) {
        self.trace.end();
    }

    /// The call runs this program.
    pub fn begin_program(&self, program: Program) -> &Program {
        self.program.get_or_init(|| program)
    }

    /// The program that the call runs, if it runs one.
    pub(crate) fn program(&self) -> Option<&Program> {
        self.program.get()
    }

    /// The call runs from now on, and writes to this log.
    pub fn begin_log(&self, log: &CallLog) {
        *self.log.lock() = Some(log.clone());
    }

    /// Takes what the call wrote since, once; what comes later is another call's.
    pub fn end_log(&self) -> Written {
        let log = self.log.lock().take();
        log.map(|log| log.take()).unwrap_or_default()
    }

    /// The same call, with a way to call other components for as long as whoever runs it holds that.
    pub fn with_shelf(self, shelf: Weak<dyn Shelf>) -> Self {
        Self { shelf: Some(shelf), ..self }
    }

    /// What calls other components for it.
    pub(crate) fn shelf(&self) -> Option<Arc<dyn Shelf>> {
        self.shelf.as_ref()?.upgrade()
    }

    /// A call outside of any shelf, of no real component and granted nothing until its fields say otherwise: a trial, a test.
    pub fn unshelved() -> Self {
        #[expect(clippy::expect_used, reason = "constants that are names")]
        let (tenant, component) = ("local".parse().expect("an id"), "local:sandbox".parse().expect("a name"));
        Self::new(CallId::generate(), tenant, component, Version::new(0, 0, 0), Arc::clone(&NOTHING))
    }

    /// Notes that the call used something that it is granted, as `http GET https://api.example.cn`. Each thing counts once,
    /// and only so many are kept, and so much of the name of each.
    pub fn note_used(&self, what: fmt::Arguments<'_>) {
        let mut name = what.to_string();
        name.truncate(name.floor_char_boundary(USED_NAME_BYTES_MAX));
        let mut used = self.used.lock();
        if used.len() < USED_NAMES_MAX {
            used.insert(name.into());
        }
    }

    /// What the call used.
    pub fn used(&self) -> Vec<Arc<str>> {
        self.used.lock().iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_what_a_call_used_has_a_bound() {
        let context = CallContext::unshelved();
        for number in 0..2 * USED_NAMES_MAX {
            context.note_used(format_args!("{number} {}", "中".repeat(1_000)));
        }
        let used = context.used();
        assert_eq!(used.len(), USED_NAMES_MAX);
        assert!(used.iter().all(|name| name.len() <= USED_NAME_BYTES_MAX && name.ends_with('中')));
    }

    #[test]
    fn a_log_is_taken_once_and_not_that_of_the_next_call() {
        let (context, log) = (CallContext::unshelved(), CallLog::new(100));
        assert_eq!(context.end_log(), Written::default());
        context.begin_log(&log);
        log.say(format_args!("mine"));
        assert_eq!(context.end_log().text, "mine\n");
        log.say(format_args!("of the next call"));
        assert_eq!(context.end_log(), Written::default());
    }
}
