//! Any JSON against any type: both are made from bytes, and share their names, so that much of it fits.

use std::fmt::Write as _;
use wares_typed::{Description, describe, read_arguments, write_result};
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// Bytes of which the type is made; the others make the JSON.
const TYPE_BYTES: usize = 48;
/// How deep types and JSON are made.
const DEPTH_MAX: usize = 6;
/// Fields, cases, elements.
const WIDTH_MAX: u8 = 5;

const PRIMITIVES: [&str; 13] =
    ["bool", "u8", "u16", "u32", "u64", "s8", "s16", "s32", "s64", "f32", "f64", "char", "string"];
/// Names of fields, cases and flags, and keys of objects.
const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "ok", "err", "some"];
/// Numbers and words at the edges of what is read.
const SCALARS: [&str; 32] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "1.0",
    "1e2",
    "1.5",
    "127",
    "128",
    "255",
    "256",
    "-129",
    "65536",
    "4294967296",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "1e400",
    "1e-400",
    "\"NaN\"",
    "\"-Infinity\"",
    "\"\"",
    "\"a\"",
    "\"AAE=\"",
    "\"AAE\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"12345678901234567890\"",
];

/// Reads the JSON as the argument of a function of the type. What is read is written and read again as the same.
pub(crate) fn any_json_against_any_type(bytes: &[u8]) {
    let (of_type, of_json) = bytes.split_at(bytes.len().min(TYPE_BYTES));
    let mut wit = Wit { choices: Choices(of_type), definitions: String::new(), named: 0 };
    let ty = wit.any(DEPTH_MAX);
    let text = format!(
        "package a:b; interface i {{ {} f: func(it: {ty}) -> {ty}; }} world w {{ export i; }}",
        wit.definitions
    );
    let Some(description) = described(&text) else { return };
    let Some(function) = description.function(Some("i"), "f") else { return };
    let mut json = String::new();
    any_json(&mut Choices(of_json), DEPTH_MAX, &mut json);
    for body in [of_json, json.as_bytes(), format!("[{json}]").as_bytes(), format!("{{\"it\":{json}}}").as_bytes()] {
        match read_arguments(&description, function, body) {
            Err(error) => super::assert_short(&format!("{}{}", error.pointer, error.message)),
            Ok(values) => {
                let [value] = values.as_slice() else { panic!("{} values for one parameter", values.len()) };
                let _ = write_result(&description, function, Some(value), usize::MAX);
            }
        }
    }
}

/// Bytes as choices; when they are used up, always the first.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        let at = usize::from(self.next()) % all.len();
        *all.get(at).unwrap()
    }

    fn width(&mut self) -> usize {
        usize::from(self.next() % WIDTH_MAX) + 1
    }
}

struct Wit<'a> {
    choices: Choices<'a>,
    definitions: String,
    named: usize,
}

impl Wit<'_> {
    fn any(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.choices.of(&PRIMITIVES).to_owned();
        }
        match self.choices.next() % 12 {
            0..3 => self.choices.of(&PRIMITIVES).to_owned(),
            3 => format!("list<{}>", self.any(depth - 1)),
            4 => format!("option<{}>", self.any(depth - 1)),
            5 => format!("result<{}, {}>", self.any(depth - 1), self.any(depth - 1)),
            6 => {
                let parts: Vec<_> = (0..self.choices.width()).map(|_| self.any(depth - 1)).collect();
                format!("tuple<{}>", parts.join(", "))
            }
            7 | 8 => self.named("record", |wit, name| format!("{name}: {}", wit.any(depth - 1))),
            9 => self.named("variant", |wit, name| match wit.choices.next() % 2 {
                0 => name.to_owned(),
                _ => format!("{name}({})", wit.any(depth - 1)),
            }),
            10 => self.named("enum", |_, name| name.to_owned()),
            _ => self.named("flags", |_, name| name.to_owned()),
        }
    }

    /// A definition with so many of the names; WIT has no definitions in place for these.
    fn named(&mut self, kind: &str, mut part: impl FnMut(&mut Self, &str) -> String) -> String {
        let parts: Vec<_> = NAMES.iter().take(self.choices.width()).map(|name| part(self, name)).collect();
        self.named += 1;
        let name = format!("t{}", self.named);
        let _ = write!(self.definitions, "{kind} {name} {{ {} }} ", parts.join(", "));
        name
    }
}

fn described(wit: &str) -> Option<Description> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("world.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    // Types that are too large for the component model are none of ours.
    let component = ComponentEncoder::default().module(&module).ok()?.encode().ok()?;
    describe(&component).ok()
}

fn any_json(choices: &mut Choices<'_>, depth: usize, json: &mut String) {
    let kind = if depth == 0 { 0 } else { choices.next() % 5 };
    let (open, close) = match kind {
        0..3 => return json.push_str(choices.of(&SCALARS)),
        3 => ('[', ']'),
        _ => ('{', '}'),
    };
    json.push(open);
    for at in 0..choices.width() {
        if at > 0 {
            json.push(',');
        }
        if open == '{' {
            let _ = write!(json, "{:?}:", choices.of(&NAMES));
        }
        any_json(choices, depth - 1, json);
    }
    json.push(close);
}
