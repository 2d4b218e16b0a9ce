//! What the last calls of each component used of what it is granted. Kept in memory, since the host runs.

use parking_lot::Mutex;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use wares_model::ComponentName;
use wares_model::limits::USED_CALLS_MAX;

/// One thing that calls used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Used {
    /// What, as `http GET https://api.example.cn` or `keyvalue rates`.
    pub what: Arc<str>,
    /// How many of the last calls used it.
    pub calls: u64,
}

/// What the last calls that used anything used.
#[derive(Default)]
pub struct UsedCalls(Mutex<HashMap<ComponentName, VecDeque<Vec<Arc<str>>>>>);

impl UsedCalls {
    /// Notes what one call used. The oldest call is forgotten for it.
    pub fn note(&self, component: &ComponentName, used: Vec<Arc<str>>) {
        if used.is_empty() {
            return;
        }
        let mut calls = self.0.lock();
        let of_component = match calls.get_mut(component) {
            Some(calls) => calls,
            None => calls.entry(component.clone()).or_default(),
        };
        if of_component.len() >= USED_CALLS_MAX {
            of_component.pop_front();
        }
        of_component.push_back(used);
    }

    /// What the last calls of a component used, and how many calls that were.
    pub fn of(&self, component: &ComponentName) -> (Vec<Used>, usize) {
        let calls = self.0.lock();
        let Some(calls) = calls.get(component) else { return (Vec::new(), 0) };
        let mut counts = BTreeMap::<&Arc<str>, u64>::new();
        for what in calls.iter().flatten() {
            *counts.entry(what).or_default() += 1;
        }
        let used = counts.into_iter().map(|(what, calls)| Used { what: Arc::clone(what), calls }).collect();
        (used, calls.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_call_is_forgotten() {
        let used = UsedCalls::default();
        let component: ComponentName = "a:b".parse().unwrap();
        used.note(&component, vec!["keyvalue old".into()]);
        for _ in 0..USED_CALLS_MAX {
            used.note(&component, vec!["keyvalue new".into()]);
        }
        let (seen, calls) = used.of(&component);
        assert_eq!(calls, USED_CALLS_MAX);
        assert_eq!(seen, [Used { what: "keyvalue new".into(), calls: USED_CALLS_MAX as u64 }]);
    }
}
