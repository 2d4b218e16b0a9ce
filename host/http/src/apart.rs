//! Reads that take long: a few at once, in turn by who asks, and on threads that no call waits for.

use crate::Problem;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Weak};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wares_catalog::{Caller, Role};
use wares_model::limits::{HOLDERS_KEPT_MAX, LEDGER_READS_MAX, SEARCHES_MAX};
use wares_model::{KeyId, TenantId};

/// For what looks through the shelf, and for documents, which grow with what vendors declare.
static SHELF: LazyLock<Places> = LazyLock::new(|| Places::new(SEARCHES_MAX));
/// For what is read from the ledger.
static LEDGER: LazyLock<Places> = LazyLock::new(|| Places::new(LEDGER_READS_MAX));

/// Does what takes longer the more there is on the shelf, or the more a vendor declares.
pub(crate) async fn apart<T: Send + 'static>(
    caller: &Caller,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let _turn = SHELF.turn(caller).await?;
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::host(&error))
}

/// A turn to read from the ledger.
pub(crate) async fn turn_at_ledger(caller: &Caller) -> Result<Turn, Problem> {
    LEDGER.turn(caller).await
}

/// Places for operators, and for all others. Each of these waits for one place at a time, so that whoever asks for much waits for
/// itself.
struct Places {
    operators: Arc<Semaphore>,
    others: Arc<Semaphore>,
    waiting: Mutex<HashMap<Owner, Weak<Semaphore>>>,
}

/// Whose requests wait for each other.
#[derive(PartialEq, Eq, Hash)]
enum Owner {
    Tenant(TenantId),
    Key(KeyId),
}

/// A place, until this is dropped.
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
    _own: Option<OwnedSemaphorePermit>,
}

impl Places {
    fn new(places: usize) -> Self {
        let [operators, others] = [Semaphore::new(places), Semaphore::new(places)].map(Arc::new);
        Self { operators, others, waiting: Mutex::default() }
    }

    async fn turn(&self, caller: &Caller) -> Result<Turn, Problem> {
        let place = async |places: &Arc<Semaphore>| {
            Arc::clone(places).acquire_owned().await.map_err(|error| Problem::host(&error))
        };
        let owner = match &caller.key.role {
            Role::Admin => return Ok(Turn { _place: place(&self.operators).await?, _own: None }),
            Role::Tenant { tenant, .. } => Owner::Tenant(tenant.clone()),
            Role::Reviewer | Role::Publisher { .. } => Owner::Key(caller.key.id),
        };
        let own = place(&self.of(owner)).await?;
        Ok(Turn { _place: place(&self.others).await?, _own: Some(own) })
    }

    fn of(&self, owner: Owner) -> Arc<Semaphore> {
        let mut waiting = self.waiting.lock();
        if let Some(own) = waiting.get(&owner).and_then(Weak::upgrade) {
            return own;
        }
        if waiting.len() >= HOLDERS_KEPT_MAX {
            waiting.retain(|_, own| own.strong_count() > 0);
        }
        let own = Arc::new(Semaphore::new(1));
        waiting.insert(owner, Arc::downgrade(&own));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;
    use wares_model::Timestamp;
    use wares_store::KeyRecord;

    fn caller(role: Role) -> Caller {
        let (id, hash, created_at) = (KeyId::generate(), [0; 32], Timestamp::now());
        let (label, expires_at, used_at, revoked_at) = Default::default();
        let key = KeyRecord { id, role, hash, label, created_at, expires_at, used_at, revoked_at };
        Caller { key: Arc::new(key), tenant: None }
    }

    #[tokio::test]
    async fn who_asks_for_much_waits_for_itself() {
        let places = Places::new(2);
        let tenant = |id: &str| caller(Role::Tenant { tenant: id.parse().unwrap(), application: "a".to_owned() });
        let (greedy, other, operator) = (tenant("greedy"), tenant("other"), caller(Role::Admin));
        let first = places.turn(&greedy).await.unwrap();
        let mut second = Box::pin(places.turn(&greedy));
        assert!((&mut second).now_or_never().is_none());
        let others = places.turn(&other).await.unwrap();
        let operators = places.turn(&operator).await.unwrap();
        drop(first);
        drop(second.await.unwrap());
        drop((others, operators));
    }
}
