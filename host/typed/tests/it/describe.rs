//! What a description holds, and which bytes have none.

use crate::component::{ALL_KINDS, described, of_wit, with_section};
use wares_typed::{DOCUMENTATION_SECTION, DescribeError, Description, Documentation, describe, signature};

#[test]
fn a_component_is_described_once() {
    let description = described(ALL_KINDS);
    let signatures: Vec<String> = description
        .interfaces
        .iter()
        .flat_map(|interface| interface.functions.iter().map(|function| (&interface.name, function)))
        .map(|(name, function)| format!("{} {}", name.as_deref().unwrap_or("-"), signature(&description, function)))
        .collect();
    assert_eq!(
        signatures,
        [
            "test:kinds/calc@1.2.3 evaluate: func(request: request, limit: option<u32>) -> result<request, list<color>>",
            "test:kinds/calc@1.2.3 wide: func(a: u64, b: s64)",
            "test:kinds/calc@1.2.3 nothing: func()",
            "- ping: func(word: string) -> string",
        ]
    );
    for name in ["calc", "test:kinds/calc", "test:kinds/calc@1.2.3"] {
        assert!(description.function(Some(name), "wide").is_some(), "{name}");
    }
    assert!(description.function(None, "ping").is_some());
    assert!(description.function(None, "wide").is_none());
    assert!(description.function(Some("calc"), "wider").is_none());
    assert_eq!(description.imports, [""; 0], "an interface of types alone asks for nothing");
    assert!(description.wit().contains("record request {"), "{}", description.wit());
    assert!(description.producers.contains_key("processed-by"), "{:?}", description.producers);
}

#[test]
fn a_description_survives_as_json() {
    let description = described(ALL_KINDS);
    let json = serde_json::to_string(&description).unwrap();
    let again: Description = serde_json::from_str(&json).unwrap();
    assert_eq!(serde_json::to_string(&again).unwrap(), json);
}

#[test]
fn the_wit_that_is_shown_is_wit() {
    let description = described(ALL_KINDS);
    let mut resolve = wit_parser::Resolve::default();
    resolve.push_str("shown.wit", description.wit()).unwrap();
}

#[test]
fn functions_that_json_cannot_call_say_why() {
    let nested = (0..70).fold("u32".to_owned(), |inner, _| format!("list<{inner}>"));
    let description = described(&format!(
        "package a:b; interface i {{
            resource file {{ constructor(); read: func() -> u32; open: static func() -> u32; }}
            record holder {{ inner: option<list<own-file>> }}
            type own-file = file;
            take: func(it: borrow<file>);
            give: func() -> result<file>;
            hold: func(n: u8, it: holder);
            deep: func(it: {nested});
            fine: func(it: list<list<u32>>);
        }} world w {{ export i; }}"
    ));
    let reasons: Vec<(&str, &str)> = description.interfaces[0]
        .functions
        .iter()
        .map(|function| (function.name.as_str(), function.not_callable.as_deref().unwrap_or("")))
        .collect();
    let resource = "it belongs to a resource, and a resource does not outlive a call";
    assert_eq!(
        reasons,
        [
            ("[constructor]file", resource),
            ("[method]file.read", resource),
            ("[static]file.open", resource),
            ("take", "parameter \"it\" is or holds borrow<file>, which has no JSON form"),
            ("give", "the result is or holds own<file>, which has no JSON form"),
            ("hold", "parameter \"it\" is or holds own<own-file>, which has no JSON form"),
            ("deep", "parameter \"it\" may nest 71 levels of JSON, and 64 are the limit"),
            ("fine", ""),
        ]
    );
}

