//! Answers that are kept under keys of callers: with their calls' entries, within bounds of bytes and age.

use super::*;
use crate::{AnswerStore as _, KeptCall};
use wares_model::KeptAnswer;
use wares_model::limits::KEPT_ANSWERS_BYTES_MAX;

fn kept(key: &str, bytes: usize) -> LedgerEntry {
    let answer = KeptAnswer {
        key: key.to_owned(),
        fingerprint: Digest::of(key.as_bytes()),
        problem: None,
        json: vec![b'7'; bytes],
    };
    LedgerEntry { kept: Some(Box::new(answer)), ..entry("f", Outcome::Ok, 1_000_000) }
}

async fn find(store: &SqliteStore, application: &str, key: &str, since: i64) -> Option<KeptCall> {
    let tenant = "district".parse().unwrap();
    store.kept_answer(&tenant, application, key, Timestamp::from_micros(since)).await.unwrap()
}

async fn sum(store: &SqliteStore) -> i64 {
    let (sum, counted): (i64, i64) =
        sqlx::query_as("SELECT (SELECT SUM(bytes) FROM kept_sums), (SELECT COALESCE(SUM(bytes), 0) FROM kept_answers)")
            .fetch_one(&store.readers)
            .await
            .unwrap();
    assert_eq!(sum, counted);
    sum
}

#[tokio::test]
async fn an_answer_is_kept_with_its_entry_for_its_application() {
    let Fixture { store, .. } = &fixture().await;
    let first = kept("a", 3);
    store.append_entries(std::slice::from_ref(&first)).await.unwrap();
    let found = find(store, "app", "a", 0).await.unwrap();
    assert_eq!((found.call, found.json.as_slice(), found.problem), (first.call, b"777".as_slice(), None));
    assert_eq!((found.fingerprint, found.outcome), (Digest::of(b"a"), Outcome::Ok));
    assert_eq!(find(store, "other", "a", 0).await, None);
    assert_eq!(find(store, "app", "b", 0).await, None);
    assert_eq!(find(store, "app", "a", 1_000_001).await, None, "it is too old");
    // The batch again changes nothing; a call after the answer's time has another one.
    store.append_entries(std::slice::from_ref(&first)).await.unwrap();
    let second = kept("a", 5);
    store.append_entries(std::slice::from_ref(&second)).await.unwrap();
    assert_eq!(find(store, "app", "a", 0).await.map(|found| (found.call, found.json.len())), Some((second.call, 5)));
    sum(store).await;
}

#[tokio::test]
async fn the_newest_answers_stay_within_their_bound() {
    let Fixture { store, .. } = &fixture().await;
    let quarter = KEPT_ANSWERS_BYTES_MAX as usize / 4;
    for number in 0..6 {
        store.append_entries(&[kept(&number.to_string(), quarter)]).await.unwrap();
    }
    for (key, is_there) in [("0", false), ("2", false), ("3", true), ("5", true)] {
        assert_eq!(find(store, "app", key, 0).await.is_some(), is_there, "{key}");
    }
    assert!(sum(store).await <= KEPT_ANSWERS_BYTES_MAX as i64);
}

#[tokio::test]
async fn answers_go_by_their_age_and_with_their_tenant() {
    let Fixture { store, .. } = &fixture().await;
    let entries: Vec<_> = (0..1_200).map(|number| kept(&number.to_string(), 1)).collect();
    store.append_entries(&entries).await.unwrap();
    let late = LedgerEntry { started: Timestamp::from_micros(2_000_000), ..kept("late", 1) };
    let county = LedgerEntry { tenant: "county".parse().unwrap(), started: late.started, ..kept("county", 1) };
    store.append_entries(&[late, county]).await.unwrap();
    assert_eq!(store.prune_answers(Timestamp::from_micros(1_000_001)).await.unwrap(), 1_200);
    assert!(find(store, "app", "late", 0).await.is_some() && find(store, "app", "7", 0).await.is_none());
    assert_eq!(store.remove_answers_of(&"district".parse().unwrap()).await.unwrap(), 1);
    assert_eq!(count(store, "kept_answers").await, 1);
    sum(store).await;
}
