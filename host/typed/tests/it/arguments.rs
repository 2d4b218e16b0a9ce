//! JSON that does not fit: the error names the place and says what to do.

use crate::component::{ALL_KINDS, described};
use std::sync::LazyLock;
use wares_typed::{Description, Function, Val, read_arguments};

static KINDS: LazyLock<Description> = LazyLock::new(|| described(ALL_KINDS));

const FITTING: &str = r#"{"request": {
    "name": "a", "amount": 1, "at": {"x": 1, "y": -1}, "tags": ["t"], "shape": {"circle": 1.5}, "color": "red",
    "rights": ["run", "read"], "photo": "AAE=", "pair": ["é", true], "outcome": {"ok": 7}, "ratio": "NaN",
    "by-name": {"one": 1}, "by-number": [[1, "one"]]
}}"#;

fn function(name: &str) -> &'static Function {
    KINDS.function(Some("calc"), name).unwrap()
}

#[test]
fn what_fits_is_read_in_the_order_of_the_type() {
    let values = read_arguments(&KINDS, function("evaluate"), FITTING.as_bytes()).unwrap();
    let [Val::Record(fields), Val::Option(None)] = values.as_slice() else { panic!("{values:?}") };
    let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..5], ["name", "amount", "at", "note", "tags"]);
    assert_eq!(fields[3].1, Val::Option(None));
    assert_eq!(fields[9].1, Val::List(vec![Val::U8(0), Val::U8(1)]));
}

