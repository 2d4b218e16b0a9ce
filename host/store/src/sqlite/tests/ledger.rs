//! Entries and their aggregates: every call counts exactly once.

use super::*;
use crate::sqlite::ledger::{CALLS_SEARCHED_MAX, LOGS_SEARCHED_MAX, PRUNE_STEP};
use crate::{CallFilter, CallQuery, CallsFound};
use std::future::poll_fn;
use std::task::Poll;
use wares_model::log::{LogMark, LogStream};

#[tokio::test]
async fn an_entry_comes_back_as_it_was_put() {
    let Fixture { store, .. } = &fixture().await;
    let plain = entry("f", Outcome::Ok, 1_790_000_000_000_001);
    let mut full = entry("g", Outcome::Trap, -5);
    full.detail = Some("unreachable\n  at 函数".into());
    full.logs = Some("日志".into());
    let mark = |at, stream, bytes| LogMark { at: Timestamp::from_micros(at), stream, level: None, head: 0, bytes };
    full.log_marks = vec![mark(-4, LogStream::Stdout, 3), mark(-3, LogStream::Stderr, 3)];
    full.parent = Some(plain.call);
    full.interface = "".into();
    store.append_entries(&[plain.clone(), full.clone()]).await.unwrap();
    assert_eq!(count(store, "logs").await, 1);
    for one in [plain, full] {
        assert_eq!(store.call(one.call).await.unwrap(), Some(one));
    }
    assert_eq!(store.call(CallId::generate()).await.unwrap(), None);
    for outcome in Outcome::ALL {
        let one = entry("f", outcome, 0);
        store.append_entries(std::slice::from_ref(&one)).await.unwrap();
        assert_eq!(store.call(one.call).await.unwrap().map(|entry| entry.outcome), Some(outcome));
    }
}

#[tokio::test]
async fn calls_are_found_by_how_they_ended_and_whose_they_are() {
    let Fixture { store, .. } = &fixture().await;
    let now = Timestamp::now().as_micros();
    let mut entries: Vec<_> =
        (0..6).map(|i| entry("f", if i % 2 == 0 { Outcome::Trap } else { Outcome::Ok }, now + i)).collect();
    entries[1].application = "other".into();
    entries[3].version = "2.0.0".parse().unwrap();
    entries[5].function = "g".into();
    entries[4].tenant = "county".parse().unwrap();
    entries[0].component = "a:other".parse().unwrap();
    entries[2].logs = Some("a log".into());
    store.append_entries(&entries).await.unwrap();
    let found = async |query: CallQuery| {
        let CallsFound { entries: found, next } = store.calls(query).await.unwrap();
        let places = found.iter().map(|one| entries.iter().position(|entry| entry.call == one.call).unwrap());
        assert!(found.iter().all(|one| one.logs.is_none()), "lists leave logs out");
        (places.collect::<Vec<_>>(), next)
    };
    let all = CallQuery { limit: 10, ..CallQuery::default() };
    let of = |filter: CallFilter| CallQuery { of: filter, ..all.clone() };
    assert_eq!(found(all.clone()).await, (vec![5, 4, 3, 2, 1, 0], None));
    let trap = CallFilter { outcome: Some(Outcome::Trap), ..CallFilter::default() };
    let traps = of(trap.clone());
    assert_eq!(found(traps.clone()).await.0, [4, 2, 0]);
    assert_eq!(found(of(CallFilter { outcome: Some(Outcome::Ok), ..CallFilter::default() })).await.0, [5, 3, 1]);
    assert_eq!(found(of(CallFilter { tenant: Some("county".parse().unwrap()), ..CallFilter::default() })).await.0, [4]);
    assert_eq!(found(of(CallFilter { component: Some("a:b".parse().unwrap()), ..trap })).await.0, [4, 2]);
    for (filter, places) in [
        (CallFilter { application: Some("other".into()), ..CallFilter::default() }, vec![1]),
        (CallFilter { version: Some("2.0.0".parse().unwrap()), ..CallFilter::default() }, vec![3]),
        (CallFilter { function: Some("g".into()), ..CallFilter::default() }, vec![5]),
        (CallFilter { function: Some("g".into()), application: Some("other".into()), ..CallFilter::default() }, vec![]),
    ] {
        assert_eq!(found(of(filter.clone())).await, (places, None), "{filter:?}");
    }
    let (first, next) = found(CallQuery { limit: 2, ..traps.clone() }).await;
    assert_eq!((first, next), (vec![4, 2], Some(entries[2].call)));
    assert_eq!(found(CallQuery { before: next, ..traps.clone() }).await, (vec![0], None));
    assert_eq!(found(CallQuery { limit: 3, ..traps }).await, (vec![4, 2, 0], None), "a full page may be the last");
    let time = |micros| Some(Timestamp::from_micros(now + micros));
    assert_eq!(found(CallQuery { from: time(2), to: time(4), ..all.clone() }).await.0, [3, 2]);
    assert_eq!(found(CallQuery { from: time(6), ..all.clone() }).await, (vec![], None));
    assert_eq!(found(CallQuery { to: time(0), ..all }).await, (vec![], None));
}

