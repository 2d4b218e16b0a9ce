//! Guests that do harm: each is stopped by the limit it ran into, while a neighbour on the same thread goes on.

use crate::fixture::{Call, Fixture, call, guest, text_guest, two_and_three, wasi_guest};
use rustix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wares_engine::{CallReport, Component, Failure, Meter};
use wasmtime::component::Val;

/// CPU time in microseconds that a stopped call may have used past its limit, on a busy machine.
const CPU_OVERRUN_US: u64 = 250_000;
/// The longest that a neighbour waits, in CPU time of the thread, which other programs do not lengthen. Without yielding it
/// would wait for the whole CPU limit of 200 ms.
const NEIGHBOUR_WAIT_MAX: Duration = Duration::from_millis(150);

/// CPU time that this thread has used.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::ThreadCPUTime).try_into().unwrap()
}

/// Runs a hostile call as a task beside one that asks `add` again and again, all on this thread.
async fn beside_a_neighbour(hostile: &Arc<Component>, call: Call) -> (CallReport, u32, Duration) {
    let fixture = Fixture::new();
    let neighbour = fixture.guest("harmful").await;
    let task = tokio::spawn({
        let hostile = Arc::clone(hostile);
        async move { call.of(&hostile).await }
    });
    let (mut answered, mut slowest) = (0, Duration::ZERO);
    while !task.is_finished() {
        let asked = cpu_time();
        assert_eq!(two_and_three(&neighbour).await, Val::U32(5));
        tokio::task::yield_now().await;
        answered += 1;
        slowest = slowest.max(cpu_time() - asked);
    }
    (task.await.unwrap(), answered, slowest)
}

async fn assert_stopped_by_cpu(component: &Arc<Component>, call: Call) -> CallReport {
    let (name, meter, limit_us) = (call.function, Arc::clone(&call.meter), call.limits.cpu_ms_max * 1_000);
    let (report, answered, slowest) = beside_a_neighbour(component, call).await;
    assert_eq!(report.result, Err(Failure::LimitCpu), "{name}");
    let used = meter.cpu_us();
    assert!((limit_us..limit_us + CPU_OVERRUN_US).contains(&used), "{name} used {used} us of {limit_us}");
    assert!(answered >= 5, "{name}: the neighbour answered {answered} times");
    assert!(slowest < NEIGHBOUR_WAIT_MAX, "{name}: the neighbour waited {slowest:?}");
    report
}

#[tokio::test]
async fn endless_loops_use_up_their_cpu_time() {
    let fixture = Fixture::new();
    let harmful = fixture.guest("harmful").await;
    for function in ["spin", "fill-forever", "spin-after"] {
        assert_stopped_by_cpu(&harmful, call(function)).await;
    }
    let items = Val::List(vec![Val::U64(1)]);
    assert_stopped_by_cpu(&harmful, call("take-forever").with(items)).await;
    let start = fixture.load(text_guest("start", "BODY", "(loop $again (br $again))")).await;
    assert_stopped_by_cpu(&start, call("nothing")).await;
    let wasi = fixture.load(wasi_guest()).await;
    assert_stopped_by_cpu(&wasi, call("roll-forever")).await;
    let report = assert_stopped_by_cpu(&wasi, call("flood-forever")).await;
    assert!(
        (report.logs.text.len() as u64) < call("").limits.log_bytes_max + 100,
        "{} bytes of log",
        report.logs.text.len()
    );
}

#[tokio::test]
async fn a_sleeper_uses_up_its_wall_time_and_no_cpu() {
    let fixture = Fixture::new();
    let wasi = fixture.load(wasi_guest()).await;
    let sleep = call("sleep").with(Val::U64(3_600_000)).within(|limits| limits.wall_ms_max = 1_000);
    let (meter, began) = (Arc::clone(&sleep.meter), Instant::now());
    let (report, answered, slowest) = beside_a_neighbour(&wasi, sleep).await;
    assert_eq!(report.result, Err(Failure::LimitWall));
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert!(meter.cpu_us() < 50_000, "{} us", meter.cpu_us());
    assert!(answered >= 5 && slowest < NEIGHBOUR_WAIT_MAX, "{answered} answers, the slowest took {slowest:?}");
    let nap = call("sleep").with(Val::U64(1)).of(&wasi).await;
    assert_eq!(nap.result, Ok(None));
}

/// Calls that want more of something than they may have, and a word that their failure says.
async fn assert_stopped_by_memory(component: &Arc<Component>, call: Call, word: &str) {
    let (name, meter, limit) = (call.function, Arc::clone(&call.meter), call.limits.memory_bytes_max);
    let (report, _, slowest) = beside_a_neighbour(component, call).await;
    match report.result {
        Err(Failure::LimitMemory { what }) => assert!(what.contains(word), "{name}: {what}"),
        other => panic!("{name}: {other:?}"),
    }
    assert!(meter.memory_peak_bytes() <= limit, "{name} had {} bytes", meter.memory_peak_bytes());
    assert!(slowest < NEIGHBOUR_WAIT_MAX, "{name}: the neighbour waited {slowest:?}");
}

