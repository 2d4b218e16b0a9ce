//! Calls of long CPU time take turns.

use crate::fixture::{Fixture, call};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;
use wares_engine::Failure;
use wasmtime::component::Val;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_call_does_not_stand_behind_long_ones() {
    let many = 16 * std::thread::available_parallelism().unwrap().get();
    let fixture = Fixture::with_calls_max(u32::try_from(many + 1).unwrap());
    let harmful = fixture.guest("harmful").await;
    // It ends at the end of its first slice.
    let long = || call("spin").within(|limits| limits.cpu_ms_max = 1);
    assert_eq!(long().of(&harmful).await.result, Err(Failure::LimitCpu), "from now on it is known to be long");

    let ended = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    for _ in 0..many {
        let (harmful, ended) = (Arc::clone(&harmful), Arc::clone(&ended));
        calls.spawn(async move {
            let report = long().of(&harmful).await;
            ended.fetch_add(1, Ordering::SeqCst);
            report
        });
    }
    let (component, before) = (Arc::clone(&harmful), Arc::clone(&ended));
    let short = tokio::spawn(async move {
        let report = call("add").with(Val::U32(2)).with(Val::U32(3)).of(&component).await;
        (report, before.load(Ordering::SeqCst))
    });
    let (report, before) = short.await.unwrap();
    assert_eq!(report.result, Ok(Some(Val::U32(5))));
    assert!(before <= many / 4, "{before} of {many} long calls came first");
    while let Some(report) = calls.join_next().await {
        let report = report.unwrap();
        assert_eq!(report.result, Err(Failure::LimitCpu));
    }
}
