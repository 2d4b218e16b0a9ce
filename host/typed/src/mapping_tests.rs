//! Properties that hold for every type: what is written reads back as the same value, and schemas say what reading says.

use crate::description::{Description, Function};
use crate::types::{Case, Field, Label, Type, TypeDef, TypeKind, Types};
use crate::{Answer, Val, argument_schema, read_arguments, result_schema, write_result};
use jsonschema::Validator;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, subsequence};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A type before it has a place in an arena.
#[derive(Debug, Clone)]
enum Shape {
    Primitive(Type),
    Record(Vec<Shape>),
    Variant(Vec<Option<Shape>>),
    Enum(usize),
    Flags(usize),
    Tuple(Vec<Shape>),
    List(Box<Shape>),
    FixedLengthList(Box<Shape>, u32),
    Map(Type, Box<Shape>),
    Option(Box<Shape>),
    Result(Option<Box<Shape>>, Option<Box<Shape>>),
    Alias(Box<Shape>),
}

const PRIMITIVES: [Type; 13] = [
    Type::Bool,
    Type::U8,
    Type::U16,
    Type::U32,
    Type::U64,
    Type::S8,
    Type::S16,
    Type::S32,
    Type::S64,
    Type::F32,
    Type::F64,
    Type::Char,
    Type::String,
];

fn primitive() -> impl Strategy<Value = Type> {
    proptest::sample::select(&PRIMITIVES[..])
}

fn shape() -> impl Strategy<Value = Shape> {
    let leaf = prop_oneof![
        4 => primitive().prop_map(Shape::Primitive),
        1 => (1..20usize).prop_map(Shape::Enum),
        1 => (1..20usize).prop_map(Shape::Flags),
    ];
    leaf.prop_recursive(5, 24, 5, |inner| {
        let boxed = inner.clone().prop_map(Box::new).boxed();
        let key = primitive().prop_filter("floats are no keys", |ty| !matches!(ty, Type::F32 | Type::F64));
        prop_oneof![
            vec(inner.clone(), 1..15).prop_map(Shape::Record),
            vec(proptest::option::of(inner.clone()), 1..15).prop_map(Shape::Variant),
            vec(inner.clone(), 1..4).prop_map(Shape::Tuple),
            boxed.clone().prop_map(Shape::List),
            (boxed.clone(), 1..6u32).prop_map(|(element, length)| Shape::FixedLengthList(element, length)),
            (key, boxed.clone()).prop_map(|(key, value)| Shape::Map(key, value)),
            boxed.clone().prop_map(Shape::Option),
            boxed.clone().prop_map(|inner| Shape::Option(Box::new(Shape::Option(inner)))),
            (proptest::option::of(boxed.clone()), proptest::option::of(boxed.clone()))
                .prop_map(|(ok, err)| Shape::Result(ok, err)),
            boxed.prop_map(Shape::Alias),
        ]
    })
}

/// Names in an order that is not their alphabetical one.
fn name(index: usize) -> String {
    format!(
        "{}-name",
        ["k", "b", "z", "a", "m", "q", "c", "y", "d", "e", "x", "f", "w", "g", "v", "h", "t", "i", "s", "j"][index]
    )
}