#[tokio::test]
async fn a_search_among_calls_ends_and_says_where_it_goes_on() {
    let Fixture { store, .. } = &fixture().await;
    let first = LedgerEntry { application: "other".into(), ..entry("f", Outcome::Ok, 0) };
    let trap = entry("f", Outcome::Trap, 0);
    store.append_entries(&[first.clone(), trap.clone()]).await.unwrap();
    let fine: Vec<_> = (0..CALLS_SEARCHED_MAX).map(|_| entry("f", Outcome::Ok, 0)).collect();
    store.append_entries(&fine).await.unwrap();
    let other = CallFilter { application: Some("other".into()), ..CallFilter::default() };
    let query = CallQuery { of: other, limit: 10, ..CallQuery::default() };
    let CallsFound { entries, next } = store.calls(query.clone()).await.unwrap();
    assert_eq!((entries, next), (vec![], fine.first().map(|entry| entry.call)));
    let rest = store.calls(CallQuery { before: next, ..query }).await.unwrap();
    assert_eq!(rest, CallsFound { entries: vec![first], next: None });
    // Those that ended badly are found at once, however many did not.
    let of = CallFilter { outcome: Some(Outcome::Trap), ..CallFilter::default() };
    let traps = store.calls(CallQuery { of, limit: 10, ..CallQuery::default() }).await.unwrap();
    assert_eq!(traps, CallsFound { entries: vec![trap], next: None });
}

