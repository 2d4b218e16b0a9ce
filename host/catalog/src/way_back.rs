//! Where a rollback leads: the search through the history of a deployment.

use crate::deploy::DeployError;
use std::collections::HashMap;
use wares_model::Version;
use wares_store::Deployment;

/// A state to go back to.
#[derive(Debug, PartialEq)]
pub(crate) struct Way {
    /// The revision that had it.
    pub(crate) target: Deployment,
    /// Whether it has versions that were left because they were not wanted.
    pub(crate) is_unwanted: bool,
}

/// The search for one: it looks at one revision after the other, from the one before the current.
///
/// Whether a version is wanted is said by the newest revision that gives it traffic or rejects it: who deploys what was rejected
/// before has named it.
pub(crate) struct WayBack {
    current: Deployment,
    named: Option<Deployment>,
    wanted: HashMap<Version, bool>,
    was_unwanted: bool,
}

impl WayBack {
    pub(crate) fn from(current: &Deployment, named: Option<Deployment>) -> Self {
        let mut search = Self { current: current.clone(), named, wanted: HashMap::new(), was_unwanted: false };
        search.note(current);
        search
    }

    /// Looks at the next revision.
    pub(crate) fn look(&mut self, state: Deployment) -> Option<Way> {
        self.note(&state);
        let is_unwanted = self.is_unwanted(&state);
        if let Some(named) = &self.named {
            // What comes after the state that is named, all of it has been seen then.
            let is_there = state.revision <= named.revision;
            return is_there.then(|| Way { target: named.clone(), is_unwanted: self.is_unwanted(named) });
        }
        let is_step = state.rollout.is_some() && state.rollout == self.current.rollout;
        if state.traffic == self.current.traffic || state.traffic.is_empty() || is_step {
            return None;
        }
        self.was_unwanted |= is_unwanted;
        (!is_unwanted).then_some(Way { target: state, is_unwanted })
    }

    /// What there is to say when there are no more revisions.
    pub(crate) fn end(self) -> Result<Way, DeployError> {
        let component = &self.current.component;
        if let Some(named) = self.named {
            // The current one, or one that is no more: going there changes nothing that could be unwanted.
            return Ok(Way { target: named, is_unwanted: true });
        }
        Err(DeployError::Invalid(match self.was_unwanted {
            true => format!(
                "what {component} had before, a rollout or a rollback has left: name the revision to go back to all the same, or \
                 deploy a version"
            ),
            false => format!("{component} has had no other traffic than now; name a revision or deploy a version"),
        }))
    }

    fn note(&mut self, state: &Deployment) {
        for version in &state.rejects {
            self.wanted.entry(version.clone()).or_insert(false);
        }
        for version in state.traffic.keys() {
            self.wanted.entry(version.clone()).or_insert(true);
        }
    }

    fn is_unwanted(&self, state: &Deployment) -> bool {
        state.traffic.keys().any(|version| self.wanted.get(version) == Some(&false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wares_model::{Stickiness, Timestamp};

    /// The history of a deployment: the minor version that takes all traffic, and the one that it rejects.
    fn history(states: &[(u64, Option<u64>)]) -> Vec<Deployment> {
        let version = |minor| Version::new(1, minor, 0);
        let state = |(at, (takes, rejects)): (usize, &(u64, Option<u64>))| Deployment {
            component: "a:b".parse().unwrap(),
            revision: at as u64 + 1,
            traffic: [(version(*takes), 100)].into(),
            stickiness: Stickiness::default(),
            places: None,
            shadow: None,
            at: Timestamp::from_micros(0),
            actor: String::new(),
            reason: None,
            rollout: None,
            evidence: None,
            rejects: rejects.map(version).into_iter().collect(),
        };
        states.iter().enumerate().map(state).collect()
    }

    /// The revision that a rollback leads to, and whether it is one that was left.
    fn way(states: &[(u64, Option<u64>)], to: Option<u64>) -> Option<(u64, bool)> {
        let states = history(states);
        let named = to.and_then(|to| states.iter().find(|state| state.revision == to).cloned());
        let mut search = WayBack::from(states.last()?, named);
        let found = states.iter().rev().skip(1).find_map(|state| search.look(state.clone()));
        let way = found.or_else(|| search.end().ok())?;
        Some((way.target.revision, way.is_unwanted))
    }

    #[test]
    fn no_way_back_leads_to_what_was_rejected_unless_it_is_named() {
        type Case<'a> = (&'a [(u64, Option<u64>)], Option<u64>, Option<(u64, bool)>);
        let cases: [Case<'_>; 8] = [
            (&[(1, None), (2, None)], None, Some((1, false))),
            (&[(1, None)], None, None),
            // After a rollback from 2 to 1 there is nowhere to go, but by name.
            (&[(1, None), (2, None), (1, Some(2))], None, None),
            (&[(1, None), (2, None), (1, Some(2))], Some(2), Some((2, true))),
            // It goes on to what was before.
            (&[(0, None), (1, None), (2, None), (1, Some(2))], None, Some((1, false))),
            // What is deployed again is wanted again.
            (&[(1, None), (2, None), (1, Some(2)), (2, None), (3, None)], None, Some((4, false))),
            (&[(1, None), (2, None), (3, None), (1, Some(3))], None, Some((2, false))),
            (&[(1, None), (2, None), (3, None), (1, Some(3))], Some(2), Some((2, false))),
        ];
        for (states, to, expected) in cases {
            assert_eq!(way(states, to), expected, "{states:?} to {to:?}");
        }
    }
}
