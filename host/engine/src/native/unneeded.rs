//! Files of the native code cache that nobody needs any more.

use super::NativeCache;
use crate::concurrency::Concurrency;
use std::collections::HashSet;
use std::fs;
use std::io;
use std::time::{Duration, SystemTime};
use wares_model::Digest;

/// What a file is called while a worker writes it.
const UNFINISHED_PREFIX: &str = ".tmp";
/// After this no worker writes any more, however slow the disk.
const UNFINISHED_AGE: Duration = Duration::from_secs(3_600);

/// A file of the native code cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeFile {
    /// Its name in the cache's folder.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}

impl NativeCache {
    /// Native code of components that are not `needed`, or made by another version of the engine, and what workers of a host
    /// that died left unfinished. Files of other names are nobody's business here.
    pub(crate) fn unneeded(&self, needed: &HashSet<Digest>) -> io::Result<Vec<NativeFile>> {
        let both = [Concurrency::None, Concurrency::Tasks];
        let stems: HashSet<_> =
            needed.iter().flat_map(|digest| both.map(|concurrency| self.stem(digest, concurrency))).collect();
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Another compilation put it in place meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let unneeded = match name.strip_suffix(".cwasm").or_else(|| name.strip_suffix(".seal")) {
                Some(stem) => is_stem(stem) && !stems.contains(stem),
                None => name.starts_with(UNFINISHED_PREFIX) && age(metadata.modified()?) > UNFINISHED_AGE,
            };
            if unneeded {
                found.push(NativeFile { name, size_bytes: metadata.len() });
            }
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Removes a file that was found unneeded. Whoever has mapped it keeps what it mapped.
    pub(crate) fn remove(&self, file: &NativeFile) -> io::Result<()> {
        match fs::remove_file(self.dir.join(&file.name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether it is a digest and a configuration.
fn is_stem(stem: &str) -> bool {
    stem.split_once('-').is_some_and(|(hex, _)| format!("sha256:{hex}").parse::<Digest>().is_ok())
}

/// By this machine's clock; a time in the future is no age at all.
fn age(modified: SystemTime) -> Duration {
    SystemTime::now().duration_since(modified).unwrap_or_default()
}
