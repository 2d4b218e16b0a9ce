//! Components made to hurt, byte by byte: tools refuse to make them.

/// A component of these sections.
pub(super) fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    let mut wasm = b"\0asm\x0d\0\x01\0".to_vec();
    wasm.extend(sections.concat());
    wasm
}

/// A core module of these sections.
pub(super) fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    wasm.extend(sections.concat());
    wasm
}

/// A section that lists so many items.
pub(super) fn list(id: u8, count: usize, items: &[u8]) -> Vec<u8> {
    section(id, &[&leb(count), items].concat())
}

/// A section.
pub(super) fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let mut section = vec![id];
    section.extend(leb(content.len()));
    section.extend_from_slice(content);
    section
}

/// A custom section.
pub(super) fn custom(name: &str, data: &[u8]) -> Vec<u8> {
    section(0, &[&text(name), data].concat())
}

/// A name.
pub(super) fn text(text: &str) -> Vec<u8> {
    [leb(text.len()).as_slice(), text.as_bytes()].concat()
}

/// A number.
pub(super) fn leb(mut value: usize) -> Vec<u8> {
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

/// Types written in each other, so many levels: of components (0x41) or of instances (0x42).
pub(super) fn nested_types(kind: u8, levels: usize) -> Vec<u8> {
    let mut items = [kind, 1, 1].repeat(levels - 1);
    items.extend([kind, 0]);
    component(&[list(7, 1, &items)])
}

/// Components in each other, so many levels below the outermost.
pub(super) fn nested_components(levels: usize) -> Vec<u8> {
    let mut lengths = vec![8];
    for level in 0..levels {
        let inner: usize = lengths[level];
        lengths.push(8 + 1 + leb(inner).len() + inner);
    }
    let mut wasm = Vec::with_capacity(lengths[levels]);
    for length in lengths.iter().rev().skip(1) {
        wasm.extend(component(&[]));
        wasm.push(4);
        wasm.extend(leb(*length));
    }
    wasm.extend(component(&[]));
    wasm
}

/// Each type a list of the one before.
pub(super) fn nested_lists(levels: usize) -> Vec<u8> {
    let mut items = vec![0x70, 0x7d];
    for before in 0..levels - 1 {
        items.push(0x70);
        items.extend(signed(before));
    }
    component(&[list(7, levels, &items)])
}

/// Core modules with so many types in each.
pub(super) fn core_types(modules: usize, types: usize) -> Vec<u8> {
    let module = module(&[list(1, types, &[0x60, 0, 0].repeat(types))]);
    component(&[section(1, &module).repeat(modules)])
}

/// A component that takes a compiler very long: functions that keep thousands of values for each other.
pub(super) fn slow_to_compile(functions: usize, steps: usize) -> Vec<u8> {
    let mut body = vec![0];
    for step in 0..steps {
        // *(7 * step) = *step + the argument
        body.push(0x41);
        body.extend(signed(step * 7));
        body.push(0x41);
        body.extend(signed(step));
        body.extend([0x28, 2, 0, 0x20, 0, 0x6a, 0x36, 2, 0]);
    }
    body.push(0x0b);
    let body = [leb(body.len()), body].concat();
    let module = module(&[
        list(1, 1, &[0x60, 1, 0x7f, 0]),
        list(3, functions, &vec![0; functions]),
        list(5, 1, &[0, 1]),
        list(10, functions, &body.repeat(functions)),
    ]);
    component(&[section(1, &module)])
}

/// A signed number that is not negative.
pub(super) fn signed(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 && byte & 0x40 == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}