#[tokio::test]
async fn a_search_among_logs_ends_and_says_where_it_goes_on() {
    let Fixture { store, .. } = &fixture().await;
    let logged = |tenant: &str| LedgerEntry {
        logs: Some("a log".into()),
        tenant: tenant.parse().unwrap(),
        ..entry("f", Outcome::Ok, 0)
    };
    let county = logged("county");
    store.append_entries(std::slice::from_ref(&county)).await.unwrap();
    let others: Vec<_> = (0..LOGS_SEARCHED_MAX).map(|_| logged("district")).collect();
    store.append_entries(&others).await.unwrap();
    let calls = |found: &CallsFound| found.entries.iter().map(|entry| entry.call).collect::<Vec<_>>();
    let query = LogQuery { tenant: Some(county.tenant.clone()), limit: 10, ..LogQuery::default() };
    let found = store.logged_calls(query.clone()).await.unwrap();
    assert_eq!((calls(&found), found.next), (vec![], others.first().map(|entry| entry.call)));
    let found = store.logged_calls(LogQuery { before: found.next, ..query.clone() }).await.unwrap();
    assert_eq!((calls(&found), found.next), (vec![county.call], None));
    let one = store.logged_calls(LogQuery { call: Some(county.call), ..query }).await.unwrap();
    assert_eq!((calls(&one), one.next), (vec![county.call], None), "a call that is named is found wherever it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_exact_under_concurrency() {
    let Fixture { store, .. } = &fixture().await;
    const TASKS: usize = 64;
    const BATCHES: usize = 6;
    // Sizes around those of the statements that rows are cut into.
    const SIZES: [usize; BATCHES] = [0, 1, 7, 9, 65, 130];
    let tasks = (0..TASKS).map(|task| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            for (batch, size) in SIZES.into_iter().enumerate() {
                let function = |i: usize| format!("f{}", (task + batch + i) % 5);
                let entries: Vec<_> = (0..size).map(|i| entry(&function(i), Outcome::Ok, 0)).collect();
                store.append_entries(&entries).await.unwrap();
            }
        })
    });
    futures::future::try_join_all(tasks).await.unwrap();
    let calls = (TASKS * SIZES.iter().sum::<usize>()) as u64;
    let expected = UsageRow {
        calls,
        cpu_us: calls,
        wall_us: 2 * calls,
        memory_peak_bytes: 3,
        bytes_in: 4 * calls,
        bytes_out: 5 * calls,
        ..UsageRow::default()
    };
    assert_eq!(total(store).await, expected);
    assert_eq!(count(store, "entries").await, calls as i64);
    assert_eq!(count(store, "subjects").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_counts_once_however_often_it_is_handed_in() {
    let Fixture { store, .. } = &fixture().await;
    let entries: Vec<_> = (0..200).map(|_| entry("f", Outcome::Ok, 0)).collect();
    store.append_entries(&[entries[0].clone(), entries[0].clone()]).await.unwrap();
    assert_eq!(total(store).await.calls, 1, "twice in one batch");
    let changed = LedgerEntry { outcome: Outcome::Trap, logs: Some("later".into()), ..entries[0].clone() };
    store.append_entries(std::slice::from_ref(&changed)).await.unwrap();
    assert_eq!(store.call(changed.call).await.unwrap().as_ref(), entries.first(), "the first one stays");

    // Windows overlap, so that every batch but the first meets calls that another task enters at the same time.
    let tasks = (0..16).map(|task| {
        let (store, entries) = (Arc::clone(store), entries[task * 10..task * 10 + 50].to_vec());
        tokio::spawn(async move { store.append_entries(&entries).await })
    });
    for result in futures::future::try_join_all(tasks).await.unwrap() {
        result.unwrap();
    }
    assert_eq!(total(store).await.calls, 200);
    assert_eq!(count(store, "entries").await, 200);
    assert_eq!(count(store, "logs").await, 0);
}

#[tokio::test]
async fn numbers_beyond_the_columns_stop_at_the_largest() {
    let Fixture { store, .. } = &fixture().await;
    const LARGEST: u64 = i64::MAX as u64;
    let mut huge = entry("f", Outcome::Ok, 0);
    huge.usage.cpu_us = u64::MAX;
    huge.usage.memory_peak_bytes = u64::MAX;
    for call in [huge.call, CallId::generate(), CallId::generate()] {
        store.append_entries(&[LedgerEntry { call, ..huge.clone() }]).await.unwrap();
    }
    // Another function, so that the question has to add up two sums that are full.
    store
        .append_entries(&[LedgerEntry { call: CallId::generate(), function: "g".into(), ..huge.clone() }])
        .await
        .unwrap();
    assert_eq!(store.call(huge.call).await.unwrap().unwrap().usage.cpu_us, LARGEST);
    let sums = total(store).await;
    assert_eq!((sums.calls, sums.cpu_us, sums.wall_us), (4, 2 * LARGEST, 8));
    assert_eq!(sums.memory_peak_bytes, LARGEST);
    let inexact = "SELECT COUNT(*) FROM aggregates WHERE typeof(cpu_us) <> 'integer'";
    let inexact: i64 = sqlx::query_scalar(inexact).fetch_one(&store.readers).await.unwrap();
    assert_eq!(inexact, 0, "sums that went over to floating point");
}

#[tokio::test]
async fn a_full_disk_leaves_nothing_of_a_batch_and_the_next_one_succeeds() {
    let Fixture { store, .. } = &fixture().await;
    store.append_entries(&[entry("f", Outcome::Ok, 0)]).await.unwrap();
    // The pragma stands in for the disk: SQLite reports both as SQLITE_FULL. It never goes below what is used already.
    let full = |appender: &mut Appender| Ok(appender.connection.pragma_update(None, "max_page_count", 1)?);
    store.ledger.with(full).unwrap();
    let batch: Vec<_> = (0..500).map(|i| entry(&format!("f{i}"), Outcome::Ok, 0)).collect();
    assert!(matches!(store.append_entries(&batch).await, Err(StoreError::Ledger(_))));
    assert_eq!((total(store).await.calls, count(store, "entries").await, count(store, "subjects").await), (1, 1, 1));

    // The connection in which that happened is gone, and the pragma with it.
    store.append_entries(&batch).await.unwrap();
    assert_eq!(
        (total(store).await.calls, count(store, "entries").await, count(store, "subjects").await),
        (501, 501, 501)
    );
    assert_eq!(store.call(batch[499].call).await.unwrap().as_ref(), batch.last());
}

#[tokio::test]
async fn a_batch_that_waits_for_its_turn_may_be_given_up() {
    let Fixture { store, .. } = &fixture().await;
    let batch: Vec<_> = (0..300).map(|_| entry("f", Outcome::Ok, 0)).collect();
    let writing = store.write().await.unwrap();
    let mut append = store.append_entries(&batch);
    let waits = poll_fn(|context| Poll::Ready(append.as_mut().poll(context).is_pending())).await;
    assert!(waits, "another transaction is under way");
    drop(append);
    writing.rollback().await.unwrap();
    assert_eq!((total(store).await.calls, count(store, "entries").await), (0, 0));
    store.append_entries(&batch).await.unwrap();
    assert_eq!((total(store).await.calls, count(store, "entries").await), (300, 300));
}

#[tokio::test]
async fn pruning_removes_old_entries_and_logs_but_no_sums() {
    let Fixture { store, .. } = &fixture().await;
    let old_calls = PRUNE_STEP * 2 + 3;
    let at = |milliseconds: u64, number: u64| {
        let mut id = [0; 16];
        id[..6].copy_from_slice(&milliseconds.to_be_bytes()[2..]);
        id[8..].copy_from_slice(&number.to_be_bytes());
        let logs = number.is_multiple_of(2).then(|| "log".to_owned());
        LedgerEntry { call: CallId::from_bytes(id), logs, ..entry("f", Outcome::Ok, milliseconds as i64 * 1_000) }
    };
    let old: Vec<_> = (0..old_calls).map(|number| at(1_000, number)).collect();
    let kept: Vec<_> = (0..10).map(|number| at(1_001, number)).collect();
    store.append_entries(&old).await.unwrap();
    store.append_entries(&kept).await.unwrap();

    for (before_us, gone) in [(i64::MIN, 0), (1_000_999, 0), (1_001_000, old_calls), (1_001_999, 0)] {
        let before = Timestamp::from_micros(before_us);
        assert_eq!(store.prune_entries(before).await.unwrap(), gone, "before {before_us}");
    }
    assert_eq!(store.call(old[0].call).await.unwrap(), None);
    assert_eq!(store.call(kept[0].call).await.unwrap().as_ref(), kept.first());
    assert_eq!((count(store, "entries").await, count(store, "logs").await), (10, 5));
    assert_eq!(store.prune_entries(Timestamp::from_micros(i64::MAX)).await.unwrap(), 10);
    assert_eq!((count(store, "entries").await, count(store, "logs").await), (0, 0));
    assert_eq!(total(store).await.calls, old_calls + 10);
}
