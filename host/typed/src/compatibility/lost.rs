//! The search for what callers of the earlier version lose.

use super::{Changes, Comparison, Lost, Named, function_of, interface_of, rises, words};
use std::collections::{HashMap, HashSet};
use wit_parser::{Function, Handle, Interface, InterfaceId, Type, TypeDefKind, TypeId, TypeOwner};

/// Where the world's own functions are.
const WORLD: &str = "world";

/// Goes over what both worlds export and notes what differs.
pub(super) struct Search<'a> {
    comparison: &'a Comparison,
    changes: Changes,
    /// Types of the earlier world that have been set beside their successor.
    seen: HashSet<TypeId>,
    /// Those of them that are others now, or gone.
    other: HashSet<TypeId>,
    /// Types still to be set side by side.
    open: Vec<(TypeId, TypeId)>,
    /// Functions that are gone or whose own line is another, by place and name.
    functions: HashSet<(String, String)>,
}

impl<'a> Search<'a> {
    pub(super) fn new(comparison: &'a Comparison) -> Self {
        let (seen, other, open, functions) = Default::default();
        Self { comparison, changes: Changes::default(), seen, other, open, functions }
    }

    /// An export that has no successor.
    pub(super) fn gone(&mut self, export: &Named<'_>) {
        match (interface_of(export.item), function_of(export.item)) {
            (Some(id), _) => {
                let functions = self.interface(id).into_iter().flat_map(|interface| interface.functions.values());
                let names = functions.map(|function| (export.name.clone(), function.name.clone()));
                self.functions.extend(names);
                self.note(&export.name, vec![format!("- export {}", export.full())]);
            }
            (_, Some(function)) => self.function_gone(WORLD, function),
            _ => {}
        }
    }

    /// An export that is new: an interface as a whole, or a function of the world itself.
    pub(super) fn added(&mut self, export: &Named<'_>) {
        self.changes.added.push(export.full());
    }

    /// An export and its successor.
    pub(super) fn compare(&mut self, was: &Named<'_>, is: &Named<'_>) {
        match (interface_of(was.item), interface_of(is.item)) {
            (Some(earlier), Some(later)) => {
                if let (Some(earlier), Some(later)) = (self.interface(earlier), self.interface(later)) {
                    self.interfaces(&was.name, earlier, later);
                }
            }
            (None, None) => {
                if let (Some(earlier), Some(later)) = (function_of(was.item), function_of(is.item)) {
                    self.function(WORLD, earlier, later);
                }
            }
            _ => self.gone(was),
        }
    }

    fn interfaces(&mut self, place: &str, earlier: &'a Interface, later: &'a Interface) {
        for (name, id) in &earlier.types {
            match later.types.get(name) {
                Some(successor) => self.open.push((*id, *successor)),
                None => {
                    self.other.insert(*id);
                    let text = self.comparison.type_text(*id);
                    self.note(place, text.lines().map(|line| format!("- {line}")).collect());
                }
            }
        }
        // A method that became a static function has another name in the binary, and the same one to a reader.
        let name = |function: &Function| self.comparison.function_name(function);
        let later: HashMap<_, _> = later.functions.values().map(|function| (name(function), function)).collect();
        let earlier: Vec<_> = earlier.functions.values().map(|function| (name(function), function)).collect();
        let known: HashSet<_> = earlier.iter().map(|(name, _)| name.as_str()).collect();
        let mut added: Vec<_> = later.keys().filter(|name| !known.contains(name.as_str())).collect();
        added.sort();
        let added: Vec<_> = added.into_iter().map(|name| format!("{place}#{name}")).collect();
        for (name, function) in &earlier {
            match later.get(name) {
                Some(successor) => self.function(place, function, successor),
                None => self.function_gone(place, function),
            }
        }
        self.changes.added.extend(added);
    }

    fn function(&mut self, place: &str, earlier: &Function, later: &Function) {
        let (was, is) = (self.comparison.function_text(earlier), self.comparison.function_text(later));
        if was != is {
            self.functions.insert((place.to_owned(), earlier.name.clone()));
            return self.note(place, words::diff(&was, &is));
        }
        let [earlier, later] = [earlier, later].map(|function| function.parameter_and_result_types().collect());
        self.beside(earlier, later);
    }

    /// Types of the same name are to be set side by side.
    fn beside(&mut self, earlier: Vec<Type>, later: Vec<Type>) {
        let name = |id: TypeId| self.comparison.resolve.types.get(id)?.name.as_deref();
        let later: HashMap<_, _> = self.comparison.named_types(later).into_iter().map(|id| (name(id), id)).collect();
        let earlier = self.comparison.named_types(earlier);
        let pairs: Vec<_> = earlier.into_iter().filter_map(|id| Some((id, *later.get(&name(id))?))).collect();
        self.open.extend(pairs);
    }

    fn function_gone(&mut self, place: &str, function: &Function) {
        self.functions.insert((place.to_owned(), function.name.clone()));
        self.note(place, vec![format!("- {}", self.comparison.function_text(function))]);
    }

