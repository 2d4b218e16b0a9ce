//! Puts a component's imports that no host gives out of its reach: inside the component, every function of theirs traps.
//!
//! CPython's libc imports sockets whether or not a program opens one. The stub is a component of its own, made from the types of
//! the imports, and takes their place in the section where they stood. Everything else is copied.

use anyhow::{Context as _, Result, bail};
use indexmap::IndexMap;
use std::collections::HashSet;
use std::convert::Infallible;
use wasm_encoder::reencode::{self, Reencode, ReencodeComponent};
use wasm_encoder::{
    Alias, Component, ComponentAliasSection, ComponentExportKind, ComponentExportSection, ComponentImportSection,
    ComponentInstanceSection, ComponentSectionId, RawSection,
};
use wasmparser::{
    ComponentAlias, ComponentAliasSectionReader, ComponentExportSectionReader, ComponentExternalKind, ComponentImport,
    ComponentImportSectionReader, ComponentTypeRef, CustomSectionReader, KnownCustom, Parser, Payload, Validator,
    WasmFeatures,
};
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding};
use wit_parser::{InterfaceId, LiftLowerAbi, ManglingAndAbi, Resolve, WorldId, WorldItem};

/// The component with its imports of the package answered by traps, and without the export.
pub(crate) fn stub(component: &[u8], package: &str, export: &str) -> Result<Vec<u8>> {
    let stub = Stub::new(component, package)?;
    let mut rewritten = Component::new();
    let mut rewriter = Rewriter { stub, export, instances: 0, stub_instance: None, dropped: None };
    let parsed = rewriter.parse_component(&mut rewritten, Parser::new(0), component);
    parsed.map_err(|error| anyhow::anyhow!("the component cannot be rewritten: {error}"))?;
    let bytes = rewritten.finish();
    let valid = Validator::new_with_features(WasmFeatures::default()).validate_all(&bytes);
    valid.context("the component is of a form that cannot be rewritten")?;
    Ok(bytes)
}

/// A component that exports interfaces of which every function traps.
struct Stub {
    component: Vec<u8>,
    /// What it exports, by full name.
    exports: Vec<String>,
    /// What it imports for its types, by full name; each with the instance, once that is known.
    imports: Vec<(String, Option<u32>)>,
}

impl Stub {
    fn new(component: &[u8], package: &str) -> Result<Self> {
        let DecodedWasm::Component(mut resolve, id) = wit_component::decode(component)? else {
            bail!("the compiler gave no component");
        };
        let world = resolve.worlds.get_mut(id).context("the component has no world")?;
        world.exports.clear();
        let imports = std::mem::take(&mut world.imports);
        let (exports, mut imports): (IndexMap<_, _>, IndexMap<_, _>) =
            imports.into_iter().partition(|(key, _)| resolve.name_world_key(key).starts_with(&format!("{package}/")));
        let needed = interfaces_below(&resolve, exports.values());
        imports.retain(|_, item| interface(item).is_some_and(|id| needed.contains(&id)));
        let names = exports.keys().map(|key| resolve.name_world_key(key)).collect();
        let world = resolve.worlds.get_mut(id).context("the component has no world")?;
        (world.exports, world.imports) = (exports, imports);
        let component = traps(&resolve, id)?;
        let imports = imports_of(&component)?.into_iter().map(|name| (name, None)).collect();
        Ok(Self { component, exports: names, imports })
    }
}

fn interface(item: &WorldItem) -> Option<InterfaceId> {
    match item {
        WorldItem::Interface { id, .. } => Some(*id),
        _ => None,
    }
}

/// The interfaces whose types these use, and those whose types they use.
fn interfaces_below<'a>(resolve: &Resolve, items: impl Iterator<Item = &'a WorldItem>) -> HashSet<InterfaceId> {
    let mut below = HashSet::new();
    let mut open: Vec<_> = items.filter_map(interface).collect();
    while let Some(next) = open.pop() {
        open.extend(resolve.interface_direct_deps(next).filter(|id| below.insert(*id)));
    }
    below
}

