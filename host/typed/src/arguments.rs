//! Arguments: JSON text to wasmtime values, straight and exact, naming the place of whatever does not fit.
//!
//! Bounds: recursion follows the type, which is not recursive and nests no deeper than `describe` allows; the values' memory is
//! counted while they are built and may not exceed a small multiple of the text's length.

mod compound;
mod numbers;
mod places;

use crate::description::{Description, Function};
use crate::json::{Kind, Reader, SyntaxError};
use crate::types::{Field, Type, Types};
use places::{Place, nearest, quote};
use std::borrow::Cow;
use wares_model::limits::{ARGUMENT_BYTES_MIN, ARGUMENT_BYTES_PER_BYTE_MAX};
use wasmtime::component::Val;

/// JSON that is not what a function's parameters say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", if pointer.is_empty() { "arguments" } else { pointer })]
pub struct ArgumentError {
    /// The place, as a JSON pointer (RFC 6901) into the body; empty for the body itself.
    pub pointer: String,
    /// What was expected there and what was found.
    pub message: String,
}

/// Why there are no values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The text is not what the parameters say.
    #[error(transparent)]
    Arguments(#[from] ArgumentError),
    /// They take more memory than there is for them now.
    #[error("{TOO_MUCH_MEMORY}")]
    Memory,
}

const TOO_MUCH_MEMORY: &str =
    "the values would take too much memory for a text of this length: send fewer or smaller lists";

type Read<T> = Result<T, ArgumentError>;

/// The values of a function's parameters in order, from a JSON object by their names or a JSON array in their order.
///
/// Parameters that are options may be left out; so may the whole body if none is left.
pub fn read_arguments(description: &Description, function: &Function, json: &[u8]) -> Result<Vec<Val>, ArgumentError> {
    match read_arguments_within(description, function, json, usize::MAX, &mut |_| false) {
        Ok((values, _)) => Ok(values),
        Err(ReadError::Arguments(error)) => Err(error),
        // There is no such bound here.
        Err(ReadError::Memory) => Err(ArgumentError { pointer: String::new(), message: TOO_MUCH_MEMORY.to_owned() }),
    }
}

/// The same with so many bytes of host memory, and as many more as `more` gives when it is asked for them; and how many the
/// values take.
pub fn read_arguments_within(
    description: &Description,
    function: &Function,
    json: &[u8],
    bytes: usize,
    more: &mut dyn FnMut(usize) -> bool,
) -> Result<(Vec<Val>, usize), ReadError> {
    let text = std::str::from_utf8(json).map_err(|error| {
        let message = format!("the body is not UTF-8 at byte {}", error.valid_up_to());
        ArgumentError { pointer: String::new(), message }
    })?;
    let bytes_max = ARGUMENT_BYTES_MIN.saturating_add(text.len().saturating_mul(ARGUMENT_BYTES_PER_BYTE_MAX));
    let bytes = bytes.min(bytes_max);
    let mut arguments = Arguments {
        text,
        json: Reader::new(text),
        types: &description.types,
        places: Vec::new(),
        memory: Memory { bytes_left: bytes, bytes, bytes_max, more, is_refused: false },
    };
    match arguments.read(&function.params) {
        Ok(values) => Ok((values, arguments.memory.bytes - arguments.memory.bytes_left)),
        Err(_) if arguments.memory.is_refused => Err(ReadError::Memory),
        Err(error) => Err(error.into()),
    }
}

struct Arguments<'a> {
    text: &'a str,
    json: Reader<'a>,
    types: &'a Types,
    /// Where in the text the reader is. Not unwound by an error, which names it.
    places: Vec<Place<'a>>,
    memory: Memory<'a>,
}

/// Host memory for the values.
struct Memory<'a> {
    /// Bytes that they may still take.
    bytes_left: usize,
    /// All that there are for them now, and that there may be for a text of its length.
    bytes: usize,
    bytes_max: usize,
    more: &'a mut dyn FnMut(usize) -> bool,
    /// Whether there were no more when they were asked for.
    is_refused: bool,
}

impl Memory<'_> {
    /// Takes so many bytes, if there are as many or more are given.
    fn take(&mut self, bytes: usize) -> bool {
        let missing = bytes.saturating_sub(self.bytes_left);
        if missing > 0 && !self.grow(missing) {
            return false;
        }
        self.bytes_left -= bytes;
        true
    }

    /// Asks for as many bytes again as there were, or else for no more than are missing.
    fn grow(&mut self, missing: usize) -> bool {
        let most = self.bytes_max - self.bytes;
        if missing > most {
            return false;
        }
        let given = [self.bytes.clamp(missing, most), missing].into_iter().find(|bytes| (self.more)(*bytes));
        self.is_refused = given.is_none();
        self.bytes += given.unwrap_or_default();
        self.bytes_left += given.unwrap_or_default();
        given.is_some()
    }
}

impl<'a> Arguments<'a> {
    fn read(&mut self, params: &'a [Field]) -> Read<Vec<Val>> {
        let kind = self.kind()?;
        let values = match kind {
            None => self.finish_fields(params, Vec::new(), "parameter")?,
            Some(Kind::Object) => {
                let find = |name: &str, guess: usize| match params.get(guess) {
                    Some(param) if param.name == name => Some(guess),
                    _ => params.iter().position(|param| param.name == name),
                };
                self.fields(params, find, "parameter")?
            }
            Some(Kind::Array) => self.in_order(params)?,
            Some(kind) => {
                let expected = "expected an object with the parameters by name, or an array with them in order";
                return Err(self.error(format!("{expected}, found {}", kind.words())));
            }
        };
        self.json.end().map_err(|error| self.syntax(error))?;
        Ok(values)
    }

