//! Rollouts change with the deployments they consist of, and calls that repeat others are in no sum.

use super::shelf::{new_version, revision};
use super::*;
use crate::RolloutChange;
use wares_model::rollout::Observed;
use wares_model::{Evidence, RolloutPlan, RolloutState, ShadowOf};

fn plan() -> RolloutPlan {
    serde_json::from_str(r#"{"version": "1.1.0", "error-points-max": 0.5}"#).unwrap()
}

fn evidence() -> Evidence {
    let observed = |version: &str, errors| Observed {
        version: version.parse().unwrap(),
        calls: 100,
        errors,
        wall_mean_us: 10,
        wall_p95_us: 20,
    };
    Evidence { step: 1, share: 5, seconds: 7, new: observed("1.1.0", 20), old: observed("1.0.0", 0) }
}

fn of_rollout(versions: &[&str], rollout: RolloutChange) -> NewRevision {
    NewRevision { rollout, evidence: Some(evidence()), ..revision(versions, None) }
}

fn start() -> NewRevision {
    let old = "1.0.0".parse().unwrap();
    NewRevision { evidence: None, ..of_rollout(&["1.0.0", "1.1.0"], RolloutChange::Start { plan: plan(), old }) }
}

async fn shelf() -> Fixture {
    let fixture = fixture().await;
    for version in ["1.0.0", "1.1.0"] {
        fixture.store.insert_version(new_version("a:b", version, version.as_bytes(), 1)).await.unwrap();
    }
    fixture.store.set_deployment(revision(&["1.0.0"], None)).await.unwrap();
    fixture
}

async fn latest(store: &SqliteStore) -> RolloutRecord {
    store.latest_rollout(&"a:b".parse().unwrap()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_rollout_is_written_with_its_revisions() {
    let Fixture { dir: _dir, data_dir, store } = shelf().await;
    let first = store.set_deployment(start()).await.unwrap();
    let second =
        store.set_deployment(of_rollout(&["1.0.0", "1.1.0"], RolloutChange::Step { id: 2, step: 2 })).await.unwrap();
    drop(store);
    let store = open(&data_dir).await.unwrap();
    let running = store.running_rollouts().await.unwrap();
    assert_eq!(running, [latest(&store).await]);
    let [rollout] = running.try_into().unwrap();
    assert_eq!((rollout.id, rollout.base, rollout.step), (2, 1, 2));
    assert_eq!((rollout.started_at, rollout.step_started_at), (first.at, second.at));
    assert_eq!((rollout.plan, rollout.evidence), (plan(), Some(evidence())));
    assert_eq!(store.deployments().await.unwrap(), [second]);

    let (state, note) = (RolloutState::RolledBack, Some("it failed".to_owned()));
    let end = RolloutChange::End { id: 2, state, note: note.clone() };
    let back = store.set_deployment(of_rollout(&["1.0.0"], end)).await.unwrap();
    assert_eq!((back.rollout, back.evidence), (Some(2), Some(evidence())));
    assert_eq!(store.running_rollouts().await.unwrap(), []);
    let ended = latest(&store).await;
    assert_eq!((ended.state, ended.note, ended.ended_at), (state, note, Some(back.at)));
}

#[tokio::test]
async fn a_change_by_hand_ends_a_rollout_and_steps_of_an_ended_one_change_nothing() {
    let Fixture { store, .. } = &shelf().await;
    store.set_deployment(start()).await.unwrap();
    let by_hand = store.set_deployment(revision(&["1.0.0"], None)).await.unwrap();
    assert_eq!(by_hand.rollout, None);
    let superseded = latest(store).await;
    assert_eq!((superseded.state, superseded.ended_at), (RolloutState::Superseded, Some(by_hand.at)));
    let (state, note, evidence) = (RolloutState::Completed, None, None);
    let late = [
        store.set_deployment(of_rollout(&["1.1.0"], RolloutChange::Step { id: 2, step: 2 })).await.map(drop),
        store
            .set_deployment(of_rollout(&["1.0.0"], RolloutChange::End { id: 2, state, note: note.clone() }))
            .await
            .map(drop),
        store
            .end_rollout(RolloutEnd { component: "a:b".parse().unwrap(), id: 2, state, note, evidence })
            .await
            .map(drop),
    ];
    for result in late {
        assert!(matches!(result, Err(StoreError::RolloutEnded { id: 2, .. })), "{result:?}");
    }
    assert_eq!(store.deployments().await.unwrap(), [by_hand]);
    // A second rollout takes the place of a running one.
    store.set_deployment(start()).await.unwrap();
    store.set_deployment(start()).await.unwrap();
    assert_eq!(store.running_rollouts().await.unwrap().len(), 1);
}

#[tokio::test]
async fn calls_that_repeat_others_are_entered_and_in_no_sum() {
    let Fixture { store, .. } = &fixture().await;
    let billed = entry("f", Outcome::Ok, 0);
    let repeated = |revision, matches, detail: Option<&str>| LedgerEntry {
        shadow: Some(ShadowOf { call: billed.call, revision, matches }),
        detail: detail.map(str::to_owned),
        ..entry("f", Outcome::Ok, 0)
    };
    let shadows =
        [repeated(7, true, None), repeated(7, false, Some("first")), repeated(7, false, None), repeated(8, true, None)];
    store.append_entries(std::slice::from_ref(&billed)).await.unwrap();
    store.append_entries(&shadows).await.unwrap();
    store.append_entries(&shadows).await.unwrap();
    assert_eq!(total(store).await.calls, 1);
    for shadow in &shadows {
        assert_eq!(store.call(shadow.call).await.unwrap().as_ref(), Some(shadow));
    }
    let component = "a:b".parse().unwrap();
    let counts = store.shadow_counts(&component, 7, 10).await.unwrap();
    assert_eq!((counts.matches, counts.mismatches), (1, 2));
    let sample: Vec<_> = counts.sample.iter().map(|mismatch| (mismatch.call, mismatch.of)).collect();
    assert_eq!(sample, [(shadows[2].call, billed.call), (shadows[1].call, billed.call)]);
    assert_eq!(counts.sample[1].detail.as_deref(), Some("first"));
    assert_eq!(store.shadow_counts(&component, 7, 1).await.unwrap().sample.len(), 1);
    assert_eq!(store.shadow_counts(&component, 8, 10).await.unwrap().matches, 1);

    store.prune_entries(Timestamp::from_micros(i64::MAX)).await.unwrap();
    assert_eq!(count(store, "shadows").await, 0);
}
