//! The types of a validated component: WIT as wit-parser decodes it, reduced to what calls need.

use crate::describe::{DescribeError, at_most};
use crate::description::{Function, Interface};
use crate::documentation::Documentation;
use crate::program::{self, is_program};
use crate::types::{Case, Field, Label, NotOrdered, Type, TypeDef, TypeKind, Types};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wares_model::limits::{
    FUNCTIONS_MAX, INTERFACE_NAME_BYTES_MAX, INTERFACES_MAX, JSON_DEPTH_MAX, TYPES_MAX, WIT_BYTES_MAX,
};
use wit_component::{DecodedWasm, Output, OutputToString, WitPrinter};
use wit_parser::{Docs, FunctionKind, Handle, Resolve, TypeDefKind, TypeId, WorldId, WorldItem};

/// A component's exports and types.
pub(crate) struct Decoded {
    pub(crate) interfaces: Vec<Interface>,
    pub(crate) types: Types,
    pub(crate) wit: String,
}

/// Decodes a component that has been validated.
pub(crate) fn decode(wasm: &[u8], documentation: Option<&Documentation>) -> Result<Decoded, DescribeError> {
    // wit-parser asserts what WIT tools never produce but a valid component may hold (an instance that exports a module type,
    // the same interface under two names). The assertion unwinds out of values that only this call owns.
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_unguarded(wasm, documentation)));
    decoded.unwrap_or_else(|_| Err(DescribeError::NoWit("it uses exports that WIT has no words for".into())))
}

fn decode_unguarded(wasm: &[u8], documentation: Option<&Documentation>) -> Result<Decoded, DescribeError> {
    let decoded = wit_component::decode(wasm).map_err(|error| DescribeError::NoWit(format!("{error:#}")))?;
    let DecodedWasm::Component(mut resolve, world) = decoded else { return Err(DescribeError::WitPackage) };
    check_counts(&resolve, world)?;
    if let Some(documentation) = documentation {
        documentation.apply(&mut resolve);
    }
    let mut builder = Builder::new(&resolve, world)?;
    let interfaces = builder.interfaces(world)?;
    let types = builder.types;
    Ok(Decoded { interfaces, types, wit: wit_text(&resolve, world)? })
}

fn check_counts(resolve: &Resolve, world: WorldId) -> Result<(), DescribeError> {
    at_most("types", resolve.types.len(), TYPES_MAX)?;
    at_most("interfaces", resolve.interfaces.len(), INTERFACES_MAX)?;
    let exports = resolve.worlds.get(world).map(|world| &world.exports);
    let functions = exports.into_iter().flatten().map(|(_, item)| match item {
        WorldItem::Function(_) => 1,
        WorldItem::Interface { id, .. } => resolve.interfaces.get(*id).map_or(0, |interface| interface.functions.len()),
        WorldItem::Type { .. } => 0,
    });
    at_most("exported functions", functions.sum(), FUNCTIONS_MAX)?;
    let interfaces = resolve.interfaces.iter().flat_map(|(_, interface)| interface.functions.keys());
    let types = resolve.types.iter().filter_map(|(_, def)| def.name.as_ref());
    let longest = interfaces.chain(types).map(String::len).max().unwrap_or(0);
    at_most("bytes in the name of a function or type", longest, INTERFACE_NAME_BYTES_MAX)
}

/// What is known of a type besides its definition.
#[derive(Clone, Default)]
struct Measure {
    /// How it is referred to.
    ty: Option<Type>,
    /// Bytes of a reference to it in WIT, about: a name, or the whole of a type without name.
    text_bytes: usize,
    /// Levels of JSON that its deepest value has.
    json_depth: usize,
    /// The type in it that has no JSON form, if there is one.
    not_json: Option<String>,
}

struct Builder<'a> {
    resolve: &'a Resolve,
    /// The types that exported functions use; imports bring many others.
    used: HashSet<TypeId>,
    types: Types,
    measures: HashMap<TypeId, Measure>,
}

impl<'a> Builder<'a> {
    /// Takes over the types that are used. They are sorted by dependency, so nothing here recurses.
    fn new(resolve: &'a Resolve, world: WorldId) -> Result<Self, DescribeError> {
        let mut builder = Self {
            resolve,
            used: used_types(resolve, world),
            types: Types::default(),
            measures: HashMap::with_capacity(resolve.types.len()),
        };
        let mut text_bytes = 0usize;
        for (id, def) in resolve.types.iter() {
            let mut measure = Measure { text_bytes: 16, ..Measure::default() };
            for child in children(&def.kind) {
                measure.text_bytes = measure.text_bytes.saturating_add(builder.look_up(&child)?.text_bytes);
            }
            text_bytes = text_bytes.saturating_add(measure.text_bytes);
            at_most("bytes of types", text_bytes, WIT_BYTES_MAX)?;
            if builder.used.contains(&id) {
                builder.take_over(def, &mut measure)?;
            }
            if let Some(name) = &def.name {
                measure.text_bytes = name.len();
            }
            builder.measures.insert(id, measure);
        }
        for function in all_functions(resolve) {
            for ty in function.params.iter().map(|param| param.ty).chain(function.result) {
                text_bytes = text_bytes.saturating_add(builder.look_up(&ty)?.text_bytes);
                at_most("bytes of functions' types", text_bytes, WIT_BYTES_MAX)?;
            }
        }
        Ok(builder)
    }

