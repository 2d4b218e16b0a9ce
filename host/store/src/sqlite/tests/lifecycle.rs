//! Transitions of versions.

use super::shelf::{new_version, revision};
use super::*;
use crate::{Deprecation, Transition};

fn change(version: &str, transition: Transition, deployment: Option<NewRevision>) -> VersionChange {
    let reason = Some(format!("because {}", transition.event()));
    VersionChange {
        versions: vec![("a:b".parse().unwrap(), version.parse().unwrap())],
        transition,
        actor: "operator".into(),
        reason,
        deployments: deployment.into_iter().collect(),
    }
}

#[tokio::test]
async fn a_version_is_deprecated_yanked_and_stopped_and_back_and_its_history_says_so() {
    let Fixture { dir: _dir, data_dir, store } = fixture().await;
    store.insert_version(new_version("a:b", "1.0.0", b"x", 1)).await.unwrap();
    let deprecation = Deprecation {
        at: Timestamp::from_micros(7),
        sunset: Some(Timestamp::from_micros(9)),
        reason: Some("舊".into()),
    };
    // After each transition: deprecated, yanked, stopped.
    let steps = [
        (Transition::Deprecate(deprecation.clone()), [true, false, false]),
        (Transition::Yank, [true, true, false]),
        (Transition::Stop, [true, true, true]),
        (Transition::Undeprecate, [false, true, true]),
        (Transition::Resume, [false, true, false]),
        (Transition::Unyank, [false, false, false]),
        (Transition::Stop, [false, true, true]),
    ];
    for (transition, expected) in &steps {
        let (records, deployments) = store.change_versions(change("1.0.0", transition.clone(), None)).await.unwrap();
        let [record] = records.as_slice() else { panic!("{records:?}") };
        let found = [record.deprecation.is_some(), record.yanked_at.is_some(), record.stopped_at.is_some()];
        assert_eq!((found, deployments), (*expected, Vec::new()), "{transition:?}");
        assert_eq!(store.versions().await.unwrap(), records);
        assert!(record.deprecation.as_ref().is_none_or(|found| *found == deprecation));
    }
    drop(store);
    let store = open(&data_dir).await.unwrap();
    let events = store.version_events(&"a:b".parse().unwrap(), &"1.0.0".parse().unwrap()).await.unwrap();
    let words: Vec<_> = events.iter().rev().map(|event| event.event.as_str()).collect();
    assert_eq!(words, ["deprecated", "yanked", "stopped", "undeprecated", "resumed", "unyanked", "stopped"]);
    assert!(events.iter().all(|event| event.actor == "operator"), "{events:?}");
    assert_eq!(events[0].reason.as_deref(), Some("because stopped"));
}

#[tokio::test]
async fn a_transition_and_its_deployment_happen_both_or_neither() {
    let Fixture { store, .. } = &fixture().await;
    for version in ["1.0.0", "1.1.0"] {
        store.insert_version(new_version("a:b", version, version.as_bytes(), 1)).await.unwrap();
    }
    store.set_deployment(revision(&["1.0.0", "1.1.0"], Some(0))).await.unwrap();
    let (before, deployed) = (store.versions().await.unwrap(), store.deployments().await.unwrap());
    let refused = [
        change("1.1.0", Transition::Stop, Some(revision(&["1.0.0"], Some(7)))),
        change("1.1.0", Transition::Stop, Some(revision(&["9.0.0"], None))),
        change("9.0.0", Transition::Stop, Some(revision(&["1.0.0"], None))),
    ];
    for change in refused {
        let error = store.change_versions(change).await.unwrap_err();
        let known = matches!(error, StoreError::RevisionConflict { current: 1 } | StoreError::UnknownVersion { .. });
        assert!(known, "{error}");
        assert_eq!(
            (store.versions().await.unwrap(), store.deployments().await.unwrap()),
            (before.clone(), deployed.clone())
        );
    }
    assert_eq!(count(store, "version_events").await, 0);
    let stop = change("1.1.0", Transition::Stop, Some(revision(&["1.0.0"], Some(1))));
    let (records, deployments) = store.change_versions(stop).await.unwrap();
    assert!(records.iter().all(|record| record.stopped_at.is_some()) && records.len() == 1, "{records:?}");
    assert_eq!(store.deployments().await.unwrap(), deployments);
    // One that is not there takes the others with it.
    let mut several = change("1.0.0", Transition::Stop, None);
    several.versions.push(("a:b".parse().unwrap(), "9.0.0".parse().unwrap()));
    assert!(matches!(store.change_versions(several).await, Err(StoreError::UnknownVersion { .. })));
    assert!(store.versions().await.unwrap()[0].stopped_at.is_none());
}
