//! JSON Schema (2020-12) of arguments and results.
//!
//! Named types become definitions that are referred to, once per document, so a schema is no longer than the types it describes.
//! What has no name is written out wherever it stands; a document with too many such places is not made.

use crate::description::{Description, Function};
use crate::types::{Field, Label, Type, TypeDef, TypeKind, Types};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::{HashMap, HashSet};
use wares_model::limits::SCHEMA_PLACES_MAX;

/// What follows a type's name for its form as an argument, where both forms are in one document.
pub(crate) const ARGUMENT_SUFFIX: &str = "-input";
const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Base64 with padding, and nothing in the bits that padding leaves over.
const BASE64_PATTERN: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=)?$";

/// The schema of a function's arguments: the object with the parameters by name.
pub fn argument_schema(description: &Description, function: &Function) -> Value {
    let mut schemas = Schemas::new(&description.types, "#/$defs/", "");
    let schema = schemas.arguments(&function.params);
    document(schema, schemas)
}

/// The schema of what a function answers when all is well: its result, or the ok case if that is a `result`.
pub fn result_schema(description: &Description, function: &Function) -> Value {
    let mut schemas = Schemas::new(&description.types, "#/$defs/", "");
    let schema = schemas.payload(description.outcome(function).ok, Form::Result);
    document(schema, schemas)
}

/// The schema of the error case, for a function that returns a `result`.
pub fn error_schema(description: &Description, function: &Function) -> Option<Value> {
    let outcome = description.outcome(function);
    let mut schemas = Schemas::new(&description.types, "#/$defs/", "");
    let schema = outcome.split.then(|| schemas.payload(outcome.err, Form::Result))?;
    Some(document(schema, schemas))
}

/// The schemas of all functions of a component.
pub struct FunctionSchemas {
    /// By interface and function, in the description's order; none for what cannot be called with JSON.
    pub functions: Vec<Vec<Option<FunctionSchema>>>,
    /// What they refer to, each under its name in `#/$defs/`.
    pub definitions: Map<String, Value>,
}

/// The schemas of one function.
#[derive(Serialize)]
pub struct FunctionSchema {
    /// Of the object with its parameters by name.
    pub arguments: Value,
    /// Of what it answers when all is well.
    pub result: Value,
}

/// A component whose types are too many places in the documents about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the types of its functions stand in more than {SCHEMA_PLACES_MAX} places: give names to those that are used often"
)]
pub struct SchemasTooLarge;

/// The schemas of all functions, which share their definitions.
pub fn function_schemas(description: &Description) -> Result<FunctionSchemas, SchemasTooLarge> {
    let mut schemas = Schemas::new(&description.types, "#/$defs/", ARGUMENT_SUFFIX);
    let mut schema = |function: &Function| {
        function.not_callable.is_none().then(|| FunctionSchema {
            arguments: schemas.arguments(&function.params).into(),
            result: schemas.payload(description.outcome(function).ok, Form::Result).into(),
        })
    };
    let functions =
        description.interfaces.iter().map(|interface| interface.functions.iter().map(&mut schema).collect());
    let functions = functions.collect();
    Ok(FunctionSchemas { functions, definitions: schemas.definitions()? })
}

fn document(schema: Map<String, Value>, schemas: Schemas<'_>) -> Value {
    let mut document = Map::new();
    document.insert("$schema".into(), DIALECT.into());
    document.extend(schema);
    let definitions = schemas.definitions().unwrap_or_default();
    if !definitions.is_empty() {
        document.insert("$defs".into(), definitions.into());
    }
    Value::Object(document)
}

/// What is read is more liberal than what is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    Argument,
    Result,
}

/// Schemas that share definitions.
pub(crate) struct Schemas<'a> {
    types: &'a Types,
    location: &'static str,
    /// What is appended to a type's name for its form as an argument.
    argument_suffix: &'static str,
    names: HashMap<(Type, Form), String>,
    taken: HashSet<String>,
    /// How many types have a name, with its suffix.
    namesakes: HashMap<String, u32>,
    /// Places of types that may still be written.
    places_left: usize,
    waiting: Vec<(Type, Form, String)>,
}

impl<'a> Schemas<'a> {
    /// Schemas whose definitions will stand at `location`.
    pub(crate) fn new(types: &'a Types, location: &'static str, argument_suffix: &'static str) -> Self {
        Self {
            types,
            location,
            argument_suffix,
            names: HashMap::new(),
            taken: HashSet::new(),
            namesakes: HashMap::new(),
            places_left: SCHEMA_PLACES_MAX,
            waiting: Vec::new(),
        }
    }