/// `FITTING` with the value of a key of the request replaced, in order: key, JSON, pointer below the request, words.
#[rustfmt::skip]
const CHANGES: &[(&str, &str, &str, &[&str])] = &[
    ("name", "7", "/name", &["expected a string", "a number"]),
    ("name", "null", "/name", &["expected a string", "null"]),
    ("name", "\"\\ud800\"", "/name", &["not JSON at line 2", "escape"]),
    ("amount", "-1", "/amount", &["0 to 18446744073709551615", "out of range"]),
    ("amount", "18446744073709551616", "/amount", &["out of range"]),
    ("amount", "1.5", "/amount", &["fraction"]),
    ("amount", "1.05e1", "/amount", &["fraction"]),
    ("amount", "1e-1", "/amount", &["fraction"]),
    ("amount", "1e30", "/amount", &["out of range"]),
    ("amount", "\"12x\"", "/amount", &["integer", "\"12x\""]),
    ("amount", "\"1e3\"", "/amount", &["integer"]),
    ("amount", "\"18446744073709551616\"", "/amount", &["out of range"]),
    ("amount", "01", "/amount", &["not JSON", "leading 0"]),
    ("at", "{\"x\": 1}", "/at", &["key \"y\" (s32) is missing"]),
    ("at", "{\"x\": 1, \"y\": 2, \"z\": 3}", "/at/z", &["no key \"z\"", "\"x\", \"y\""]),
    ("at", "{\"x\": 1, \"y\": 2, \"x\": 3}", "/at/x", &["given twice"]),
    ("at", "{\"x\": 1, \"y\": 2147483648}", "/at/y", &["-2147483648 to 2147483647", "out of range"]),
    ("at", "{\"x\": 1, \"y\": \"2\"}", "/at/y", &["expected an integer", "a string"]),
    ("at", "{\"a/b~c\": 1}", "/at/a~1b~0c", &["no key"]),
    ("at", "[1, 2]", "/at", &["expected an object", "an array"]),
    ("tags", "[\"a\", 1]", "/tags/1", &["expected a string"]),
    ("tags", "\"a\"", "/tags", &["expected an array"]),
    ("tags", "[\"a\",]", "/tags/1", &["not JSON", "expected a value"]),
    ("shape", "\"cirkle\"", "/shape", &["no case", "did you mean \"circle\""]),
    ("shape", "\"circle\"", "/shape", &["payload", "{\"circle\": …}"]),
    ("shape", "{\"none\": null}", "/shape/none", &["no payload", "just \"none\""]),
    ("shape", "{\"circle\": \"1\"}", "/shape/circle", &["expected a number", "NaN"]),
    ("shape", "{\"circle\": 1e400}", "/shape/circle", &["out of range"]),
    ("shape", "{}", "/shape", &["empty object"]),
    ("shape", "{\"circle\": 1, \"label\": \"a\"}", "/shape/label", &["second key"]),
    ("shape", "{\"square\": 1}", "/shape/square", &["no case \"square\"", "\"none\", \"circle\", \"label\""]),
    ("shape", "true", "/shape", &["a case of the variant"]),
    ("color", "\"violet\"", "/color", &["no case \"violet\"", "\"red\", \"green\", \"blue\""]),
    ("color", "0", "/color", &["expected a string"]),
    ("rights", "[\"read\", \"read\"]", "/rights/1", &["given twice"]),
    ("rights", "[\"fly\"]", "/rights/0", &["no flag \"fly\"", "\"read\""]),
    ("rights", "{\"read\": true}", "/rights", &["expected an array"]),
    ("photo", "\"AAE\"", "/photo", &["base64"]),
    ("photo", "\"AAF=\"", "/photo", &["base64"]),
    ("photo", "[0, 256]", "/photo/1", &["0 to 255", "out of range"]),
    ("photo", "5", "/photo", &["base64 string, or an array of integers"]),
    ("pair", "[\"é\"]", "/pair", &["2 elements", "found 1"]),
    ("pair", "[\"é\", true, 1]", "/pair/2", &["2 elements", "one more"]),
    ("pair", "[\"ab\", true]", "/pair/0", &["exactly one Unicode character", "\"ab\""]),
    ("pair", "[\"\", true]", "/pair/0", &["exactly one Unicode character"]),
    ("pair", "[\"a\", 0]", "/pair/1", &["expected a boolean"]),
    ("outcome", "7", "/outcome", &["{\"ok\": …} or {\"err\": …}"]),
    ("outcome", "{\"error\": 7}", "/outcome/error", &["no key \"error\"", "did you mean \"err\""]),
    ("outcome", "{\"ok\": 300}", "/outcome/ok", &["0 to 255"]),
    ("nested", "5", "/nested", &["{\"some\": …}"]),
    ("nested", "{\"some\": -5}", "/nested/some", &["out of range"]),
    ("ratio", "1e39", "/ratio", &["f32", "out of range"]),
    ("ratio", "\"nan\"", "/ratio", &["\"NaN\"", "\"nan\""]),
    ("by-name", "{\"a\": 1, \"a\": 2}", "/by-name/a", &["given twice"]),
    ("by-name", "{\"a\": 65536}", "/by-name/a", &["out of range"]),
    ("by-number", "{\"1\": \"one\"}", "/by-number", &["[key, value] pairs"]),
    ("by-number", "[[1, \"a\"], [1, \"b\"]]", "/by-number/1", &["given twice"]),
    ("by-number", "[[1]]", "/by-number/0", &["only one element"]),
    ("by-number", "[[1, \"a\", 2]]", "/by-number/0", &["more than two"]),
    ("by-number", "[[]]", "/by-number/0", &["empty array"]),
];

#[test]
fn every_misfit_names_its_place() {
    for (key, json, below, words) in CHANGES {
        let mut fitting = FITTING.replace('\n', " ");
        // The key stands first, on its own line, and its old value is gone.
        let old = fitting.find(&format!("\"{key}\":")).map(|start| (start, value_end(&fitting, start)));
        match old {
            Some((start, end)) => fitting.replace_range(start..end, &format!("\"{key}\":\n{json}")),
            None => fitting = fitting.replace("{\"request\": {", &format!("{{\"request\": {{\"{key}\":\n{json},")),
        }
        misfit("evaluate", &fitting, &format!("/request{below}"), words);
    }
}

/// Where the member that begins at `start` ends.
fn value_end(text: &str, start: usize) -> usize {
    let mut depth = 0;
    for (index, character) in text[start..].char_indices() {
        match character {
            '{' | '[' => depth += 1,
            '}' | ']' if depth == 0 => return start + index,
            '}' | ']' => depth -= 1,
            ',' if depth == 0 => return start + index,
            _ => {}
        }
    }
    text.len()
}

