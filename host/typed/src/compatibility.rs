//! Whether callers of one version can go on with a later one: their worlds compared by type.
//!
//! A caller loses an export that is gone and one whose types are others. Types are compared as the component model does, by
//! structure and by name: every exported interface must still have its functions and named types, each exactly as it was.
//! More exports, and other imports, take nothing from a caller. Versions of WIT packages may rise within their line.
//!
//! What is found is told item by item in WIT. Where nothing is found, wit-component's own check has the last word.

mod lost;
mod verdict;
mod words;

use semver::Version;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::thread;
use wares_model::limits::REASON_BYTES_MAX;
use wares_model::line::Step;
use wit_parser::{Function, InterfaceId, PackageId, PackageName, Resolve, WorldId, WorldItem, WorldKey};

/// Types nest as deep as a component's bytes allow, and so does what walks over them.
const STACK_BYTES: usize = 64 << 20;
/// Lines of a report.
const LINES_MAX: usize = 80;
/// Characters of one of them.
const LINE_CHARS_MAX: usize = 240;

/// What differs between the worlds of two versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changes {
    /// Exports that are gone or others, by the interface that has them.
    #[serde(default)]
    pub lost: Vec<Lost>,
    /// Functions that callers of the earlier version can no longer call as they do: `ns:pkg/interface#function`.
    #[serde(default)]
    pub functions_lost: Vec<String>,
    /// Interfaces and functions that only the later version exports.
    #[serde(default)]
    pub added: Vec<String>,
    /// What only the later version imports.
    #[serde(default)]
    pub imports_added: Vec<String>,
    /// What only the earlier version imports.
    #[serde(default)]
    pub imports_removed: Vec<String>,
}

/// What is lost at one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    /// The interface, or `world` for what the world itself exports.
    pub place: String,
    /// WIT of what was, after `-`, and of what is, after `+`.
    pub diff: Vec<String>,
}

/// Two texts that cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("the two versions cannot be compared: {0}")]
pub struct CompareError(String);

impl CompareError {
    /// What differs is too much to be told.
    pub fn too_long() -> Self {
        Self("they differ in more than can be told".to_owned())
    }
}

/// Compares the WIT of two components, as [`crate::Description::wit`] has it.
///
/// It takes milliseconds for a usual component and may take much longer for a hostile one, within the bounds that
/// [`crate::describe()`] sets: not for a thread that others wait for.
pub fn compare(earlier: &str, later: &str) -> Result<Changes, CompareError> {
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("compare".to_owned()).stack_size(STACK_BYTES);
        let worker = worker.spawn_scoped(scope, || Comparison::read(earlier, later)?.changes());
        let worker = worker.map_err(|error| CompareError(format!("no thread: {error}")))?;
        // wit-parser asserts what WIT tools never produce; the texts are anybody's.
        let compared = worker.join();
        let compared =
            compared.unwrap_or_else(|_| Err(CompareError("their WIT uses what the tools have no words for".into())));
        compared.map_err(|CompareError(mut reason)| {
            reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
            CompareError(reason)
        })
    })
}

impl Changes {
    /// How far the later version's number has to move from the earlier one's.
    pub fn step(&self) -> Step {
        match (self.lost.is_empty(), self.added.is_empty()) {
            (false, _) => Step::Major,
            (true, false) => Step::Minor,
            (true, true) => Step::Patch,
        }
    }

    /// What callers lose, for people: places, then WIT with `-` and `+`, then the functions. Empty if they lose nothing.
    pub fn report(&self) -> String {
        let mut lines = Vec::new();
        for Lost { place, diff } in &self.lost {
            lines.push(place.clone());
            lines.extend(diff.iter().map(|line| format!("  {line}")));
        }
        if !self.functions_lost.is_empty() {
            lines.push("callers lose".to_owned());
            lines.extend(self.functions_lost.iter().map(|function| format!("  {function}")));
        }
        let left_out = lines.len().saturating_sub(LINES_MAX);
        lines.truncate(LINES_MAX);
        lines.extend((left_out > 0).then(|| format!("and {left_out} lines more")));
        for line in &mut lines {
            if let Some((end, _)) = line.char_indices().nth(LINE_CHARS_MAX) {
                line.truncate(end);
                line.push('…');
            }
        }
        lines.join("\n")
    }
}

/// Both worlds, in one set of ids.
struct Comparison {
    resolve: Resolve,
    /// What the packages are called in their own texts; in `resolve` the earlier ones have other names.
    names: HashMap<PackageId, PackageName>,
    earlier: WorldId,
    later: WorldId,
}

/// A world's export or import by the name that a caller or a host finds it under.
struct Named<'a> {
    /// Without a version.
    name: String,
    version: Option<Version>,
    item: &'a WorldItem,
}

