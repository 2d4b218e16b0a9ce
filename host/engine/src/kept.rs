//! Instances that are kept for further calls of the same owner, bounded in number, calls, age and memory.
//!
//! An instance is here only between two calls. Whoever takes it out owns it; if the call fails in any way it is not put
//! back but dropped. An owner never gets another owner's instance: the owner is the key.

use crate::sandbox::Sandbox;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Bounds of kept instances.
#[derive(Debug, Clone, Copy)]
pub struct KeepBounds {
    /// Instances kept at once on the host; 0 keeps none.
    pub instances_max: u32,
    /// Calls that one instance serves.
    pub calls_max: u64,
    /// Time from an instance's first call to its last.
    pub age_max: Duration,
    /// Bytes of memory of an instance, over all its memories, with which it is still kept.
    pub memory_bytes_max: u64,
}

impl KeepBounds {
    /// Nothing is kept.
    pub const NONE: Self = Self { instances_max: 0, calls_max: 0, age_max: Duration::ZERO, memory_bytes_max: 0 };
}

/// Names a loaded version in the table of kept instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Keeper(u64);

pub(crate) struct KeptInstances {
    bounds: KeepBounds,
    keepers: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    kept: HashMap<Keeper, HashMap<Box<str>, Vec<Kept>>>,
    count: u32,
}

struct Kept {
    sandbox: Sandbox,
    idle_since: Instant,
}

impl KeptInstances {
    pub(crate) fn new(bounds: KeepBounds) -> Self {
        Self { bounds, keepers: AtomicU64::new(0), table: Mutex::default() }
    }

    /// A name for a version that was just loaded.
    pub(crate) fn keeper(&self) -> Keeper {
        Keeper(self.keepers.fetch_add(1, Ordering::Relaxed))
    }

    /// The instance of this version that last served the owner, if there is one that may serve on.
    pub(crate) fn take(&self, keeper: Keeper, owner: &str) -> Option<Sandbox> {
        let (fit, unfit) = {
            let mut table = self.table.lock();
            let Table { kept, count } = &mut *table;
            let of_owner = kept.get_mut(&keeper)?.get_mut(owner)?;
            let last = of_owner.pop()?;
            *count -= 1;
            match self.is_young(&last.sandbox) {
                true => (Some(last.sandbox), None),
                false => (None, Some(last)),
            }
        };
        // Taking a sandbox down takes longer than the lock should be held; meanwhile it is in the caller's own place.
        drop(unfit);
        fit
    }

    /// Keeps an instance whose call went well, if its bounds allow. The longest idle one makes room for it.
    pub(crate) fn put(&self, keeper: Keeper, owner: &str, sandbox: Sandbox) {
        let fits = self.is_young(&sandbox)
            && sandbox.calls < self.bounds.calls_max
            && sandbox.memory_bytes() <= self.bounds.memory_bytes_max
            && self.bounds.instances_max > 0;
        if !fits {
            return;
        }
        let mut table = self.table.lock();
        let displaced = if table.count >= self.bounds.instances_max { table.remove_longest_idle() } else { None };
        let of_keeper = table.kept.entry(keeper).or_default();
        let kept = Kept { sandbox, idle_since: Instant::now() };
        match of_keeper.get_mut(owner) {
            Some(of_owner) => of_owner.push(kept),
            None => {
                of_keeper.insert(owner.into(), vec![kept]);
            }
        }
        table.count += 1;
        drop(table);
        // In the place of the call that ends with this.
        drop(displaced);
    }

    /// Drops whatever is too old to serve again.
    pub(crate) fn sweep(&self) {
        self.table.lock().retain(|kept| self.is_young(&kept.sandbox));
    }

    /// Drops all instances of a version.
    pub(crate) fn forget(&self, keeper: Keeper) {
        let mut table = self.table.lock();
        let gone = table.kept.remove(&keeper);
        let count = gone.iter().flat_map(HashMap::values).map(Vec::len).sum::<usize>();
        table.count -= u32::try_from(count).unwrap_or(table.count);
        // Under the lock: until it is gone, it is in the place of the next one to be kept.
        drop(gone);
    }

    /// Instances kept now.
    pub(crate) fn count(&self) -> u32 {
        self.table.lock().count
    }

    fn is_young(&self, sandbox: &Sandbox) -> bool {
        sandbox.born.elapsed() < self.bounds.age_max
    }
}

impl Table {
    fn remove_longest_idle(&mut self) -> Option<Kept> {
        let all =
            self.kept.iter().flat_map(|(keeper, owners)| owners.iter().map(move |(owner, kept)| (keeper, owner, kept)));
        // Each owner's instances stand in the order in which they became idle.
        let oldest = all.filter_map(|(keeper, owner, kept)| Some((kept.first()?.idle_since, *keeper, owner)));
        let (_, keeper, owner) = oldest.min_by_key(|(idle_since, ..)| *idle_since)?;
        let owner = owner.clone();
        let removed = self.kept.get_mut(&keeper)?.get_mut(&owner)?.remove(0);
        self.count -= 1;
        self.tidy();
        Some(removed)
    }

    /// Drops what does not fit.
    fn retain(&mut self, fits: impl Fn(&Kept) -> bool) {
        for of_owner in self.kept.values_mut().flat_map(HashMap::values_mut) {
            let before = of_owner.len();
            of_owner.retain(&fits);
            self.count -= u32::try_from(before - of_owner.len()).unwrap_or(self.count);
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        for owners in self.kept.values_mut() {
            owners.retain(|_, kept| !kept.is_empty());
        }
        self.kept.retain(|_, owners| !owners.is_empty());
    }
}
