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
