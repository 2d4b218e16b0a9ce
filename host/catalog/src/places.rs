//! Shares as a hundred places, one per percent, of which a version has as many as its share.
//!
//! A tenant's place is fixed. When shares change, a version gives up only the places that it has too many of, so that no more
//! tenants move than the new shares ask for. Which places those are depends on the versions, so that it is not always the same
//! tenants who meet a new version first.

use fnv::FnvHasher;
use std::collections::BTreeMap;
use std::hash::Hasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use wares_model::{ComponentName, TenantId, Version};
use wares_store::Deployment;

/// How many places there are.
const PLACES: u64 = crate::deploy::SHARES_TOTAL as u64;

/// The version that has this place, counted modulo their number.
pub(crate) fn owner(deployment: &Deployment, place: u64) -> Option<&Version> {
    if deployment.traffic.len() == 1 {
        return deployment.traffic.keys().next();
    }
    let place = place.checked_rem(PLACES)?;
    let digit = deployment.places.as_ref().and_then(|places| places.chars().nth(usize::try_from(place).ok()?));
    match digit.and_then(|digit| digit.to_digit(16)).and_then(|index| usize::try_from(index).ok()) {
        Some(index) => deployment.traffic.keys().nth(index),
        None => owner_by_order(&deployment.traffic, place),
    }
}

/// Where there are no places, shares cover them in the order of the versions.
pub(crate) fn owner_by_order<'a>(
    shares: impl IntoIterator<Item = (&'a Version, &'a u32)>,
    place: u64,
) -> Option<&'a Version> {
    let mut covered = 0;
    shares.into_iter().find_map(|(version, share)| {
        covered += u64::from(*share);
        (place < covered).then_some(version)
    })
}

/// Gives every place to a version of `traffic`, whose shares add up to all places. Written as one hexadecimal digit per place,
/// which counts the versions in order.
pub(crate) fn allot(
    component: &ComponentName,
    previous: Option<&Deployment>,
    traffic: &BTreeMap<Version, u32>,
) -> String {
    let versions: Vec<_> = traffic.keys().map(Version::to_string).collect();
    let versions = versions.join(",");
    let rank = |place: u64| hash(&[component.as_str().as_bytes(), versions.as_bytes(), &place.to_be_bytes()]);
    let mut order: Vec<u64> = (0..PLACES).collect();
    order.sort_by_key(|place| rank(*place));

    let mut left: Vec<(&Version, u32)> = traffic.iter().map(|(version, share)| (version, *share)).collect();
    let mut take = |wanted: &dyn Fn(&Version) -> bool| {
        let found = left.iter_mut().enumerate().find(|(_, (version, left))| *left > 0 && wanted(version));
        found.map(|(index, (_, left))| {
            *left -= 1;
            index
        })
    };
    let mut allotted = BTreeMap::new();
    for place in &order {
        let before = previous.and_then(|previous| owner(previous, *place));
        let kept = before.and_then(|before| take(&|version| version == before));
        allotted.extend(kept.map(|index| (*place, index)));
    }
    for place in order {
        if !allotted.contains_key(&place) {
            allotted.extend(take(&|_| true).map(|index| (place, index)));
        }
    }
    allotted.values().filter_map(|index| char::from_digit(u32::try_from(*index).ok()?, 16)).collect()
}

/// The place of a tenant: the same on every host and after every restart.
pub(crate) fn of_tenant(component: &ComponentName, tenant: &TenantId) -> u64 {
    hash(&[component.as_str().as_bytes(), tenant.as_str().as_bytes()])
}

/// Another place of a tenant, which its place says nothing about: for choosing again among some of the versions.
pub(crate) fn again_of_tenant(component: &ComponentName, tenant: &TenantId) -> u64 {
    of_tenant(component, tenant) / PLACES
}

/// FNV-1a over the parts with a zero between them.
fn hash(parts: &[&[u8]]) -> u64 {
    let mut hasher = FnvHasher::default();
    for (number, part) in parts.iter().enumerate() {
        if number > 0 {
            hasher.write(b"\0");
        }
        hasher.write(part);
    }
    hasher.finish()
}

/// Draws places for calls: every place once in each hundred draws, in an order that differs from hundred to hundred, so that
/// shares are exact and no rhythm of a caller meets one version only.
#[derive(Debug, Default)]
pub(crate) struct Draws(AtomicU64);

