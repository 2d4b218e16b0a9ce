//! Single functions and types as WIT writes them, one line each or one line per member, so that two can be set side by side.

use super::Comparison;
use similar::{ChangeTag, TextDiff};
use std::fmt::Write as _;
use wit_parser::{Function, FunctionKind, Handle, Type, TypeDef, TypeDefKind, TypeId, TypeOwner};

impl Comparison {
    /// `evaluate: func(request: request) -> answer`; those of resources under `resource.function`.
    pub(super) fn function_text(&self, function: &Function) -> String {
        let kind = &function.kind;
        let is_static = matches!(kind, FunctionKind::Static(_) | FunctionKind::AsyncStatic(_));
        let is_method = matches!(kind, FunctionKind::Method(_) | FunctionKind::AsyncMethod(_));
        let mut out = format!("{}: ", self.function_name(function));
        out.push_str(if is_static { "static " } else { "" });
        out.push_str(if kind.is_async() { "async " } else { "" });
        out.push_str("func(");
        // A method's first parameter is its resource.
        for (index, param) in function.params.iter().skip(usize::from(is_method)).enumerate() {
            out.push_str(if index == 0 { "" } else { ", " });
            out.push_str(&param.name);
            out.push_str(": ");
            self.write_type(param.ty, &mut out);
        }
        out.push(')');
        if let Some(result) = function.result {
            out.push_str(" -> ");
            self.write_type(result, &mut out);
        }
        out
    }

    /// The name that a reader of WIT knows a function by.
    pub(super) fn function_name(&self, function: &Function) -> String {
        let resource = function.kind.resource().and_then(|id| self.resolve.types.get(id)?.name.as_deref());
        let own = match function.kind {
            FunctionKind::Constructor(_) => "constructor",
            _ => function.item_name(),
        };
        resource.map_or_else(|| own.to_owned(), |resource| format!("{resource}.{own}"))
    }

    /// A named type with its members. What it refers to appears by name only.
    pub(super) fn type_text(&self, id: TypeId) -> String {
        let Some(def) = self.resolve.types.get(id) else { return String::new() };
        let name = def.name.as_deref().unwrap_or_default();
        let (word, members) = match &def.kind {
            TypeDefKind::Resource => return format!("resource {name}"),
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| format!("{}: {}", field.name, self.type_word(field.ty)));
                ("record", fields.collect::<Vec<_>>())
            }
            TypeDefKind::Variant(variant) => {
                let cases = variant.cases.iter().map(|case| match case.ty {
                    None => case.name.clone(),
                    Some(ty) => format!("{}({})", case.name, self.type_word(ty)),
                });
                ("variant", cases.collect())
            }
            TypeDefKind::Enum(list) => ("enum", list.cases.iter().map(|case| case.name.clone()).collect()),
            TypeDefKind::Flags(flags) => ("flags", flags.flags.iter().map(|flag| flag.name.clone()).collect()),
            TypeDefKind::Type(Type::Id(target)) => {
                return self
                    .use_text(def, *target)
                    .unwrap_or_else(|| format!("type {name} = {}", self.type_word(Type::Id(*target))));
            }
            _ => {
                let mut out = format!("type {name} = ");
                self.write_kind(&def.kind, &mut out);
                return out;
            }
        };
        let mut out = format!("{word} {name} {{\n");
        for member in members {
            let _ = writeln!(out, "  {member},");
        }
        out.push('}');
        out
    }

    /// `use ns:pkg/interface.{name}`, if the target is another interface's.
    fn use_text(&self, def: &TypeDef, target: TypeId) -> Option<String> {
        let TypeOwner::Interface(other) = self.resolve.types.get(target)?.owner else { return None };
        if def.owner == TypeOwner::Interface(other) {
            return None;
        }
        let (interface, _) = self.interface_name(other);
        let (there, here) = (self.resolve.types.get(target)?.name.as_deref()?, def.name.as_deref()?);
        let renamed = if there == here { String::new() } else { format!(" as {here}") };
        Some(format!("use {interface}.{{{there}{renamed}}}"))
    }

    /// A type where it is referred to.
    pub(super) fn type_word(&self, ty: Type) -> String {
        let mut out = String::new();
        self.write_type(ty, &mut out);
        out
    }

    fn write_type(&self, ty: Type, out: &mut String) {
        let word = match ty {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U16 => "u16",
            Type::U32 => "u32",
            Type::U64 => "u64",
            Type::S8 => "s8",
            Type::S16 => "s16",
            Type::S32 => "s32",
            Type::S64 => "s64",
            Type::F32 => "f32",
            Type::F64 => "f64",
            Type::Char => "char",
            Type::String => "string",
            Type::ErrorContext => "error-context",
            Type::Id(id) => match self.resolve.types.get(id) {
                None => "_",
                Some(TypeDef { name: Some(name), .. }) => name,
                Some(def) => return self.write_kind(&def.kind, out),
            },
        };
        out.push_str(word);
    }

    fn write_kind(&self, kind: &TypeDefKind, out: &mut String) {
        let mut generic = |name: &str, arguments: &[Option<Type>]| {
            out.push_str(name);
            for (index, argument) in arguments.iter().enumerate() {
                out.push_str(if index == 0 { "<" } else { ", " });
                match argument {
                    Some(ty) => self.write_type(*ty, out),
                    None => out.push('_'),
                }
            }
            out.push_str(if arguments.is_empty() { "" } else { ">" });
        };
        match kind {
            TypeDefKind::Type(ty) => self.write_type(*ty, out),
            TypeDefKind::Handle(Handle::Own(id)) => self.write_type(Type::Id(*id), out),
            TypeDefKind::Handle(Handle::Borrow(id)) => generic("borrow", &[Some(Type::Id(*id))]),
            TypeDefKind::Tuple(tuple) => generic("tuple", &tuple.types.iter().copied().map(Some).collect::<Vec<_>>()),
            TypeDefKind::Option(ty) => generic("option", &[Some(*ty)]),
            TypeDefKind::List(ty) => generic("list", &[Some(*ty)]),
            TypeDefKind::Map(key, value) => generic("map", &[Some(*key), Some(*value)]),
            TypeDefKind::Result(result) => match (result.ok, result.err) {
                (None, None) => generic("result", &[]),
                (ok, None) => generic("result", &[ok]),
                (ok, err) => generic("result", &[ok, err]),
            },
            TypeDefKind::FixedLengthList(ty, length) => {
                generic("list", &[Some(*ty)]);
                // Inside the brackets, as WIT has it.
                out.pop();
                let _ = write!(out, ", {length}>");
            }
            TypeDefKind::Future(ty) => generic("future", ty.map(Some).as_slice()),
            TypeDefKind::Stream(ty) => generic("stream", ty.map(Some).as_slice()),
            // These always have a name.
            other => out.push_str(other.as_str()),
        }
    }
}

/// What was, after `-`, and what is, after `+`. Of what has members only those that differ appear, below its head.
pub(super) fn diff(was: &str, is: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(was, is);
    let mut lines = Vec::new();
    for change in diff.iter_all_changes() {
        let text = change.value().trim_end();
        match change.tag() {
            ChangeTag::Delete => lines.push(format!("- {text}")),
            ChangeTag::Insert => lines.push(format!("+ {text}")),
            ChangeTag::Equal if lines.is_empty() => lines.push(format!("  {text}")),
            ChangeTag::Equal => {}
        }
    }
    lines
}
