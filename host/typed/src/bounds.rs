//! What makes a component dear to validate, counted before it is validated: nesting, and how much there is of what nests.
//!
//! wasmparser reads types that are written in each other by recursion, and copies a list of all modules and components so far
//! at the end of each. Here nothing recurses, and every byte is looked at once.

use crate::describe::{DescribeError, at_most};
use wares_model::limits::{CORE_TYPES_MAX, INTERFACE_BYTES_MAX, NESTED_MAX, NESTING_MAX};
use wasmparser::{BinaryReader, BinaryReaderError, ComponentType, ComponentTypeDeclaration, Parser, Payload};

/// Checks a component that may be malformed; where it is, validation says so.
pub(crate) fn check(wasm: &[u8]) -> Result<(), DescribeError> {
    let mut counts = Counts::default();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        counts.add(&payload)?;
        if let Payload::ComponentTypeSection(section) = &payload {
            let range = section.range();
            check_types(BinaryReader::new(wasm.get(range.clone()).unwrap_or_default(), range.start))?;
        }
    }
    Ok(())
}

#[derive(Default)]
struct Counts {
    depth: usize,
    nested: usize,
    core_types: usize,
    interface_bytes: usize,
}

impl Counts {
    fn add(&mut self, payload: &Payload<'_>) -> Result<(), DescribeError> {
        match payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                self.depth += 1;
                self.nested += 1;
                at_most("components within each other", self.depth, NESTING_MAX)?;
                at_most("modules and components in it", self.nested, NESTED_MAX)
            }
            Payload::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Ok(())
            }
            Payload::TypeSection(section) => {
                self.core_types = self.core_types.saturating_add(section.count() as usize);
                at_most("types of core modules", self.core_types, CORE_TYPES_MAX)
            }
            other => self.add_interface(other),
        }
    }

    /// The sections that types and names are derived from.
    fn add_interface(&mut self, payload: &Payload<'_>) -> Result<(), DescribeError> {
        let range = match payload {
            Payload::InstanceSection(section) => section.range(),
            Payload::CoreTypeSection(section) => section.range(),
            Payload::ComponentInstanceSection(section) => section.range(),
            Payload::ComponentAliasSection(section) => section.range(),
            Payload::ComponentTypeSection(section) => section.range(),
            Payload::ComponentCanonicalSection(section) => section.range(),
            Payload::ComponentImportSection(section) => section.range(),
            Payload::ComponentExportSection(section) => section.range(),
            _ => return Ok(()),
        };
        self.interface_bytes = self.interface_bytes.saturating_add(range.len());
        at_most("bytes of types, imports and exports", self.interface_bytes, INTERFACE_BYTES_MAX)
    }
}

/// Bounds how deep types are written in each other.
fn check_types(mut reader: BinaryReader<'_>) -> Result<(), DescribeError> {
    // What is still to come on each level: types of the section, and below them declarations of a type.
    let mut waiting = vec![reader.read_var_u32()?];
    while let Some(left) = waiting.last_mut() {
        let Some(others) = left.checked_sub(1) else {
            waiting.pop();
            continue;
        };
        *left = others;
        let is_type = waiting.len() == 1 || begin_declaration(&mut reader)?;
        if is_type && let Some(declarations) = begin_type(&mut reader)? {
            at_most("types written within each other", waiting.len(), NESTING_MAX)?;
            waiting.push(declarations);
        }
    }
    Ok(())
}

/// Reads a declaration, or only its beginning if it is one of a type: whether a type follows.
fn begin_declaration(reader: &mut BinaryReader<'_>) -> Result<bool, BinaryReaderError> {
    let mut ahead = reader.clone();
    if ahead.read_u8()? != 0x01 {
        return reader.read::<ComponentTypeDeclaration<'_>>().map(|_| false);
    }
    *reader = ahead;
    Ok(true)
}

/// Reads a type, or only its beginning if it is one of declarations: how many follow.
fn begin_type(reader: &mut BinaryReader<'_>) -> Result<Option<u32>, BinaryReaderError> {
    let mut ahead = reader.clone();
    if !matches!(ahead.read_u8()?, 0x41 | 0x42) {
        return reader.read::<ComponentType<'_>>().map(|_| None);
    }
    *reader = ahead;
    reader.read_var_u32().map(Some)
}
