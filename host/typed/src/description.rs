//! What is known of a version from its bytes alone.

use crate::types::{Param, Type, Types};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
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
    /// Bytes that its largest memory has from the beginning.
    #[serde(default)]
    pub memory_bytes_min: u64,
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

/// Why a name leads to no interface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoInterface {
    /// None goes by it.
    #[error("no interface goes by this name")]
    Unknown,
    /// Several do, whose full names these are.
    #[error("the name means {}: name one of them in full", .0.join(" and "))]
    Ambiguous(Vec<String>),
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
    pub fn interface(&self, name: &str) -> Result<&Interface, NoInterface> {
        if let Some(exact) = self.interfaces.iter().find(|interface| interface.name.as_deref() == Some(name)) {
            return Ok(exact);
        }
        let mut named = self.interfaces.iter().filter(|interface| interface.is_named(name));
        match (named.next(), named.next()) {
            (None, _) => Err(NoInterface::Unknown),
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => Err(NoInterface::Ambiguous(self.named(|interface| interface.is_named(name)))),
        }
    }

    /// Short names that mean several interfaces, each with the full names of those.
    pub fn ambiguous_names(&self) -> Vec<(&str, Vec<String>)> {
        let shorts: BTreeSet<_> = self.interfaces.iter().filter_map(Interface::short_name).collect();
        let meant = |short| self.named(|interface| interface.short_name() == Some(short));
        shorts.into_iter().map(|short| (short, meant(short))).filter(|(_, names)| names.len() > 1).collect()
    }

    fn named(&self, is_meant: impl Fn(&Interface) -> bool) -> Vec<String> {
        self.interfaces.iter().filter(|interface| is_meant(interface)).filter_map(|one| one.name.clone()).collect()
    }

    /// The function of this name in this interface, or of the world itself.
    pub fn function(&self, interface: Option<&str>, function: &str) -> Option<&Function> {
        let interface = match interface {
            Some(name) => self.interface(name).ok()?,
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

    fn exporting(names: &[&str]) -> Description {
        let interface = |name: &&str| Interface { name: Some((*name).to_owned()), docs: None, functions: vec![] };
        Description {
            manifest: None,
            imports: vec![],
            asynchronous: false,
            memory_bytes_min: 0,
            interfaces: names.iter().map(interface).collect(),
            types: Types::default(),
            producers: BTreeMap::new(),
            metadata: BTreeMap::new(),
            wit: String::new(),
        }
    }

    #[test]
    fn a_name_that_means_several_is_none() {
        let names = ["acme:shop/cart@1.0.0", "acme:shop/cart@2.0.0", "zeta:shop/cart", "zeta:shop/till"];
        let description = exporting(&names);
        let found = |name| description.interface(name).map(|found| found.name.clone().unwrap());
        for name in ["acme:shop/cart@2.0.0", "zeta:shop/cart"] {
            assert_eq!(found(name), Ok(name.to_owned()));
        }
        assert_eq!(found("till"), Ok("zeta:shop/till".to_owned()));
        let several = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(found("cart"), Err(NoInterface::Ambiguous(several(&names[..3]))));
        assert_eq!(found("acme:shop/cart"), Err(NoInterface::Ambiguous(several(&names[..2]))));
        assert_eq!(found("bill"), Err(NoInterface::Unknown));
        assert_eq!(description.ambiguous_names(), [("cart", several(&names[..3]))]);
    }

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
