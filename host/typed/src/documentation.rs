//! Documentation comments of WIT, which compiled components lose: they travel in a custom section of their own.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use wit_parser::{Docs, Interface, Resolve, TypeDef, TypeDefKind, WorldItem};

/// Name of the custom section that holds a component's documentation as JSON.
pub const SECTION: &str = "wares:docs";
/// Bytes of that section.
const SECTION_BYTES_MAX: usize = 1 << 20;

/// The documentation comments of a component's interfaces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Documentation {
    /// By the interface's full name; the functions of the world itself are under the empty name.
    pub interfaces: BTreeMap<String, InterfaceDocumentation>,
}

/// The documentation comments of one interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceDocumentation {
    /// Of the interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// Of functions (`name`), types (`name`) and members of types (`type.member`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub items: BTreeMap<String, String>,
}

/// Why WIT files could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DocumentationError(String);

impl Documentation {
    /// Reads the comments of a folder of WIT files, or of one file. Interfaces of the `wasi` namespace are left out.
    pub fn of_wit(path: &Path) -> Result<Self, DocumentationError> {
        let mut resolve = Resolve::default();
        resolve.push_path(path).map_err(|error| DocumentationError(format!("{error:#}")))?;
        let mut documentation = Self::default();
        visit(&mut resolve, |interface, item, docs| {
            let Some(text) = docs.contents.as_ref().map(|text| text.trim()).filter(|text| !text.is_empty()) else {
                return;
            };
            if interface.starts_with("wasi:") {
                return;
            }
            let entry = documentation.interfaces.entry(interface.to_owned()).or_default();
            match item {
                "" => entry.docs = Some(text.to_owned()),
                item => {
                    entry.items.insert(item.to_owned(), text.to_owned());
                }
            }
        });
        Ok(documentation)
    }

    /// The bytes of the custom section.
    pub fn to_section(&self) -> Result<Vec<u8>, DocumentationError> {
        let json = serde_json::to_vec(self).map_err(|error| DocumentationError(error.to_string()))?;
        if json.len() > SECTION_BYTES_MAX {
            return Err(DocumentationError(format!(
                "{} bytes of documentation are over the limit of {SECTION_BYTES_MAX}",
                json.len()
            )));
        }
        Ok(json)
    }

    pub(crate) fn from_section(text: &str) -> Result<Self, String> {
        if text.len() > SECTION_BYTES_MAX {
            return Err(format!("{} bytes are over the limit of {SECTION_BYTES_MAX}", text.len()));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// Puts the comments where a resolved component has none.
    pub(crate) fn apply(&self, resolve: &mut Resolve) {
        visit(resolve, |interface, item, docs| {
            let Some(entry) = self.interfaces.get(interface) else { return };
            let text = if item.is_empty() { entry.docs.as_ref() } else { entry.items.get(item) };
            if docs.contents.is_none()
                && let Some(text) = text
            {
                docs.contents = Some(text.clone());
            }
        });
    }
}

/// Calls `found` with every place for documentation: interface, item in it, docs.
fn visit(resolve: &mut Resolve, mut found: impl FnMut(&str, &str, &mut Docs)) {
    let names: Vec<Option<String>> = resolve.interfaces.iter().map(|(id, _)| resolve.id_of(id)).collect();
    for ((_, interface), name) in resolve.interfaces.iter_mut().zip(&names) {
        let Some(name) = name else { continue };
        visit_interface(interface, name, &mut found);
        for (type_name, id) in &interface.types {
            if let Some(def) = resolve.types.get_mut(*id) {
                visit_type(def, name, type_name, &mut found);
            }
        }
    }
    for (_, world) in resolve.worlds.iter_mut() {
        for item in world.exports.values_mut() {
            if let WorldItem::Function(function) = item {
                found("", &function.name, &mut function.docs);
            }
        }
    }
}

fn visit_interface(interface: &mut Interface, name: &str, found: &mut impl FnMut(&str, &str, &mut Docs)) {
    found(name, "", &mut interface.docs);
    for function in interface.functions.values_mut() {
        found(name, &function.name, &mut function.docs);
    }
}

fn visit_type(def: &mut TypeDef, interface: &str, name: &str, found: &mut impl FnMut(&str, &str, &mut Docs)) {
    found(interface, name, &mut def.docs);
    let mut member = |member: &str, docs: &mut Docs| found(interface, &format!("{name}.{member}"), docs);
    match &mut def.kind {
        TypeDefKind::Record(record) => record.fields.iter_mut().for_each(|field| member(&field.name, &mut field.docs)),
        TypeDefKind::Variant(variant) => variant.cases.iter_mut().for_each(|case| member(&case.name, &mut case.docs)),
        TypeDefKind::Enum(cases) => cases.cases.iter_mut().for_each(|case| member(&case.name, &mut case.docs)),
        TypeDefKind::Flags(flags) => flags.flags.iter_mut().for_each(|flag| member(&flag.name, &mut flag.docs)),
        _ => {}
    }
}