impl Comparison {
    fn read(earlier: &str, later: &str) -> Result<Self, CompareError> {
        let mut resolve = Resolve::default();
        let mut names = HashMap::new();
        let earlier = push(&mut resolve, "earlier", earlier)?;
        // Out of the way of the later ones, which have the same names.
        for (id, package) in resolve.packages.iter_mut() {
            names.insert(id, package.name.clone());
            package.name.namespace = format!("earlier-{}", package.name.namespace);
        }
        resolve.package_names = resolve.packages.iter().map(|(id, package)| (package.name.clone(), id)).collect();
        let later = push(&mut resolve, "later", later)?;
        for (id, package) in resolve.packages.iter() {
            names.entry(id).or_insert_with(|| package.name.clone());
        }
        Ok(Self { resolve, names, earlier, later })
    }

    fn changes(self) -> Result<Changes, CompareError> {
        let (imports_added, imports_removed) = self.imports();
        let mut changes = Changes { imports_added, imports_removed, ..self.exports() };
        if changes.lost.is_empty()
            && let Err(refusal) = verdict::check(self)
        {
            changes.lost.push(Lost { place: "world".to_owned(), diff: refusal.lines().map(str::to_owned).collect() });
        }
        Ok(changes)
    }

    /// What is lost and what is added among the exports.
    fn exports(&self) -> Changes {
        let [earlier, later] = [self.earlier, self.later].map(|world| self.named(self.exports_of(world)));
        let mut search = lost::Search::new(self);
        let mut kept = vec![false; later.len()];
        for export in &earlier {
            let successor = later.iter().position(|other| other.succeeds(export));
            match successor.and_then(|index| Some((kept.get_mut(index)?, later.get(index)?))) {
                None => search.gone(export),
                Some((kept, successor)) => {
                    *kept = true;
                    search.compare(export, successor);
                }
            }
        }
        for (export, _) in later.iter().zip(kept).filter(|(_, kept)| !kept) {
            search.added(export);
        }
        search.end(&earlier)
    }

    /// Names of imports that only the later and only the earlier world has.
    fn imports(&self) -> (Vec<String>, Vec<String>) {
        let imports = |world: WorldId| {
            let imports = self.resolve.worlds.get(world).into_iter().flat_map(|world| &world.imports);
            let asks = imports.filter(|(_, item)| !matches!(item, WorldItem::Type { .. }));
            self.named(asks).iter().map(Named::full).collect::<Vec<_>>()
        };
        let (earlier, later) = (imports(self.earlier), imports(self.later));
        let without = |names: &[String], others: &[String]| {
            names.iter().filter(|name| !others.contains(name)).cloned().collect::<Vec<_>>()
        };
        (without(&later, &earlier), without(&earlier, &later))
    }

    fn exports_of(&self, world: WorldId) -> impl Iterator<Item = (&WorldKey, &WorldItem)> {
        self.resolve.worlds.get(world).into_iter().flat_map(|world| &world.exports)
    }

    fn named<'a>(&'a self, items: impl Iterator<Item = (&'a WorldKey, &'a WorldItem)>) -> Vec<Named<'a>> {
        let named = items.map(|(key, item)| {
            let (name, version) = match key {
                WorldKey::Name(name) => (name.clone(), None),
                WorldKey::Interface(id) => self.interface_name(*id),
            };
            Named { name, version, item }
        });
        named.collect()
    }

    /// `ns:pkg/interface` and the package's version.
    fn interface_name(&self, id: InterfaceId) -> (String, Option<Version>) {
        let Some(interface) = self.resolve.interfaces.get(id) else { return (String::new(), None) };
        let own = interface.name.as_deref().unwrap_or_default();
        match interface.package.and_then(|package| self.names.get(&package)) {
            None => (own.to_owned(), None),
            Some(package) => (format!("{}:{}/{own}", package.namespace, package.name), package.version.clone()),
        }
    }
}

impl Named<'_> {
    /// With its version.
    fn full(&self) -> String {
        match &self.version {
            None => self.name.clone(),
            Some(version) => format!("{}@{version}", self.name),
        }
    }

    /// Whether callers of `earlier` find this in its place.
    fn succeeds(&self, earlier: &Self) -> bool {
        self.name == earlier.name && rises(earlier.version.as_ref(), self.version.as_ref())
    }
}

/// Whether a package's version rises within its line, or is not named by those who knew the earlier one.
fn rises(earlier: Option<&Version>, later: Option<&Version>) -> bool {
    match (earlier, later) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(earlier), Some(later)) => {
            let line = PackageName::version_compat_track_string;
            line(earlier) == line(later) && earlier <= later
        }
    }
}

/// Adds a text's packages and finds its world.
fn push(resolve: &mut Resolve, which: &str, text: &str) -> Result<WorldId, CompareError> {
    let fail = |error| CompareError(format!("the {which} one's WIT: {error:#}"));
    let package = resolve.push_source(which, text).map_err(fail)?;
    resolve.select_world(&[package], None).map_err(fail)
}

/// The function of an item, if it is one.
fn function_of(item: &WorldItem) -> Option<&Function> {
    match item {
        WorldItem::Function(function) => Some(function),
        _ => None,
    }
}

/// The interface of an item, if it is one.
fn interface_of(item: &WorldItem) -> Option<InterfaceId> {
    match item {
        WorldItem::Interface { id, .. } => Some(*id),
        _ => None,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "it is what is tested")]
mod tests;
