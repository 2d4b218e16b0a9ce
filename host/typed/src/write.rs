//! Results: wasmtime values to JSON text, exact, never more bytes than allowed.

use crate::description::{Description, Function};
use crate::types::{Field, Type, TypeKind, Types};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::HashMap;
use wasmtime::component::Val;

/// What a function answered, as JSON text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Its result; `null` if it has none.
    Ok(Vec<u8>),
    /// The error case of its `result`.
    ComponentError(Vec<u8>),
}

/// Why a value was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The JSON would be longer than allowed.
    #[error("the result's JSON is larger than {bytes_max} bytes")]
    TooLarge {
        /// What is allowed.
        bytes_max: usize,
    },
    /// The value is not of the described type: the description belongs to other bytes.
    #[error("the result is not the {expected} that the component's description says: publish the version again")]
    Mismatch {
        /// The type that was described.
        expected: &'static str,
    },
}

type Write = Result<(), WriteError>;

/// The JSON of a function's result. A top-level `result<T, E>` is taken apart: `T` or `E` alone.
pub fn write_result(
    description: &Description,
    function: &Function,
    result: Option<&Val>,
    bytes_max: usize,
) -> Result<Answer, WriteError> {
    let mut writer = Writer { types: &description.types, out: Vec::new(), bytes_max };
    let outcome = description.outcome(function);
    let (ty, value, wrap): (_, _, fn(Vec<u8>) -> Answer) = match (outcome.split, result) {
        (true, Some(Val::Result(Ok(value)))) => (outcome.ok, value.as_deref(), Answer::Ok),
        (true, Some(Val::Result(Err(value)))) => (outcome.err, value.as_deref(), Answer::ComponentError),
        (true, _) => return mismatch("result"),
        (false, value) => (outcome.ok, value, Answer::Ok),
    };
    // A program that was described before programs had an outcome has none in its description.
    writer.payload(ty, value.filter(|_| ty.is_some() || !outcome.split))?;
    Ok(wrap(writer.out))
}

/// The JSON of a map's key, to compare keys by.
pub(crate) fn key(types: &Types, ty: Type, value: &Val) -> Result<Vec<u8>, WriteError> {
    let mut writer = Writer { types, out: Vec::new(), bytes_max: usize::MAX };
    writer.value(ty, value)?;
    Ok(writer.out)
}

struct Writer<'a> {
    types: &'a Types,
    out: Vec<u8>,
    bytes_max: usize,
}

fn mismatch<T>(expected: &'static str) -> Result<T, WriteError> {
    Err(WriteError::Mismatch { expected })
}

