//! Components and arguments made to hurt: no panic, no blow-up, an error in reasonable time.

use crate::component::{ALL_KINDS, described, leb128, of_wit};
use proptest::prelude::*;
use proptest::sample::Index;
use std::fmt::Write as _;
use std::sync::LazyLock;
use wares_typed::{
    DescribeError, ReadError, argument_schema, describe, read_arguments, read_arguments_within, signature,
};

static COMPONENT: LazyLock<Vec<u8>> = LazyLock::new(|| of_wit(ALL_KINDS));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn random_bytes_are_no_component(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(describe(&bytes).is_err());
        let after_header = [&COMPONENT[..8], &bytes].concat();
        let _ = describe(&after_header);
    }

    #[test]
    fn a_damaged_component_is_an_error_or_another_component(changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4)) {
        let mut wasm = COMPONENT.clone();
        for (at, byte) in changes {
            let at = at.index(wasm.len());
            wasm[at] = byte;
        }
        let _ = describe(&wasm);
    }

    #[test]
    fn a_cut_component_is_an_error(at in any::<Index>()) {
        let at = at.index(COMPONENT.len() - 1);
        // Cut between two sections it is a component still, with less in it.
        let _ = describe(&COMPONENT[..at]);
    }
}

/// Named types that each use the one before twice: exponential when written out, linear when referred to.
#[test]
fn a_ladder_of_types_stays_small() {
    let mut wit = "package a:b; interface i { record t0 { x: u8 }\n".to_owned();
    for n in 1..15 {
        let _ = writeln!(wit, "record t{n} {{ a: t{0}, b: t{0} }}", n - 1);
    }
    wit.push_str("f: func(it: t14) -> t14; } world w { export i; }");
    let description = described(&wit);
    let function = description.function(Some("i"), "f").unwrap();
    assert_eq!(signature(&description, function), "f: func(it: t14) -> t14");
    let schema = argument_schema(&description, function).to_string();
    assert!(schema.len() < 10_000, "{} bytes", schema.len());
}

/// Types without names have to be written out, so their number is bounded.
#[test]
fn a_ladder_of_types_without_names_is_refused() {
    let mut text = "(component (type $t0 (tuple u8 u8))\n".to_owned();
    for n in 1..12 {
        let _ = writeln!(text, "(type $t{n} (tuple $t{0} $t{0}))", n - 1);
    }
    for n in 0..60 {
        let _ = writeln!(text, "(import \"f{n}\" (func $f{n} (param \"it\" $t11)))");
    }
    text.push(')');
    let error = describe(&wat::parse_str(&text).unwrap()).unwrap_err();
    assert!(matches!(error, DescribeError::TooMany { .. }), "{error}");
}

