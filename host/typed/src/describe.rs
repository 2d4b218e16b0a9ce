//! A component's bytes to its description: validate, read the sections, decode the types.
//!
//! The bytes are anybody's. They are validated with exactly the wasm proposals that the host compiles, and sizes and counts are
//! bounded before anything is derived from them. The libraries that read them are not made for hostile bytes all the same: this
//! is for a process of its own, within bounds of memory, time and stack.

use crate::bounds;
use crate::decode;
use crate::description::{Description, Producer};
use crate::documentation::{self, Documentation};
use crate::openapi::openapi;
use crate::schema::{FunctionSchemas, SchemasTooLarge, function_schemas};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use wares_model::Version;
use wares_model::limits::{
    INTERFACE_NAME_BYTES_MAX, OPENAPI_BYTES_MAX, REASON_BYTES_MAX, SCHEMA_PLACES_MAX, SCHEMAS_BYTES_MAX,
};
use wares_model::manifest::{self, Manifest, ManifestError};
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentItem};
use wasmparser::types::TypesRef;
use wasmparser::{
    BinaryReaderError, ComponentImport, ComponentTypeRef, CustomSectionReader, Encoding, FuncValidatorAllocations,
    Parser, Payload, TypeBounds, ValidPayload, Validator, WasmFeatures,
};

/// What to change where a proposal of wasm is used that the host does not allow, by a word of what the validator says of it.
const ADVICE: [(&str, &str); 4] = [
    ("exceptions proposal", "build it without exceptions of WebAssembly (in C and C++ without -fwasm-exceptions)"),
    ("gc proposal", "build it for linear memory, without types of the collector"),
    ("threads", "build it without threads and shared memories (in C and C++ without -pthread)"),
    ("memory64", "build it for 32-bit memories (wasm32)"),
];

/// Custom sections that hold one text each, as OCI annotations name them.
const TEXT_SECTIONS: [&str; 7] = ["authors", "description", "homepage", "licenses", "revision", "source", "version"];
/// Bytes of a custom section that is read for information only; a larger one is left out.
const INFORMATION_BYTES_MAX: usize = 64 << 10;
/// Bytes of a page of memory; other sizes are not allowed.
const WASM_PAGE_BYTES: u64 = 64 << 10;
/// Entries kept of all producers sections.
const PRODUCERS_MAX: usize = 100;

