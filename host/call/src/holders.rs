//! Whose requests are counted together: those of a key, of a tenant, and of operators.

use crate::budget::{Budget, Full, Held, Holder, Room};
use crate::telemetry;
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Weak};
use wares_catalog::{Caller, Role};
use wares_model::limits::{HOLDERS_KEPT_MAX, OPERATORS_HELD_BYTES_MAX};
use wares_model::{KeyId, TenantId};

/// What an operator sets for requests that are open.
#[derive(Debug, Clone, Copy)]
pub struct OpenBounds {
    /// Bytes that the host holds for them.
    pub host_bytes_max: u64,
    /// Of these, for those of one tenant, and of one key that belongs to none.
    pub tenant_bytes_max: u64,
    /// Requests open at once with one key.
    pub key_requests_max: usize,
}

/// All who send requests. What operators hold is counted apart: nobody keeps them out.
#[derive(Debug)]
pub struct Holders {
    bounds: OpenBounds,
    host: Arc<Room>,
    operators: Arc<Budget>,
    tenants: Mutex<HashMap<TenantId, Weak<Budget>>>,
    keys: RwLock<HashMap<KeyId, Arc<Holder>>>,
}

impl Holders {
    /// Budgets within these bounds, of which nobody holds anything yet.
    pub fn new(bounds: OpenBounds) -> Self {
        Self {
            bounds,
            host: Arc::new(Room::new(bounds.host_bytes_max)),
            operators: Arc::new(Budget::new(OPERATORS_HELD_BYTES_MAX, None)),
            tenants: Mutex::default(),
            keys: RwLock::default(),
        }
    }

    /// Whoever sends requests with this key.
    pub fn of(&self, caller: &Caller) -> Arc<Holder> {
        let key = &caller.key;
        if let Some(holder) = self.keys.read().get(&key.id) {
            return Arc::clone(holder);
        }
        let budget = match &key.role {
            Role::Admin => Arc::clone(&self.operators),
            Role::Tenant { tenant, .. } => self.budget(tenant),
            Role::Reviewer | Role::Publisher { .. } => Arc::new(self.new_budget()),
        };
        let mut keys = self.keys.write();
        if keys.len() >= HOLDERS_KEPT_MAX {
            keys.retain(|_, holder| Arc::strong_count(holder) > 1);
        }
        let holder = Holder { budget, open: AtomicUsize::new(0), open_max: self.bounds.key_requests_max };
        Arc::clone(keys.entry(key.id).or_insert_with(|| Arc::new(holder)))
    }

    /// Shows in the metrics what is held now.
    pub fn show(&self) {
        telemetry::held(self.host.held());
    }

    /// What an attempt at a job of this tenant holds.
    pub(crate) fn attempt(&self, tenant: &TenantId) -> Result<Held, Full> {
        let holder = Holder { budget: self.budget(tenant), open: AtomicUsize::new(0), open_max: 1 };
        Arc::new(holder).begin()
    }

    fn budget(&self, tenant: &TenantId) -> Arc<Budget> {
        let mut tenants = self.tenants.lock();
        if let Some(budget) = tenants.get(tenant).and_then(Weak::upgrade) {
            return budget;
        }
        if tenants.len() >= HOLDERS_KEPT_MAX {
            tenants.retain(|_, budget| budget.strong_count() > 0);
        }
        let budget = Arc::new(self.new_budget());
        tenants.insert(tenant.clone(), Arc::downgrade(&budget));
        budget
    }

    fn new_budget(&self) -> Budget {
        Budget::new(self.bounds.tenant_bytes_max, Some(Arc::clone(&self.host)))
    }
}
