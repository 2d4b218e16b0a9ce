//! When keys were used last: noted in memory at every use, and in the store once a minute at most.

use crate::Catalog;
use std::sync::atomic::{AtomicI64, Ordering};
use wares_model::Timestamp;
use wares_store::StoreError;

/// No use yet.
const NEVER: i64 = i64::MIN;
/// What a use must be later than the one that is stored to be stored too.
const RESOLUTION_US: i64 = 60_000_000;

/// The uses of one key.
pub(crate) struct KeyUses {
    last_us: AtomicI64,
    stored_us: AtomicI64,
}

impl KeyUses {
    /// Those of a key that was used last at this time, as the store knows it.
    pub(crate) fn new(stored: Option<Timestamp>) -> Self {
        let stored = stored.map_or(NEVER, Timestamp::as_micros);
        Self { last_us: AtomicI64::new(stored), stored_us: AtomicI64::new(stored) }
    }

    /// Notes a use.
    pub(crate) fn note(&self, now: Timestamp) {
        self.last_us.store(now.as_micros(), Ordering::Relaxed);
    }

    /// The last one.
    pub(crate) fn last(&self) -> Option<Timestamp> {
        Some(self.last_us.load(Ordering::Relaxed)).filter(|last| *last != NEVER).map(Timestamp::from_micros)
    }

    /// The last one, if the store is to know of it.
    fn unstored(&self) -> Option<Timestamp> {
        let stored = self.stored_us.load(Ordering::Relaxed);
        self.last().filter(|last| last.as_micros().saturating_sub(RESOLUTION_US) >= stored)
    }
}

impl Catalog {
    /// Stores what has been noted of keys' uses.
    pub async fn store_key_uses(&self) -> Result<(), StoreError> {
        let snapshot = self.snapshot().clone();
        let fresh = snapshot.keys.values().filter_map(|entry| Some((entry, entry.uses.unstored()?)));
        let fresh: Vec<_> = fresh.collect();
        let uses: Vec<_> = fresh.iter().map(|(entry, at)| (entry.record.id, *at)).collect();
        self.store.note_key_uses(&uses).await?;
        for (entry, at) in fresh {
            entry.uses.stored_us.store(at.as_micros(), Ordering::Relaxed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_stored_once_a_minute() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let uses = KeyUses::new(None);
        assert_eq!((uses.last(), uses.unstored()), (None, None));
        uses.note(at(100));
        assert_eq!((uses.last(), uses.unstored()), (Some(at(100)), Some(at(100))));
        uses.stored_us.store(at(100).as_micros(), Ordering::Relaxed);
        uses.note(at(159));
        assert_eq!((uses.last(), uses.unstored()), (Some(at(159)), None));
        uses.note(at(160));
        assert_eq!(uses.unstored(), Some(at(160)));
        assert_eq!(KeyUses::new(Some(at(5))).unstored(), None);
    }
}