/// Why bytes are not taken as a component.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DescribeError {
    /// Nothing.
    #[error("the file is empty: give a WebAssembly component (.wasm)")]
    Empty,
    /// No wasm at all.
    #[error("this is not WebAssembly: the file does not begin with \\0asm; give a component (.wasm)")]
    NotWasm,
    /// WIT or WAT text.
    #[error("this is {0}, not a compiled component: {1}")]
    Text(Cow<'static, str>, Cow<'static, str>),
    /// A core module.
    #[error(
        "this is a core WebAssembly module, not a component: build it for the target wasm32-wasip2 (`wares build` does), \
         or wrap it with `wasm-tools component new`"
    )]
    CoreModule,
    /// A component that only holds WIT.
    #[error(
        "this is a WIT package in binary form: it declares interfaces but has no code; give the component that implements them"
    )]
    WitPackage,
    /// Malformed, or of a wasm proposal that the host does not allow.
    #[error("not a valid component at byte {offset:#x}: {message}")]
    Invalid {
        /// Offset into the file.
        offset: usize,
        /// What is wrong there.
        message: String,
    },
    /// The embedded manifest is wrong.
    #[error("the embedded manifest (custom section wares:manifest): {0}")]
    Manifest(#[from] ManifestError),
    /// A section that Wares reads is wrong.
    #[error("custom section {section}: {message}")]
    Section {
        /// The section's name.
        section: Cow<'static, str>,
        /// What is wrong with it.
        message: String,
    },
    /// More of something than the host takes.
    #[error("the component has {what}: {count}, which is over the limit of {max}")]
    TooMany {
        /// What there is too much of.
        what: Cow<'static, str>,
        /// How much.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A valid component whose interface has no WIT.
    #[error("the component's interface cannot be expressed in WIT: {0}")]
    NoWit(String),
}

impl From<BinaryReaderError> for DescribeError {
    fn from(error: BinaryReaderError) -> Self {
        let message = error.message();
        let advice = ADVICE.iter().find(|(word, _)| message.contains(word)).map(|(_, advice)| format!("; {advice}"));
        Self::Invalid { offset: error.offset(), message: format!("{message}{}", advice.unwrap_or_default()) }
    }
}

/// The wasm proposals that most components keep to. The engine compiles exactly these for them.
///
/// Left out are those that need a collector, threads or 64-bit memories, those whose results differ between machines, and the
/// parts of the component model that are not finished.
pub fn wasm_features() -> WasmFeatures {
    WasmFeatures::WASM2
        .difference(WasmFeatures::GC_TYPES)
        .union(WasmFeatures::EXTENDED_CONST)
        .union(WasmFeatures::TAIL_CALL)
        // Texts that pass between composed components pass from one memory to another.
        .union(WasmFeatures::MULTI_MEMORY)
        .union(WasmFeatures::COMPONENT_MODEL)
        .union(WasmFeatures::CM_MAP)
        .union(WasmFeatures::CM_FIXED_LENGTH_LISTS)
        .union(WasmFeatures::CM_IMPLEMENTS)
}

/// The same and asynchronous functions, streams and futures: what a component may use at all.
pub fn asynchronous_wasm_features() -> WasmFeatures {
    wasm_features().union(WasmFeatures::CM_ASYNC)
}

/// Validates a component and describes it.
pub fn describe(wasm: &[u8]) -> Result<Description, DescribeError> {
    describe_unbounded(wasm).map_err(|mut error| {
        if let DescribeError::Invalid { message, .. }
        | DescribeError::Section { message, .. }
        | DescribeError::NoWit(message) = &mut error
        {
            message.truncate(message.floor_char_boundary(REASON_BYTES_MAX));
        }
        error
    })
}

/// The same with reasons of any length.
fn describe_unbounded(wasm: &[u8]) -> Result<Description, DescribeError> {
    check_beginning(wasm)?;
    bounds::check(wasm)?;
    let sections = Sections::read(wasm)?;
    let decoded = decode::decode(wasm, sections.documentation.as_ref())?;
    let description = Description {
        manifest: sections.manifest,
        imports: sections.imports,
        asynchronous: sections.asynchronous,
        memory_bytes_min: sections.memory_bytes_min,
        interfaces: decoded.interfaces,
        types: decoded.types,
        producers: sections.producers,
        metadata: sections.metadata,
        wit: decoded.wit,
    };
    check_documents(&description)?;
    Ok(description)
}

/// Bounds the documents that are made of it for whoever asks.
fn check_documents(description: &Description) -> Result<(), DescribeError> {
    let too_large = |_: SchemasTooLarge| DescribeError::TooMany {
        what: "places of types in its schemas".into(),
        count: SCHEMA_PLACES_MAX + 1,
        max: SCHEMA_PLACES_MAX,
    };
    let FunctionSchemas { functions, definitions } = function_schemas(description).map_err(too_large)?;
    at_most("bytes of schemas", json_bytes(&(functions, definitions)), SCHEMAS_BYTES_MAX)?;
    let own = description.manifest.as_ref().map(|manifest| manifest.component.name.clone());
    let Some(name) = own.or_else(|| "a:component".parse().ok()) else { return Ok(()) };
    let document = openapi(&name, &Version::new(0, 0, 0), description).map_err(too_large)?;
    at_most("bytes of OpenAPI", json_bytes(&document), OPENAPI_BYTES_MAX)
}

/// Bytes of a value's JSON.
fn json_bytes(value: &impl Serialize) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.saturating_add(bytes.len());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    // Neither the counter nor the values fail.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

fn check_beginning(wasm: &[u8]) -> Result<(), DescribeError> {
    if wasm.is_empty() {
        return Err(DescribeError::Empty);
    }
    if Parser::is_component(wasm) {
        return Ok(());
    }
    if Parser::is_core_wasm(wasm) {
        return Err(DescribeError::CoreModule);
    }
    if wasm.starts_with(b"\0asm") {
        let message =
            "the header is of no known version of wasm: the file is cut off or made by a newer tool".to_owned();
        return Err(DescribeError::Invalid { offset: 4, message });
    }
    Err(text_by_mistake(wasm).unwrap_or(DescribeError::NotWasm))
}

/// What text it is, if it is a kind of text that people give by mistake.
fn text_by_mistake(bytes: &[u8]) -> Option<DescribeError> {
    let start = bytes.get(..4096).unwrap_or(bytes);
    let text = start.utf8_chunks().next()?.valid();
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with("//") && !line.starts_with(";;"))?;
    let begins = |words: &[&str]| words.iter().any(|word| line.starts_with(word));
    if begins(&["(component", "(module"]) {
        return Some(DescribeError::Text(
            "WebAssembly text (WAT)".into(),
            "translate it with `wasm-tools parse`".into(),
        ));
    }
    let advice = "implement its world and build that (`wares new` starts a project)";
    begins(&["package ", "interface ", "world ", "@since", "@unstable"])
        .then_some(DescribeError::Text("WIT text".into(), advice.into()))
}

