//! Which version serves whom.

use super::*;
use crate::snapshot::Summary;
use std::collections::BTreeMap;
use wares_model::{Digest, Limits, Timestamp};
use wares_store::{Deployment, VersionRecord};

/// A version and what became of it: `d` deployed once, `y` yanked, `s` stopped.
type Standing = (&'static str, &'static str);

fn shelf(versions: &[Standing], traffic: &[(&str, u32)], undeployed: Undeployed) -> Snapshot {
    let name: ComponentName = "a:b".parse().unwrap();
    let mut snapshot = Snapshot { undeployed, ..Snapshot::default() };
    for (version, standing) in versions {
        let at = |letter| standing.contains(letter).then(|| Timestamp::from_micros(1));
        let summary = Summary { limits: Limits::DEFAULT, ..Summary::default() };
        let record = VersionRecord {
            component: name.clone(),
            version: version.parse().unwrap(),
            digest: Digest::of(version.as_bytes()),
            size_bytes: 1,
            published_at: Timestamp::from_micros(0),
            publisher: String::new(),
            deployed_at: at('d'),
            yanked_at: at('y').or(at('s')),
            stopped_at: at('s'),
            deprecation: None,
            summary: serde_json::to_string(&summary).unwrap(),
        };
        snapshot.put_version(Arc::new(VersionEntry::new(record).unwrap()));
    }
    let traffic = traffic.iter().map(|(version, share)| (version.parse().unwrap(), *share)).collect();
    snapshot.put_deployment(Deployment {
        component: name,
        revision: 1,
        traffic,
        stickiness: Stickiness::Tenant,
        places: None,
        shadow: None,
        at: Timestamp::from_micros(0),
        actor: String::new(),
        reason: None,
        rollout: None,
        evidence: None,
        rejects: Vec::new(),
    });
    snapshot
}

fn resolved(snapshot: &Snapshot, requirement: &str, tenant: &str) -> Result<String, ProblemCode> {
    let requirement = (!requirement.is_empty()).then(|| requirement.parse().unwrap());
    let target = Target::Component { name: "a:b".parse().unwrap(), requirement };
    let resolved = snapshot.resolve(&target, &tenant.parse().unwrap());
    resolved.map(|resolved| resolved.version.record.version.to_string()).map_err(|error| error.code)
}

#[test]
fn a_requirement_finds_what_runs_then_what_ran_then_what_is_allowed() {
    let versions = [
        ("1.0.0", "d"),
        ("1.1.0", "d"),
        ("1.2.0", "dy"),
        ("1.3.0", ""),
        ("2.0.0", "d"),
        ("3.0.0", "ds"),
        ("4.0.0", "dy"),
        ("5.0.0", "y"),
        ("6.0.0", ""),
    ];
    use ProblemCode::{NotFound, Stopped};
    // The requirement; what serves it where undeployed versions are never served, served if exact, served if matching.
    let cases = [
        ("", [Ok("2.0.0"); 3]),
        ("*", [Ok("2.0.0"); 3]),
        ("1", [Ok("1.1.0"); 3]),
        ("^1.2", [Ok("1.2.0"), Ok("1.2.0"), Ok("1.3.0")]),
        ("=1.0.0", [Ok("1.0.0"); 3]),
        ("=1.2.0", [Ok("1.2.0"); 3]),
        ("=1.3.0", [Err(NotFound), Ok("1.3.0"), Ok("1.3.0")]),
        ("=1.3", [Err(NotFound), Err(NotFound), Ok("1.3.0")]),
        ("=3.0.0", [Err(Stopped); 3]),
        ("3", [Err(Stopped); 3]),
        (">=3, <5", [Ok("4.0.0"); 3]),
        ("4", [Ok("4.0.0"); 3]),
        ("=5.0.0", [Err(NotFound); 3]),
        ("6", [Err(NotFound), Err(NotFound), Ok("6.0.0")]),
        ("7", [Err(NotFound); 3]),
    ];
    for (requirement, expected) in cases {
        let policies = [Undeployed::Never, Undeployed::Exact, Undeployed::Matching];
        for (policy, expected) in policies.into_iter().zip(expected) {
            let snapshot = shelf(&versions, &[("2.0.0", 100)], policy);
            let found = resolved(&snapshot, requirement, "district");
            assert_eq!(found.as_deref().map_err(|code| *code), expected, "{requirement} {policy:?}");
        }
    }
}

#[test]
fn pinned_tenants_are_spread_like_the_others() {
    let versions = [("1.0.0", "d"), ("1.1.0", "d"), ("2.0.0", "d")];
    let snapshot = shelf(&versions, &[("1.0.0", 30), ("1.1.0", 10), ("2.0.0", 60)], Undeployed::Never);
    let mut served = BTreeMap::<String, u32>::new();
    for tenant in 0..1_000 {
        let tenant = format!("tenant{tenant}");
        let pinned = resolved(&snapshot, "1", &tenant).unwrap();
        assert_eq!(resolved(&snapshot, "1", &tenant).unwrap(), pinned, "sticky");
        let own = resolved(&snapshot, "", &tenant).unwrap();
        assert!(own == "2.0.0" || own == pinned, "{tenant} is served by {own} and pinned to {pinned}");
        *served.entry(pinned).or_default() += 1;
    }
    // Three quarters of 1,000 in expectation; 3 sigma is 41.
    assert!((700..=800).contains(&served["1.0.0"]), "{served:?}");
    assert_eq!(served.len(), 2, "{served:?}");
}

#[test]
fn a_yanked_version_serves_while_it_takes_traffic_and_a_stopped_component_says_so() {
    let snapshot = shelf(&[("1.0.0", "dy"), ("1.1.0", "d")], &[("1.0.0", 100)], Undeployed::Never);
    assert_eq!(resolved(&snapshot, "", "district"), Ok("1.0.0".to_owned()));
    assert_eq!(resolved(&snapshot, "1", "district"), Ok("1.0.0".to_owned()));
    let snapshot = shelf(&[("1.0.0", "ds")], &[], Undeployed::Matching);
    assert_eq!(resolved(&snapshot, "", "district"), Err(ProblemCode::Stopped));
    assert_eq!(resolved(&snapshot, "1", "district"), Err(ProblemCode::Stopped));
}

#[test]
fn what_stands_for_a_tenant_is_no_draw() {
    let mut by_call = shelf(&[("1.0.0", "d"), ("2.0.0", "d")], &[("1.0.0", 50), ("2.0.0", 50)], Undeployed::Never);
    let (name, _) = by_call.components().next().unwrap();
    let name = name.clone();
    let deployment = by_call.component(&name).unwrap().deployment.clone().unwrap();
    by_call.put_deployment(Deployment { stickiness: Stickiness::Call, ..(*deployment).clone() });
    let (target, tenant) = (Target::Component { name, requirement: None }, "north".parse().unwrap());
    let version = |resolved: Resolved| resolved.version.record.version.to_string();
    let standing = || version(by_call.standing(&target, &tenant).unwrap());
    let first = standing();
    let drawn = (0..100).map(|_| {
        assert_eq!(standing(), first);
        version(by_call.resolve(&target, &tenant).unwrap())
    });
    assert_eq!(drawn.filter(|version| version == "1.0.0").count(), 50);
}
