//! Components made from WIT, with code that does nothing.

use wares_typed::Description;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// A component that implements the only world of `wit`.
pub(crate) fn of_wit(wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("world.wit", wit).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

/// What is known of that component.
pub(crate) fn described(wit: &str) -> Description {
    wares_typed::describe(&of_wit(wit)).unwrap()
}

/// The component with a custom section more.
pub(crate) fn with_section(mut wasm: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let mut content = leb128(name.len());
    content.extend(name.as_bytes());
    content.extend(data);
    wasm.push(0);
    wasm.extend(leb128(content.len()));
    wasm.extend(content);
    wasm
}

pub(crate) fn leb128(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

/// An interface with every kind of type.
pub(crate) const ALL_KINDS: &str = r#"
    package test:kinds@1.2.3;

    interface types {
        record point { x: s32, y: s32 }
    }

    interface calc {
        use types.{point};

        /// What the caller wants.
        record request {
            name: string,
            amount: money,
            at: point,
            note: option<string>,
            tags: list<string>,
            nested: option<option<u32>>,
            shape: shape,
            color: color,
            rights: rights,
            photo: list<u8>,
            pair: tuple<char, bool>,
            outcome: result<u8, string>,
            ratio: f32,
            by-name: map<string, u16>,
            by-number: map<u8, string>,
        }
        type money = u64;
        variant shape { none, circle(f64), label(string) }
        enum color { red, green, blue }
        flags rights { read, write, run }

        evaluate: func(request: request, limit: option<u32>) -> result<request, list<color>>;
        wide: func(a: u64, b: s64);
        nothing: func();
    }

    world kinds {
        export calc;
        export ping: func(word: string) -> string;
    }
"#;
