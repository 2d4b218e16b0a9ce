//! Components for tests: text-format ones and built ones from `tests/guests`, built ones from `plugins`.

use anyhow::{Context as _, Result};
use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The component `tests/guests/NAME.wat`.
pub fn text(name: &str) -> Result<Vec<u8>> {
    let path = root().join("tests/guests").join(format!("{name}.wat"));
    wat::parse_file(&path).with_context(|| path.display().to_string())
}

/// A component that answers with `number`.
pub fn number(number: u32) -> Result<Vec<u8>> {
    let path = root().join("tests/guests/number.wat");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Ok(wat::parse_str(text.replace("NUMBER", &number.to_string()))?)
}

/// A version of the component `test:echo`, which gives its argument back.
#[derive(Debug, Clone, Copy)]
pub struct Echo<'a> {
    /// Its version.
    pub version: &'a str,
    /// What it adds.
    pub offset: u32,
    /// It comes to harm at multiples of this.
    pub every: u32,
    /// What harm, as core instructions; there is a local `$left` of 32 bits.
    pub harm: &'a str,
    /// Whether its manifest says that it is pure.
    pub pure: bool,
    /// What its manifest asks for, as one line of `[capabilities]`.
    pub asked: &'a str,
}

impl<'a> Echo<'a> {
    /// One that does nothing but that.
    pub fn new(version: &'a str) -> Self {
        Self { version, offset: 0, every: u32::MAX, harm: "unreachable", pure: true, asked: "" }
    }

    /// The component.
    pub fn wasm(self) -> Result<Vec<u8>> {
        let path = root().join("tests/guests/echo.wat");
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let words = [
            ("VERSION", self.version.to_owned()),
            ("OFFSET", self.offset.to_string()),
            ("EVERY", self.every.to_string()),
            ("HARM", self.harm.to_owned()),
            ("PURE", self.pure.to_string()),
            ("ASKED", self.asked.to_owned()),
        ];
        // The first lines are a comment.
        Ok(wat::parse_str(words.iter().fold(text, |text, (word, value)| text.replace(word, value)))?)
    }
}

/// The component `test:NAME` that calls `test:NEXT` so many times.
pub fn link(name: &str, next: &str, times: u32) -> Result<Vec<u8>> {
    with_words("link", &[("NAME", name), ("NEXT", next), ("TIMES", &times.to_string())])
}

/// The component `test:NAME` that calls nobody and adds `offset`, after some work in core instructions; there is a local
/// `$left` of 32 bits.
pub fn link_end(name: &str, offset: u32, work: &str) -> Result<Vec<u8>> {
    with_words("link-end", &[("NAME", name), ("OFFSET", &offset.to_string()), ("WORK", work)])
}

/// The component `tests/guests/FILE.wat`, words replaced below the comment that it begins with.
pub fn with_words(file: &str, words: &[(&str, &str)]) -> Result<Vec<u8>> {
    let path = root().join("tests/guests").join(format!("{file}.wat"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let code = text.find("(component").context("a component")?;
    let code = text.get(code..).unwrap_or_default().to_owned();
    Ok(wat::parse_str(words.iter().fold(code, |code, (word, value)| code.replace(word, value)))?)
}

/// The built component of `plugins/NAME`.
pub fn plugin(name: &str) -> Result<Vec<u8>> {
    let path = root().join("plugins/target/wares").join(format!("{name}.wasm"));
    std::fs::read(&path).with_context(|| format!("{}: build it with `wares build plugins`", path.display()))
}

/// The built component of `tests/guests/NAME`.
pub fn built(name: &str) -> Result<Vec<u8>> {
    let path = root().join("tests/guests/target/wares").join(format!("{name}.wasm"));
    std::fs::read(&path).with_context(|| format!("{}: build it with `wares build tests/guests`", path.display()))
}

/// The component with a custom section at its end.
pub fn with_section(mut wasm: Vec<u8>, name: &str, data: &[u8]) -> Vec<u8> {
    let mut content = length(name.len());
    content.extend_from_slice(name.as_bytes());
    content.extend_from_slice(data);
    wasm.push(0);
    wasm.extend(length(content.len()));
    wasm.extend(content);
    wasm
}

/// LEB128, as wasm writes lengths.
fn length(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