    pub(crate) fn arguments(&mut self, params: &[Field]) -> Map<String, Value> {
        self.object(params, Form::Argument)
    }

    /// The schema of a value that may be without a type, which is `null`.
    pub(crate) fn payload(&mut self, ty: Option<Type>, form: Form) -> Map<String, Value> {
        ty.map_or_else(|| object(json!({"type": "null"})), |ty| self.schema(ty, form))
    }

    /// The definitions that the schemas so far refer to, directly or through each other, unless all is too much.
    pub(crate) fn definitions(mut self) -> Result<Map<String, Value>, SchemasTooLarge> {
        let mut definitions = Map::new();
        while let Some((ty, form, name)) = self.waiting.pop() {
            if let Some(def) = self.types.def(ty) {
                let mut schema = self.definition(def, form);
                describe(&mut schema, def.docs.as_deref());
                definitions.insert(name, schema.into());
            }
        }
        definitions.sort_keys();
        if self.places_left == 0 { Err(SchemasTooLarge) } else { Ok(definitions) }
    }

    fn schema(&mut self, ty: Type, form: Form) -> Map<String, Value> {
        self.places_left = self.places_left.saturating_sub(1);
        if self.places_left == 0 {
            // What is made is not used.
            return Map::new();
        }
        match self.types.def(ty) {
            None => primitive(ty, form),
            Some(TypeDef { name: Some(name), .. }) => {
                let name = self.reference(ty, form, name);
                object(json!({"$ref": format!("{}{name}", self.location)}))
            }
            Some(def) => self.definition(def, form),
        }
    }

    /// The name under which a named type will be defined.
    fn reference(&mut self, ty: Type, form: Form, name: &str) -> String {
        if let Some(name) = self.names.get(&(ty, form)) {
            return name.clone();
        }
        let suffix = if form == Form::Argument { self.argument_suffix } else { "" };
        let base = format!("{name}{suffix}");
        let mut unique = base.clone();
        while !self.taken.insert(unique.clone()) {
            // Counted on: many types of many interfaces may have one name.
            let number = self.namesakes.entry(base.clone()).or_insert(1);
            *number += 1;
            unique = format!("{base}.{number}");
        }
        self.names.insert((ty, form), unique.clone());
        self.waiting.push((ty, form, unique.clone()));
        unique
    }

    fn definition(&mut self, def: &'a TypeDef, form: Form) -> Map<String, Value> {
        match &def.kind {
            TypeKind::Record(fields) => self.object(fields, form),
            TypeKind::Variant(cases) => {
                let cases = cases.iter().map(|case| {
                    let mut schema = match case.ty {
                        None => object(json!({"const": case.name})),
                        Some(ty) => self.one_member(&case.name, Some(ty), form),
                    };
                    describe(&mut schema, case.docs.as_deref());
                    Value::Object(schema)
                });
                object(json!({"oneOf": cases.collect::<Vec<_>>()}))
            }
            TypeKind::Enum(labels) => enumeration(labels),
            TypeKind::Flags(labels) => {
                object(json!({"type": "array", "items": enumeration(labels), "uniqueItems": true}))
            }
            TypeKind::Tuple(elements) => self.tuple(elements, form),
            TypeKind::List(element) if self.types.peel(*element) == Type::U8 => bytes(form),
            TypeKind::List(element) => object(json!({"type": "array", "items": self.schema(*element, form)})),
            TypeKind::FixedLengthList(element, length) => match self.types.peel(*element) {
                Type::U8 => bytes_of_length(*length, form),
                _ => {
                    let items = self.schema(*element, form);
                    object(json!({"type": "array", "items": items, "minItems": length, "maxItems": length}))
                }
            },
            TypeKind::Map(key, value) if self.types.peel(*key) == Type::String => {
                object(json!({"type": "object", "additionalProperties": self.schema(*value, form)}))
            }
            TypeKind::Map(key, value) => object(json!({"type": "array", "items": self.tuple(&[*key, *value], form)})),
            TypeKind::Option(some) => {
                let some = if self.types.is_option(*some) {
                    self.one_member("some", Some(*some), form)
                } else {
                    self.schema(*some, form)
                };
                object(json!({"anyOf": [some, {"type": "null"}]}))
            }
            TypeKind::Result { ok, err } => {
                object(json!({"oneOf": [self.one_member("ok", *ok, form), self.one_member("err", *err, form)]}))
            }
            TypeKind::Alias(target) => self.schema(*target, form),
            TypeKind::NotJson(what) => object(json!({"not": {}, "description": format!("{what} has no JSON form")})),
        }
    }