fn add(types: &mut Types, shape: &Shape) -> Type {
    let kind = match shape {
        Shape::Primitive(ty) => return *ty,
        Shape::Record(fields) => {
            let field = |(index, shape)| Field { name: name(index), ty: add(types, shape), docs: None };
            TypeKind::Record(fields.iter().enumerate().map(field).collect())
        }
        Shape::Variant(cases) => {
            let case = |(index, shape): (_, &Option<Shape>)| Case {
                name: name(index),
                ty: shape.as_ref().map(|shape| add(types, shape)),
                docs: None,
            };
            TypeKind::Variant(cases.iter().enumerate().map(case).collect())
        }
        Shape::Enum(count) => TypeKind::Enum(labels(*count)),
        Shape::Flags(count) => TypeKind::Flags(labels(*count)),
        Shape::Tuple(elements) => TypeKind::Tuple(elements.iter().map(|shape| add(types, shape)).collect()),
        Shape::List(element) => TypeKind::List(add(types, element)),
        Shape::FixedLengthList(element, length) => TypeKind::FixedLengthList(add(types, element), *length),
        Shape::Map(key, value) => TypeKind::Map(*key, add(types, value)),
        Shape::Option(some) => TypeKind::Option(add(types, some)),
        Shape::Result(ok, err) => TypeKind::Result {
            ok: ok.as_ref().map(|shape| add(types, shape)),
            err: err.as_ref().map(|shape| add(types, shape)),
        },
        Shape::Alias(target) => {
            let target = add(types, target);
            TypeKind::Alias(types.peel(target))
        }
    };
    // Names repeat, as they may in different interfaces.
    let named = matches!(
        kind,
        TypeKind::Record(_) | TypeKind::Variant(_) | TypeKind::Enum(_) | TypeKind::Flags(_) | TypeKind::Alias(_)
    );
    types.push(TypeDef { name: named.then(|| "thing".to_owned()), docs: None, kind }).unwrap()
}

fn labels(count: usize) -> Vec<Label> {
    (0..count).map(|index| Label { name: name(index), docs: None }).collect()
}

/// A value of the type, any of them.
fn value(types: &Types, ty: Type) -> BoxedStrategy<Val> {
    match ty {
        Type::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Type::U8 => any::<u8>().prop_map(Val::U8).boxed(),
        Type::U16 => any::<u16>().prop_map(Val::U16).boxed(),
        Type::U32 => any::<u32>().prop_map(Val::U32).boxed(),
        Type::U64 => prop_oneof![any::<u64>(), Just(u64::MAX), Just((1 << 53) + 1)].prop_map(Val::U64).boxed(),
        Type::S8 => any::<i8>().prop_map(Val::S8).boxed(),
        Type::S16 => any::<i16>().prop_map(Val::S16).boxed(),
        Type::S32 => any::<i32>().prop_map(Val::S32).boxed(),
        Type::S64 => prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)].prop_map(Val::S64).boxed(),
        Type::F32 => prop_oneof![any::<u32>().prop_map(f32::from_bits), Just(f32::MAX), Just(-0.0)]
            .prop_map(Val::Float32)
            .boxed(),
        Type::F64 => prop_oneof![any::<u64>().prop_map(f64::from_bits), Just(f64::MIN_POSITIVE), Just(-0.0)]
            .prop_map(Val::Float64)
            .boxed(),
        Type::Char => any::<char>().prop_map(Val::Char).boxed(),
        Type::String => any::<String>().prop_map(Val::String).boxed(),
        Type::Defined(_) => defined_value(types, &types.def(ty).unwrap().kind),
    }
}

fn defined_value(types: &Types, kind: &TypeKind) -> BoxedStrategy<Val> {
    let payload = |ty: Option<Type>| match ty {
        None => Just(None).boxed(),
        Some(ty) => value(types, ty).prop_map(|value| Some(Box::new(value))).boxed(),
    };
    match kind {
        TypeKind::Record(fields) => {
            let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
            let values: Vec<_> = fields.iter().map(|field| value(types, field.ty)).collect();
            values.prop_map(move |values| Val::Record(names.iter().cloned().zip(values).collect())).boxed()
        }
        TypeKind::Variant(cases) => {
            let case = |case: &Case| {
                let name = case.name.clone();
                payload(case.ty).prop_map(move |payload| Val::Variant(name.clone(), payload)).boxed()
            };
            proptest::strategy::Union::new(cases.iter().map(case)).boxed()
        }
        TypeKind::Enum(labels) => {
            let names: Vec<String> = labels.iter().map(|label| label.name.clone()).collect();
            proptest::sample::select(names).prop_map(Val::Enum).boxed()
        }
        TypeKind::Flags(labels) => {
            let names: Vec<String> = labels.iter().map(|label| label.name.clone()).collect();
            let count = names.len();
            subsequence(names, 0..=count).prop_shuffle().prop_map(Val::Flags).boxed()
        }
        TypeKind::Tuple(elements) => {
            let values: Vec<_> = elements.iter().map(|ty| value(types, *ty)).collect();
            values.prop_map(Val::Tuple).boxed()
        }
        TypeKind::List(element) => vec(value(types, *element), 0..6).prop_map(Val::List).boxed(),
        TypeKind::FixedLengthList(element, length) => {
            vec(value(types, *element), *length as usize).prop_map(Val::FixedLengthList).boxed()
        }
        TypeKind::Map(key, element) => {
            // Keys differ, as they do in a map: told apart by their debug form, since Val has no order.
            let pair = (value(types, *key), value(types, *element));
            let distinct = |pairs: Vec<(Val, Val)>| {
                let by_key: BTreeMap<String, (Val, Val)> =
                    pairs.into_iter().map(|pair| (format!("{:?}", pair.0), pair)).collect();
                Val::Map(by_key.into_values().collect())
            };
            vec(pair, 0..4).prop_map(distinct).boxed()
        }
        TypeKind::Option(some) => {
            prop_oneof![Just(Val::Option(None)), payload(Some(*some)).prop_map(Val::Option)].boxed()
        }
        TypeKind::Result { ok, err } => {
            let (ok, err) = (payload(*ok).prop_map(Ok), payload(*err).prop_map(Err));
            prop_oneof![ok, err].prop_map(Val::Result).boxed()
        }
        TypeKind::Alias(target) => value(types, *target),
        TypeKind::NotJson(_) => unreachable!("no shape is one"),
    }
}