#[tokio::test]
async fn who_wants_too_much_memory_is_stopped() {
    let fixture = Fixture::new();
    let harmful = fixture.guest("harmful").await;
    assert_stopped_by_memory(&harmful, call("eat-memory"), "memory-bytes-max").await;
    assert_stopped_by_memory(&harmful, call("eat-memory-at-once"), "memory-bytes-max").await;
    assert_stopped_by_memory(&harmful, call("eat-table"), "table-elements-max").await;
    assert_stopped_by_memory(&harmful, call("eat-tables"), "table-elements-max").await;
    assert_stopped_by_memory(&harmful, call("giant-string"), "host-memory-bytes-max").await;
    assert_stopped_by_memory(&harmful, call("giant-list"), "host-memory-bytes-max").await;
    let too_little = call("add").with(Val::U32(2)).with(Val::U32(3)).within(|limits| limits.memory_bytes_max = 65_535);
    assert_stopped_by_memory(&harmful, too_little, "memory-bytes-max").await;

    // 9 pages in each of 8 memories, one of which would be far within the limit.
    let memories = fixture.guest("memories").await;
    let limits = |limits: &mut wares_model::Limits| limits.memory_bytes_max = 65 * 65_536;
    let grow = call("grow").with(Val::U32(8)).within(limits);
    let meter = Arc::clone(&grow.meter);
    assert_stopped_by_memory(&memories, grow, "memory-bytes-max").await;
    assert_eq!(meter.memory_peak_bytes(), (8 + 7 * 8) * 65_536);
    assert_eq!(call("grow").with(Val::U32(7)).within(limits).of(&memories).await.result, Ok(None));

    let wasi = fixture.load(wasi_guest()).await;
    assert_stopped_by_memory(&wasi, call("take-handles"), "handles").await;
    let handles = fixture.guest("handles").await;
    assert_stopped_by_memory(&handles, call("make-handles"), "10000 handles").await;
    assert_eq!(call("make-and-drop").of(&handles).await.result, Ok(None));
    assert_stopped_by_memory(&wasi, call("say-too-much"), "host-memory-bytes-max").await;
    assert_stopped_by_memory(&wasi, call("roll").with(Val::U64(1 << 20)), "random").await;
    assert_stopped_by_memory(&wasi, call("roll").with(Val::U64(u64::MAX)), "random").await;
    assert_eq!(call("roll").with(Val::U64(1 << 16)).of(&wasi).await.result, Ok(None));
}

#[tokio::test]
async fn a_guest_is_told_of_its_own_maximum() {
    let fixture = Fixture::new();
    let report = call("grow").of(&*fixture.guest("own-maximum").await).await;
    assert_eq!(report.result, Ok(Some(Val::S32(-1))));
}

#[tokio::test]
async fn traps_say_why_and_where() {
    let fixture = Fixture::new();
    let harmful = fixture.guest("harmful").await;
    let wasi = fixture.load(wasi_guest()).await;
    let start = fixture.load(text_guest("start", "BODY", "unreachable")).await;
    let unreachable = "wasm `unreachable` instruction executed";
    let cases: [(&Arc<Component>, Call, &str, &[&str]); 8] = [
        (&harmful, call("fail"), unreachable, &["guest::inner", "outer"]),
        (&harmful, call("divide").with(Val::U32(0)), "integer divide by zero", &["divide"]),
        (&harmful, call("fail-after"), unreachable, &["fail-after"]),
        (&harmful, call("not-text"), "invalid utf-8", &[]),
        (&harmful, call("out-of-bounds"), "out of bounds", &[]),
        (&start, call("nothing"), unreachable, &["start"]),
        (&wasi, call("leave"), "wasi:cli/exit with code 1", &["leave"]),
        (&harmful, call("recurse"), "call stack exhausted", &["recurse"; 32]),
    ];
    for (component, call, expected, names) in cases {
        let function = call.function;
        let Err(Failure::Trap { reason, backtrace }) = call.of(component).await.result else {
            panic!("{function} did not trap");
        };
        assert!(reason.contains(expected), "{function}: {reason}");
        assert_eq!(backtrace, names, "{function}");
    }
    assert_eq!(two_and_three(&harmful).await, Val::U32(5));
}

#[tokio::test]
async fn cpu_time_is_what_the_call_itself_used() {
    let fixture = Fixture::new();
    let harmful = fixture.guest("harmful").await;
    let measure = async |turns: i64| {
        let call = call("spin-and-return").with(Val::S64(turns)).within(|limits| limits.cpu_ms_max = 20_000);
        let meter: Arc<Meter> = Arc::clone(&call.meter);
        assert_eq!(call.of(&harmful).await.result, Ok(None));
        meter.cpu_us()
    };
    let (little, much) = (measure(1).await, measure(100_000_000).await);
    assert!(little < 20_000, "{little} us");
    assert!(much > little + 10_000, "{much} us");
}

#[tokio::test]
async fn components_that_are_too_many_in_one_are_refused_before_any_call() {
    let fixture = Fixture::new();
    let repeated = |part: &str, times: usize| {
        wat::parse_str(format!(
            "(component (core module $m {part}) {})",
            "(core instance (instantiate $m))".repeat(times)
        ))
    };
    for (part, most, word) in
        [("", 64, "core module instances"), ("(memory 1)", 8, "linear memories"), ("(table 1 funcref)", 20, "tables")]
    {
        assert_eq!(fixture.compile(repeated(part, most).unwrap()).await, Ok(()), "{most} {word}");
        let error = fixture.compile(repeated(part, most + 1).unwrap()).await.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    let large = wat::parse_str("(component (core module $m (memory 16384)) (core instance (instantiate $m)))").unwrap();
    assert!(fixture.compile(large).await.is_err());
    let harmful = guest("harmful");
    assert_eq!(fixture.compile(harmful).await, Ok(()));
}
