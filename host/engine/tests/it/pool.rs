//! A call that was admitted finds its place in the pool, whatever it needs and whatever went before.

use crate::fixture::{Fixture, call, wasi_guest};
use std::sync::Arc;
use tokio::task::JoinSet;
use wares_engine::Failure;
use wasmtime::component::Val;

const CALLS_MAX: u32 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_calls_as_are_admitted_run_at_once() {
    let fixture = Fixture::with_calls_max(CALLS_MAX);
    let memories = fixture.guest("memories").await;
    let harmful = fixture.guest("harmful").await;
    let wasi = fixture.load(wasi_guest()).await;
    for _ in 0..4 {
        let mut calls = JoinSet::new();
        for at in 0..CALLS_MAX {
            // Eight memories grown to what the call may have; a stack held for long; instances thrown away in the middle.
            let (component, call) = match at % 3 {
                0 => (&memories, call("grow").with(Val::U32(127))),
                1 => (&wasi, call("sleep").with(Val::U64(1 << 40)).within(|limits| limits.wall_ms_max = 100)),
                _ => (&harmful, call("spin").within(|limits| limits.cpu_ms_max = 20)),
            };
            let component = Arc::clone(component);
            calls.spawn(async move { (at, call.of(&component).await) });
        }
        while let Some(ended) = calls.join_next().await {
            let (at, report) = ended.unwrap();
            let expected = match at % 3 {
                0 => Ok(None),
                1 => Err(Failure::LimitWall),
                _ => Err(Failure::LimitCpu),
            };
            assert_eq!(report.result, expected);
        }
    }
}

#[tokio::test]
async fn every_place_holds_all_that_one_call_may_have() {
    let fixture = Fixture::with_calls_max(CALLS_MAX);
    let all = "(memory 1) (table 1000 funcref) (table 1000 funcref)";
    let text = format!(
        r#"(component
          (import "wasi:io/poll@0.2.6" (instance $poll
            (export "pollable" (type $pollable (sub resource)))
            (export "[method]pollable.block" (func (param "self" (borrow $pollable))))))
          (alias export $poll "pollable" (type $pollable))
          (import "wasi:clocks/monotonic-clock@0.2.6" (instance $clock
            (alias outer 1 $pollable (type $outer))
            (export "pollable" (type $p (eq $outer)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
          (core func $subscribe (canon lower (func $clock "subscribe-duration")))
          (core func $block (canon lower (func $poll "[method]pollable.block")))
          (core module $full {all})
          {}
          (core module $empty)
          {}
          (core module $m
            (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
            (import "host" "block" (func $block (param i32)))
            (func (export "sleep") (param i64)
              (call $block (call $subscribe (i64.mul (local.get 0) (i64.const 1000000))))))
          (core instance $i (instantiate $m
            (with "host" (instance (export "subscribe" (func $subscribe)) (export "block" (func $block))))))
          (func (export "sleep") (param "milliseconds" u64) (canon lift (core func $i "sleep"))))"#,
        "(core instance (instantiate $full))".repeat(8),
        "(core instance (instantiate $empty))".repeat(55),
    );
    let component = fixture.load(wat::parse_str(text).unwrap()).await;
    let mut calls = JoinSet::new();
    for _ in 0..CALLS_MAX {
        let component = Arc::clone(&component);
        let sleep = call("sleep").with(Val::U64(1 << 40)).within(|limits| limits.wall_ms_max = 500);
        calls.spawn(async move { sleep.of(&component).await });
    }
    while let Some(ended) = calls.join_next().await {
        assert_eq!(ended.unwrap().result, Err(Failure::LimitWall));
    }
}