/// A component for the world of which every function traps.
fn traps(resolve: &Resolve, world: WorldId) -> Result<Vec<u8>> {
    let abi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);
    let mut module = wit_component::dummy_module(resolve, world, abi);
    wit_component::embed_component_metadata(&mut module, resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.encode()
}

fn imports_of(component: &[u8]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(component) {
        match payload? {
            Payload::ComponentImportSection(section) => {
                for import in section {
                    names.push(import?.name.name.to_owned());
                }
            }
            // What follows is inside.
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => break,
            _ => {}
        }
    }
    Ok(names)
}

/// Copies a component around its stub. Indices of instances and components after the stub's are one higher; those of instances
/// after the dropped export, which had one itself, are one lower.
struct Rewriter<'a> {
    stub: Stub,
    export: &'a str,
    /// Instances of the original that were met so far.
    instances: u32,
    /// The index of the stub's instance.
    stub_instance: Option<u32>,
    /// The original's index of the dropped export, and of the instance that was exported.
    dropped: Option<(u32, u32)>,
}

impl Rewriter<'_> {
    /// The component's own imports, and aliases of the stub's exports in place of the others.
    fn imports(&mut self, to: &mut Component, section: ComponentImportSectionReader<'_>) -> Result<(), Failure> {
        for import in section {
            let import = import?;
            let is_instance = matches!(import.ty, ComponentTypeRef::Instance(_));
            let name = import.name.name;
            if is_instance && self.stub.exports.iter().any(|export| export == name) {
                let instance = self.stub_instance(to);
                let alias = Alias::InstanceExport { instance, kind: ComponentExportKind::Instance, name };
                to.section(ComponentAliasSection::new().alias(alias));
            } else {
                self.keep_import(to, import)?;
            }
            self.instances += u32::from(is_instance);
        }
        Ok(())
    }

    fn keep_import(&mut self, to: &mut Component, import: ComponentImport<'_>) -> Result<(), Failure> {
        let known = self.stub.imports.iter_mut().find(|(name, _)| name == import.name.name);
        let instance = self.instances + u32::from(self.stub_instance.is_some());
        known.into_iter().for_each(|(_, at)| *at = Some(instance));
        let ty = self.component_type_ref(import.ty)?;
        to.section(ComponentImportSection::new().import(import.name, ty));
        Ok(())
    }

    /// Makes the stub and its instance before the first use. Imports that it stands on came before those it replaces.
    fn stub_instance(&mut self, to: &mut Component) -> u32 {
        if let Some(instance) = self.stub_instance {
            return instance;
        }
        to.section(&RawSection { id: ComponentSectionId::Component.into(), data: &self.stub.component });
        let given =
            self.stub.imports.iter().filter_map(|(name, at)| Some((name, ComponentExportKind::Instance, (*at)?)));
        let given: Vec<_> = given.collect();
        to.section(ComponentInstanceSection::new().instantiate(0, given));
        *self.stub_instance.insert(self.instances)
    }

    fn exports(&mut self, to: &mut Component, section: ComponentExportSectionReader<'_>) -> Result<(), Failure> {
        for export in section {
            let export = export?;
            let is_instance = export.kind == ComponentExternalKind::Instance;
            if is_instance && export.name.name == self.export {
                self.dropped = Some((self.instances, export.index));
            } else {
                let mut exports = ComponentExportSection::new();
                self.parse_component_export(&mut exports, export)?;
                to.section(&exports);
            }
            self.instances += u32::from(is_instance);
        }
        Ok(())
    }

    fn count_aliases(&mut self, section: ComponentAliasSectionReader<'_>) -> Result<(), Failure> {
        for alias in section {
            let kind = ComponentExternalKind::Instance;
            self.instances +=
                u32::from(matches!(alias?, ComponentAlias::InstanceExport { kind: of, .. } if of == kind));
        }
        Ok(())
    }
}

type Failure = reencode::Error<Infallible>;

impl Reencode for Rewriter<'_> {
    type Error = Infallible;
}

