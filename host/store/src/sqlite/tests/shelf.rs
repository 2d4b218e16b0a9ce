//! Versions and deployments.

use super::*;
use crate::{NewTrust, RolloutChange};
use std::collections::BTreeMap;
use wares_model::{ShadowTraffic, Stickiness};

pub(super) fn new_version(component: &str, version: &str, bytes: &[u8], published_at: i64) -> NewVersion {
    let record = VersionRecord {
        component: component.parse().unwrap(),
        version: version.parse().unwrap(),
        digest: Digest::of(bytes),
        size_bytes: bytes.len() as u64,
        published_at: Timestamp::from_micros(published_at),
        publisher: "出版者".into(),
        deployed_at: None,
        yanked_at: None,
        stopped_at: None,
        deprecation: None,
        summary: r#"{"title":"一"}"#.into(),
    };
    NewVersion { record, detail: format!("detail of {version}"), trust: NewTrust::default() }
}

pub(super) fn revision(versions: &[&str], expected: Option<u64>) -> NewRevision {
    let traffic = versions.iter().map(|version| (version.parse().unwrap(), 100 / versions.len() as u32)).collect();
    let reason = Some("because".to_owned());
    NewRevision {
        component: "a:b".parse().unwrap(),
        traffic,
        stickiness: Stickiness::Call,
        places: Some("01".repeat(50)),
        shadow: Some(ShadowTraffic { version: "1.1.0".parse().unwrap(), percent: 10 }),
        actor: "test".into(),
        reason,
        expected,
        rollout: RolloutChange::Supersede,
        evidence: None,
        rejects: Vec::new(),
    }
}

#[tokio::test]
async fn versions_come_back_as_they_were_put_in_order() {
    let Fixture { dir: _dir, data_dir, store } = fixture().await;
    let mut late = new_version("a:a", "2.0.0", b"late", 2);
    late.record.yanked_at = Some(Timestamp::from_micros(5));
    late.record.deployed_at = Some(Timestamp::from_micros(4));
    let early = new_version("z:z", "1.0.0-rc.1+build.7", b"early", 1);
    for version in [&late, &early] {
        assert_eq!(store.insert_version(version.clone()).await.unwrap(), Inserted::Created);
    }
    drop(store);
    let store = open(&data_dir).await.unwrap();
    assert_eq!(store.versions().await.unwrap(), [early.record.clone(), late.record.clone()]);
    let detail = store.version_detail(&early.record.component, &early.record.version).await.unwrap();
    assert_eq!(detail, Some(early.detail));
    assert_eq!(store.version_detail(&early.record.component, &late.record.version).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_never_rewritten() {
    let Fixture { store, .. } = &fixture().await;
    // Tasks publish two different builds under one version at once: one build stays.
    let tasks = (0..16).map(|task| {
        let (store, bytes) = (Arc::clone(store), [b"x", b"y"][task % 2]);
        tokio::spawn(async move { (bytes, store.insert_version(new_version("a:b", "1.0.0", bytes, 1)).await) })
    });
    let results = futures::future::try_join_all(tasks).await.unwrap();
    let stored = store.versions().await.unwrap().pop().unwrap().digest;
    let mut created = 0;
    for (bytes, result) in results {
        match result {
            Ok(inserted) => {
                assert_eq!(Digest::of(bytes), stored);
                created += u32::from(inserted == Inserted::Created);
            }
            Err(StoreError::VersionConflict { existing }) => {
                assert_eq!(existing, stored);
                assert_ne!(Digest::of(bytes), stored);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(created, 1);
    assert_eq!(count(store, "versions").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_changes_built_on_one_revision_one_wins() {
    let Fixture { store, .. } = &fixture().await;
    store.insert_version(new_version("a:b", "1.0.0", b"x", 1)).await.unwrap();
    for round in 0..8 {
        let racers = (0..32).map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.set_deployment(revision(&["1.0.0"], Some(round))).await })
        });
        let results = futures::future::try_join_all(racers).await.unwrap();
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!(won.len(), 1, "round {round}");
        assert_eq!(won.into_iter().next().unwrap().unwrap().revision, round + 1);
        let conflict = |result| matches!(result, Err(StoreError::RevisionConflict { current }) if current == round + 1);
        assert!(lost.into_iter().all(conflict), "round {round}");
    }
    assert_eq!(count(store, "deployments").await, 8);
}

#[tokio::test]
async fn history_is_read_in_pages_from_the_newest() {
    let Fixture { store, .. } = &fixture().await;
    let component: ComponentName = "a:b".parse().unwrap();
    for version in ["1.0.0", "1.1.0"] {
        store.insert_version(new_version("a:b", version, version.as_bytes(), 1)).await.unwrap();
    }
    let mut put = Vec::new();
    for number in 0..7 {
        let versions: &[_] = if number % 2 == 0 { &["1.0.0"] } else { &["1.0.0", "1.1.0"] };
        put.insert(0, store.set_deployment(revision(versions, None)).await.unwrap());
    }
    let mut read = Vec::new();
    loop {
        let before = read.last().map(|last: &Deployment| last.revision);
        let page = store.deployment_history(&component, 3, before).await.unwrap();
        assert!(page.len() <= 3);
        if page.is_empty() {
            break;
        }
        read.extend(page);
    }
    assert_eq!(read, put);
    assert_eq!(store.deployments().await.unwrap(), put[..1]);
    assert_eq!(store.deployment_history(&"a:c".parse().unwrap(), 3, None).await.unwrap(), []);
    assert_eq!(store.deployment_history(&component, 9, Some(u64::MAX)).await.unwrap(), put);
}

#[tokio::test]
async fn the_first_deployment_of_a_version_is_noted_with_the_revision_or_not_at_all() {
    let Fixture { store, .. } = &fixture().await;
    store.insert_version(new_version("a:b", "1.0.0", b"x", 1)).await.unwrap();
    store.insert_version(new_version("a:b", "1.1.0", b"y", 2)).await.unwrap();
    let deployed = async || -> BTreeMap<String, Option<Timestamp>> {
        let versions = store.versions().await.unwrap();
        versions.into_iter().map(|record| (record.version.to_string(), record.deployed_at)).collect()
    };

    let error = store.set_deployment(revision(&["1.0.0", "9.0.0"], None)).await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownVersion { version, .. } if version.major == 9), "{error}");
    assert!(error.to_string().contains("9.0.0 of a:b"), "{error}");
    assert_eq!(deployed().await["1.0.0"], None);
    assert_eq!(store.deployments().await.unwrap(), []);

    let first = store.set_deployment(revision(&["1.0.0"], Some(0))).await.unwrap();
    let second = store.set_deployment(revision(&["1.0.0", "1.1.0"], Some(1))).await.unwrap();
    assert_eq!((first.revision, second.revision), (1, 2));
    assert_eq!(deployed().await["1.0.0"], Some(first.at));
    assert_eq!(deployed().await["1.1.0"], Some(second.at));
}