#[test]
fn the_manifest_and_the_comments_travel_along() {
    let manifest = "[component]\nname = 'test:kinds'\nversion = '1.2.3'\ntitle = 'Kinds'";
    let folder = std::env::temp_dir().join(format!("wares-typed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let wit = ALL_KINDS.replace("evaluate:", "/// Works it out.\n/// Twice.\nevaluate:");
    std::fs::write(folder.join("world.wit"), &wit).unwrap();
    let comments = Documentation::of_wit(&folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let wasm = with_section(of_wit(&wit), "wares:manifest", manifest.as_bytes());
    let wasm = with_section(wasm, DOCUMENTATION_SECTION, &comments.to_section().unwrap());
    let wasm = with_section(wasm, "licenses", b"Apache-2.0");
    let description = describe(&wasm).unwrap();
    assert_eq!(description.manifest.as_ref().unwrap().component.title.en, "Kinds");
    assert_eq!(description.metadata["licenses"], "Apache-2.0");
    let evaluate = description.function(Some("calc"), "evaluate").unwrap();
    assert_eq!(evaluate.docs.as_deref(), Some("Works it out.\nTwice."));
    let request = description.types.iter().find(|def| def.name.as_deref() == Some("request")).unwrap();
    assert_eq!(request.docs.as_deref(), Some("What the caller wants."));
    assert!(description.wit().contains("/// What the caller wants."));
}

#[test]
fn other_bytes_are_refused_with_what_to_do() {
    let component = of_wit(ALL_KINDS);
    let module = wat::parse_str("(module (func (export \"f\")))").unwrap();
    let threads = wat::parse_str("(component (core module (memory 1 1 shared)))").unwrap();
    let memory64 = wat::parse_str("(component (core module (memory i64 1)))").unwrap();
    let type_error = wat::parse_str("(component (core module (func (result i32) i64.const 1)))").unwrap();
    let error_context = wat::parse_str("(component (import \"f\" (func (param \"e\" error-context))))").unwrap();
    let manifest = |text: &[u8]| with_section(component.clone(), "wares:manifest", text);
    let docs = |text: &[u8]| with_section(component.clone(), DOCUMENTATION_SECTION, text);
    let cases: Vec<(&str, Vec<u8>, &[&str])> = vec![
        ("nothing", vec![], &["empty"]),
        ("an image", b"\x89PNG\r\n\x1a\n".to_vec(), &["not WebAssembly"]),
        ("zeros", vec![0; 4096], &["not WebAssembly"]),
        ("a module", module.clone(), &["core WebAssembly module", "wasm32-wasip2", "wasm-tools component new"]),
        ("WIT", ALL_KINDS.into(), &["WIT text", "wares new"]),
        ("commented WIT", b"// Copyright\n\npackage a:b;".to_vec(), &["WIT text"]),
        ("WAT", b";; text\n(component)".to_vec(), &["WAT", "wasm-tools parse"]),
        ("a header alone", b"\0asm".to_vec(), &["0x4", "cut off"]),
        ("an unknown version", b"\0asm\x0e\0\x01\0".to_vec(), &["at byte 0x"]),
        ("a cut component", component[..component.len() / 2].to_vec(), &["at byte 0x", "unexpected end"]),
        ("garbage after it", [component.clone(), b"rest".to_vec()].concat(), &["at byte 0x"]),
        ("threads", threads, &["at byte 0x", "threads"]),
        ("64-bit memory", memory64, &["memory64"]),
        ("a type error", type_error, &["type mismatch"]),
        ("an error context", error_context, &["error-context"]),
        ("a manifest of nothing", manifest(b""), &["manifest", "component"]),
        ("a manifest in Latin-1", manifest(b"\xe9"), &["wares:manifest", "not UTF-8 at byte 0"]),
        (
            "two manifests",
            with_section(manifest(b"[component]\nname='a:b'\nversion='1.0.0'"), "wares:manifest", b""),
            &["two of them"],
        ),
        ("comments that are no JSON", docs(b"{"), &[DOCUMENTATION_SECTION, "EOF"]),
    ];
    for (what, bytes, words) in cases {
        let error = describe(&bytes).map(drop).expect_err(what).to_string();
        for word in words {
            assert!(error.contains(word), "{what}: {word:?} is not in {error:?}");
        }
    }
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("a.wit", "package a:b; interface i { f: func(); }").unwrap();
    let wit_package = wit_component::encode(&resolve, package).unwrap();
    assert!(matches!(describe(&wit_package), Err(DescribeError::WitPackage)));
}

#[test]
fn asynchronous_components_are_told_from_others() {
    for (text, asynchronous) in [
        ("(component (import \"f\" (func)))", false),
        ("(component (import \"f\" (func async)))", true),
        ("(component (import \"f\" (func (param \"it\" (stream u8)))))", true),
        ("(component (component (core func (canon task.cancel))))", true),
    ] {
        let described = describe(&wat::parse_str(text).unwrap()).unwrap();
        assert_eq!(described.asynchronous, asynchronous, "{text}");
    }
}

#[test]
fn imports_of_every_kind_are_named() {
    let wasm = wat::parse_str(
        r#"(component
            (import "wasi:io/poll@0.2.6" (instance))
            (import "test:links/files" (instance (export "file" (type (sub resource)))))
            (import "test:links/types" (instance (type $t (record (field "n" u8))) (export "t" (type (eq $t)))))
            (import "helper" (func))
            (import "core" (core module))
            (import "handle" (type (sub resource)))
        )"#,
    )
    .unwrap();
    assert_eq!(
        describe(&wasm).unwrap().imports,
        ["wasi:io/poll@0.2.6", "test:links/files", "helper", "core", "handle"]
    );
}
