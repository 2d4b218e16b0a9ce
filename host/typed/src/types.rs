//! The arena of a component's types: every type once, each referring only to earlier ones.

use serde::{Deserialize, Serialize};

/// From this many labels on, a name is looked up by binary search.
const SORTED_FROM: usize = 12;

/// A type: a primitive, or one that the arena defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the primitives are WIT's own")]
pub enum Type {
    Bool,
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F32,
    F64,
    Char,
    String,
    /// The definition with this index in [`Types`].
    #[serde(untagged)]
    Defined(u32),
}

/// A type that is more than a primitive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeDef {
    /// Its name, unless it is written in place (`list<u8>`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// What it is.
    pub kind: TypeKind,
}

/// What a defined type is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the kinds are WIT's own")]
pub enum TypeKind {
    Record(Vec<Field>),
    Variant(Vec<Case>),
    Enum(Vec<Label>),
    Flags(Vec<Label>),
    Tuple(Vec<Type>),
    List(Type),
    FixedLengthList(Type, u32),
    Map(Type, Type),
    Option(Type),
    Result {
        ok: Option<Type>,
        err: Option<Type>,
    },
    /// Another name for a type that is not itself an alias.
    Alias(Type),
    /// A type without a JSON form, in words: resource, stream and so on.
    NotJson(String),
}

/// A function's parameter, or a field of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: Type,
    /// Its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
}

/// A function's parameter.
pub type Param = Field;

/// A case of a variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// The type of its payload, if it has one.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub ty: Option<Type>,
    /// Its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
}

/// A case of an enum, or a flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// Its name.
    pub name: String,
    /// Its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
}

/// The arena. A definition refers only to earlier ones, so no type is recursive.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "Vec<TypeDef>", into = "Vec<TypeDef>")]
pub struct Types {
    defs: Vec<TypeDef>,
    /// Per definition: its labels' indices in the order of their names, where it has many.
    sorted: Vec<Box<[u32]>>,
}

/// A definition that refers to itself or to a later one.
#[derive(Debug, thiserror::Error)]
#[error("type {0} refers to itself or to a later type")]
pub struct NotOrdered(usize);

impl TryFrom<Vec<TypeDef>> for Types {
    type Error = NotOrdered;

    fn try_from(defs: Vec<TypeDef>) -> Result<Self, NotOrdered> {
        let mut types = Self::default();
        for def in defs {
            types.push(def)?;
        }
        Ok(types)
    }
}

impl From<Types> for Vec<TypeDef> {
    fn from(types: Types) -> Self {
        types.defs
    }
}

impl Types {
    /// Adds a definition and returns its type.
    pub(crate) fn push(&mut self, def: TypeDef) -> Result<Type, NotOrdered> {
        let index = self.defs.len();
        let mut ordered = true;
        def.kind.children(|child| match child {
            Type::Defined(child) if child as usize >= index => ordered = false,
            _ => {}
        });
        let id = u32::try_from(index).map_err(|_| NotOrdered(index))?;
        if !ordered {
            return Err(NotOrdered(index));
        }
        self.sorted.push(sorted_labels(&def.kind));
        self.defs.push(def);
        Ok(Type::Defined(id))
    }

    /// The definitions in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &TypeDef> {
        self.defs.iter()
    }

    /// The definition of a type that is not a primitive.
    pub fn def(&self, ty: Type) -> Option<&TypeDef> {
        match ty {
            Type::Defined(index) => self.defs.get(index as usize),
            _ => None,
        }
    }

    /// The type behind an alias, or the type itself.
    pub fn peel(&self, ty: Type) -> Type {
        match self.def(ty).map(|def| &def.kind) {
            Some(TypeKind::Alias(target)) => *target,
            _ => ty,
        }
    }

    /// What the type behind aliases is, unless it is a primitive.
    pub fn kind(&self, ty: Type) -> Option<&TypeKind> {
        self.def(self.peel(ty)).map(|def| &def.kind)
    }

    /// Whether it is `option<…>`, whose values may be `null`.
    pub(crate) fn is_option(&self, ty: Type) -> bool {
        matches!(self.kind(ty), Some(TypeKind::Option(_)))
    }

    /// The index of the label `name` in the definition `id`, tried first at `guess`.
    pub(crate) fn label(&self, id: u32, name: &str, guess: usize) -> Option<usize> {
        let kind = &self.defs.get(id as usize)?.kind;
        if kind.label(guess) == Some(name) {
            return Some(guess);
        }
        let sorted = self.sorted.get(id as usize)?;
        if sorted.is_empty() {
            return (0..SORTED_FROM).find(|index| kind.label(*index) == Some(name));
        }
        let found = sorted.binary_search_by(|index| kind.label(*index as usize).cmp(&Some(name))).ok()?;
        sorted.get(found).map(|index| *index as usize)
    }
}

impl TypeKind {
    /// Calls `visit` with every type it refers to.
    pub(crate) fn children(&self, mut visit: impl FnMut(Type)) {
        match self {
            Self::Record(fields) => fields.iter().for_each(|field| visit(field.ty)),
            Self::Variant(cases) => cases.iter().filter_map(|case| case.ty).for_each(visit),
            Self::Tuple(types) => types.iter().copied().for_each(visit),
            Self::List(ty) | Self::FixedLengthList(ty, _) | Self::Option(ty) | Self::Alias(ty) => visit(*ty),
            Self::Map(key, value) => {
                visit(*key);
                visit(*value);
            }
            Self::Result { ok, err } => ok.iter().chain(err).copied().for_each(visit),
            Self::Enum(_) | Self::Flags(_) | Self::NotJson(_) => {}
        }
    }

    /// The name of the field, case or flag at `index`.
    pub(crate) fn label(&self, index: usize) -> Option<&str> {
        match self {
            Self::Record(fields) => fields.get(index).map(|field| field.name.as_str()),
            Self::Variant(cases) => cases.get(index).map(|case| case.name.as_str()),
            Self::Enum(labels) | Self::Flags(labels) => labels.get(index).map(|label| label.name.as_str()),
            _ => None,
        }
    }

    /// The names of all its fields, cases or flags.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &str> {
        (0..).map_while(|index| self.label(index))
    }
}

fn sorted_labels(kind: &TypeKind) -> Box<[u32]> {
    let mut indices: Vec<u32> = (0..).zip(kind.labels()).map(|(index, _)| index).collect();
    if indices.len() < SORTED_FROM {
        return Box::default();
    }
    indices.sort_by_key(|index| kind.label(*index as usize));
    indices.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(count: usize) -> TypeKind {
        TypeKind::Enum((0..count).rev().map(|n| Label { name: format!("case-{n}"), docs: None }).collect())
    }

    #[test]
    fn labels_are_found_whatever_the_guess() {
        for count in [1, SORTED_FROM - 1, SORTED_FROM, 1000] {
            let mut types = Types::default();
            types.push(TypeDef { name: None, docs: None, kind: labels(count) }).unwrap();
            for guess in [0, count - 1, count] {
                for index in 0..count {
                    assert_eq!(types.label(0, &format!("case-{}", count - 1 - index), guess), Some(index));
                }
                assert_eq!(types.label(0, "case", guess), None);
            }
        }
    }

    #[test]
    fn a_description_from_elsewhere_cannot_be_recursive() {
        for text in [r#"[{"kind":{"list":0}}]"#, r#"[{"kind":{"list":1}},{"kind":{"list":"u8"}}]"#] {
            let error = serde_json::from_str::<Types>(text).unwrap_err().to_string();
            assert!(error.contains("type 0 refers"), "{error}");
        }
    }
}