    fn take_over(&mut self, def: &wit_parser::TypeDef, measure: &mut Measure) -> Result<(), DescribeError> {
        let kind = self.kind(def)?;
        let levels = match &kind {
            TypeKind::Option(_) | TypeKind::Alias(_) | TypeKind::Enum(_) | TypeKind::NotJson(_) => 0,
            TypeKind::Map(key, _) if self.types.peel(*key) != Type::String => 2,
            _ => 1,
        };
        measure.json_depth = levels;
        if let TypeKind::NotJson(what) = &kind {
            measure.not_json = Some(what.clone());
        }
        for child in children(&def.kind) {
            let child = self.look_up(&child)?;
            measure.json_depth = measure.json_depth.max(levels.saturating_add(child.json_depth));
            measure.not_json = measure.not_json.take().or_else(|| child.not_json.clone());
        }
        if let TypeKind::Option(inner) = &kind {
            measure.json_depth += usize::from(self.types.is_option(*inner));
        }
        measure.ty = Some(self.define(def, kind)?);
        Ok(())
    }

    /// Adds a definition, unless it only repeats another under the same name, as `use` does.
    fn define(&mut self, def: &wit_parser::TypeDef, kind: TypeKind) -> Result<Type, DescribeError> {
        if let (TypeKind::Alias(_), TypeDefKind::Type(target)) = (&kind, &def.kind) {
            let target = self.look_up(target)?.ty.unwrap_or(Type::Bool);
            let same_name = self.types.def(target).is_some_and(|target| target.name == def.name);
            if same_name || def.name.is_none() {
                return Ok(target);
            }
        }
        let def = TypeDef { name: def.name.clone(), docs: docs(&def.docs), kind };
        self.types.push(def).map_err(not_ordered)
    }

    fn kind(&self, def: &wit_parser::TypeDef) -> Result<TypeKind, DescribeError> {
        let option = |ty: &Option<wit_parser::Type>| ty.as_ref().map(|ty| self.ty(ty)).transpose();
        Ok(match &def.kind {
            TypeDefKind::Record(record) => {
                let field = |field: &wit_parser::Field| {
                    Ok(Field { name: field.name.clone(), ty: self.ty(&field.ty)?, docs: docs(&field.docs) })
                };
                TypeKind::Record(record.fields.iter().map(field).collect::<Result<_, DescribeError>>()?)
            }
            TypeDefKind::Variant(variant) => {
                let case = |case: &wit_parser::Case| {
                    Ok(Case { name: case.name.clone(), ty: option(&case.ty)?, docs: docs(&case.docs) })
                };
                TypeKind::Variant(variant.cases.iter().map(case).collect::<Result<_, DescribeError>>()?)
            }
            TypeDefKind::Enum(cases) => {
                TypeKind::Enum(cases.cases.iter().map(|case| label(&case.name, &case.docs)).collect())
            }
            TypeDefKind::Flags(flags) => {
                TypeKind::Flags(flags.flags.iter().map(|flag| label(&flag.name, &flag.docs)).collect())
            }
            TypeDefKind::Tuple(tuple) => {
                TypeKind::Tuple(tuple.types.iter().map(|ty| self.ty(ty)).collect::<Result<_, DescribeError>>()?)
            }
            TypeDefKind::List(element) => TypeKind::List(self.ty(element)?),
            TypeDefKind::FixedLengthList(element, length) => TypeKind::FixedLengthList(self.ty(element)?, *length),
            TypeDefKind::Map(key, value) => TypeKind::Map(self.ty(key)?, self.ty(value)?),
            TypeDefKind::Option(some) => TypeKind::Option(self.ty(some)?),
            TypeDefKind::Result(result) => TypeKind::Result { ok: option(&result.ok)?, err: option(&result.err)? },
            TypeDefKind::Type(wit_parser::Type::ErrorContext) => TypeKind::NotJson("error-context".into()),
            TypeDefKind::Type(target) => TypeKind::Alias(self.types.peel(self.ty(target)?)),
            TypeDefKind::Resource => TypeKind::NotJson("resource".into()),
            TypeDefKind::Handle(Handle::Own(id)) => TypeKind::NotJson(format!("own<{}>", self.name_of(*id))),
            TypeDefKind::Handle(Handle::Borrow(id)) => TypeKind::NotJson(format!("borrow<{}>", self.name_of(*id))),
            TypeDefKind::Future(_) => TypeKind::NotJson("future".into()),
            TypeDefKind::Stream(_) => TypeKind::NotJson("stream".into()),
            TypeDefKind::Unknown => TypeKind::NotJson("unknown type".into()),
        })
    }

