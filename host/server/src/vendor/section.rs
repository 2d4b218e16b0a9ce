//! Custom sections at a component's end: its manifest and its documentation travel inside the `.wasm`.

use anyhow::{Context as _, Result, bail};
use wasm_encoder::{CustomSection, Encode as _, Section as _};
use wasmparser::{BinaryReader, Parser};

/// Magic number and version, before the first section.
const HEADER_BYTES: usize = 8;
const CUSTOM_SECTION_ID: u8 = 0;

/// A custom section: its name, its data.
pub(crate) type Custom<'a> = (&'a str, &'a [u8]);

/// The component with these as its last sections, in place of those of the same names that it had.
pub(crate) fn with_sections(component: &[u8], sections: &[Custom<'_>]) -> Result<Vec<u8>> {
    if !Parser::is_component(component) {
        let what = if Parser::is_core_wasm(component) { "a core module" } else { "not WebAssembly" };
        bail!("this is {what}, not a component");
    }
    let mut bytes = Vec::with_capacity(component.len());
    bytes.extend_from_slice(component.get(..HEADER_BYTES).unwrap_or_default());
    let mut reader = BinaryReader::new(component, 0);
    reader.read_bytes(HEADER_BYTES)?;
    while !reader.eof() {
        let old = next_section(&mut reader).context("the component's sections are malformed")?;
        if !sections.iter().any(|(name, _)| old.custom_name == Some(name)) {
            bytes.extend_from_slice(old.bytes);
        }
    }
    for (name, data) in sections {
        let section = CustomSection { name: (*name).into(), data: (*data).into() };
        bytes.push(section.id());
        section.encode(&mut bytes);
    }
    Ok(bytes)
}

struct OldSection<'a> {
    custom_name: Option<&'a str>,
    /// The whole section with its id and size.
    bytes: &'a [u8],
}

fn next_section<'a>(reader: &mut BinaryReader<'a>) -> Result<OldSection<'a>> {
    let rest = reader.clone().read_bytes(reader.bytes_remaining())?;
    let start = reader.current_position();
    let id = reader.read_u8()?;
    let size = reader.read_var_u32()?;
    let content = reader.read_bytes(size as usize)?;
    let bytes = rest.get(..reader.current_position() - start).context("a section is longer than the component")?;
    let name = || BinaryReader::new(content, 0).read_string().ok();
    let custom_name = if id == CUSTOM_SECTION_ID { name() } else { None };
    Ok(OldSection { custom_name, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wares_model::manifest::SECTION;
    use wasm_encoder::{Component, Module, ModuleSection};
    use wasmparser::Payload;

    /// A component with a nested module that has a section of the manifest's name: only the outer one counts.
    fn component() -> Vec<u8> {
        let custom = |name: &'static str, data: &'static [u8]| CustomSection { name: name.into(), data: data.into() };
        let mut module = Module::new();
        module.section(&custom(SECTION, b"inner"));
        let mut component = Component::new();
        component.section(&custom("producers", b"\0")).section(&ModuleSection(&module));
        component.finish()
    }

    fn with_manifest(component: &[u8], text: &str) -> Result<Vec<u8>> {
        with_sections(component, &[(SECTION, text.as_bytes())])
    }

    fn manifests(wasm: &[u8]) -> Vec<String> {
        let payloads = Parser::new(0).parse_all(wasm).map(Result::unwrap);
        let sections = payloads.filter_map(|payload| match payload {
            Payload::CustomSection(section) if section.name() == SECTION => {
                Some(String::from_utf8(section.data().to_vec()).unwrap())
            }
            _ => None,
        });
        sections.collect()
    }

    #[test]
    fn the_text_is_the_last_section_unchanged() {
        let text = "[component]\r\ntitle = \"惠企政策匹配\"\n\n";
        let wasm = with_manifest(&component(), text).unwrap();
        assert!(wasm.starts_with(&component()));
        assert!(wasm.ends_with(text.as_bytes()));
        assert_eq!(manifests(&wasm), ["inner", text]);
    }

    #[test]
    fn a_second_embedding_replaces_the_first() {
        let first = with_manifest(&component(), "first").unwrap();
        assert_eq!(with_manifest(&first, "second").unwrap(), with_manifest(&component(), "second").unwrap());
    }

    #[test]
    fn other_bytes_are_refused() {
        let mut cut = component();
        cut.truncate(cut.len() - 1);
        let cases = [
            (Module::new().finish(), "a core module"),
            (b"text".to_vec(), "not WebAssembly"),
            (vec![], "not WebAssembly"),
            (cut, "malformed"),
        ];
        for (bytes, word) in cases {
            let error = with_manifest(&bytes, "x").unwrap_err().to_string();
            assert!(error.contains(word), "{error:?} does not say {word:?}");
        }
    }
}
