//! Restoring a backup: an archive from anywhere becomes a data directory, as a whole or not at all.
//!
//! Nothing in the archive is believed. Entries are regular files of the expected names in the expected order; their sizes are
//! bounded before they are read; database and artifacts are checked against their digests, and the database for its own
//! soundness, for its schema, and for naming exactly the artifacts that came with it. Everything is put together in a folder
//! beside the data directory, which takes its place in one step.

use crate::backup::{ARTIFACTS, BROKEN, BackupHead, DATABASE, FORMAT, HEAD, MISSING, MissingArtifact};
use crate::hashing::Hasher;
use crate::sqlite::{CheckError, check_database};
use crate::{Artifacts, DataDir, DataDirError, StoreError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use tar::{Archive, Entry, EntryType};
use tokio::runtime::Handle;
use wares_model::Digest;
use wares_model::limits::COMPONENT_BYTES_MAX;

/// Bytes of the archive's first file.
const HEAD_BYTES_MAX: u64 = 64 << 10;
/// Bytes of its last one, where artifacts are missing or it is broken off.
const END_BYTES_MAX: u64 = 16 << 20;
/// Bytes that are read at once.
const PIECE_BYTES: usize = 256 << 10;
/// Characters of a strange name that an error shows.
const NAME_CHARS_SHOWN: usize = 200;

/// Why an archive is not restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The archive is no backup, was damaged, or was made to do harm.
    #[error("{archive} is not a whole backup: {what}; take another one")]
    Damaged {
        /// The archive.
        archive: PathBuf,
        /// What is wrong, and where.
        what: String,
    },
    /// The host could not write it to its end.
    #[error("{archive} is not a whole backup, the host broke it off: {reason}")]
    Broken {
        /// The archive.
        archive: PathBuf,
        /// What the host said.
        reason: String,
    },
    /// A newer program wrote it.
    #[error("a newer version of wares wrote {archive} ({what}): restore it with that version or a newer one")]
    TooNew {
        /// The archive.
        archive: PathBuf,
        /// What is newer.
        what: String,
    },
    /// There is something where it is to go.
    #[error("{path} is not empty: restore into a directory that is empty or not there yet")]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The new data directory cannot be made.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// An artifact cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Restores the archive into a data directory that is empty or not there. Blocking; artifacts are written on `runtime`.
pub fn restore_backup(archive: &Path, data_dir: &Path, runtime: &Handle) -> Result<BackupHead, RestoreError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RestoreError::Io { path, source }
    };
    check_empty(data_dir)?;
    let beside = data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(beside).map_err(io(beside))?;
    let part = tempfile::Builder::new().prefix(".restore-").tempdir_in(beside).map_err(io(beside))?;
    let new = DataDir::open(part.path())?;
    let artifacts = Artifacts::open(&new.artifacts())?;
    let database = new.database();
    let head = Reader { archive }.read(&mut Restoring { database: &database, artifacts: &artifacts, runtime })?;
    drop(new);
    File::open(part.path()).and_then(|folder| folder.sync_all()).map_err(io(part.path()))?;
    // Over an empty folder this is one step.
    fs::rename(part.path(), data_dir).map_err(io(data_dir))?;
    if let Err(error) = File::open(beside).and_then(|folder| folder.sync_all()) {
        // A power failure might take it away: it is not restored. If it cannot be taken back either, it stays, and is whole.
        let _ = fs::rename(data_dir, part.path());
        return Err(io(beside)(error));
    }
    drop(part.keep());
    Ok(head)
}

/// Reads an archive to its end as [`restore_backup`] would, and keeps nothing.
pub fn check_backup(archive: &Path) -> Result<BackupHead, RestoreError> {
    let beside = archive.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new().prefix(".check-").tempdir_in(beside);
    let folder = folder.map_err(|source| RestoreError::Io { path: beside.to_owned(), source })?;
    let database = folder.path().join(DATABASE);
    Reader { archive }.read(&mut Checking { database: &database })
}

fn check_empty(path: &Path) -> Result<(), RestoreError> {
    match fs::read_dir(path) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(RestoreError::NotEmpty { path: path.to_owned() }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(RestoreError::Io { path: path.to_owned(), source }),
    }
}