    fn object(&mut self, fields: &[Field], form: Form) -> Map<String, Value> {
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in fields {
            let mut schema = self.schema(field.ty, form);
            describe(&mut schema, field.docs.as_deref());
            properties.insert(field.name.clone(), schema.into());
            if form == Form::Result || !self.types.is_option(field.ty) {
                required.push(field.name.as_str());
            }
        }
        object(json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false}))
    }

    fn one_member(&mut self, name: &str, ty: Option<Type>, form: Form) -> Map<String, Value> {
        let payload = self.payload(ty, form);
        object(
            json!({"type": "object", "properties": {name: payload}, "required": [name], "additionalProperties": false}),
        )
    }

    fn tuple(&mut self, elements: &[Type], form: Form) -> Map<String, Value> {
        let count = elements.len();
        let elements: Vec<_> = elements.iter().map(|ty| self.schema(*ty, form)).collect();
        object(json!({"type": "array", "prefixItems": elements, "items": false, "minItems": count, "maxItems": count}))
    }
}

fn primitive(ty: Type, form: Form) -> Map<String, Value> {
    let integer = |minimum: i64, maximum: u64| json!({"type": "integer", "minimum": minimum, "maximum": maximum});
    let wide = |minimum: i64, maximum: u64, pattern: &str| match form {
        Form::Result => integer(minimum, maximum),
        Form::Argument => json!({"anyOf": [integer(minimum, maximum), {"type": "string", "pattern": pattern}]}),
    };
    let float = |number: Value| json!({"anyOf": [number, {"enum": ["NaN", "Infinity", "-Infinity"]}]});
    // The shortest text of the largest f32, which is a little above it as an f64.
    let most = 3.4028235e38;
    object(match ty {
        Type::Bool => json!({"type": "boolean"}),
        Type::U8 => integer(0, u8::MAX.into()),
        Type::U16 => integer(0, u16::MAX.into()),
        Type::U32 => integer(0, u32::MAX.into()),
        Type::U64 => wide(0, u64::MAX, "^(0|[1-9][0-9]{0,19})$"),
        Type::S8 => integer(i8::MIN.into(), 0x7f),
        Type::S16 => integer(i16::MIN.into(), 0x7fff),
        Type::S32 => integer(i32::MIN.into(), 0x7fff_ffff),
        Type::S64 => wide(i64::MIN, i64::MAX.unsigned_abs(), "^(0|-?[1-9][0-9]{0,18})$"),
        Type::F32 => float(json!({"type": "number", "minimum": -most, "maximum": most})),
        Type::F64 => float(json!({"type": "number"})),
        Type::Char => json!({"type": "string", "minLength": 1, "maxLength": 1}),
        // A defined type that the arena lacks accepts nothing.
        Type::Defined(_) => json!({"not": {}}),
        Type::String => json!({"type": "string"}),
    })
}

fn bytes(form: Form) -> Map<String, Value> {
    let base64 = json!({"type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN});
    object(match form {
        Form::Result => base64,
        Form::Argument => json!({"anyOf": [base64, {"type": "array", "items": primitive(Type::U8, form)}]}),
    })
}

fn bytes_of_length(length: u32, form: Form) -> Map<String, Value> {
    let letters = length.div_ceil(3).saturating_mul(4);
    let base64 = json!({
        "type": "string", "contentEncoding": "base64", "pattern": BASE64_PATTERN, "minLength": letters, "maxLength": letters
    });
    let items = primitive(Type::U8, form);
    object(match form {
        Form::Result => base64,
        Form::Argument => {
            json!({"anyOf": [base64, {"type": "array", "items": items, "minItems": length, "maxItems": length}]})
        }
    })
}

/// The names alone, or one schema per name where a name has documentation.
fn enumeration(labels: &[Label]) -> Map<String, Value> {
    if labels.iter().all(|label| label.docs.is_none()) {
        let names: Vec<_> = labels.iter().map(|label| label.name.as_str()).collect();
        return object(json!({"type": "string", "enum": names}));
    }
    let cases = labels.iter().map(|label| {
        let mut schema = object(json!({"const": label.name}));
        describe(&mut schema, label.docs.as_deref());
        Value::Object(schema)
    });
    object(json!({"type": "string", "oneOf": cases.collect::<Vec<_>>()}))
}

fn describe(schema: &mut Map<String, Value>, docs: Option<&str>) {
    if let Some(docs) = docs {
        schema.insert("description".into(), docs.into());
    }
}

/// The members of a JSON object.
pub(crate) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