/// Whether an import gives names to types and asks for nothing: one that repeats a type, or an interface of such types.
fn is_types_only(import: &ComponentImport<'_>, types: Option<TypesRef<'_>>) -> bool {
    let is_resource = |id: &ComponentAnyTypeId| matches!(id, ComponentAnyTypeId::Resource(_));
    let is_type = |item: &ComponentItem| match &item.ty {
        ComponentEntityType::Type { referenced, .. } => !is_resource(referenced),
        _ => false,
    };
    match import.ty {
        ComponentTypeRef::Type(TypeBounds::Eq(_)) => true,
        ComponentTypeRef::Instance(_) => types.is_some_and(|types| {
            let item = types.component_item_for_import(import.name.name);
            let Some(ComponentEntityType::Instance(id)) = item.map(|item| item.ty) else { return false };
            let exports = types.get(id).map(|instance| &instance.exports);
            exports.is_some_and(|exports| !exports.is_empty() && exports.values().all(is_type))
        }),
        _ => false,
    }
}

/// What the component's own sections say, apart from types.
#[derive(Default)]
struct Sections {
    manifest: Option<Manifest>,
    documentation: Option<Documentation>,
    imports: Vec<String>,
    asynchronous: bool,
    memory_bytes_min: u64,
    producers: BTreeMap<String, Vec<Producer>>,
    metadata: BTreeMap<String, String>,
}

impl Sections {
    /// Validates everything and collects on the way.
    fn read(wasm: &[u8]) -> Result<Self, DescribeError> {
        let mut sections = Self::default();
        let mut validator = Validator::new_with_features(asynchronous_wasm_features());
        // Finds out whether the component is valid without them too. Bodies of functions know nothing of these features.
        let mut plain = Validator::new_with_features(wasm_features());
        let mut allocations = FuncValidatorAllocations::default();
        let mut depth = 0usize;
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload?;
            match validator.payload(&payload)? {
                ValidPayload::Func(function, body) => {
                    let mut function = function.into_validator(allocations);
                    function.validate(&body)?;
                    allocations = function.into_allocations();
                }
                ValidPayload::Parser(_) => depth += 1,
                ValidPayload::End(_) => depth = depth.saturating_sub(1),
                ValidPayload::Ok => {}
            }
            sections.asynchronous = sections.asynchronous || plain.payload(&payload).is_err();
            match payload {
                Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                    return Err(DescribeError::CoreModule);
                }
                Payload::CustomSection(section) => sections.custom(&section, depth)?,
                Payload::MemorySection(memories) => {
                    for memory in memories {
                        let bytes = memory?.initial.saturating_mul(WASM_PAGE_BYTES);
                        sections.memory_bytes_min = sections.memory_bytes_min.max(bytes);
                    }
                }
                Payload::ComponentImportSection(imports) if depth == 0 => {
                    for import in imports {
                        let import = import?;
                        if !is_types_only(&import, validator.types(0)) {
                            sections.imports.push(import.name.name.to_owned());
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(sections)
    }

    fn custom(&mut self, section: &CustomSectionReader<'_>, depth: usize) -> Result<(), DescribeError> {
        let data = section.data();
        let informative = data.len() <= INFORMATION_BYTES_MAX;
        match section.name() {
            manifest::SECTION if depth == 0 => {
                let text = text_of(manifest::SECTION, data, self.manifest.is_some())?;
                self.manifest = Some(Manifest::parse(text)?);
            }
            documentation::SECTION if depth == 0 => {
                let text = text_of(documentation::SECTION, data, self.documentation.is_some())?;
                let fail = |message| DescribeError::Section { section: documentation::SECTION.into(), message };
                self.documentation = Some(Documentation::from_section(text).map_err(fail)?);
            }
            "producers" if informative => self.produced_by(data),
            name if depth == 0 && informative && TEXT_SECTIONS.contains(&name) => {
                if let Ok(text) = std::str::from_utf8(data) {
                    self.metadata.insert(name.to_owned(), text.to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Adds what a producers section says. It is information only, so a malformed one is passed over.
    fn produced_by(&mut self, data: &[u8]) {
        let Ok(producers) = wasm_metadata::Producers::from_bytes(data, 0) else { return };
        for (field, values) in producers.iter() {
            for (name, version) in values.iter() {
                let known = self.producers.values().map(Vec::len).sum::<usize>();
                let longest = field.len().max(name.len()).max(version.len());
                if known >= PRODUCERS_MAX || longest > INTERFACE_NAME_BYTES_MAX {
                    continue;
                }
                let producer = Producer { name: name.clone(), version: version.clone() };
                let field = self.producers.entry(field.clone()).or_default();
                if !field.contains(&producer) {
                    field.push(producer);
                }
            }
        }
    }
}

fn text_of<'a>(section: &'static str, data: &'a [u8], twice: bool) -> Result<&'a str, DescribeError> {
    let fail = |message: String| DescribeError::Section { section: section.into(), message };
    if twice {
        return Err(fail("the component has two of them: embed one".into()));
    }
    std::str::from_utf8(data).map_err(|error| fail(format!("not UTF-8 at byte {}", error.valid_up_to())))
}

pub(crate) fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), DescribeError> {
    if count > max { Err(DescribeError::TooMany { what: what.into(), count, max }) } else { Ok(()) }
}