/// What becomes of an archive's content.
trait Sink {
    /// Where the database goes.
    fn database(&self) -> &Path;

    /// Takes an artifact that has this digest.
    fn artifact(&mut self, digest: &Digest, bytes: Vec<u8>) -> Result<(), RestoreError>;
}

struct Restoring<'a> {
    database: &'a Path,
    artifacts: &'a Artifacts,
    runtime: &'a Handle,
}

impl Sink for Restoring<'_> {
    fn database(&self) -> &Path {
        self.database
    }

    fn artifact(&mut self, digest: &Digest, bytes: Vec<u8>) -> Result<(), RestoreError> {
        Ok(self.runtime.block_on(self.artifacts.put(digest, bytes.into()))?)
    }
}

struct Checking<'a> {
    database: &'a Path,
}

impl Sink for Checking<'_> {
    fn database(&self) -> &Path {
        self.database
    }

    fn artifact(&mut self, _digest: &Digest, _bytes: Vec<u8>) -> Result<(), RestoreError> {
        Ok(())
    }
}

/// What every form of [`HEAD`] says.
#[derive(Deserialize)]
struct Form {
    format: u32,
}

struct Reader<'a> {
    archive: &'a Path,
}

type Entries<'a> = tar::Entries<'a, io::BufReader<File>>;
type InArchive<'a> = Entry<'a, io::BufReader<File>>;