#[test]
fn too_much_of_anything_is_refused() {
    let functions: String = (0..2_001).fold(String::new(), |mut text, n| {
        let _ = writeln!(text, "x{n}: func();");
        text
    });
    let many = of_wit(&format!("package a:b; interface i {{ {functions} }} world w {{ export i; }}"));
    let long = of_wit(&format!("package a:b; interface i {{ {}: func(); }} world w {{ export i; }}", "f".repeat(600)));
    for (wasm, word) in [(many, "exported functions: 2001"), (long, "name of a function or type: 600")] {
        let error = describe(&wasm).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// Valid components whose exports WIT has no words for.
#[test]
fn exports_without_wit_are_an_error() {
    let texts = [
        // An exported module, component and type.
        r#"(component (core module $m) (export "m" (core module $m)))"#,
        r#"(component (component $c) (export "c" (component $c)))"#,
        // An instance that exports a component type.
        r#"(component (component $c (type $t (component)) (export "t" (type $t))) (instance $i (instantiate $c)) (export "a:b/c" (instance $i)))"#,
        // An instance in an instance.
        r#"(component (instance $i) (instance $j (export "i" (instance $i))) (export "j" (instance $j)))"#,
        // One import under a second name.
        r#"(component (import "a:b/c" (instance $i (export "t" (type (sub resource))))) (export "a:b/d" (instance $i)))"#,
    ];
    for text in texts {
        let error = describe(&wat::parse_str(text).unwrap()).map(drop).expect_err(text);
        assert!(matches!(error, DescribeError::NoWit(_)), "{text}: {error}");
    }
}

/// Values that take far more memory than their text are refused before they take it.
#[test]
fn sparse_records_do_not_exhaust_memory() {
    let fields: String = (0..100).fold(String::new(), |mut text, n| {
        let _ = write!(text, "x{n}: option<u8>, ");
        text
    });
    let description = described(&format!(
        "package a:b; interface i {{ record sparse {{ {fields} }} f: func(it: list<sparse>); g: func(it: list<u8>); }} world w {{ export i; }}"
    ));
    let read = |function: &str, json: String| {
        read_arguments(&description, description.function(Some("i"), function).unwrap(), json.as_bytes())
    };
    let sparse = |count: usize| format!("[[{}]]", vec!["{}"; count].join(","));
    assert!(read("f", sparse(50)).is_ok());
    let error = read("f", sparse(100_000)).unwrap_err();
    assert!(error.message.contains("too much memory"), "{error}");
    // What is as large as its type needs is taken, up to any body.
    assert!(read("g", format!("[\"{}\"]", "AAAA".repeat(100_000))).is_ok());
    assert!(read("g", format!("[[{}]]", vec!["1"; 200_000].join(","))).is_ok());
}

#[test]
fn deep_json_is_refused_where_the_type_ends() {
    let description = described(ALL_KINDS);
    let ping = description.function(None, "ping").unwrap();
    for deep in ["[".repeat(1_000_000), "{\"word\":".repeat(1_000_000)] {
        let error = read_arguments(&description, ping, deep.as_bytes()).unwrap_err();
        assert!(error.message.contains("expected a string"), "{error}");
    }
}

/// Nothing recurses over what nests, and nothing is copied at each of many ends.
#[test]
fn what_nests_or_is_many_is_refused_before_it_is_validated() {
    let list = |id: u8, count: usize, items: &[u8]| {
        let content = [leb128(count).as_slice(), items].concat();
        [&[id], leb128(content.len()).as_slice(), &content].concat()
    };
    let header = b"\0asm\x0d\0\x01\0";
    let nested = |kind: u8, levels: usize| {
        let items = [[kind, 1, 1].repeat(levels - 1), vec![kind, 0]].concat();
        [header.as_slice(), &list(7, 1, &items)].concat()
    };
    for kind in [0x41, 0x42] {
        assert!(describe(&nested(kind, 64)).is_ok(), "as deep as it may be");
        for levels in [65, 966, 500_000] {
            let error = describe(&nested(kind, levels)).unwrap_err().to_string();
            assert!(error.contains("types written within each other"), "{error}");
        }
    }
    let component = |inner: &[u8], times: usize| {
        let section = [&[4], leb128(inner.len()).as_slice(), inner].concat();
        [header.as_slice(), &section.repeat(times)].concat()
    };
    let deep = (0..65).fold(header.to_vec(), |inner, _| component(&inner, 1));
    for (wasm, word) in [(deep, "components within each other: 65"), (component(header, 1_001), "in it: 1001")] {
        let error = describe(&wasm).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

/// Values are read while more memory is given for them, and counted to the byte.
#[test]
fn memory_for_values_is_asked_for_as_they_come() {
    let description = described("package a:b; interface i { f: func(it: list<u64>); } world w { export i; }");
    let function = description.function(Some("i"), "f").unwrap();
    let json = format!("[[{}]]", vec!["1"; 10_000].join(","));
    let read = |bytes: usize, most: usize| {
        let (mut given, mut asked) = (bytes.min(most), 0);
        let mut more = |bytes: usize| {
            asked += 1;
            let grows = given + bytes <= most;
            given += if grows { bytes } else { 0 };
            grows
        };
        let read = read_arguments_within(&description, function, json.as_bytes(), bytes, &mut more);
        (read.map(|(values, bytes)| (values.len(), bytes)), given, asked)
    };
    let (whole, _, asked) = read(usize::MAX, usize::MAX);
    let (_, needed) = whole.clone().unwrap();
    assert_eq!(asked, 0);
    for (bytes, most) in [(1, usize::MAX), (needed, needed), (needed / 3, needed), (needed / 2, 2 * needed)] {
        let (read, given, asked) = read(bytes, most);
        assert_eq!(read, whole, "{bytes} of {most} bytes");
        assert!(given >= needed && asked < 40, "{given} bytes given, asked {asked} times");
    }
    let (read, ..) = read(needed / 2, needed - 1);
    assert_eq!(read, Err(ReadError::Memory));
}