impl Writer<'_> {
    fn value(&mut self, ty: Type, value: &Val) -> Write {
        match (ty, value) {
            (Type::Bool, Val::Bool(value)) => self.put(if *value { b"true" } else { b"false" }),
            (Type::U8, Val::U8(value)) => self.integer(*value),
            (Type::U16, Val::U16(value)) => self.integer(*value),
            (Type::U32, Val::U32(value)) => self.integer(*value),
            (Type::U64, Val::U64(value)) => self.integer(*value),
            (Type::S8, Val::S8(value)) => self.integer(*value),
            (Type::S16, Val::S16(value)) => self.integer(*value),
            (Type::S32, Val::S32(value)) => self.integer(*value),
            (Type::S64, Val::S64(value)) => self.integer(*value),
            (Type::F32, Val::Float32(value)) => self.float(*value, f64::from(*value)),
            (Type::F64, Val::Float64(value)) => self.float(*value, *value),
            (Type::Char, Val::Char(value)) => self.string(value.encode_utf8(&mut [0; 4])),
            (Type::String, Val::String(value)) => self.string(value),
            (Type::Defined(id), value) => self.defined(id, value),
            _ => mismatch(primitive_name(ty)),
        }
    }

    fn defined(&mut self, id: u32, value: &Val) -> Write {
        let types = self.types;
        let Some(def) = types.def(Type::Defined(id)) else { return mismatch("type") };
        match (&def.kind, value) {
            (TypeKind::Alias(target), value) => self.value(*target, value),
            (TypeKind::Record(fields), Val::Record(values)) => self.record(fields, values),
            (TypeKind::Variant(cases), Val::Variant(name, payload)) => {
                let case = types.label(id, name, 0).and_then(|index| cases.get(index));
                let Some(case) = case else { return mismatch("variant") };
                match (case.ty, payload) {
                    (None, None) => self.string(name),
                    (Some(ty), Some(payload)) => self.wrapped(name, Some(ty), Some(payload)),
                    _ => mismatch("variant"),
                }
            }
            (TypeKind::Enum(_), Val::Enum(name)) => self.string(name),
            (TypeKind::Flags(_), Val::Flags(names)) => self.array(names, |writer, name| writer.string(name)),
            (TypeKind::Tuple(elements), Val::Tuple(values)) if elements.len() == values.len() => {
                self.array(elements.iter().zip(values), |writer, (ty, value)| writer.value(*ty, value))
            }
            (TypeKind::List(element), Val::List(values)) => self.list(*element, values),
            (TypeKind::FixedLengthList(element, length), Val::FixedLengthList(values))
                if values.len() == *length as usize =>
            {
                self.list(*element, values)
            }
            (TypeKind::Map(key, element), Val::Map(pairs)) => self.map(*key, *element, pairs),
            (TypeKind::Option(_), Val::Option(None)) => self.put(b"null"),
            (TypeKind::Option(some), Val::Option(Some(value))) if types.is_option(*some) => {
                self.wrapped("some", Some(*some), Some(value))
            }
            (TypeKind::Option(some), Val::Option(Some(value))) => self.value(*some, value),
            (TypeKind::Result { ok, .. }, Val::Result(Ok(value))) => self.wrapped("ok", *ok, value.as_deref()),
            (TypeKind::Result { err, .. }, Val::Result(Err(value))) => self.wrapped("err", *err, value.as_deref()),
            (kind, _) => mismatch(kind_name(kind)),
        }
    }

    /// A value that may be without a type, which is `null`.
    fn payload(&mut self, ty: Option<Type>, value: Option<&Val>) -> Write {
        match (ty, value) {
            (Some(ty), Some(value)) => self.value(ty, value),
            (None, None) => self.put(b"null"),
            _ => mismatch("result"),
        }
    }

    fn wrapped(&mut self, name: &str, ty: Option<Type>, value: Option<&Val>) -> Write {
        self.put(b"{")?;
        self.string(name)?;
        self.put(b":")?;
        self.payload(ty, value)?;
        self.put(b"}")
    }

    fn record(&mut self, fields: &[Field], values: &[(String, Val)]) -> Write {
        if fields.len() != values.len() {
            return mismatch("record");
        }
        self.put(b"{")?;
        for (index, (field, (name, value))) in fields.iter().zip(values).enumerate() {
            if field.name != *name {
                return mismatch("record");
            }
            self.put(if index == 0 { b"\"" } else { b",\"" })?;
            // WIT names have nothing to escape.
            self.put(name.as_bytes())?;
            self.put(b"\":")?;
            self.value(field.ty, value)?;
        }
        self.put(b"}")
    }

    fn array<T>(
        &mut self,
        elements: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T) -> Write,
    ) -> Write {
        self.put(b"[")?;
        for (index, element) in elements.into_iter().enumerate() {
            if index > 0 {
                self.put(b",")?;
            }
            write(self, element)?;
        }
        self.put(b"]")
    }

    fn list(&mut self, element: Type, values: &[Val]) -> Write {
        if self.types.peel(element) != Type::U8 {
            return self.array(values, |writer, value| writer.value(element, value));
        }
        if values.len().div_ceil(3).saturating_mul(4) > self.bytes_max {
            return self.too_large();
        }
        let bytes: Option<Vec<u8>> =
            values.iter().map(|value| if let Val::U8(byte) = value { Some(*byte) } else { None }).collect();
        let Some(bytes) = bytes else { return mismatch("list<u8>") };
        self.put(b"\"")?;
        self.put(STANDARD.encode(bytes).as_bytes())?;
        self.put(b"\"")
    }

    /// Of pairs with the same key, the last counts, as the component model says.
    fn map(&mut self, key_type: Type, element: Type, pairs: &[(Val, Val)]) -> Write {
        let members = self.types.peel(key_type) == Type::String;
        let keys = pairs.iter().map(|(name, _)| key(self.types, key_type, name)).collect::<Result<Vec<_>, _>>()?;
        let last: HashMap<&[u8], usize> = keys.iter().map(Vec::as_slice).zip(0..).collect();
        let kept = keys.iter().zip(pairs).enumerate();
        let kept = kept.filter(|(index, (key, _))| last.get(key.as_slice()) == Some(index));
        self.put(if members { b"{" } else { b"[" })?;
        for (count, (_, (key, (_, value)))) in kept.enumerate() {
            if count > 0 {
                self.put(b",")?;
            }
            self.put(if members { b"" } else { b"[" })?;
            self.put(key)?;
            self.put(if members { b":" } else { b"," })?;
            self.value(element, value)?;
            self.put(if members { b"" } else { b"]" })?;
        }
        self.put(if members { b"}" } else { b"]" })
    }

    fn integer(&mut self, value: impl itoa::Integer) -> Write {
        self.put(itoa::Buffer::new().format(value).as_bytes())
    }

    /// `value` in its own precision, so that an `f32` is as short as an `f32` may be.
    fn float(&mut self, value: impl ryu::Float, wide: f64) -> Write {
        if wide.is_finite() {
            self.put(ryu::Buffer::new().format_finite(value).as_bytes())
        } else if wide.is_nan() {
            self.put(b"\"NaN\"")
        } else {
            self.put(if wide > 0.0 { b"\"Infinity\"" } else { b"\"-Infinity\"" })
        }
    }

    fn string(&mut self, text: &str) -> Write {
        self.put(b"\"")?;
        let mut rest = text.as_bytes();
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            let (plain, special) = rest.split_at(at);
            self.put(plain)?;
            let Some((byte, after)) = special.split_first() else { break };
            self.escape(*byte)?;
            rest = after;
        }
        self.put(rest)?;
        self.put(b"\"")
    }

    fn escape(&mut self, byte: u8) -> Write {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match byte {
            b'"' => self.put(b"\\\""),
            b'\\' => self.put(b"\\\\"),
            b'\n' => self.put(b"\\n"),
            b'\r' => self.put(b"\\r"),
            b'\t' => self.put(b"\\t"),
            byte => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                self.put(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)])
            }
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Write {
        if bytes.len() > self.bytes_max - self.out.len() {
            return self.too_large();
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn too_large(&self) -> Write {
        Err(WriteError::TooLarge { bytes_max: self.bytes_max })
    }
}

pub(crate) fn primitive_name(ty: Type) -> &'static str {
    match ty {
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
        Type::Defined(_) => "defined type",
    }
}

fn kind_name(kind: &TypeKind) -> &'static str {
    match kind {
        TypeKind::Record(_) => "record",
        TypeKind::Variant(_) => "variant",
        TypeKind::Enum(_) => "enum",
        TypeKind::Flags(_) => "flags",
        TypeKind::Tuple(_) => "tuple",
        TypeKind::List(_) => "list",
        TypeKind::FixedLengthList(..) => "list of a fixed length",
        TypeKind::Map(..) => "map",
        TypeKind::Option(_) => "option",
        TypeKind::Result { .. } => "result",
        TypeKind::Alias(_) => "alias",
        TypeKind::NotJson(_) => "value with a JSON form",
    }
}