impl Reader<'_> {
    fn read(&self, sink: &mut dyn Sink) -> Result<BackupHead, RestoreError> {
        let file = File::open(self.archive).map_err(|source| self.io(source))?;
        let mut archive = Archive::new(io::BufReader::new(file));
        // As they stand: nothing is made of the headers that extend others.
        let mut entries = archive.entries().map_err(|error| self.damaged(error))?.raw(true);
        let mut head = self.head(self.expect(&mut entries, HEAD)?)?;
        let database = self.database(self.expect(&mut entries, DATABASE)?, &head, sink.database());
        if let Err(error) = database {
            return Err(self.broken(&mut entries).unwrap_or(error));
        }
        let named = check_database(sink.database()).map_err(|error| self.unsound(error))?;
        let mut missing: BTreeSet<_> = named.into_iter().collect();
        while let Some((name, entry)) = self.next(&mut entries)? {
            if name == MISSING {
                head.missing = self.missing(entry, &mut missing)?;
                break;
            }
            let digest = name.strip_prefix(ARTIFACTS).and_then(|hex| format!("sha256:{hex}").parse::<Digest>().ok());
            let digest = digest.filter(|digest| missing.remove(digest)).ok_or_else(|| {
                self.damaged(format!("{name:?} is no artifact that its database names, or is there twice"))
            })?;
            sink.artifact(&digest, self.artifact(entry, &digest)?)?;
        }
        if let Some((name, _)) = self.next(&mut entries)? {
            return Err(self.damaged(format!("{name:?} comes after the end")));
        }
        match missing.first() {
            None => Ok(head),
            Some(digest) => Err(self.damaged(format!("{} artifacts are missing, {digest} among them", missing.len()))),
        }
    }

    /// Artifacts that the archive says are missing, which its database must name.
    fn missing(
        &self,
        entry: InArchive<'_>,
        named: &mut BTreeSet<Digest>,
    ) -> Result<Vec<MissingArtifact>, RestoreError> {
        let missing: Vec<MissingArtifact> = self.json(entry, MISSING)?;
        match missing.iter().find(|artifact| !named.remove(&artifact.digest)) {
            None => Ok(missing),
            Some(strange) => Err(self.damaged(format!("{MISSING} names {}, which is not missing", strange.digest))),
        }
    }

    /// Why the host broke the archive off, if it says so after what is wrong in it.
    fn broken(&self, entries: &mut Entries<'_>) -> Option<RestoreError> {
        match self.next(entries) {
            Ok(Some((name, entry))) if name == BROKEN => {
                let reason = self.json(entry, BROKEN).ok()?;
                Some(RestoreError::Broken { archive: self.archive.to_owned(), reason })
            }
            _ => None,
        }
    }

    fn json<T: DeserializeOwned>(&self, entry: InArchive<'_>, name: &str) -> Result<T, RestoreError> {
        let mut text = Vec::new();
        entry.take(END_BYTES_MAX).read_to_end(&mut text).map_err(|error| self.damaged(error))?;
        serde_json::from_slice(&text).map_err(|error| self.damaged(format!("{name}: {error}")))
    }

    /// The next entry, which must be a regular file; its name is only compared, never opened.
    fn next<'a>(&self, entries: &mut Entries<'a>) -> Result<Option<(String, InArchive<'a>)>, RestoreError> {
        let Some(entry) = entries.next() else { return Ok(None) };
        let entry = entry.map_err(|error| self.damaged(error))?;
        let name: String = String::from_utf8_lossy(&entry.path_bytes()).chars().take(NAME_CHARS_SHOWN).collect();
        match entry.header().entry_type() {
            EntryType::Regular => Ok(Some((name, entry))),
            other => Err(self.damaged(format!("{name:?} is no regular file, but {other:?}"))),
        }
    }

    fn expect<'a>(&self, entries: &mut Entries<'a>, expected: &str) -> Result<InArchive<'a>, RestoreError> {
        match self.next(entries)? {
            Some((name, entry)) if name == expected => Ok(entry),
            Some((name, _)) => Err(self.damaged(format!("{name:?} is where {expected} should be"))),
            None => Err(self.damaged(format!("{expected} is missing"))),
        }
    }

    fn head(&self, entry: InArchive<'_>) -> Result<BackupHead, RestoreError> {
        let mut text = Vec::new();
        entry.take(HEAD_BYTES_MAX).read_to_end(&mut text).map_err(|error| self.damaged(error))?;
        let wrong = |error: serde_json::Error| self.damaged(format!("{HEAD}: {error}"));
        let form: Form = serde_json::from_slice(&text).map_err(wrong)?;
        match form.format {
            FORMAT => serde_json::from_slice(&text).map_err(wrong),
            newer if newer > FORMAT => Err(self.too_new(format!("form {newer}"))),
            other => Err(self.damaged(format!("{HEAD}: there is no form {other}"))),
        }
    }

    fn database(&self, entry: InArchive<'_>, head: &BackupHead, to: &Path) -> Result<(), RestoreError> {
        if entry.size() != head.database_bytes {
            let (found, said) = (entry.size(), head.database_bytes);
            return Err(self.damaged(format!("{DATABASE} has {found} bytes, and {HEAD} says {said}")));
        }
        let io = |source| RestoreError::Io { path: to.to_owned(), source };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(io)?;
        let mut hasher = Hasher::default();
        let mut entry = entry;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = entry.read(&mut piece).map_err(|error| self.damaged(error))?;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
            hasher.write_all(piece).and_then(|()| file.write_all(piece)).map_err(io)?;
        }
        file.sync_all().map_err(io)?;
        match hasher.finish() {
            (digest, bytes) if digest == head.database_digest && bytes == head.database_bytes => Ok(()),
            (digest, _) => {
                Err(self.damaged(format!("{DATABASE} has the digest {digest}, not the one that {HEAD} says")))
            }
        }
    }

    fn artifact(&self, entry: InArchive<'_>, digest: &Digest) -> Result<Vec<u8>, RestoreError> {
        let size = entry.size();
        if size > COMPONENT_BYTES_MAX {
            let what = format!("the artifact {digest} has {size} bytes, more than a component may have");
            return Err(self.damaged(what));
        }
        let mut bytes = Vec::new();
        entry.take(COMPONENT_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| self.damaged(error))?;
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(self.damaged(format!("the bytes of the artifact {digest} have another digest"))),
        }
    }

    fn damaged(&self, what: impl ToString) -> RestoreError {
        RestoreError::Damaged { archive: self.archive.to_owned(), what: what.to_string() }
    }

    fn too_new(&self, what: String) -> RestoreError {
        RestoreError::TooNew { archive: self.archive.to_owned(), what }
    }

    fn unsound(&self, error: CheckError) -> RestoreError {
        match error {
            CheckError::TooNew(step) => self.too_new(format!("the schema of its database has step {step}")),
            other => self.damaged(format!("{DATABASE}: {other}")),
        }
    }

    fn io(&self, source: io::Error) -> RestoreError {
        RestoreError::Io { path: self.archive.to_owned(), source }
    }
}
