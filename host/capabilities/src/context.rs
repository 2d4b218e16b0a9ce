//! Which call it is, for whom, and what it may use.

use crate::Shelf;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, LazyLock, Weak};
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
        Self { call, tenant, component, version, granted, used: Mutex::default(), shelf: None }
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
