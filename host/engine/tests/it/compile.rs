//! The worker that compiles: what is malformed, too large or too slow ends there.

use crate::fixture::{Fixture, KEEP, LANE, WORKER, call, open, until};
use bytes::Bytes;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wares_engine::{CompileError, Concurrency, Engine, EngineConfig, EngineError, Services, WorkerCommand};
use wares_model::limits::COMPILE_SECONDS_MAX;
use wares_model::{Digest, Limits};
use wasmtime::component::Val;

/// What a worker may take to end beyond its bound, on a busy machine.
const SLACK: Duration = Duration::from_secs(20);

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
            () = async {
                crate::fixture::two_and_three(&neighbour).await;
                // A call may end without a pause, in which nothing else of this thread would go on.
                tokio::task::yield_now().await;
            } => answered += 1,
        }
    };
    assert!(matches!(result, Err(CompileError::TooBig | CompileError::TooSlow)), "{result:?}");
    // Its bound of wall time ends it, however busy the machine is with it.
    assert!(began.elapsed() < Duration::from_secs(COMPILE_SECONDS_MAX) + SLACK, "{:?}", began.elapsed());
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

/// An engine whose worker is a script.
pub(crate) fn scripted(script: &str, dir: &TempDir) -> Engine {
    let config = EngineConfig {
        native_dir: dir.path().join("native"),
        key_file: dir.path().join("key"),
        worker: WorkerCommand { program: "/bin/sh".into(), args: vec!["-c".into(), script.into()] },
        calls_max: 1,
        memory_bytes_max: Limits::DEFAULT.memory_bytes_max,
        keep: KEEP,
    };
    Engine::new(config, Services::default()).unwrap()
}

/// The lines that a script wrote, once there is one.
pub(crate) async fn lines(path: &Path) -> Vec<String> {
    let text = || std::fs::read_to_string(path).unwrap_or_default();
    until(|| text().ends_with('\n')).await;
    text().lines().map(str::to_owned).collect()
}

/// Waits until a process is gone.
pub(crate) async fn ended(process: PathBuf) {
    until(|| !process.exists()).await;
}

#[tokio::test]
async fn a_load_goes_on_without_the_call_that_began_it() {
    let dir = TempDir::new().unwrap();
    let starts = dir.path().join("starts");
    let wasm = Bytes::from(wat::parse_str("(component)").unwrap());
    let description = Fixture::new().describe(&wasm).await;
    let engine = scripted(&format!("echo started >> '{}'; exec '{WORKER}'", starts.display()), &dir);
    let digest = Digest::of(&wasm);
    let load = || {
        let wasm = async || Ok::<_, String>(wasm.clone());
        engine.load(LANE, &digest, wasm, description.clone(), Arc::default())
    };
    tokio::select! {
        result = load() => panic!("it has ended already: {:?}", result.err()),
        _ = lines(&starts) => {}
    }
    assert!(load().await.is_ok());
    assert_eq!(lines(&starts).await.len(), 1, "a second worker began anew");
}

#[tokio::test]
async fn who_asked_for_a_compilation_and_leaves_ends_it() {
    let dir = TempDir::new().unwrap();
    let pid = dir.path().join("pid");
    let engine = scripted(&format!("echo $$ >> '{}'; exec sleep 600", pid.display()), &dir);
    let wasm = Bytes::from(wat::parse_str("(component)").unwrap());
    let digest = Digest::of(&wasm);
    let pid = tokio::select! {
        result = engine.compile(&LANE, &digest, &wasm, Concurrency::None) => panic!("it has ended already: {result:?}"),
        pid = lines(&pid) => pid.concat(),
    };
    ended(Path::new("/proc").join(pid)).await;
}

/// Says whether an error is the expected one.
type Expected = fn(&CompileError) -> bool;

#[tokio::test]
async fn a_worker_that_fails_is_told_apart() {
    let wasm = Bytes::from(wat::parse_str("(component)").unwrap());
    let cases: [(&str, Expected); 9] = [
        ("kill -SEGV $$", |error| matches!(error, CompileError::Crashed(_))),
        ("kill -XCPU $$", |error| *error == CompileError::TooSlow),
        ("kill -KILL $$", |error| *error == CompileError::TooBig),
        ("kill -XFSZ $$", |error| *error == CompileError::TooBig),
        ("echo 'memory allocation of 99 bytes failed' >&2; kill -ABRT $$", |error| *error == CompileError::TooBig),
        ("echo \"thread 'main' has overflowed its stack\" >&2; kill -ABRT $$", |error| *error == CompileError::TooDeep),
        (r#"echo '{"panicked":"index out of bounds"}' >&2; exit 1"#, |error| {
            *error == CompileError::Crashed("index out of bounds".to_owned())
        }),
        // The worker sees nothing of this process's environment.
        (
            "env | grep -vE '^(MALLOC_ARENA_MAX|MIMALLOC_ARENA_EAGER_COMMIT|RAYON_NUM_THREADS|PWD|OLDPWD|SHLVL|_)=' || kill -XCPU $$",
            |error| *error == CompileError::TooSlow,
        ),
        // What is not native code is not taken for it.
        ("echo native code", |error| matches!(error, CompileError::Invalid(_))),
    ];
    for (script, expected) in cases {
        let dir = TempDir::new().unwrap();
        let compiling = scripted(script, &dir);
        let error = compiling.compile(&LANE, &Digest::of(&wasm), &wasm, Concurrency::None).await.unwrap_err();
        assert!(expected(&error), "{script}: {error:?}");
    }
}

#[test]
fn an_engine_that_cannot_be_is_refused() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(open(dir.path(), u32::MAX), Err(EngineError::CallsMax { asked: u32::MAX })));
}
