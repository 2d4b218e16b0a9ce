//! Numbers of arguments.

use super::{Arguments, Kind, Read, Reader, quote};
use crate::integer::{self, NotInteger};
use std::fmt::Display;
use std::str::FromStr;

impl Arguments<'_> {
    /// An integer of at most 32 bits.
    pub(super) fn integer<T: TryFrom<i128> + Display>(&mut self, name: &str, min: T, max: T) -> Read<T> {
        match self.kind()? {
            Some(Kind::Number) => {
                let number = self.check(Reader::number)?;
                self.exact(number, name, min, max)
            }
            found => Err(self.mismatch(&format!("an integer from {min} to {max} ({name})"), found)),
        }
    }

    /// An integer of 64 bits, which may be written as a decimal string too: many writers of JSON round large numbers.
    pub(super) fn wide_integer<T: TryFrom<i128> + Display>(&mut self, name: &str, min: T, max: T) -> Read<T> {
        if self.kind()? != Some(Kind::String) {
            return self.integer(name, min, max);
        }
        let text = self.check(Reader::string)?;
        if !integer::is_plain(&text) {
            let message =
                format!("expected an integer from {min} to {max} ({name}), found the string {}", quote(&text));
            return Err(self.error(message));
        }
        self.exact(&text, name, min, max)
    }

    fn exact<T: TryFrom<i128> + Display>(&mut self, number: &str, name: &str, min: T, max: T) -> Read<T> {
        let problem = match integer::parse(number).map(T::try_from) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(_)) | Err(NotInteger::Range) => "is out of range",
            Err(NotInteger::Fraction) => "has a fraction",
        };
        let number = number.get(..40).unwrap_or(number);
        Err(self.error(format!("expected an integer from {min} to {max} ({name}), but {number} {problem}")))
    }

    /// A number, or one of the three values that JSON numbers cannot express, as a string.
    pub(super) fn float<T: FromStr + Copy>(&mut self, name: &str, is_infinite: fn(T) -> bool) -> Read<T> {
        let expected = format!("a number ({name}), or one of the strings \"NaN\", \"Infinity\", \"-Infinity\"");
        match self.kind()? {
            Some(Kind::Number) => {
                let number = self.check(Reader::number)?;
                match number.parse() {
                    Ok(value) if !is_infinite(value) => Ok(value),
                    _ => {
                        let number = number.get(..40).unwrap_or(number);
                        Err(self.error(format!("expected a number ({name}), but {number} is out of range")))
                    }
                }
            }
            Some(Kind::String) => {
                let text = self.check(Reader::string)?;
                match text.as_ref() {
                    "NaN" | "Infinity" | "-Infinity" => text.parse().map_err(|_| self.error(expected)),
                    _ => Err(self.error(format!("expected {expected}, found the string {}", quote(&text)))),
                }
            }
            found => Err(self.mismatch(&expected, found)),
        }
    }
}
