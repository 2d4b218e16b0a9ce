//! Nothing of one call reaches the next.

use crate::fixture::{Fixture, call, two_and_three, until};
use std::sync::Arc;
use std::time::Duration;
use wares_engine::Failure;
use wasmtime::component::Val;

#[tokio::test]
async fn every_call_starts_anew() {
    let fixture = Fixture::with_calls_max(1);
    let harmful = fixture.guest("harmful").await;
    for _ in 0..20 {
        assert_eq!(call("remember").of(&harmful).await.result, Ok(Some(Val::U32(1))));
    }
    // Memory that was grown, filled and left behind.
    let filled = call("fill-forever").within(|limits| limits.cpu_ms_max = 20).of(&harmful).await;
    assert_eq!(filled.result, Err(Failure::LimitCpu));
    assert_eq!(call("remember").of(&harmful).await.result, Ok(Some(Val::U32(1))));
}

#[tokio::test]
async fn a_cancelled_call_gives_its_place_back_and_is_measured() {
    let fixture = Fixture::with_calls_max(1);
    let harmful = fixture.guest("harmful").await;
    let spin = call("spin").within(|limits| limits.cpu_ms_max = 60_000);
    let meter = Arc::clone(&spin.meter);
    {
        let running = spin.of(&harmful);
        tokio::select! {
            report = running => panic!("{report:?}"),
            () = until(|| meter.cpu_us() >= 20_000) => {}
        }
    }
    assert!(meter.cpu_us() >= 20_000);
    assert_eq!(meter.memory_peak_bytes(), 65_536);
    assert_eq!(two_and_three(&harmful).await, Val::U32(5));
}

#[tokio::test]
async fn a_report_says_where_the_time_went() {
    let fixture = Fixture::new();
    let harmful = fixture.guest("harmful").await;
    let report = call("spin").within(|limits| limits.cpu_ms_max = 50).of(&harmful).await;
    assert!(report.run >= Duration::from_millis(50) && report.instantiate < report.run, "{report:?}");
    let unknown = call("no-such-function").of(&harmful).await;
    assert!(matches!(unknown.result, Err(Failure::Host(_))), "{unknown:?}");
}