#[track_caller]
fn misfit(name: &str, json: &str, pointer: &str, words: &[&str]) {
    let error = read_arguments(&KINDS, function(name), json.as_bytes()).expect_err(json);
    assert_eq!(error.pointer, pointer, "{json}\n{error}");
    for word in words {
        assert!(error.message.contains(word), "{word:?} is not in {:?}\n{json}", error.message);
    }
}

#[test]
fn bodies_that_are_no_arguments_are_refused() {
    let cases: &[(&str, &str, &str, &[&str])] = &[
        ("wide", "", "", &["parameter \"a\" (u64) is missing"]),
        ("wide", "{}", "", &["parameter \"a\" (u64) is missing"]),
        ("wide", "[1]", "", &["parameter \"b\" (s64) is missing"]),
        ("wide", "[1, 2, 3]", "/2", &["2 parameters"]),
        ("wide", "{\"a\": 1, \"b\": 2, \"c\": 3}", "/c", &["no parameter \"c\"", "\"a\", \"b\""]),
        ("wide", "{\"a\": 1, \"a\": 1}", "/a", &["given twice"]),
        ("wide", "5", "", &["an object with the parameters by name", "a number"]),
        ("wide", "null", "", &["null"]),
        ("wide", "{\"a\": 1, \"b\": 2} x", "", &["not JSON at line 1, column 18", "end of the text"]),
        ("wide", "{\"a\": 1, \"b\": 2}{}", "", &["end of the text"]),
        ("wide", "{\"a\": 1, \"b\":", "/b", &["not JSON at line 1, column 14", "end of the text"]),
        ("wide", "{\"a\": 1, \"b\": 2", "", &["not JSON", "`,` or `}`"]),
        ("wide", "{\"a\": 1 \"b\": 2}", "", &["not JSON", "`,` or `}`"]),
        ("wide", "{\n  \"a\": 1,\n  b: 2}", "", &["line 3, column 3", "key in quotes"]),
        ("wide", "{'a': 1}", "", &["key in quotes"]),
        ("wide", "\u{feff}{}", "", &["not JSON"]),
        ("wide", "{\"a\": +1, \"b\": 2}", "/a", &["not JSON"]),
        ("wide", "{\"a\": NaN, \"b\": 2}", "/a", &["not JSON"]),
        ("nothing", "[1]", "/0", &["0 parameters"]),
        ("nothing", "{\"a\": 1}", "/a", &["no parameter", "there are none"]),
    ];
    for (name, json, pointer, words) in cases {
        misfit(name, json, pointer, words);
    }
    let error = read_arguments(&KINDS, function("wide"), b"{\"a\": \"\xff\"}").unwrap_err();
    assert_eq!((error.pointer.as_str(), error.message.as_str()), ("", "the body is not UTF-8 at byte 7"));
}

#[test]
fn integers_are_exact_and_parameters_may_be_left_out() {
    let wide = |json: &str| read_arguments(&KINDS, function("wide"), json.as_bytes()).unwrap();
    let extreme = vec![Val::U64(u64::MAX), Val::S64(i64::MIN)];
    assert_eq!(wide("[18446744073709551615, -9223372036854775808]"), extreme);
    assert_eq!(wide(r#"{"b": "-9223372036854775808", "a": "18446744073709551615"}"#), extreme);
    assert_eq!(wide("[9007199254740993, 1e3]"), vec![Val::U64(9_007_199_254_740_993), Val::S64(1000)]);
    for empty in ["", " \n", "{}", "[]"] {
        assert_eq!(read_arguments(&KINDS, function("nothing"), empty.as_bytes()), Ok(vec![]), "{empty:?}");
    }
    let all = format!("[{}, null]", &FITTING["{\"request\":".len()..FITTING.len() - 1]);
    let left_out = all.replace(", null]", "]");
    let read = |json: &str| read_arguments(&KINDS, function("evaluate"), json.as_bytes());
    assert_eq!(read(&all), read(&left_out));
    assert!(read(&all).is_ok());
}
