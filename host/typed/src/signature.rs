//! Types and functions as WIT writes them, for people to read.

use crate::description::{Description, Function};
use crate::types::{Type, TypeKind, Types};
use crate::write::primitive_name;

/// `evaluate: func(request: request, at: option<u64>) -> result<answer, string>`
pub fn signature(description: &Description, function: &Function) -> String {
    let types = &description.types;
    let mut out = format!("{}: func(", function.name);
    for (index, param) in function.params.iter().enumerate() {
        out.push_str(if index == 0 { "" } else { ", " });
        out.push_str(&param.name);
        out.push_str(": ");
        write(types, param.ty, &mut out);
    }
    out.push(')');
    if let Some(ty) = function.result {
        out.push_str(" -> ");
        write(types, ty, &mut out);
    }
    out
}

/// A type by its name, or written out where it has none.
pub(crate) fn type_text(types: &Types, ty: Type) -> String {
    let mut out = String::new();
    write(types, ty, &mut out);
    out
}

fn write(types: &Types, ty: Type, out: &mut String) {
    let Some(def) = types.def(ty) else { return out.push_str(primitive_name(ty)) };
    if let Some(name) = &def.name {
        return out.push_str(name);
    }
    match &def.kind {
        TypeKind::Tuple(elements) => generic(types, "tuple", elements.iter().map(|ty| Some(*ty)), out),
        TypeKind::List(element) => generic(types, "list", [Some(*element)].into_iter(), out),
        TypeKind::FixedLengthList(element, length) => {
            out.push_str("list<");
            write(types, *element, out);
            out.push_str(&format!(", {length}>"));
        }
        TypeKind::Map(key, value) => generic(types, "map", [Some(*key), Some(*value)].into_iter(), out),
        TypeKind::Option(some) => generic(types, "option", [Some(*some)].into_iter(), out),
        TypeKind::Result { ok: None, err: None } => out.push_str("result"),
        TypeKind::Result { ok, err: None } => generic(types, "result", [*ok].into_iter(), out),
        TypeKind::Result { ok, err } => generic(types, "result", [*ok, *err].into_iter(), out),
        TypeKind::Alias(target) => write(types, *target, out),
        TypeKind::NotJson(what) => out.push_str(what),
        // These always have a name.
        TypeKind::Record(_) | TypeKind::Variant(_) | TypeKind::Enum(_) | TypeKind::Flags(_) => out.push('_'),
    }
}

fn generic(types: &Types, name: &str, arguments: impl Iterator<Item = Option<Type>>, out: &mut String) {
    out.push_str(name);
    for (index, argument) in arguments.enumerate() {
        out.push_str(if index == 0 { "<" } else { ", " });
        match argument {
            Some(ty) => write(types, ty, out),
            None => out.push('_'),
        }
    }
    out.push('>');
}