    /// Parameters by their order. Options at the end may be left out.
    fn in_order(&mut self, params: &'a [Field]) -> Read<Vec<Val>> {
        let mut values = Vec::with_capacity(params.len());
        let mut more = self.check(Reader::array)?;
        while more {
            let Some(param) = params.get(values.len()) else {
                self.places.push(Place::Index(values.len()));
                return Err(self.error(format!("the function has {} parameters, this is one more", params.len())));
            };
            let value = self.within(Place::Index(values.len()), |this| this.value(param.ty))?;
            values.push(value);
            more = self.check(Reader::next_element)?;
        }
        for param in params.get(values.len()..).unwrap_or_default() {
            if !self.types.is_option(param.ty) {
                return Err(self.missing("parameter", param));
            }
            values.push(Val::Option(None));
        }
        Ok(values)
    }

    /// One value of type `ty`.
    fn value(&mut self, ty: Type) -> Read<Val> {
        Ok(match ty {
            Type::Bool => {
                self.expect(Kind::Boolean, "a boolean")?;
                Val::Bool(self.check(Reader::boolean)?)
            }
            Type::U8 => Val::U8(self.integer("u8", u8::MIN, u8::MAX)?),
            Type::U16 => Val::U16(self.integer("u16", u16::MIN, u16::MAX)?),
            Type::U32 => Val::U32(self.integer("u32", u32::MIN, u32::MAX)?),
            Type::U64 => Val::U64(self.wide_integer("u64", u64::MIN, u64::MAX)?),
            Type::S8 => Val::S8(self.integer("s8", i8::MIN, i8::MAX)?),
            Type::S16 => Val::S16(self.integer("s16", i16::MIN, i16::MAX)?),
            Type::S32 => Val::S32(self.integer("s32", i32::MIN, i32::MAX)?),
            Type::S64 => Val::S64(self.wide_integer("s64", i64::MIN, i64::MAX)?),
            Type::F32 => Val::Float32(self.float("f32", f32::is_infinite)?),
            Type::F64 => Val::Float64(self.float("f64", f64::is_infinite)?),
            Type::Char => Val::Char(self.character()?),
            Type::String => Val::String(self.owned_string("a string")?),
            Type::Defined(id) => self.defined(id)?,
        })
    }

    fn character(&mut self) -> Read<char> {
        const EXPECTED: &str = "a string of exactly one Unicode character";
        self.expect(Kind::String, EXPECTED)?;
        let text = self.check(Reader::string)?;
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (Some(character), None) => Ok(character),
            _ => Err(self.error(format!("expected {EXPECTED}, found {}", quote(&text)))),
        }
    }

    fn owned_string(&mut self, expected: &str) -> Read<String> {
        self.expect(Kind::String, expected)?;
        let text = self.check(Reader::string)?;
        self.take(text.len())?;
        Ok(text.into_owned())
    }

    fn kind(&mut self) -> Read<Option<Kind>> {
        self.json.kind().map_err(|error| self.syntax(error))
    }

    /// Makes sure that a value of this kind comes next.
    fn expect(&mut self, kind: Kind, expected: &str) -> Read<()> {
        match self.kind()? {
            Some(found) if found == kind => Ok(()),
            found => Err(self.mismatch(expected, found)),
        }
    }

    fn check<T>(&mut self, read: impl FnOnce(&mut Reader<'a>) -> Result<T, SyntaxError>) -> Read<T> {
        read(&mut self.json).map_err(|error| self.syntax(error))
    }

    /// Reads at a place below this one.
    fn within<T>(&mut self, place: Place<'a>, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        self.places.push(place);
        let value = read(self)?;
        self.places.pop();
        Ok(value)
    }

    /// Accounts for host memory before it is taken.
    fn take(&mut self, bytes: usize) -> Read<()> {
        match self.memory.take(bytes) {
            true => Ok(()),
            false => Err(self.error(TOO_MUCH_MEMORY.to_owned())),
        }
    }

    fn mismatch(&mut self, expected: &str, found: Option<Kind>) -> ArgumentError {
        match found {
            Some(kind) => self.error(format!("expected {expected}, found {}", kind.words())),
            None => {
                let error = self.json.unexpected(expected);
                self.syntax(error)
            }
        }
    }

    fn syntax(&self, error: SyntaxError) -> ArgumentError {
        let (line, column) = Reader::line_column(self.text, error.at);
        self.error(format!("not JSON at line {line}, column {column}: {}", error.message))
    }

    fn error(&self, message: String) -> ArgumentError {
        ArgumentError { pointer: places::pointer(&self.places), message }
    }

    /// An error at the member `key` of this place.
    fn error_at(&mut self, key: Cow<'a, str>, message: String) -> ArgumentError {
        self.places.push(Place::Key(key));
        self.error(message)
    }

    fn missing(&self, what: &str, field: &Field) -> ArgumentError {
        let expected = crate::signature::type_text(self.types, field.ty);
        self.error(format!("{what} {} ({expected}) is missing", quote(&field.name)))
    }

    fn unknown<'n>(&mut self, what: &str, name: Cow<'a, str>, known: impl Iterator<Item = &'n str>) -> ArgumentError {
        let message = format!("there is no {what} {}: {}", quote(&name), nearest(&name, known));
        self.error_at(name, message)
    }
}
