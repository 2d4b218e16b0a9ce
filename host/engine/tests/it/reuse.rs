//! Instances that are kept for their owner: what may reach the next call, what never does, and where keeping ends.

use crate::fixture::{Call, Fixture, KEEP, call, until};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use wares_engine::{Component, Failure, KeepBounds};
use wasmtime::component::Val;

/// How often the instance that serves this call was called.
async fn remembered(component: &Component, owner: &'static str) -> u32 {
    match call("remember").owned_by(owner).of(component).await.result {
        // The guest answers calls times what it left in memory.
        Ok(Some(Val::U32(square))) => square.isqrt(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_owner_meets_its_own_instance_again_until_it_has_served_its_calls() {
    let fixture = Fixture::new();
    let guest = fixture.guest("harmful").await;
    let mut counts = Vec::new();
    for _ in 0..KEEP.calls_max + 1 {
        counts.push(remembered(&guest, "north").await);
    }
    assert_eq!(counts, [1, 2, 3, 4, 5, 1]);
    assert_eq!(call("remember").of(&guest).await.result, Ok(Some(Val::U32(1))), "a call without an owner is fresh");
}

#[tokio::test]
async fn nothing_of_one_owner_reaches_another() {
    const SECRET: u64 = 0x5EC2_E75E_C2E7_5EC2;
    let fixture = Fixture::new();
    let guest = fixture.guest("canary").await;
    let find = async |owner: Option<&'static str>| {
        let find = Call { owner, ..call("find").with(Val::U64(SECRET)) };
        find.of(&guest).await.result
    };
    // More owners than instances are kept, so that places in the pool change hands as well.
    let others = ["south", "east", "west", "centre"];
    for _ in 0..KEEP.calls_max {
        let hide = call("hide").with(Val::U64(SECRET)).owned_by("north");
        assert_eq!(hide.of(&guest).await.result, Ok(None));
        assert_eq!(find(Some("north")).await, Ok(Some(Val::U32(131_074))), "its own it finds");
        for other in others {
            assert_eq!(find(Some(other)).await, Ok(Some(Val::U32(0))), "{other}");
        }
        assert_eq!(find(None).await, Ok(Some(Val::U32(0))));
    }
}

#[tokio::test]
async fn an_instance_whose_call_failed_is_gone() {
    let fixture = Fixture::new();
    let guest = fixture.guest("harmful").await;
    let failures = [
        call("fail"),
        call("recurse"),
        call("spin").within(|limits| limits.cpu_ms_max = 10),
        call("eat-memory"),
        call("out-of-bounds"),
    ];
    for failure in failures {
        assert_eq!(remembered(&guest, "north").await, 1);
        assert_eq!(remembered(&guest, "north").await, 2);
        let failed = failure.clone().owned_by("north").of(&guest).await.result;
        assert!(failed.is_err(), "{} {failed:?}", failure.function);
        assert_eq!(fixture.engine.instances_kept(), 0, "{}", failure.function);
    }
    // A caller that goes away in the middle of a call.
    assert_eq!(remembered(&guest, "north").await, 1);
    let spin = call("spin").within(|limits| limits.cpu_ms_max = 60_000).owned_by("north");
    let meter = Arc::clone(&spin.meter);
    tokio::select! {
        report = spin.of(&guest) => panic!("{report:?}"),
        () = until(|| meter.cpu_us() >= 20_000) => {}
    }
    assert_eq!(remembered(&guest, "north").await, 1);
}

#[tokio::test]
async fn every_call_of_a_kept_instance_has_limits_and_a_meter_of_its_own() {
    let fixture = Fixture::new();
    let guest = fixture.guest("harmful").await;
    let busy = || call("spin-and-return").with(Val::S64(20_000_000)).owned_by("north");
    for at in 0..KEEP.calls_max {
        let call = busy().within(|limits| limits.cpu_ms_max = 10_000);
        let meter = Arc::clone(&call.meter);
        assert_eq!(call.of(&guest).await.result, Ok(None), "call {at}");
        assert!(meter.cpu_us() > 0 && meter.memory_peak_bytes() == 65_536, "call {at}: {meter:?}");
    }
    // Made for a call that may do more than the next ones.
    let first = || call("remember").within(|limits| limits.cpu_ms_max = 3_000).owned_by("north");
    assert_eq!(first().of(&guest).await.result, Ok(Some(Val::U32(1))));
    let spin = call("spin").within(|limits| limits.cpu_ms_max = 20).owned_by("north");
    let meter = Arc::clone(&spin.meter);
    assert_eq!(spin.of(&guest).await.result, Err(Failure::LimitCpu));
    assert!(meter.cpu_us() < 1_500_000, "it had {} us, as the call before it might have", meter.cpu_us());

    assert_eq!(first().of(&guest).await.result, Ok(Some(Val::U32(1))));
    let eat = call("eat-memory").within(|limits| limits.memory_bytes_max = 2 << 16).owned_by("north");
    let meter = Arc::clone(&eat.meter);
    let stopped = eat.of(&guest).await.result;
    assert!(matches!(&stopped, Err(Failure::LimitMemory { .. })), "{stopped:?}");
    assert!(meter.memory_peak_bytes() <= 2 << 16, "it had {} bytes", meter.memory_peak_bytes());
}

#[tokio::test]
async fn no_more_and_no_larger_instances_are_kept_than_allowed() {
    let fixture = Fixture::new();
    let guest = fixture.guest("harmful").await;
    for owner in ["a", "b", "c", "d"] {
        assert_eq!(remembered(&guest, owner).await, 1);
    }
    assert_eq!(fixture.engine.instances_kept(), KEEP.instances_max);
    assert_eq!(remembered(&guest, "d").await, 2, "the last comer is kept");
    assert_eq!(remembered(&guest, "a").await, 1, "the longest idle one made room");

    let memories = fixture.guest("memories").await;
    // Eight memories, grown by 127 pages each.
    let grown = call("grow").with(Val::U32(127)).owned_by("a").of(&memories).await;
    assert_eq!(grown.result, Ok(None));
    assert_eq!(fixture.engine.instances_kept(), KEEP.instances_max, "it is too large to be kept");
    drop(guest);
    assert_eq!(fixture.engine.instances_kept(), 0, "instances go with their version");
}

#[tokio::test]
async fn old_instances_are_swept_and_serve_no_more() {
    let keep = KeepBounds { age_max: Duration::ZERO, ..KEEP };
    let fixture = Fixture::keeping(keep);
    let guest = fixture.guest("harmful").await;
    assert_eq!(remembered(&guest, "north").await, 1);
    assert_eq!(fixture.engine.instances_kept(), 0);
    assert_eq!(remembered(&guest, "north").await, 1);

    let keep = KeepBounds { age_max: Duration::from_secs(3), ..KEEP };
    let fixture = Fixture::keeping(keep);
    let guest = fixture.guest("harmful").await;
    assert_eq!(remembered(&guest, "north").await, 1);
    assert_eq!(fixture.engine.instances_kept(), 1);
    until(|| {
        fixture.engine.sweep();
        fixture.engine.instances_kept() == 0
    })
    .await;
}

#[tokio::test]
async fn kept_instances_take_no_place_of_a_call() {
    let fixture = Fixture::with_calls_max(2);
    let guest = fixture.guest("harmful").await;
    for owner in ["a", "b", "c"] {
        assert_eq!(remembered(&guest, owner).await, 1);
    }
    assert_eq!(fixture.engine.instances_kept(), KEEP.instances_max);
    // Both are under way at the same time: each takes several turns.
    let spin = || call("spin").within(|limits| limits.cpu_ms_max = 50).of(&guest);
    let (one, other) = tokio::join!(spin(), spin());
    assert_eq!((one.result, other.result), (Err(Failure::LimitCpu), Err(Failure::LimitCpu)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_once_never_share_an_instance() {
    let fixture = Fixture::with_calls_max(8);
    let guest = fixture.guest("canary").await;
    let mut calls = JoinSet::new();
    for at in 0..200u64 {
        let guest = Arc::clone(&guest);
        let owner = if at.is_multiple_of(2) { "even" } else { "odd" };
        calls.spawn(async move {
            let mine = 1_000 + at % 2;
            let theirs = 1_001 - at % 2;
            call("hide").with(Val::U64(mine)).owned_by(owner).of(&guest).await.result.unwrap();
            call("find").with(Val::U64(theirs)).owned_by(owner).of(&guest).await.result
        });
        if calls.len() == 8 {
            let found = calls.join_next().await.unwrap().unwrap();
            assert!(matches!(found, Ok(Some(Val::U32(0 | 1)))), "only its own table mark: {found:?}");
        }
    }
}
