//! Places for open connections: those of the host, and of each tenant a share of them, so that none takes them all.

use super::failure::Failure;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wares_model::{Limits, TenantId};
use wasmtime_wasi_http::Error;

/// One tenant has this part of a host's places.
const TENANT_PART: usize = 4;

pub(crate) struct Places {
    of_host: Arc<Semaphore>,
    /// Places of one tenant.
    share: usize,
    /// Of tenants with open connections.
    of_tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

/// A place, until it is dropped.
pub(crate) struct Place {
    _of_host: OwnedSemaphorePermit,
    _of_tenant: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(connections_max: usize) -> Self {
        // A call that waits for all of its requests at once must not wait for itself.
        let one_call = usize::try_from(Limits::DEFAULT.outbound_requests_max).unwrap_or(usize::MAX);
        let share = (connections_max / TENANT_PART).max(one_call).min(connections_max);
        Self { of_host: Arc::new(Semaphore::new(connections_max)), share, of_tenants: Mutex::default() }
    }

    /// A place for one more connection of a tenant, as soon as there is one. Whoever waits for one of the tenant's takes none
    /// of the host's.
    pub(crate) async fn take(&self, tenant: &TenantId, deadline: Instant) -> Result<Place, Failure> {
        let of_tenant = wait(self.of_tenant(tenant), deadline, "its tenant has as many connections open as one may");
        let _of_tenant = of_tenant.await?;
        let of_host = wait(Arc::clone(&self.of_host), deadline, "this host has as many connections open as it may");
        Ok(Place { _of_host: of_host.await?, _of_tenant })
    }

    fn of_tenant(&self, tenant: &TenantId) -> Arc<Semaphore> {
        let mut of_tenants = self.of_tenants.lock();
        if let Some(places) = of_tenants.get(tenant) {
            return Arc::clone(places);
        }
        // Every place that is taken, and whoever waits for one, holds them.
        of_tenants.retain(|_, places| Arc::strong_count(places) > 1);
        Arc::clone(of_tenants.entry(tenant.clone()).or_insert_with(|| Arc::new(Semaphore::new(self.share))))
    }
}

async fn wait(places: Arc<Semaphore>, deadline: Instant, full: &str) -> Result<OwnedSemaphorePermit, Failure> {
    match timeout_at(deadline, places.acquire_owned()).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(_)) => Err(Failure::refused(Error::ConnectionLimitReached, "this host sends no more requests")),
        Err(_) => Err(Failure::timeout(Error::ConnectionLimitReached, full)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_tenant_that_takes_its_share_leaves_the_rest_to_others() {
        let places = Places::new(256);
        let (north, south): (TenantId, TenantId) = ("north".parse().unwrap(), "south".parse().unwrap());
        let mut taken = Vec::new();
        for _ in 0..64 {
            taken.push(places.take(&north, Instant::now()).await.unwrap());
        }
        let full = places.take(&north, Instant::now()).await.map(drop).unwrap_err();
        assert!(full.reason.contains("its tenant"), "{full:?}");
        drop(places.take(&south, Instant::now()).await.unwrap());
        taken.pop();
        drop(places.take(&north, Instant::now()).await.unwrap());
        taken.clear();
        drop(places.take(&"west".parse().unwrap(), Instant::now()).await.unwrap());
        assert_eq!(places.of_tenants.lock().len(), 1, "tenants without connections are forgotten");
    }

    #[tokio::test]
    async fn one_call_finds_places_for_all_of_its_requests_and_a_host_has_no_more_than_it_may() {
        let tenant = "north".parse().unwrap();
        for (connections_max, found) in [(0, 0), (2, 2), (33, 32), (1_024, 256)] {
            let places = Places::new(connections_max);
            let mut taken = Vec::new();
            while let Ok(place) = places.take(&tenant, Instant::now()).await {
                taken.push(place);
            }
            assert_eq!(taken.len(), found, "of {connections_max}");
        }
    }
}
