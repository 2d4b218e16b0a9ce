//! Removing what components keep for a tenant.

use crate::rehearsal::is_rehearsal;
use crate::{Catalog, TenancyError};
use wares_model::TenantId;

/// What was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wiped {
    /// Key-value pairs.
    pub pairs: u64,
}

impl Catalog {
    /// Removes the files and the key-value pairs that components keep for one tenant alone.
    ///
    /// What is shared between tenants stays, and so do the ledger, the logs in it, and the tenant itself. Calls that run meanwhile
    /// may keep pairs anew: revoke the tenant's keys first.
    pub async fn wipe_tenant(&self, tenant: &TenantId) -> Result<Wiped, TenancyError> {
        if !self.snapshot().has_tenant(tenant) {
            return Err(TenancyError::NoTenant(tenant.clone()));
        }
        let failed = |reason: String| TenancyError::Wipe { tenant: tenant.clone(), reason };
        let services = self.engine.services();
        if is_rehearsal() {
            let mut pairs = 0;
            for store in services.keyvalue.stores() {
                pairs += store.count(tenant).await.map_err(|error| failed(error.to_string()))?;
            }
            return Ok(Wiped { pairs });
        }
        services.files.wipe(tenant).await.map_err(|error| failed(error.to_string()))?;
        let mut pairs = 0;
        for store in services.keyvalue.stores() {
            pairs += store.wipe(tenant).await.map_err(|error| failed(error.to_string()))?;
        }
        tracing::info!(%tenant, pairs, "removed what components keep for the tenant");
        Ok(Wiped { pairs })
    }
}
