//! wit-component's own check, made to answer for callers.
//!
//! `semver_check` answers whether what was built for one world runs in a host of a later one: it allows more imports and fewer
//! exports. For callers it is the other way round, so that the worlds change places, and the earlier one is given all imports
//! of the later one: what a component imports is between it and its host.

use super::{Comparison, function_of, interface_of};
use std::collections::{HashMap, HashSet};
use wit_parser::{InterfaceId, PackageId, PackageName, Type, TypeDefKind, TypeId, TypeOwner, WorldId};

/// Whether the later component can stand wherever the earlier one stood; if not, why.
///
/// It is not asked where one interface is imported and exported, by one world or by the two: which of the two a type comes from
/// then makes it another type to `semver_check`, though callers see no difference.
pub(super) fn check(mut comparison: Comparison) -> Result<(), String> {
    if comparison.passes_on() {
        return Ok(());
    }
    comparison.share_imports();
    comparison.rename_packages();
    let Comparison { resolve, earlier, later, .. } = comparison;
    wit_component::semver_check(resolve, later, earlier).map_err(|error| format!("{error:#}"))
}

impl Comparison {
    /// Whether an interface is among the imports and among the exports.
    fn passes_on(&self) -> bool {
        let worlds = [self.earlier, self.later];
        let imported: HashSet<_> = worlds.into_iter().flat_map(|world| self.imports_of(world)).collect();
        let exported = worlds.into_iter().flat_map(|world| self.exported(world));
        exported.map(|id| self.interface_name(id).0).any(|name| imported.contains(&name))
    }

    /// Gives both worlds the same imports: the later one's, and what else the earlier one's exports refer to.
    fn share_imports(&mut self) {
        let successors = self.successors();
        self.use_successors(&successors);
        // Exports never refer to functions that the world imports.
        let Some(later) = self.resolve.worlds.get_mut(self.later) else { return };
        later.imports.retain(|_, item| function_of(item).is_none());
        let mut shared = later.imports.clone();
        let Some(earlier) = self.resolve.worlds.get_mut(self.earlier) else { return };
        let own = earlier.imports.iter().filter(|(_, item)| match interface_of(item) {
            Some(id) => !successors.contains_key(&id),
            None => function_of(item).is_none(),
        });
        shared.extend(own.map(|(key, item)| (key.clone(), item.clone())));
        earlier.imports = shared;
    }

    /// The later world's import in the place of each import of the earlier one.
    fn successors(&self) -> HashMap<InterfaceId, InterfaceId> {
        let [earlier, later] = [self.earlier, self.later].map(|world| {
            let imports = self.resolve.worlds.get(world).into_iter().flat_map(|world| &world.imports);
            self.named(imports)
        });
        let found = earlier.iter().filter_map(|import| {
            let same = later.iter().find(|other| other.full() == import.full());
            let successor = same.or_else(|| later.iter().find(|other| other.succeeds(import)))?;
            Some((interface_of(import.item)?, interface_of(successor.item)?))
        });
        found.collect()
    }

    /// Types that the earlier exports use of an imported interface become those of the later one. They are the same: the
    /// search has set them side by side.
    fn use_successors(&mut self, successors: &HashMap<InterfaceId, InterfaceId>) {
        let interfaces = &self.resolve.interfaces;
        let types = &self.resolve.types;
        let successor = |target: TypeId| {
            let def = types.get(target)?;
            let TypeOwner::Interface(owner) = def.owner else { return None };
            interfaces.get(*successors.get(&owner)?)?.types.get(def.name.as_deref()?).copied()
        };
        let changed = types.iter().filter_map(|(id, def)| match def.kind {
            TypeDefKind::Type(Type::Id(target)) => Some((id, successor(target)?)),
            _ => None,
        });
        let changed = changed.collect::<Vec<_>>();
        for (id, target) in changed {
            if let Some(def) = self.resolve.types.get_mut(id) {
                def.kind = TypeDefKind::Type(Type::Id(target));
            }
        }
    }

    /// Takes versions out of the names, which `semver_check` would do in a way that lets two versions of one package clash:
    /// what is exported keeps its line, what is only imported is told apart by number.
    fn rename_packages(&mut self) {
        let root = |world| self.resolve.worlds.get(world)?.package;
        let roots: HashSet<_> = [self.earlier, self.later].into_iter().filter_map(root).collect();
        let exported = |world| {
            let packages = self.exported(world).filter_map(|id| self.resolve.interfaces.get(id)?.package);
            packages.collect::<HashSet<PackageId>>()
        };
        let (earlier, later) = (exported(self.earlier), exported(self.later));
        let mut renamed = HashMap::new();
        for (index, (id, own)) in self.names.iter().enumerate() {
            let versioned = || {
                let successors = later.iter().filter_map(|id| self.names.get(id));
                let mut named_alike =
                    successors.filter(|name| name.namespace == own.namespace && name.name == own.name);
                match own.version.is_none() && earlier.contains(id) {
                    true => named_alike.next().unwrap_or(own),
                    false => own,
                }
            };
            let name = match (roots.contains(id), earlier.contains(id) || later.contains(id)) {
                (true, _) => own.name.clone(),
                (_, true) => format!("{}{}", own.name, line_word(versioned())),
                _ => format!("{}-x{index}", own.name),
            };
            renamed.insert(*id, PackageName { namespace: own.namespace.clone(), name, version: None });
        }
        for (id, package) in self.resolve.packages.iter_mut() {
            if let Some(name) = renamed.remove(&id) {
                package.name = name;
            }
        }
    }

    /// The imported interfaces, without their versions.
    fn imports_of(&self, world: WorldId) -> impl Iterator<Item = String> {
        let imports = self.resolve.worlds.get(world).into_iter().flat_map(|world| world.imports.values());
        imports.filter_map(|item| interface_of(item).map(|id| self.interface_name(id).0))
    }

    fn exported(&self, world: WorldId) -> impl Iterator<Item = InterfaceId> {
        self.exports_of(world).filter_map(|(_, item)| interface_of(item))
    }
}

/// `-v1`, `-v0v2`, or nothing without a version.
fn line_word(name: &PackageName) -> String {
    let line = name.version.as_ref().map(PackageName::version_compat_track_string);
    let letters = |line: String| line.replace(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit(), "v");
    line.map(|line| format!("-v{}", letters(line))).unwrap_or_default()
}