impl Draws {
    /// The next place.
    pub(crate) fn next(&self) -> u64 {
        place_of_draw(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn place_of_draw(number: u64) -> u64 {
    let (hundred, within) = (number / PLACES, number % PLACES);
    let mixed = hash(&[&hundred.to_be_bytes()]);
    // A stride that has no divisor in common with the number of places visits each of them.
    let stride = (mixed % 10) * 10 + [1, 3, 7, 9].into_iter().nth((mixed / 10 % 4) as usize).unwrap_or(1);
    (within * stride + mixed / 40 % PLACES) % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;
    use wares_model::{Stickiness, Timestamp};

    fn deployment(traffic: &[(&str, u32)], places: Option<String>) -> Deployment {
        Deployment {
            component: "a:b".parse().unwrap(),
            revision: 1,
            traffic: shares(traffic),
            stickiness: Stickiness::Tenant,
            places,
            shadow: None,
            at: Timestamp::from_micros(0),
            actor: "test".into(),
            reason: None,
            rollout: None,
            evidence: None,
            rejects: Vec::new(),
        }
    }

    fn shares(traffic: &[(&str, u32)]) -> BTreeMap<Version, u32> {
        traffic.iter().map(|(version, share)| (version.parse().unwrap(), *share)).collect()
    }

    fn owners(deployment: &Deployment) -> Vec<String> {
        (0..PLACES).map(|place| owner(deployment, place).unwrap().to_string()).collect()
    }

    #[test]
    fn no_more_places_move_than_the_shares_ask_for() {
        let steps: [&[(&str, u32)]; 8] = [
            &[("1.0.0", 50), ("1.1.0", 25), ("2.0.0", 25)],
            &[("1.0.0", 60), ("1.1.0", 25), ("2.0.0", 15)],
            &[("0.9.0", 5), ("1.0.0", 55), ("1.1.0", 25), ("2.0.0", 15)],
            &[("1.0.0", 100)],
            &[("1.0.0", 95), ("3.0.0", 5)],
            &[("1.0.0", 75), ("3.0.0", 25)],
            &[("1.0.0", 1), ("3.0.0", 99)],
            &[("4.0.0", 34), ("5.0.0", 33), ("6.0.0", 33)],
        ];
        let mut now = deployment(&[("1.0.0", 40), ("2.0.0", 60)], None);
        for step in steps {
            let next = deployment(step, Some(allot(&now.component, Some(&now), &shares(step))));
            let (before, after) = (owners(&now), owners(&next));
            for (version, share) in step {
                assert_eq!(after.iter().filter(|owner| owner == version).count(), *share as usize, "{step:?}");
            }
            let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
            let lost = |(version, share): (&Version, &u32)| {
                share.saturating_sub(next.traffic.get(version).copied().unwrap_or_default())
            };
            assert_eq!(moved as u32, now.traffic.iter().map(lost).sum::<u32>(), "{step:?}");
            now = next;
        }
    }

    #[test]
    fn places_without_a_past_and_from_before_places_were_kept_follow_the_versions() {
        let traffic: &[(&str, u32)] = &[("1.0.0", 30), ("1.1.0", 70)];
        let old = deployment(traffic, None);
        assert_eq!(owners(&old).iter().take_while(|owner| *owner == "1.0.0").count(), 30);
        let kept = deployment(traffic, Some(allot(&old.component, Some(&old), &old.traffic)));
        assert_eq!(owners(&kept), owners(&old));
        let first = deployment(traffic, Some(allot(&old.component, None, &old.traffic)));
        assert_eq!(owners(&first).iter().filter(|owner| *owner == "1.0.0").count(), 30);
    }

    #[test]
    fn different_versions_meet_different_tenants_first() {
        let first = |version: &str| -> Vec<u64> {
            let now = deployment(&[("1.0.0", 100)], None);
            let next = shares(&[("1.0.0", 90), (version, 10)]);
            let next = Deployment { places: Some(allot(&now.component, Some(&now), &next)), traffic: next, ..now };
            (0..PLACES).filter(|place| owner(&next, *place).unwrap().to_string() == version).collect()
        };
        assert_ne!(first("1.1.0"), first("1.2.0"));
    }

    #[test]
    fn each_hundred_draws_visit_every_place_in_an_order_of_their_own() {
        let mut orders = std::collections::BTreeSet::new();
        for hundred in 0..1_000 {
            let places: Vec<u64> = (0..PLACES).map(|within| place_of_draw(hundred * PLACES + within)).collect();
            let mut sorted = places.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..PLACES), "hundred {hundred}");
            orders.insert(places);
        }
        assert!(orders.len() > 500, "{} orders", orders.len());
    }
}
