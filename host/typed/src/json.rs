//! Reads JSON text token by token (RFC 8259), keeping numbers as written.
//!
//! serde_json hands numbers that are not plain integers over as `f64`, which would blur `1e3` and `1.0` and round large
//! integers; here the reader of a type sees the text. Nothing recurses, and memory is taken only for strings with escapes.

use std::borrow::Cow;

/// Text that is not JSON: where, and what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) at: usize,
    pub(crate) message: String,
}

/// What the next value is, by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Null,
    Boolean,
    Number,
    String,
    Array,
    Object,
}

impl Kind {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "a boolean",
            Self::Number => "a number",
            Self::String => "a string",
            Self::Array => "an array",
            Self::Object => "an object",
        }
    }
}

/// A position in JSON text.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

type Read<T> = Result<T, SyntaxError>;

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Line and column of a position, both from 1; the column counts characters.
    pub(crate) fn line_column(text: &str, at: usize) -> (usize, usize) {
        let before = text.get(..at).unwrap_or(text);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
        (line, column)
    }

    /// What comes next, or none at the end of the text.
    pub(crate) fn kind(&mut self) -> Read<Option<Kind>> {
        Ok(Some(match self.peek() {
            None => return Ok(None),
            Some(b'n') => Kind::Null,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b'"') => Kind::String,
            Some(b'[') => Kind::Array,
            Some(b'{') => Kind::Object,
            Some(_) => return Err(self.unexpected("a value")),
        }))
    }

    pub(crate) fn null(&mut self) -> Read<()> {
        self.word("null")
    }

    pub(crate) fn boolean(&mut self) -> Read<bool> {
        if self.peek() == Some(b't') { self.word("true").map(|()| true) } else { self.word("false").map(|()| false) }
    }

    /// A number as written.
    pub(crate) fn number(&mut self) -> Read<&'a str> {
        self.peek();
        let start = self.at;
        self.accept(b'-');
        if !self.accept(b'0') {
            self.digits()?;
        } else if self.next_is_digit() {
            return Err(self.unexpected("no digit after a leading 0"));
        }
        if self.accept(b'.') {
            self.digits()?;
        }
        if self.accept(b'e') || self.accept(b'E') {
            let _ = self.accept(b'+') || self.accept(b'-');
            self.digits()?;
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// A string; borrowed unless it has escapes.
    pub(crate) fn string(&mut self) -> Read<Cow<'a, str>> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(0..0x20) => return Err(self.unexpected("no control character in a string: escape it as \\u00XX")),
                Some(_) => self.at += 1,
                None => {
                    self.at = self.text.len();
                    return Err(self.unexpected("the string's closing quote"));
                }
            }
        }
        let end = self.at;
        self.at += 1;
        if !escaped {
            return Ok(Cow::Borrowed(self.text.get(start..end).unwrap_or_default()));
        }
        let quoted = self.text.get(start.saturating_sub(1)..=end).unwrap_or_default();
        let unescaped = serde_json::from_str(quoted).map(Cow::Owned);
        unescaped.map_err(|_| SyntaxError { at: start, message: "the string has a malformed escape".into() })
    }

    /// Enters an array; true if it has elements.
    pub(crate) fn array(&mut self) -> Read<bool> {
        self.expect(b'[', "an array")?;
        self.peek();
        Ok(!self.accept(b']'))
    }

    /// After an element; true if another follows.
    pub(crate) fn next_element(&mut self) -> Read<bool> {
        self.next(b']', "`,` or `]`")
    }

    /// Enters an object; true if it has members.
    pub(crate) fn object(&mut self) -> Read<bool> {
        self.expect(b'{', "an object")?;
        self.peek();
        Ok(!self.accept(b'}'))
    }

    /// A member's key and its colon.
    pub(crate) fn key(&mut self) -> Read<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a key in quotes"));
        }
        let key = self.string()?;
        self.expect(b':', "`:` after the key")?;
        Ok(key)
    }

    /// After a member; true if another follows.
    pub(crate) fn next_member(&mut self) -> Read<bool> {
        self.next(b'}', "`,` or `}`")
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Read<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end of the text")),
        }
    }

    /// That something else was expected here.
    pub(crate) fn unexpected(&mut self, expected: &str) -> SyntaxError {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let found = match rest.chars().next() {
            None => "the end of the text".to_owned(),
            Some(found) => format!("{found:?}"),
        };
        SyntaxError { at: self.at, message: format!("expected {expected}, found {found}") }
    }

    fn next(&mut self, close: u8, expected: &str) -> Read<bool> {
        self.peek();
        if self.accept(b',') {
            return Ok(true);
        }
        if self.accept(close) { Ok(false) } else { Err(self.unexpected(expected)) }
    }

    fn word(&mut self, word: &'static str) -> Read<()> {
        self.peek();
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(self.unexpected(word));
        }
        self.at += word.len();
        Ok(())
    }

    fn expect(&mut self, byte: u8, expected: &str) -> Read<()> {
        self.peek();
        if self.accept(byte) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    fn digits(&mut self) -> Read<()> {
        if !self.next_is_digit() {
            return Err(self.unexpected("a digit"));
        }
        while self.next_is_digit() {
            self.at += 1;
        }
        Ok(())
    }

    fn next_is_digit(&self) -> bool {
        matches!(self.byte(), Some(b'0'..=b'9'))
    }

    fn accept(&mut self, byte: u8) -> bool {
        let found = self.byte() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Skips white space and shows the next byte.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte,
            }
        }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn value(reader: &mut Reader<'_>) -> Read<Value> {
        Ok(match reader.kind()? {
            None => return Err(reader.unexpected("a value")),
            Some(Kind::Null) => reader.null().map(|()| Value::Null)?,
            Some(Kind::Boolean) => Value::Bool(reader.boolean()?),
            Some(Kind::Number) => serde_json::from_str(reader.number()?).unwrap(),
            Some(Kind::String) => Value::String(reader.string()?.into_owned()),
            Some(Kind::Array) => {
                let mut elements = vec![];
                let mut more = reader.array()?;
                while more {
                    elements.push(value(reader)?);
                    more = reader.next_element()?;
                }
                Value::Array(elements)
            }
            Some(Kind::Object) => {
                let mut members = serde_json::Map::new();
                let mut more = reader.object()?;
                while more {
                    let key = reader.key()?.into_owned();
                    members.insert(key, value(reader)?);
                    more = reader.next_member()?;
                }
                Value::Object(members)
            }
        })
    }

    fn read(text: &str) -> Option<Value> {
        let mut reader = Reader::new(text);
        let value = value(&mut reader).ok()?;
        reader.end().ok()?;
        Some(value)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        /// Whatever serde_json takes for JSON is read as the same value, and nothing else is.
        #[test]
        fn agrees_with_serde_json(text in r#"([\[\]{},:" \n\\/u0-9a-f.eE+é-]|null|true|false|"a":|\\u00e9|"\\n"|[0-9]{1,3}){0,12}"#) {
            // What overflows f64 is a number to the grammar, but not to serde_json.
            let expected = serde_json::from_str::<Value>(&text);
            prop_assume!(!expected.as_ref().is_err_and(|error| error.to_string().contains("out of range")));
            prop_assert_eq!(read(&text), expected.ok());
        }
    }

    #[test]
    fn well_formed_texts_are_read_as_serde_json_reads_them() {
        for text in [
            r#" { "a" : [ 1 , -0.5e+3, "x\u00e9\ud83d\ude00\\" , { } , [ ] ], "b":null,"c":true } "#,
            "0",
            "\"\"",
            "-0",
            "[[[]]]",
        ] {
            assert_eq!(read(text), serde_json::from_str(text).ok(), "{text}");
            assert!(read(text).is_some(), "{text}");
        }
    }

    #[test]
    fn errors_name_the_line_and_column() {
        let text = "{\n  \"é\": 1,\n  \"b\" 2}";
        let mut reader = Reader::new(text);
        let error = value(&mut reader).unwrap_err();
        assert_eq!(error.message, "expected `:` after the key, found '2'");
        assert_eq!(Reader::line_column(text, error.at), (3, 7));
    }
}
