//! A backup: one archive with the database as of one moment and the artifacts that it names.
//!
//! The archive is a tar file of regular files in a fixed order: [`HEAD`], a small JSON document that says how much follows;
//! [`DATABASE`]; and one file for each artifact, named by its digest. Native code, its key and the host's settings are not in
//! it: native code is made again where the backup is restored.
//!
//! An artifact that is missing or damaged is left out, and [`MISSING`] at the end names it. An archive that could not be
//! written to its end has [`BROKEN`] there, which says why: whoever reads it learns more than that it is too short.

use crate::{ArtifactReader, Artifacts, Store, StoreError};
use bytes::{Buf as _, Bytes};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use tar::{Builder, EntryType, Header};
use tempfile::NamedTempFile;
use tokio::runtime::Handle;
use wares_model::{Digest, Timestamp};

/// The form of archive that this program writes.
pub(crate) const FORMAT: u32 = 1;
/// The archive's first file.
pub(crate) const HEAD: &str = "backup.json";
/// Its second one.
pub(crate) const DATABASE: &str = "wares.sqlite";
/// The folder of all others.
pub(crate) const ARTIFACTS: &str = "artifacts/sha256/";

/// A last file where artifacts are missing: which, and why.
pub(crate) const MISSING: &str = "missing.json";
/// A last file where the archive is not whole: why.
pub(crate) const BROKEN: &str = "broken.json";

/// An artifact that is not in an archive although its database names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MissingArtifact {
    /// The digest by which it is known.
    pub digest: Digest,
    /// What was wrong with it.
    pub reason: String,
}

/// What an archive says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BackupHead {
    /// Its form.
    pub format: u32,
    /// When the backup was begun: the database is not older.
    pub created_at: Timestamp,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Their digest.
    pub database_digest: Digest,
    /// How many artifacts follow.
    pub artifacts: u64,
    /// Bytes of them together.
    pub artifact_bytes: u64,
    /// Those that do not follow, as the archive's end has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<MissingArtifact>,
}

/// A copy of the database as of one moment. The file is gone when this is dropped.
#[derive(Debug)]
pub struct DatabaseCopy {
    pub(crate) file: NamedTempFile,
    /// The artifacts that it names, with their bytes.
    pub(crate) artifacts: Vec<(Digest, u64)>,
}

/// A backup that has begun: its moment is fixed, and it can be written.
pub struct Backup {
    head: BackupHead,
    copy: DatabaseCopy,
    artifacts: Artifacts,
}

