//! The worker that reads: what is refused, what is too much, who shares a worker and who does not.

use crate::compile::scripted;
use crate::fixture::{Fixture, LANE, WORKER};
use std::path::Path;
use tempfile::TempDir;
use wares_engine::{Engine, Lane, ReadError};
use wares_typed::DescribeError;

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {text})")).unwrap()
}

fn publisher(namespace: &str) -> Lane {
    Lane::Publisher(namespace.parse().unwrap())
}

#[tokio::test]
async fn what_is_wrong_is_said_as_it_was_found() {
    let fixture = Fixture::new();
    let reader = fixture.engine.reader();
    let error = reader.describe(&LANE, b"").await.unwrap_err();
    assert_eq!(error, ReadError::Describe(DescribeError::Empty));
    let error = reader.describe(&LANE, b"(component)").await.unwrap_err();
    assert!(error.to_string().contains("WebAssembly text (WAT)"), "{error}");
    let error = reader.describe(&LANE, &component(r#"(import "f" (func (param "e" error-context)))"#)).await;
    assert!(matches!(error, Err(ReadError::Describe(DescribeError::Invalid { .. }))), "{error:?}");
}

#[tokio::test]
async fn two_texts_are_compared() {
    let fixture = Fixture::new();
    let wit = |functions: &str| {
        let world = "world w { export i; }";
        format!("package a:b; interface i {{ {functions} }} {world}")
    };
    let (earlier, later) = (wit("f: func();"), wit("f: func(); g: func();"));
    let changes = fixture.engine.reader().compare(&LANE, &earlier, &later).await.unwrap();
    assert_eq!((changes.added.as_slice(), changes.lost.len()), (["a:b/i#g".to_owned()].as_slice(), 0));
    let error = fixture.engine.reader().compare(&LANE, &earlier, "no WIT").await.unwrap_err();
    assert!(matches!(error, ReadError::Compare(_)), "{error:?}");
}

/// Says whether an error is the expected one.
type Expected = fn(&ReadError) -> bool;

#[tokio::test]
async fn a_worker_that_fails_is_told_apart() {
    let cases: [(&str, Expected); 8] = [
        ("kill -SEGV $$", |error| matches!(error, ReadError::Crashed(_))),
        ("kill -XCPU $$", |error| *error == ReadError::TooSlow),
        ("kill -KILL $$", |error| *error == ReadError::TooBig),
        ("echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$", |error| *error == ReadError::TooBig),
        ("echo \"thread 'read' has overflowed its stack\" >&2; kill -ABRT $$", |error| *error == ReadError::TooDeep),
        (r#"echo '{"panicked":"index out of bounds"}' >&2; exit 1"#, |error| {
            *error == ReadError::Crashed("index out of bounds".to_owned())
        }),
        ("echo an answer that is none", |error| matches!(error, ReadError::Crashed(_))),
        ("yes without end | tr -d '\n'", |error| *error == ReadError::Crashed("its answer has no end".to_owned())),
    ];
    for (script, expected) in cases {
        let dir = TempDir::new().unwrap();
        let error = scripted(script, &dir).reader().describe(&LANE, &component("")).await.unwrap_err();
        assert!(expected(&error), "{script}: {error:?}");
    }
}

/// An engine that counts its workers in a file.
fn counting(dir: &TempDir) -> (Engine, impl Fn() -> usize) {
    let starts = dir.path().join("starts");
    let engine = scripted(&format!("echo started >> '{}'; exec '{WORKER}'", starts.display()), dir);
    let count = move || std::fs::read_to_string(&starts).map_or(0, |starts| starts.lines().count());
    (engine, count)
}

#[tokio::test]
async fn a_worker_reads_several_components_of_one_namespace() {
    let dir = TempDir::new().unwrap();
    let (engine, count) = counting(&dir);
    let read = async |lane: &Lane, text: &str| engine.reader().describe(lane, &component(text)).await;
    for number in 0..8 {
        let read = read(&publisher("a"), &format!("(import \"f{number}\" (func))")).await.unwrap();
        assert_eq!(read.imports, [format!("f{number}")]);
    }
    assert_eq!(count(), 1);
    read(&publisher("b"), "").await.unwrap();
    assert_eq!(count(), 2, "it read those of two namespaces");
    // After what was refused there is a new one.
    read(&publisher("a"), "(import \"f\" (func (param \"e\" error-context)))").await.unwrap_err();
    read(&publisher("a"), "").await.unwrap();
    assert_eq!(count(), 3);
    // Whose component it is that an operator brings may not be known.
    for expected in [4, 5] {
        read(&LANE, "").await.unwrap();
        assert_eq!(count(), expected);
    }
}

#[tokio::test]
async fn who_asked_and_leaves_ends_the_work() {
    let dir = TempDir::new().unwrap();
    let pid = dir.path().join("pid");
    let engine = scripted(&format!("echo $$ >> '{}'; exec sleep 600", pid.display()), &dir);
    let wasm = component("");
    let pid = tokio::select! {
        result = engine.reader().describe(&LANE, &wasm) => panic!("it has ended already: {:?}", result.err()),
        pid = crate::compile::lines(&pid) => pid.concat(),
    };
    crate::compile::ended(Path::new("/proc").join(pid)).await;
}
