//! What reads the bytes of strangers, each as a function of bytes that must come back, whatever they are.
//!
//! [`TARGETS`] lists them. `tests/short.rs` tries each a bounded number of times with changed examples; the programs in
//! `coverage/` give them to libFuzzer, for as long as one likes (see the README there).

#![expect(clippy::panic, clippy::unwrap_used, reason = "a target that finds something wrong fails")]
#![expect(clippy::disallowed_methods, reason = "what only the bounded worker calls is what is tried here")]

mod arguments;

use arbitrary::Unstructured;
use std::path::Path;
use wares_model::{ComponentName, InterfaceName, Manifest, VersionReq};
use wares_registry::{OciReference, OciSource, component_digest};
use wares_typed::describe;

/// Longest text that says what is wrong with an input: who reads it is a person.
const COMPLAINT_BYTES_MAX: usize = 64 << 10;

/// A reader of bytes.
pub type Target = fn(&[u8]);

/// All readers, by the names that their programs have.
pub const TARGETS: [(&str, Target); 8] = [
    ("component", component),
    ("component-valid", component_valid),
    ("arguments", arguments),
    ("manifest", manifest),
    ("requirement", requirement),
    ("oci-manifest", oci_manifest),
    ("oci-reference", oci_reference),
    ("archive", archive),
];

/// What the worker that reads uploads does first with each.
pub fn component(bytes: &[u8]) {
    if let Err(error) = describe(bytes) {
        assert_short(&error.to_string());
    }
}

/// The same with a component that is valid, or nearly: made from the bytes.
pub fn component_valid(bytes: &[u8]) {
    let config = wasm_smith::Config { allow_start_export: true, ..wasm_smith::Config::default() };
    let mut choices = Unstructured::new(bytes);
    if let Ok(made) = wasm_smith::Component::new(config, &mut choices) {
        component(&made.to_bytes());
    }
}

/// The arguments of a call: any JSON against any type.
pub fn arguments(bytes: &[u8]) {
    arguments::any_json_against_any_type(bytes);
}

/// The text of a manifest.
pub fn manifest(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Err(error) = Manifest::parse(text) {
        assert_short(&error.to_string());
    }
}

/// What addresses name: requirements, components, interfaces. What is read is written the same.
pub fn requirement(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(requirement) = text.parse::<VersionReq>() {
        let written = requirement.to_string();
        assert_eq!(written.parse::<VersionReq>().unwrap(), requirement, "{text:?}");
    }
    if let Ok(name) = text.parse::<ComponentName>() {
        assert_eq!(name.to_string(), text);
    }
    let _ = InterfaceName::of_shelf(text);
}

/// The manifest that a registry answers with.
pub fn oci_manifest(bytes: &[u8]) {
    if let Err(reason) = component_digest(bytes) {
        assert_short(&reason);
    }
}

/// A name of something in a registry. What is read is written the same.
pub fn oci_reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(reference) = text.parse::<OciReference>() {
        let written = reference.to_string();
        assert_eq!(written.parse::<OciReference>().unwrap(), reference, "{text:?}");
    }
    if let Ok(source) = text.parse::<OciSource>() {
        assert_eq!(source.to_string().parse::<OciSource>().unwrap(), source, "{text:?}");
    }
}

/// The archive of a backup.
pub fn archive(bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.tar");
    std::fs::write(&path, bytes).unwrap();
    check(&path);
    let left = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 1, "a check leaves nothing behind");
}

fn check(path: &Path) {
    if let Err(error) = wares_store::check_backup(path) {
        assert_short(&error.to_string());
    }
}

fn assert_short(complaint: &str) {
    if complaint.len() > COMPLAINT_BYTES_MAX {
        panic!("a complaint of {} bytes", complaint.len());
    }
}
