//! Compilers from package registries: pinned, kept per user, installed when the first project needs them.

use super::toolchain::lock;
use anyhow::{Context as _, Result};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::{env, fmt};

/// Holds what the tool was installed from, once that is complete.
const MARKER: &str = ".wares-installed";

/// A tool in a folder of its own.
pub(crate) struct Tool<'a> {
    /// The folder's name.
    pub(crate) name: &'a str,
    /// What it is installed from: another text installs it anew.
    pub(crate) pins: &'a str,
}

impl Tool<'_> {
    /// The folder of the tool, after `install` has filled it if need be. Concurrent and interrupted runs are safe.
    pub(crate) fn ensure(&self, install: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let tools = tools_folder()?;
        let folder = tools.join(self.name);
        if self.is_in(&folder) {
            return Ok(folder);
        }
        let _lock = lock(&tools)?;
        if self.is_in(&folder) {
            return Ok(folder);
        }
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context(folder.display().to_string())?,
            _ => {}
        }
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        install(&folder).with_context(|| format!("{self} cannot be installed into {}", folder.display()))?;
        fs::write(folder.join(MARKER), self.pins).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    fn is_in(&self, folder: &Path) -> bool {
        fs::read_to_string(folder.join(MARKER)).is_ok_and(|installed| installed == self.pins)
    }
}

impl fmt::Display for Tool<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// `wares/tools` in the user's cache.
fn tools_folder() -> Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let cache = cache.or_else(|| Some(env::home_dir()?.join(".cache")));
    Ok(cache.context("compilers are kept in the user's cache: set HOME or XDG_CACHE_HOME")?.join("wares/tools"))
}