/// A component with one function that takes and returns a value of one type, which is not taken apart as a `result` would be.
struct Echo {
    description: Description,
    function: Function,
    arguments: Validator,
    result: Validator,
}

impl Echo {
    fn new(types: Types, ty: Type) -> Self {
        let mut types = types;
        let boxed = types.push(TypeDef { name: None, docs: None, kind: TypeKind::Tuple(vec![ty]) }).unwrap();
        let params = vec![Field { name: "it".into(), ty, docs: None }];
        let function = Function { name: "echo".into(), docs: None, params, result: Some(boxed), not_callable: None };
        let description = Description {
            asynchronous: false,
            memory_bytes_min: 0,
            manifest: None,
            imports: vec![],
            interfaces: vec![],
            types,
            producers: BTreeMap::new(),
            metadata: BTreeMap::new(),
            wit: String::new(),
        };
        let description: Description = serde_json::from_str(&serde_json::to_string(&description).unwrap()).unwrap();
        let validator = |schema: Value| {
            jsonschema::meta::validate(&schema).unwrap_or_else(|error| panic!("{error}\n{schema:#}"));
            jsonschema::draft202012::new(&schema).unwrap()
        };
        let arguments = validator(argument_schema(&description, &function));
        let result = validator(result_schema(&description, &function));
        Self { description, function, arguments, result }
    }

    /// The JSON of a value.
    fn write(&self, value: &Val) -> String {
        let boxed = Val::Tuple(vec![value.clone()]);
        let Answer::Ok(json) = write_result(&self.description, &self.function, Some(&boxed), usize::MAX).unwrap()
        else {
            panic!("a tuple is no error");
        };
        let parsed: Value = serde_json::from_slice(&json).unwrap();
        assert!(self.result.is_valid(&parsed), "the result's schema refuses {parsed}");
        let json = String::from_utf8(json).unwrap();
        json[1..json.len() - 1].to_owned()
    }

    fn read(&self, arguments: &str) -> Result<Vec<Val>, crate::ArgumentError> {
        read_arguments(&self.description, &self.function, arguments.as_bytes())
    }
}

fn typed_value() -> impl Strategy<Value = (Types, Type, Val)> {
    shape().prop_flat_map(|shape| {
        let mut types = Types::default();
        let ty = add(&mut types, &shape);
        let values = value(&types, ty);
        (Just(types), Just(ty), values)
    })
}

