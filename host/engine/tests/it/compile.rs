//! The compile worker: what is malformed, too large or too slow to compile ends there.

use crate::fixture::{Fixture, KEEP, call, open};
use bytes::Bytes;
use std::fmt::Write as _;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wares_engine::{CompileError, Concurrency, Engine, EngineConfig, EngineError, Services, WorkerCommand};
use wares_model::{Digest, Limits};
use wasmtime::component::Val;

#[tokio::test]
async fn malformed_components_are_refused_with_what_is_wrong() {
    let fixture = Fixture::new();
    let memory64 = wat::parse_str("(component (core module (memory i64 1)))").unwrap();
    let module = wat::parse_str("(module)").unwrap();
    let cases: [(Vec<u8>, &str); 4] = [
        (Vec::new(), "cannot be compiled"),
        (b"not wasm at all".to_vec(), "magic"),
        (module, "component"),
        (memory64, "memory64"),
    ];
    for (wasm, word) in cases {
        match fixture.compile(wasm).await {
            Err(error @ CompileError::Invalid(_)) => assert!(error.to_string().contains(word), "{error}"),
            other => panic!("{word}: {other:?}"),
        }
    }
    assert!(fixture.native_files("").is_empty(), "something was left behind");
}

/// A component of many functions, each as large as one may be.
fn bomb(functions: usize, instructions: usize) -> Vec<u8> {
    let mut body = String::new();
    for at in 0..instructions {
        let _ = write!(body, "(i32.store (i32.const {}) (i32.add (i32.load (i32.const {at})) (local.get 0)))", at * 7);
    }
    let mut text = String::from("(component (core module (memory 1)");
    for _ in 0..functions {
        let _ = write!(text, "(func (param i32) {body})");
    }
    text.push_str("))");
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn a_bomb_ends_its_worker_and_nothing_else() {
    let fixture = Fixture::new();
    let neighbour = fixture.guest("harmful").await;
    let wasm = bomb(4, 400_000);
    let began = Instant::now();
    let compiling = fixture.compile(wasm);
    tokio::pin!(compiling);
    let mut answered = 0;
    let result = loop {
        tokio::select! {
            result = &mut compiling => break result,
            _ = crate::fixture::two_and_three(&neighbour) => answered += 1,
        }
    };
    assert!(matches!(result, Err(CompileError::TooBig | CompileError::TooSlow)), "{result:?}");
    // Its bound of wall time ends it, however busy the machine is with it.
    assert!(
        began.elapsed() < Duration::from_secs(2 * wares_model::limits::COMPILE_SECONDS_MAX),
        "{:?}",
        began.elapsed()
    );
    assert!(answered > 0);
    // Only the neighbour's code is there.
    assert_eq!(fixture.native_files("").len(), 2);
}

#[tokio::test]
async fn very_many_functions_compile() {
    let fixture = Fixture::new();
    assert_eq!(fixture.compile(bomb(50_000, 1)).await, Ok(()));
}

#[tokio::test]
async fn components_in_one_component_hand_texts_over() {
    let fixture = Fixture::new();
    let composed = fixture.guest("composed").await;
    let report = call("ask").of(&composed).await;
    assert_eq!(report.result.unwrap(), Some(Val::U32(10)));
}

/// Says whether an error is the expected one.
type Expected = fn(&CompileError) -> bool;

#[tokio::test]
async fn a_worker_that_fails_is_told_apart() {
    let wasm = Bytes::from(wat::parse_str("(component)").unwrap());
    let engine = |script: &str, dir: &TempDir| {
        Engine::new(
            EngineConfig {
                native_dir: dir.path().join("native"),
                key_file: dir.path().join("key"),
                worker: WorkerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] },
                calls_max: 1,
                memory_bytes_max: Limits::DEFAULT.memory_bytes_max,
                keep: KEEP,
            },
            Services::default(),
        )
        .unwrap()
    };
    let cases: [(&str, Expected); 8] = [
        ("kill -SEGV $$", |error| matches!(error, CompileError::Crashed(_))),
        ("kill -XCPU $$", |error| *error == CompileError::TooSlow),
        ("kill -KILL $$", |error| *error == CompileError::TooBig),
        ("kill -XFSZ $$", |error| *error == CompileError::TooBig),
        ("echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$", |error| *error == CompileError::TooBig),
        (r#"echo '{"panicked":"index out of bounds"}' >&2; exit 1"#, |error| {
            *error == CompileError::Crashed("index out of bounds".to_owned())
        }),
        // The worker sees nothing of this process's environment.
        ("env | grep -vE '^(MALLOC_ARENA_MAX|RAYON_NUM_THREADS|PWD|OLDPWD|SHLVL|_)=' || kill -XCPU $$", |error| {
            *error == CompileError::TooSlow
        }),
        // What is not native code is not taken for it.
        ("echo native code", |error| matches!(error, CompileError::Invalid(_))),
    ];
    for (script, expected) in cases {
        let dir = TempDir::new().unwrap();
        let error =
            engine(script, &dir).compile(&Digest::of(&wasm), wasm.clone(), Concurrency::None).await.unwrap_err();
        assert!(expected(&error), "{script}: {error:?}");
    }
}

#[test]
fn an_engine_that_cannot_be_is_refused() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(open(dir.path(), u32::MAX), Err(EngineError::CallsMax { asked: u32::MAX })));
}
