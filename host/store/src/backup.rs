//! A backup: one archive with the database as of one moment and the artifacts that it names.
//!
//! The archive is a tar file of regular files in a fixed order: [`HEAD`], a small JSON document that says how much follows;
//! [`DATABASE`]; and one file for each artifact, named by its digest. Native code, its key and the host's settings are not in
//! it: native code is made again where the backup is restored.

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
    /// An artifact that a version consists of is not there.
    #[error("the artifact {0} is missing from the store; restore it from an earlier backup")]
    Missing(Digest),
    /// It cannot be read or written.
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
        };
        Ok(Self { head, copy, artifacts })
    }

    /// What the archive will hold.
    pub fn head(&self) -> &BackupHead {
        &self.head
    }

    /// Writes the archive. It takes its thread for as long as `out` needs; artifacts are read on `runtime`.
    pub fn write(self, out: impl Write, runtime: &Handle) -> Result<(), BackupError> {
        let mut archive = Builder::new(out);
        let head = serde_json::to_vec_pretty(&self.head).map_err(io::Error::other)?;
        self.append(&mut archive, HEAD, head.len() as u64, head.as_slice())?;
        let database = self.copy.file.reopen()?;
        self.append(&mut archive, DATABASE, self.head.database_bytes, database)?;
        for (digest, _) in &self.copy.artifacts {
            let reader = runtime.block_on(self.artifacts.read(digest))?.ok_or(BackupError::Missing(*digest))?;
            let (size, name) = (reader.size(), artifact_name(digest));
            self.append(&mut archive, &name, size, Pieces { reader, piece: Bytes::new(), runtime })?;
        }
        Ok(archive.into_inner()?.flush()?)
    }

    fn append(&self, archive: &mut Builder<impl Write>, name: &str, bytes: u64, content: impl Read) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_path(name)?;
        header.set_entry_type(EntryType::Regular);
        header.set_size(bytes);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(self.head.created_at.as_micros() / 1_000_000).unwrap_or_default());
        header.set_cksum();
        // A source that is shorter than was said would shift all that follows.
        let mut content = content.take(bytes);
        archive.append(&header, &mut content)?;
        match content.limit() {
            0 => Ok(()),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{name} became shorter meanwhile"))),
        }
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