/// Replaces one node of a JSON value, or takes away or adds one.
fn mutate(value: &mut Value, path: &[Index], leaf: Value) {
    let Some((index, rest)) = path.split_first() else {
        *value = leaf;
        return;
    };
    match value {
        Value::Array(elements) if !elements.is_empty() => {
            let index = index.index(elements.len() + 2);
            match index.checked_sub(elements.len()) {
                None => mutate(&mut elements[index], rest, leaf),
                Some(0) => drop(elements.pop()),
                Some(_) => elements.push(leaf),
            }
        }
        Value::Object(members) if !members.is_empty() => {
            let index = index.index(members.len() + 2);
            match index.checked_sub(members.len()) {
                None => mutate(members.values_mut().nth(index).unwrap(), rest, leaf),
                Some(0) => {
                    let key = members.keys().next().unwrap().clone();
                    members.remove(&key);
                }
                Some(_) => drop(members.insert("k-name".into(), leaf)),
            }
        }
        _ => *value = leaf,
    }
}

fn leaf() -> impl Strategy<Value = Value> {
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(256),
        json!(1.5),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(""),
        json!("k-name"),
        json!("x"),
        json!("10"),
        json!("-0"),
        json!("007"),
        json!("AA=="),
        json!("AB=="),
        json!("AAA"),
        json!("NaN"),
        json!("é"),
        json!([]),
        json!({}),
        json!({"some": null}),
        json!({"ok": null}),
        json!({"k-name": 1}),
        json!(["k-name"]),
        json!(["b-name", "k-name"]),
        json!([["x", 1]]),
    ];
    proptest::sample::select(values.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_written_reads_back((types, ty, value) in typed_value()) {
        let echo = Echo::new(types, ty);
        let written = echo.write(&value);
        let arguments = format!("{{\"it\":{written}}}");
        prop_assert!(echo.arguments.is_valid(&serde_json::from_str(&arguments).unwrap()), "the schema refuses {}", arguments);
        let read = echo.read(&arguments);
        prop_assert_eq!(read.as_deref(), Ok(&[value.clone()][..]), "{}", arguments);
        let read = echo.read(&format!("[{written}]"));
        prop_assert_eq!(read.as_deref(), Ok(&[value][..]));
    }

    /// The schema of the arguments accepts exactly what can be read (apart from what a schema cannot say: numbers in forms with
    /// a zero fraction, 64-bit integers in strings beyond their range, duplicate keys).
    #[test]
    fn the_schema_accepts_what_can_be_read(
        (types, ty, value) in typed_value(),
        changes in vec((vec(any::<Index>(), 1..6), leaf()), 1..4),
    ) {
        let echo = Echo::new(types, ty);
        let mut arguments: Value = serde_json::from_str(&format!("{{\"it\":{}}}", echo.write(&value))).unwrap();
        for (path, leaf) in changes {
            mutate(&mut arguments, &path, leaf);
        }
        if !arguments.is_object() {
            arguments = json!({"it": arguments});
        }
        let read = echo.read(&arguments.to_string());
        prop_assume!(!read.as_ref().is_err_and(|error| error.message.contains("given twice")));
        prop_assert_eq!(echo.arguments.is_valid(&arguments), read.is_ok(), "{} {:?}", arguments, read);
        if let Err(error) = read {
            let parent = error.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
            prop_assert!(arguments.pointer(parent).is_some(), "{} is no place in {}", error.pointer, arguments);
        }
    }

    #[test]
    fn no_text_is_too_strange((types, ty, value) in typed_value(), at in any::<Index>(), noise in vec(any::<u8>(), 0..8)) {
        let echo = Echo::new(types, ty);
        let mut text = format!("{{\"it\":{}}}", echo.write(&value)).into_bytes();
        let at = at.index(text.len());
        let end = (at + noise.len() / 2).min(text.len());
        text.splice(at..end, noise);
        let _ = read_arguments(&echo.description, &echo.function, &text);
    }

    #[test]
    fn results_never_exceed_their_bytes((types, ty, value) in typed_value(), share in 0.0..1.0f64) {
        let echo = Echo::new(types, ty);
        let whole = echo.write(&value).len() + 2;
        let most = (whole as f64 * share) as usize;
        let boxed = Val::Tuple(vec![value]);
        let written = write_result(&echo.description, &echo.function, Some(&boxed), most);
        prop_assert_eq!(written, Err(crate::WriteError::TooLarge { bytes_max: most }));
        prop_assert!(write_result(&echo.description, &echo.function, Some(&boxed), whole).is_ok());
    }
}