    fn name_of(&self, id: TypeId) -> &str {
        self.resolve.types.get(id).and_then(|def| def.name.as_deref()).unwrap_or("resource")
    }

    fn ty(&self, ty: &wit_parser::Type) -> Result<Type, DescribeError> {
        let unknown = || DescribeError::NoWit("a type refers to one that is not declared before it".into());
        self.look_up(ty)?.ty.ok_or_else(unknown)
    }

    fn look_up(&self, ty: &wit_parser::Type) -> Result<Measure, DescribeError> {
        use wit_parser::Type as Wit;
        let primitive = match ty {
            Wit::Bool => Type::Bool,
            Wit::U8 => Type::U8,
            Wit::U16 => Type::U16,
            Wit::U32 => Type::U32,
            Wit::U64 => Type::U64,
            Wit::S8 => Type::S8,
            Wit::S16 => Type::S16,
            Wit::S32 => Type::S32,
            Wit::S64 => Type::S64,
            Wit::F32 => Type::F32,
            Wit::F64 => Type::F64,
            Wit::Char => Type::Char,
            Wit::String => Type::String,
            Wit::ErrorContext => return Err(DescribeError::NoWit("error-context is not supported".into())),
            Wit::Id(id) => {
                let known = self.measures.get(id).cloned();
                return known.ok_or_else(|| DescribeError::NoWit("a type refers to a later one".into()));
            }
        };
        Ok(Measure { ty: Some(primitive), text_bytes: 8, json_depth: 0, not_json: None })
    }

    fn interfaces(&mut self, world: WorldId) -> Result<Vec<Interface>, DescribeError> {
        let Some(world) = self.resolve.worlds.get(world) else { return Ok(Vec::new()) };
        let mut interfaces = Vec::new();
        let mut of_world = Vec::new();
        for (key, item) in &world.exports {
            match item {
                WorldItem::Function(function) => of_world.push(self.function(function)?),
                WorldItem::Interface { id, .. } => {
                    let Some(interface) = self.resolve.interfaces.get(*id) else { continue };
                    let name = self.resolve.name_world_key(key);
                    let mut functions = Vec::with_capacity(interface.functions.len());
                    for function in interface.functions.values() {
                        functions.push(match is_program(Some(&name), &function.name) {
                            false => self.function(function)?,
                            true => program::function(&mut self.types).map_err(not_ordered)?,
                        });
                    }
                    interfaces.push(Interface { name: Some(name), docs: docs(&interface.docs), functions });
                }
                WorldItem::Type { .. } => {}
            }
        }
        if !of_world.is_empty() {
            interfaces.push(Interface { name: None, docs: docs(&world.docs), functions: of_world });
        }
        Ok(interfaces)
    }

    fn function(&self, function: &wit_parser::Function) -> Result<Function, DescribeError> {
        let mut params = Vec::with_capacity(function.params.len());
        let mut not_callable = match function.kind {
            FunctionKind::Freestanding | FunctionKind::AsyncFreestanding => None,
            _ => Some("it belongs to a resource, and a resource does not outlive a call".to_owned()),
        };
        for param in &function.params {
            let measure = self.look_up(&param.ty)?;
            let name = format!("parameter {:?}", param.name);
            not_callable = not_callable.or_else(|| reason(&name, &measure));
            let ty = measure.ty.unwrap_or(Type::Bool);
            params.push(Field { name: param.name.clone(), ty, docs: None });
        }
        let mut result = None;
        if let Some(ty) = &function.result {
            let measure = self.look_up(ty)?;
            not_callable = not_callable.or_else(|| reason("the result", &measure));
            result = measure.ty;
        }
        Ok(Function { name: function.name.clone(), docs: docs(&function.docs), params, result, not_callable })
    }
}

fn not_ordered(error: NotOrdered) -> DescribeError {
    DescribeError::NoWit(error.to_string())
}