    /// Sets types side by side until all that the exports refer to have been seen.
    fn types(&mut self) {
        while let Some((was, is)) = self.open.pop() {
            if !self.seen.insert(was) {
                continue;
            }
            let [earlier, later] = [was, is].map(|id| self.comparison.type_text(id));
            let (place, _) = self.comparison.owner_of(was);
            if earlier != later {
                self.other.insert(was);
                self.note(&place, words::diff(&earlier, &later));
            } else if let Some(line) = self.comparison.other_resource(was, is) {
                self.other.insert(was);
                self.note(&place, line);
            }
            let [earlier, later] = [was, is].map(|id| self.comparison.members(id));
            self.beside(earlier, later);
        }
    }

    /// All that was found; `exports` are the earlier world's.
    pub(super) fn end(mut self, exports: &[Named<'_>]) -> Changes {
        self.types();
        let mut reach = Reach { comparison: self.comparison, other: &self.other, known: HashMap::new() };
        let mut lost = Vec::new();
        for export in exports {
            let interface = interface_of(export.item).and_then(|id| self.interface(id));
            let own = function_of(export.item);
            let place = if own.is_some() { WORLD } else { &export.name };
            for function in interface.into_iter().flat_map(|interface| interface.functions.values()).chain(own) {
                let itself = self.functions.contains(&(place.to_owned(), function.name.clone()));
                if itself || reach.any(self.comparison.named_types(function.parameter_and_result_types())) {
                    lost.push(format!("{place}#{}", self.comparison.function_name(function)));
                }
            }
        }
        self.changes.functions_lost = lost;
        self.changes
    }

    fn interface(&self, id: InterfaceId) -> Option<&'a Interface> {
        self.comparison.resolve.interfaces.get(id)
    }

    fn note(&mut self, place: &str, diff: Vec<String>) {
        match self.changes.lost.iter_mut().find(|lost| lost.place == place) {
            Some(lost) => lost.diff.extend(diff),
            None => self.changes.lost.push(Lost { place: place.to_owned(), diff }),
        }
    }
}

/// Which types lead to one that is another now.
struct Reach<'a> {
    comparison: &'a Comparison,
    other: &'a HashSet<TypeId>,
    known: HashMap<TypeId, bool>,
}

impl Reach<'_> {
    fn any(&mut self, types: Vec<TypeId>) -> bool {
        types.into_iter().any(|id| self.one(id))
    }

    fn one(&mut self, id: TypeId) -> bool {
        if let Some(known) = self.known.get(&id) {
            return *known;
        }
        let members = self.comparison.named_types(self.comparison.members(id));
        let reached = self.other.contains(&id) || self.any(members);
        self.known.insert(id, reached);
        reached
    }
}

impl Comparison {
    /// Named types that these refer to by name, in order.
    fn named_types(&self, types: impl IntoIterator<Item = Type>) -> Vec<TypeId> {
        let mut found = Vec::new();
        let mut open: Vec<Type> = types.into_iter().collect();
        open.reverse();
        while let Some(ty) = open.pop() {
            let Type::Id(id) = ty else { continue };
            match self.resolve.types.get(id) {
                Some(def) if def.name.is_some() => found.push(id),
                _ => open.extend(self.members(id).into_iter().rev()),
            }
        }
        found
    }

    /// What a type is made of.
    fn members(&self, id: TypeId) -> Vec<Type> {
        let Some(def) = self.resolve.types.get(id) else { return Vec::new() };
        match &def.kind {
            TypeDefKind::Record(record) => record.fields.iter().map(|field| field.ty).collect(),
            TypeDefKind::Tuple(tuple) => tuple.types.clone(),
            TypeDefKind::Variant(variant) => variant.cases.iter().filter_map(|case| case.ty).collect(),
            TypeDefKind::Result(result) => result.ok.into_iter().chain(result.err).collect(),
            TypeDefKind::Option(ty)
            | TypeDefKind::List(ty)
            | TypeDefKind::FixedLengthList(ty, _)
            | TypeDefKind::Type(ty) => vec![*ty],
            TypeDefKind::Map(key, value) => vec![*key, *value],
            TypeDefKind::Future(ty) | TypeDefKind::Stream(ty) => ty.iter().copied().collect(),
            TypeDefKind::Handle(Handle::Own(id) | Handle::Borrow(id)) => vec![Type::Id(*id)],
            TypeDefKind::Resource | TypeDefKind::Flags(_) | TypeDefKind::Enum(_) | TypeDefKind::Unknown => Vec::new(),
        }
    }

    /// The interface that a named type is in.
    fn owner_of(&self, id: TypeId) -> (String, Option<semver::Version>) {
        match self.resolve.types.get(id).map(|def| def.owner) {
            Some(TypeOwner::Interface(interface)) => self.interface_name(interface),
            _ => (WORLD.to_owned(), None),
        }
    }

    /// A resource is the same only if it is of the same line of its interface.
    fn other_resource(&self, was: TypeId, is: TypeId) -> Option<Vec<String>> {
        let def = self.resolve.types.get(was).filter(|def| matches!(def.kind, TypeDefKind::Resource))?;
        let [(interface, earlier), (_, later)] = [was, is].map(|id| self.owner_of(id));
        let of = |version: Option<semver::Version>| {
            let version = version.map(|version| format!("@{version}")).unwrap_or_default();
            format!("resource {} of {interface}{version}", def.name.as_deref().unwrap_or_default())
        };
        let same = rises(earlier.as_ref(), later.as_ref());
        (!same).then(|| vec![format!("- {}", of(earlier)), format!("+ {}", of(later))])
    }
}
