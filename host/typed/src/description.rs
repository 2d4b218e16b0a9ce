//! What is known of a version from its bytes alone.

use crate::types::{Param, Type, Types};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use wares_model::Manifest;
use wares_model::interface::unversioned;

/// A component as its bytes describe it. Derived once, stored as JSON, used by all.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Description {
    /// The manifest, if one is embedded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Manifest>,
    /// Names of everything it imports, types alone left out: interfaces in full (`wasi:io/streams@0.2.6`), and functions of the
    /// world itself.
    pub imports: Vec<String>,
    /// Whether it uses asynchronous functions, streams or futures of the component model.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asynchronous: bool,
    /// Exported interfaces; functions exported by the world itself are in the one without a name.
    pub interfaces: Vec<Interface>,
    /// The types that the functions use.
    pub types: Types,
    /// What made it, by the fields of the `producers` section: `language`, `processed-by`, `sdk`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub producers: BTreeMap<String, Vec<Producer>>,
    /// Texts under their OCI names, where embedded: `authors`, `description`, `homepage`, `licenses`, `revision`, `source`, `version`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    pub(crate) wit: String,
}

/// A tool or language that took part in making a component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Producer {
    /// Its name.
    pub name: String,
    /// Its version; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
}

/// An exported interface.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Interface {
    /// Its full name, exactly as exported; none for the functions of the world itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// Its functions.
    pub functions: Vec<Function>,
}

/// An exported function.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Function {
    /// Its name, exactly as exported.
    pub name: String,
    /// Its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// Its parameters in order.
    pub params: Vec<Param>,
    /// The type of its result, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Type>,
    /// Why it cannot be called with JSON, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_callable: Option<String>,
}

impl Description {
    /// The exported interface of this name: short (`calc`), or in full with or without version (`ns:pkg/calc@1.0.0`, `ns:pkg/calc`).
    pub fn interface(&self, name: &str) -> Option<&Interface> {
        let exact = self.interfaces.iter().find(|interface| interface.name.as_deref() == Some(name));
        exact.or_else(|| self.interfaces.iter().find(|interface| interface.is_named(name)))
    }

    /// The function of this name in this interface, or of the world itself.
    pub fn function(&self, interface: Option<&str>, function: &str) -> Option<&Function> {
        let interface = match interface {
            Some(name) => self.interface(name)?,
            None => self.interfaces.iter().find(|interface| interface.name.is_none())?,
        };
        interface.functions.iter().find(|candidate| candidate.name == function)
    }

    /// The interface as WIT text: the component's world and all it refers to.
    pub fn wit(&self) -> &str {
        &self.wit
    }

    /// The ok and error types of a function, as an answer carries them: a top-level `result` is taken apart.
    pub(crate) fn outcome(&self, function: &Function) -> Outcome {
        match function.result.map(|ty| (ty, self.types.kind(ty))) {
            None => Outcome { ok: None, err: None, split: false },
            Some((_, Some(crate::types::TypeKind::Result { ok, err }))) => Outcome { ok: *ok, err: *err, split: true },
            Some((ty, _)) => Outcome { ok: Some(ty), err: None, split: false },
        }
    }
}

/// What a function's answer may be.
pub(crate) struct Outcome {
    pub(crate) ok: Option<Type>,
    pub(crate) err: Option<Type>,
    /// Whether the function returns a `result`, so that there is an error case.
    pub(crate) split: bool,
}

impl Interface {
    /// Whether it goes by this name: short (`calc`), or in full with or without version.
    pub fn is_named(&self, name: &str) -> bool {
        let Some(full) = self.name.as_deref() else { return false };
        full == name || unversioned(full) == name || self.short_name() == Some(name)
    }

    /// `calc` of `ns:pkg/calc@1.0.0`.
    pub fn short_name(&self) -> Option<&str> {
        let full = unversioned(self.name.as_deref()?);
        Some(full.rsplit_once('/').map_or(full, |(_, short)| short))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_goes_by_three_names() {
        let interface = Interface { name: Some("a:b/calc@1.0.0-rc.1".into()), docs: None, functions: vec![] };
        for (name, is) in [("calc", true), ("a:b/calc", true), ("a:b/calc@1.0.0-rc.1", true)].into_iter().chain([
            ("b/calc", false),
            ("a:b/calc@1.0.0", false),
            ("", false),
        ]) {
            assert_eq!(interface.is_named(name), is, "{name}");
        }
    }
}