/// Why a backup cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The copy of the database cannot be read; the archive was written to its end and says so there.
    #[error("reading the copy of the database: {0}")]
    Broken(#[source] io::Error),
    /// It cannot be written.
    #[error("writing the backup: {0}")]
    Io(#[from] io::Error),
}

impl Backup {
    /// Copies the database as it is at one moment. Calls and changes go on meanwhile.
    pub async fn begin(store: &dyn Store, artifacts: Artifacts) -> Result<Self, BackupError> {
        let created_at = Timestamp::now();
        let copy = store.copy_database().await?;
        let path = copy.file.path().to_owned();
        let hashed = tokio::task::spawn_blocking(move || digest_of(&path)).await.map_err(io::Error::other)?;
        let (database_digest, database_bytes) = hashed?;
        let head = BackupHead {
            format: FORMAT,
            created_at,
            database_bytes,
            database_digest,
            artifacts: copy.artifacts.len() as u64,
            artifact_bytes: copy.artifacts.iter().map(|(_, bytes)| bytes).sum(),
            missing: Vec::new(),
        };
        Ok(Self { head, copy, artifacts })
    }

    /// What the archive will hold.
    pub fn head(&self) -> &BackupHead {
        &self.head
    }

    /// Writes the archive, and says what is missing in it. It takes its thread for as long as `out` needs; artifacts are read
    /// on `runtime`.
    pub fn write(self, out: impl Write, runtime: &Handle) -> Result<Vec<MissingArtifact>, BackupError> {
        let mut archive = Builder::new(out);
        let head = serde_json::to_vec_pretty(&self.head).map_err(io::Error::other)?;
        self.append(&mut archive, HEAD, head.len() as u64, head.as_slice())?;
        let mut database = Padded { content: self.copy.file.reopen(), failure: None };
        self.append(&mut archive, DATABASE, self.head.database_bytes, &mut database)?;
        if let Some(error) = database.failure {
            self.append_json(&mut archive, BROKEN, &format!("reading the copy of the database: {error}"))?;
            archive.into_inner()?.flush()?;
            return Err(BackupError::Broken(error));
        }
        let mut missing = Vec::new();
        for (digest, _) in &self.copy.artifacts {
            match runtime.block_on(self.whole(digest)) {
                Ok(reader) => {
                    let (size, name) = (reader.size(), artifact_name(digest));
                    self.append(&mut archive, &name, size, Pieces { reader, piece: Bytes::new(), runtime })?;
                }
                Err(reason) => missing.push(MissingArtifact { digest: *digest, reason }),
            }
        }
        if !missing.is_empty() {
            self.append_json(&mut archive, MISSING, &missing)?;
        }
        archive.into_inner()?.flush()?;
        Ok(missing)
    }

    /// The artifact from its beginning, or why it is left out. It is read twice: one that is damaged is not begun in the archive.
    async fn whole(&self, digest: &Digest) -> Result<ArtifactReader, String> {
        self.artifacts.check(digest).await.map_err(|error| error.to_string())?;
        let reader = self.artifacts.read(digest).await.map_err(|error| error.to_string())?;
        reader.ok_or_else(|| "it is not in the store".to_owned())
    }

    fn append_json(&self, archive: &mut Builder<impl Write>, name: &str, value: &impl Serialize) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(value)?;
        self.append(archive, name, json.len() as u64, json.as_slice())
    }

    fn append(&self, archive: &mut Builder<impl Write>, name: &str, bytes: u64, content: impl Read) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.head.created_at.as_micros() / 1_000_000).unwrap_or_default());
        header.set_cksum();
        archive.append(&header, content.take(bytes))
    }
}

/// A file that is as long as was said of it, whatever happens: what cannot be read of it is zeros, and the failure is kept.
struct Padded {
    content: io::Result<File>,
    failure: Option<io::Error>,
}

impl Read for Padded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match &mut self.content {
            Ok(file) if self.failure.is_none() => file.read(buffer),
            Ok(_) => Ok(0),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        match read {
            Ok(bytes) if bytes > 0 => return Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => self.failure = self.failure.take().or(Some(error)),
            Ok(_) => {
                let short = || io::Error::new(io::ErrorKind::UnexpectedEof, "the copy of the database became shorter");
                self.failure.get_or_insert_with(short);
            }
        }
        buffer.fill(0);
        Ok(buffer.len())
    }
}

/// An artifact's bytes for who reads them on a thread of its own.
struct Pieces<'a> {
    reader: ArtifactReader,
    piece: Bytes,
    runtime: &'a Handle,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let next = self.runtime.block_on(self.reader.piece()).map_err(io::Error::other)?;
            self.piece = next.unwrap_or_default();
        }
        let bytes = self.piece.len().min(buffer.len());
        self.piece.split_to(bytes).copy_to_slice(buffer.get_mut(..bytes).unwrap_or_default());
        Ok(bytes)
    }
}

/// The archive's name of an artifact.
pub(crate) fn artifact_name(digest: &Digest) -> String {
    format!("{ARTIFACTS}{}", digest.hex())
}

/// The digest and the length of a file.
fn digest_of(path: &Path) -> io::Result<(Digest, u64)> {
    let mut hasher = crate::hashing::Hasher::default();
    io::copy(&mut File::open(path)?, &mut hasher)?;
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_zeros_and_the_reason_is_kept() {
        let short = tempfile::tempfile().unwrap();
        let mut padded = Padded { content: Ok(short), failure: None };
        let mut bytes = Vec::new();
        (&mut padded).take(100).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [0; 100]);
        assert!(padded.failure.unwrap().to_string().contains("shorter"));
        let mut padded = Padded { content: Err(io::Error::other("gone")), failure: None };
        (&mut padded).take(100).read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() == 200 && padded.failure.unwrap().to_string() == "gone");
    }
}