impl ReencodeComponent for Rewriter<'_> {
    fn component_instance_index(&mut self, index: u32) -> u32 {
        let index = match self.dropped {
            Some((dropped, of)) if index == dropped => of,
            Some((dropped, _)) if index > dropped => index - 1,
            _ => index,
        };
        index + u32::from(self.stub_instance.is_some_and(|stub| index >= stub))
    }

    fn component_index(&mut self, index: u32) -> u32 {
        index + u32::from(self.stub_instance.is_some())
    }

    fn parse_component_payload(
        &mut self,
        to: &mut Component,
        payload: Payload<'_>,
        whole: &[u8],
    ) -> Result<(), Failure> {
        match payload {
            Payload::ComponentImportSection(section) => self.imports(to, section),
            Payload::ComponentExportSection(section) => self.exports(to, section),
            // What is inside is copied as it is.
            Payload::ModuleSection { unchecked_range, .. } => {
                let data = whole.get(unchecked_range).unwrap_or_default();
                to.section(&RawSection { id: ComponentSectionId::CoreModule.into(), data });
                Ok(())
            }
            Payload::ComponentSection { unchecked_range, .. } => {
                let data = whole.get(unchecked_range).unwrap_or_default();
                to.section(&RawSection { id: ComponentSectionId::Component.into(), data });
                Ok(())
            }
            other => {
                match &other {
                    Payload::ComponentInstanceSection(section) => self.instances += section.count(),
                    Payload::ComponentAliasSection(section) => self.count_aliases(section.clone())?,
                    _ => {}
                }
                reencode::component_utils::parse_component_payload(self, to, other, whole)
            }
        }
    }

    fn parse_component_custom_section(
        &mut self,
        to: &mut Component,
        section: CustomSectionReader<'_>,
    ) -> Result<(), Failure> {
        // Names go by index.
        if !matches!(section.as_known(), KnownCustom::ComponentName(_)) {
            to.section(&self.custom_section(section)?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT: &str = r#"(component
        (import "acme:base/things@1.0.0" (instance $things (export "thing" (type (sub resource)))))
        (alias export $things "thing" (type $thing))
        (import "acme:net/pipes@1.0.0" (instance $pipes
            (alias outer 1 $thing (type $outer))
            (export "thing" (type $own (eq $outer)))
            (export "open" (func (param "to" (borrow $own)) (result u32)))))
        (import "acme:base/clock@1.0.0" (instance $clock (export "now" (func (result u32)))))
        (core module $module (import "" "now" (func (result i32))) (func (export "number") (result i32) call 0))
        (core func $now (canon lower (func $clock "now")))
        (core instance $instance (instantiate $module (with "" (instance (export "now" (func $now))))))
        (func $number (result u32) (canon lift (core func $instance "number")))
        (instance $numbers (export "number" (func $number)))
        (export "exports" (instance $numbers))
        (instance $again (export "number" (func $number)))
        (export "acme:own/numbers@1.0.0" (instance $again)))"#;

    /// Names of what a component imports and exports.
    fn world(component: &[u8]) -> (Vec<String>, Vec<String>) {
        let DecodedWasm::Component(resolve, world) = wit_component::decode(component).unwrap() else { unreachable!() };
        let world = &resolve.worlds[world];
        let names = |items: &IndexMap<_, _>| items.keys().map(|key| resolve.name_world_key(key)).collect();
        (names(&world.imports), names(&world.exports))
    }

    #[test]
    fn what_is_stubbed_is_no_import_any_more_and_all_else_stays() {
        let component = wat::parse_str(COMPONENT).unwrap();
        let (imports, exports) = world(&stub(&component, "acme:net", "exports").unwrap());
        assert_eq!(imports, ["acme:base/things@1.0.0", "acme:base/clock@1.0.0"]);
        assert_eq!(exports, ["acme:own/numbers@1.0.0"]);
    }

    #[test]
    fn a_component_without_such_imports_stays_as_it_is() {
        let component = wat::parse_str(COMPONENT).unwrap();
        assert_eq!(world(&stub(&component, "acme:other", "nothing").unwrap()), world(&component));
    }
}