/// Why values of this type cannot be JSON, if they cannot.
fn reason(what: &str, measure: &Measure) -> Option<String> {
    if let Some(not_json) = &measure.not_json {
        return Some(format!("{what} is or holds {not_json}, which has no JSON form"));
    }
    // The arguments' object is one more level.
    (measure.json_depth >= JSON_DEPTH_MAX).then(|| {
        format!("{what} may nest {} levels of JSON, and {JSON_DEPTH_MAX} are the limit", measure.json_depth + 1)
    })
}

fn children(kind: &TypeDefKind) -> Vec<wit_parser::Type> {
    match kind {
        TypeDefKind::Record(record) => record.fields.iter().map(|field| field.ty).collect(),
        TypeDefKind::Variant(variant) => variant.cases.iter().filter_map(|case| case.ty).collect(),
        TypeDefKind::Tuple(tuple) => tuple.types.clone(),
        TypeDefKind::List(ty) | TypeDefKind::Option(ty) | TypeDefKind::FixedLengthList(ty, _) => vec![*ty],
        TypeDefKind::Type(wit_parser::Type::ErrorContext) => Vec::new(),
        TypeDefKind::Type(ty) => vec![*ty],
        TypeDefKind::Map(key, value) => vec![*key, *value],
        TypeDefKind::Result(result) => [result.ok, result.err].into_iter().flatten().collect(),
        TypeDefKind::Resource
        | TypeDefKind::Handle(_)
        | TypeDefKind::Flags(_)
        | TypeDefKind::Enum(_)
        | TypeDefKind::Future(_)
        | TypeDefKind::Stream(_)
        | TypeDefKind::Unknown => Vec::new(),
    }
}

/// Every function that WIT text of the component shows: of interfaces and of worlds, imported and exported.
fn all_functions(resolve: &Resolve) -> impl Iterator<Item = &wit_parser::Function> {
    let of_interfaces = resolve.interfaces.iter().flat_map(|(_, interface)| interface.functions.values());
    let items = resolve.worlds.iter().flat_map(|(_, world)| world.imports.values().chain(world.exports.values()));
    of_interfaces.chain(items.filter_map(|item| match item {
        WorldItem::Function(function) => Some(function),
        WorldItem::Interface { .. } | WorldItem::Type { .. } => None,
    }))
}

/// The types that exported functions use, however far down.
fn used_types(resolve: &Resolve, world: WorldId) -> HashSet<TypeId> {
    let mut used = HashSet::new();
    let exports = resolve.worlds.get(world).map(|world| &world.exports);
    let mut waiting: Vec<wit_parser::Type> = Vec::new();
    let mut of_function = |function: &wit_parser::Function| {
        waiting.extend(function.params.iter().map(|param| param.ty).chain(function.result));
    };
    for (_, item) in exports.into_iter().flatten() {
        match item {
            WorldItem::Function(function) => of_function(function),
            WorldItem::Interface { id, .. } => {
                let functions = resolve.interfaces.get(*id).map(|interface| &interface.functions);
                functions.into_iter().flatten().for_each(|(_, function)| of_function(function));
            }
            WorldItem::Type { .. } => {}
        }
    }
    while let Some(ty) = waiting.pop() {
        if let wit_parser::Type::Id(id) = ty
            && used.insert(id)
            && let Some(def) = resolve.types.get(id)
        {
            waiting.extend(children(&def.kind));
        }
    }
    used
}

fn label(name: &str, text: &Docs) -> Label {
    Label { name: name.to_owned(), docs: docs(text) }
}

fn docs(docs: &Docs) -> Option<String> {
    docs.contents.as_ref().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The world and all packages it refers to, as one WIT text.
fn wit_text(resolve: &Resolve, world: WorldId) -> Result<String, DescribeError> {
    let Some(package) = resolve.worlds.get(world).and_then(|world| world.package) else { return Ok(String::new()) };
    let others: Vec<_> = resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != package).collect();
    let mut printer = WitPrinter::new(Bounded { text: OutputToString::default(), bytes: 0 });
    printer.print(resolve, package, &others).map_err(|error| DescribeError::NoWit(format!("{error:#}")))?;
    at_most("bytes of WIT", printer.output.bytes, WIT_BYTES_MAX)?;
    Ok(printer.output.text.into())
}

/// Counts what is printed, and keeps only as much as is allowed.
struct Bounded {
    text: OutputToString,
    bytes: usize,
}

impl Output for Bounded {
    fn push_str(&mut self, text: &str) {
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes <= WIT_BYTES_MAX {
            self.text.push_str(text);
        }
    }

    fn indent_if_needed(&mut self) -> bool {
        self.text.indent_if_needed()
    }

    fn indent_start(&mut self) {
        self.text.indent_start();
    }

    fn indent_end(&mut self) {
        self.text.indent_end();
    }

    fn newline(&mut self) {
        self.text.newline();
    }
}
