//! The native cache: made once, sealed, and made again whenever anything about it is wrong.

use crate::fixture::{Fixture, LANE, guest, open, two_and_three};
use bytes::Bytes;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use wares_engine::{Component, LoadError};
use wares_model::Digest;
use wasmtime::component::Val;

/// Loads the guest and counts how often its wasm was asked for: once for every compilation.
async fn load(fixture: &Fixture, asked: &AtomicU32) -> Arc<Component> {
    let wasm = guest("harmful");
    let description = fixture.describe(&wasm).await;
    let digest = Digest::of(&wasm);
    let wasm = async || {
        asked.fetch_add(1, Relaxed);
        Ok::<_, String>(Bytes::from(wasm.clone()))
    };
    fixture.engine.load(LANE, &digest, wasm, description, Arc::default()).await.unwrap()
}

#[tokio::test]
async fn what_was_compiled_is_loaded_without_its_wasm() {
    let fixture = Fixture::new();
    fixture.compile(guest("harmful")).await.unwrap();
    assert_eq!((fixture.native_files(".cwasm").len(), fixture.native_files("").len()), (1, 2));
    let asked = AtomicU32::new(0);
    let fixture = fixture.reopened();
    assert_eq!(two_and_three(&*load(&fixture, &asked).await).await, Val::U32(5));
    assert_eq!(asked.load(Relaxed), 0);
}

#[tokio::test]
async fn several_loads_at_once_compile_once() {
    let fixture = Fixture::new();
    let asked = AtomicU32::new(0);
    tokio::join!(load(&fixture, &asked), load(&fixture, &asked), load(&fixture, &asked));
    assert_eq!(asked.load(Relaxed), 1);
}

fn flip_a_bit(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// Damages what a fixture has in its folder.
type Harm = fn(&Fixture);

#[tokio::test]
async fn whatever_is_wrong_with_native_code_it_is_made_again() {
    let damages: [(&str, Harm); 7] = [
        ("code changed", |fixture| flip_a_bit(&fixture.native_files(".cwasm")[0])),
        ("code cut", |fixture| cut(&fixture.native_files(".cwasm")[0])),
        ("code gone", |fixture| fs::remove_file(&fixture.native_files(".cwasm")[0]).unwrap()),
        ("seal changed", |fixture| flip_a_bit(&fixture.native_files(".seal")[0])),
        ("seal cut", |fixture| cut(&fixture.native_files(".seal")[0])),
        ("seal gone", |fixture| fs::remove_file(&fixture.native_files(".seal")[0]).unwrap()),
        ("key of another host", |fixture| fs::remove_file(fixture.dir.path().join("native.key")).unwrap()),
    ];
    for (damage, harm) in damages {
        let fixture = Fixture::new();
        let asked = AtomicU32::new(0);
        load(&fixture, &asked).await;
        harm(&fixture);
        let fixture = fixture.reopened();
        assert_eq!(two_and_three(&*load(&fixture, &asked).await).await, Val::U32(5), "{damage}");
        assert_eq!(asked.load(Relaxed), 2, "{damage}");
        // What was made again is good.
        load(&fixture, &asked).await;
        assert_eq!(asked.load(Relaxed), 2, "{damage}");
    }
}

#[tokio::test]
async fn native_code_of_one_component_does_not_pass_for_another() {
    let fixture = Fixture::new();
    let asked = AtomicU32::new(0);
    load(&fixture, &asked).await;
    fixture.compile(guest("own-maximum")).await.unwrap();
    let digest = Digest::of(&guest("harmful")).hex();
    for suffix in [".cwasm", ".seal"] {
        let of = |own: bool| {
            let files = fixture.native_files(suffix).into_iter();
            files.filter(|path| path.to_str().unwrap().contains(&digest) == own).collect::<Vec<_>>()
        };
        fs::copy(&of(false)[0], &of(true)[0]).unwrap();
    }
    assert_eq!(two_and_three(&*load(&fixture, &asked).await).await, Val::U32(5));
    assert_eq!(asked.load(Relaxed), 2);
}

#[tokio::test]
async fn native_code_of_another_engine_is_removed() {
    let fixture = Fixture::new();
    let digest = Digest::of(&guest("harmful")).hex();
    let stale = fixture.native_dir().join(format!("{digest}-0123456789abcdef.cwasm"));
    let other = fixture.native_dir().join(format!("{}-0123456789abcdef.cwasm", "0".repeat(64)));
    fs::write(&stale, b"old").unwrap();
    fs::write(&other, b"of another component").unwrap();
    load(&fixture, &AtomicU32::new(0)).await;
    assert!(!stale.exists() && other.exists());
}

#[tokio::test]
async fn bytes_that_are_not_the_published_ones_are_refused() {
    let fixture = Fixture::new();
    let wasm = guest("harmful");
    let description = fixture.describe(&wasm).await;
    let digest = Digest::of(b"something else");
    let wasm = async || Ok::<_, String>(wasm.into());
    let result = fixture.engine.load(LANE, &digest, wasm, description, Arc::default()).await;
    assert!(matches!(result, Err(LoadError::Digest(expected)) if expected == digest));
    assert!(fixture.native_files("").is_empty());
}

#[test]
fn the_key_is_for_its_owner_only() {
    let fixture = Fixture::new();
    let key = fixture.dir.path().join("native.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(fixture.native_dir()).unwrap().permissions().mode() & 0o777, 0o700);
    let before = fs::read(&key).unwrap();
    let fixture = fixture.reopened();
    assert_eq!(fs::read(&key).unwrap(), before);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = open(fixture.dir.path(), 1).err().unwrap().to_string();
    assert!(error.contains("chmod 600"), "{error}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "").unwrap();
    let error = open(fixture.dir.path(), 1).err().unwrap().to_string();
    assert!(error.contains("native.key") && error.contains("remove it"), "{error}");
}
