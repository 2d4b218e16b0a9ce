//! What a crash leaves of an artifact that was being written.

use crate::{Artifacts, StoreError};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// After this nobody writes any more, however slow the disk.
const UNFINISHED_AGE: Duration = Duration::from_secs(3_600);

/// A file that was never finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    /// Its path below the artifacts' folder.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size_bytes: u64,
}

impl Artifacts {
    /// Files that a host began to write and never will end.
    pub async fn leftovers(&self) -> Result<Vec<Leftover>, StoreError> {
        let folder = self.folder().to_owned();
        blocking(move || find(&folder, SystemTime::now() - UNFINISHED_AGE)).await
    }

    /// Removes one.
    pub async fn remove_leftover(&self, leftover: &Leftover) -> Result<(), StoreError> {
        let path = self.folder().join(&leftover.path);
        blocking(move || match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
        .await
    }
}

/// `sha256/ab/ab12…#1`: the local storage writes under such a name first.
fn find(folder: &Path, before: SystemTime) -> io::Result<Vec<Leftover>> {
    let mut found = Vec::new();
    for shelf in subfolders(&folder.join(crate::artifacts::FOLDER))? {
        for entry in fs::read_dir(shelf)? {
            let entry = entry?;
            let unfinished = entry.file_name().to_str().is_some_and(|name| name.contains('#'));
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // It was finished meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if unfinished && metadata.is_file() && metadata.modified()? < before {
                let path = entry.path();
                let path = path.strip_prefix(folder).unwrap_or(&path).to_owned();
                found.push(Leftover { path, size_bytes: metadata.len() });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

fn subfolders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.is_dir()).collect())
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|source| object_store::Error::JoinError { source })?;
    done.map_err(StoreError::Files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use wares_model::Digest;

    #[tokio::test]
    async fn only_old_unfinished_files_are_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        assert_eq!(artifacts.leftovers().await.unwrap(), []);
        let bytes = Bytes::from_static(b"whole");
        let digest = Digest::of(&bytes);
        artifacts.put(&digest, bytes).await.unwrap();
        let old = SystemTime::now() - 2 * UNFINISHED_AGE;
        let shelf = dir.path().join("sha256").join(&digest.hex()[..2]);
        for (name, modified) in [("old#1", old), ("new#1", SystemTime::now()), (digest.hex().as_str(), old)] {
            let file = fs::OpenOptions::new().append(true).create(true).open(shelf.join(name)).unwrap();
            file.set_modified(modified).unwrap();
        }
        let found = artifacts.leftovers().await.unwrap();
        let path = Path::new("sha256").join(&digest.hex()[..2]).join("old#1");
        assert_eq!(found, [Leftover { path, size_bytes: 0 }]);
        for _ in 0..2 {
            artifacts.remove_leftover(&found[0]).await.unwrap();
            assert_eq!(artifacts.leftovers().await.unwrap(), []);
        }
        assert!(artifacts.contains(&digest).await.unwrap());
        assert!(shelf.join("new#1").exists());
    }
}
