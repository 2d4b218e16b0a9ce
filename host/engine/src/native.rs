//! Native code on disk, under a seal that only this host can make.
//!
//! Loading native code is running it. A file is mapped only if its seal, an HMAC under a key that never leaves this
//! host, says that this host wrote these bytes for this component and this configuration of the engine. A file that is
//! missing, stale or damaged is simply not there: the caller compiles again.

mod unneeded;

pub use unneeded::NativeFile;

use crate::concurrency::{Concurrency, Each};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use wares_model::Digest;
use wares_store::{create_key_file, open_key_file};
use wasmtime::component::Component;

const KEY_BYTES: usize = 32;
const CHUNK_BYTES: usize = 256 << 10;
/// What the seal is for, so that one made for anything else does not fit.
const SEAL_PURPOSE: &[u8] = b"wares native code 1\0";

/// The native code that this host has made.
pub(crate) struct NativeCache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    /// Names each engine's configuration and version.
    compatibility: Each<String>,
}

impl NativeCache {
    pub(crate) fn open(dir: PathBuf, key_file: &Path, engines: &Each<wasmtime::Engine>) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let name = |engine: &wasmtime::Engine| {
            let mut hasher = DefaultHasher::new();
            engine.precompile_compatibility_hash().hash(&mut hasher);
            format!("{:016x}", hasher.finish())
        };
        let compatibility = Each { none: name(&engines.none), tasks: name(&engines.tasks) };
        Ok(Self { dir, key: read_or_create_key(key_file)?, compatibility })
    }

    /// Maps the component's native code, if there is some with a good seal. An error is wasmtime's refusal of good code.
    pub(crate) fn load(
        &self,
        digest: &Digest,
        concurrency: Concurrency,
        engine: &wasmtime::Engine,
    ) -> wasmtime::Result<Option<Component>> {
        let Ok(file) = File::open(self.native_path(digest, concurrency)) else { return Ok(None) };
        let sealed = fs::read(self.seal_path(digest, concurrency))
            .and_then(|seal| Ok(self.seal(digest, concurrency, &file)?.verify_slice(&seal)));
        if !matches!(sealed, Ok(Ok(()))) {
            return Ok(None);
        }
        let same_file = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: `deserialize_file` needs bytes that `Engine::precompile_component` made, unchanged since. The seal that
        // was just verified over the whole of this open file can only be made with this host's key, and is made only in
        // `NativeCache::keep`, over what a worker of this host wrote. The path names that very open file, so it cannot
        // have been replaced since; files are written under another name and never changed once they have this one, and
        // the directory admits no other user.
        let component = unsafe { Component::deserialize_file(engine, same_file) };
        component.map(Some)
    }

    /// A file for a worker to write native code to. It is gone when dropped.
    pub(crate) fn begin(&self) -> io::Result<NamedTempFile> {
        NamedTempFile::new_in(&self.dir)
    }

    /// Seals what a worker wrote and puts it in place; native code of other configurations goes.
    pub(crate) fn keep(&self, digest: &Digest, concurrency: Concurrency, native: NamedTempFile) -> io::Result<()> {
        let seal = self.seal(digest, concurrency, &native.reopen()?)?.finalize().into_bytes();
        let mut seal_file = NamedTempFile::new_in(&self.dir)?;
        seal_file.write_all(&seal)?;
        // Between the two renames the seal does not fit, which is as good as no file.
        seal_file.persist(self.seal_path(digest, concurrency)).map_err(|error| error.error)?;
        native.persist(self.native_path(digest, concurrency)).map_err(|error| error.error)?;
        self.remove_stale(digest, concurrency)
    }

    fn remove_stale(&self, digest: &Digest, concurrency: Concurrency) -> io::Result<()> {
        let (own, current) = (format!("{}-", digest.hex()), self.stem(digest, concurrency));
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let stale = name.to_str().is_some_and(|name| name.starts_with(&own) && !name.starts_with(&current));
            if stale {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn seal(&self, digest: &Digest, concurrency: Concurrency, mut native: impl Read) -> io::Result<Hmac<Sha256>> {
        let mut seal = Hmac::<Sha256>::new_from_slice(&self.key).map_err(io::Error::other)?;
        seal.update(SEAL_PURPOSE);
        seal.update(digest.as_bytes());
        seal.update(self.compatibility.get(concurrency).as_bytes());
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match native.read(&mut chunk)? {
                0 => return Ok(seal),
                read => seal.update(chunk.get(..read).unwrap_or_default()),
            }
        }
    }

    fn stem(&self, digest: &Digest, concurrency: Concurrency) -> String {
        format!("{}-{}", digest.hex(), self.compatibility.get(concurrency))
    }

    fn native_path(&self, digest: &Digest, concurrency: Concurrency) -> PathBuf {
        self.dir.join(self.stem(digest, concurrency) + ".cwasm")
    }

    fn seal_path(&self, digest: &Digest, concurrency: Concurrency) -> PathBuf {
        self.dir.join(self.stem(digest, concurrency) + ".seal")
    }
}

/// The host's key. Whoever comes first makes it; it is complete from the moment it has its name.
fn read_or_create_key(path: &Path) -> io::Result<[u8; KEY_BYTES]> {
    if let Some(key) = read_key(path)? {
        return Ok(key);
    }
    let mut key = [0; KEY_BYTES];
    getrandom::fill(&mut key)?;
    match create_key_file(path, &key) {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read_key(path)?.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
        }
        Err(error) => Err(error),
    }
}

fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let mut file = match open_key_file(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key).map_err(|error| {
        let detail =
            format!("{} holds no key of {KEY_BYTES} bytes ({error}): remove it, and one is made", path.display());
        io::Error::new(error.kind(), detail)
    })?;
    Ok(Some(key))
}
