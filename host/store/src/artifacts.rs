//! Published bytes, by their digest.

use crate::StoreError;
use crate::hashing::Hasher;
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt as _};
use std::mem;
use std::path::Path;
use std::sync::Arc;
use wares_model::Digest;

/// Content-addressed storage. Clones share it.
///
/// An artifact appears under its name when all its bytes are there and on the disk: the local storage writes and syncs a file
/// of another name, renames it, and syncs the folder. What a crash leaves behind has that other name and is never read.
#[derive(Clone)]
pub struct Artifacts {
    objects: Arc<dyn ObjectStore>,
    folder: Arc<Path>,
}

impl Artifacts {
    /// Artifacts in a local folder that exists.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let local = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self { objects: Arc::new(local), folder: folder.into() })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps `bytes` under `digest`, which must be theirs. Bytes that were damaged there are replaced.
    pub async fn put(&self, digest: &Digest, bytes: Bytes) -> Result<(), StoreError> {
        self.objects.put(&path(digest), bytes.into()).await?;
        Ok(())
    }

    /// The bytes of this digest. What comes back is checked against it.
    pub async fn get(&self, digest: &Digest) -> Result<Option<Bytes>, StoreError> {
        let bytes = match self.objects.get(&path(digest)).await {
            Ok(found) => found.bytes().await?,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Up to 64 MiB to hash: work for a thread that may block.
        let hash = tokio::task::spawn_blocking(move || (Digest::of(&bytes), bytes));
        let (found, bytes) = hash.await.map_err(|source| object_store::Error::JoinError { source })?;
        match found == *digest {
            true => Ok(Some(bytes)),
            false => Err(StoreError::CorruptArtifact(*digest)),
        }
    }

    /// The bytes of this digest, to be read piece by piece.
    pub async fn read(&self, digest: &Digest) -> Result<Option<ArtifactReader>, StoreError> {
        let path = path(digest);
        match self.objects.head(&path).await {
            Ok(found) => {
                let (objects, digest, hasher) = (Arc::clone(&self.objects), *digest, Hasher::default());
                Ok(Some(ArtifactReader { objects, path, digest, size: found.size, at: 0, hasher }))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The size of this artifact in bytes, if all of it is there and undamaged. It is read piece by piece, whatever its size.
    pub async fn check(&self, digest: &Digest) -> Result<Option<u64>, StoreError> {
        let Some(mut reader) = self.read(digest).await? else { return Ok(None) };
        while reader.piece().await?.is_some() {}
        Ok(Some(reader.size()))
    }

    /// Whether there are bytes under this digest. It does not read them.
    pub async fn contains(&self, digest: &Digest) -> Result<bool, StoreError> {
        match self.objects.head(&path(digest)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The digests of all artifacts and their sizes in bytes, in no order. Files that no artifact is named like are passed over.
    pub fn list(&self) -> impl Stream<Item = Result<(Digest, u64), StoreError>> + Send + 'static {
        let found = self.objects.list(Some(&ObjectPath::from(FOLDER)));
        found.filter_map(async |object| match object {
            Ok(object) => {
                let digest = object.location.filename().and_then(|hex| format!("sha256:{hex}").parse().ok());
                digest.map(|digest| Ok((digest, object.size)))
            }
            Err(error) => Some(Err(error.into())),
        })
    }

    /// Removes the bytes of this digest, if they are there.
    pub async fn delete(&self, digest: &Digest) -> Result<(), StoreError> {
        match self.objects.delete(&path(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// An artifact that is read piece by piece, and checked on the way: the last piece comes only if all that came has the digest.
pub struct ArtifactReader {
    objects: Arc<dyn ObjectStore>,
    path: ObjectPath,
    digest: Digest,
    size: u64,
    at: u64,
    hasher: Hasher,
}

impl ArtifactReader {
    /// Bytes of a piece at most.
    pub const PIECE_BYTES: u64 = 64 << 10;

    /// Bytes of the whole.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next piece, until there is none. A reader that has failed is of no further use.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        let end = self.size.min(self.at + Self::PIECE_BYTES);
        if self.at == end && end > 0 {
            return Ok(None);
        }
        let piece = match self.at == end {
            true => Bytes::new(),
            false => self.objects.get_range(&self.path, self.at..end).await?,
        };
        self.hasher.update(&piece);
        self.at = end;
        if end == self.size && mem::take(&mut self.hasher).finish() != (self.digest, self.size) {
            return Err(StoreError::CorruptArtifact(self.digest));
        }
        Ok((!piece.is_empty()).then_some(piece))
    }
}

/// Where artifacts are.
pub(crate) const FOLDER: &str = "sha256";

/// `sha256/ab/ab12…`: a few hundred folders keep each one short.
fn path(digest: &Digest) -> ObjectPath {
    let hex = digest.hex();
    let folder: String = hex.chars().take(2).collect();
    ObjectPath::from_iter([FOLDER, &folder, &hex])
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt as _;
    use std::fs;
    use std::path::PathBuf;

    struct Fixture {
        dir: tempfile::TempDir,
        artifacts: Artifacts,
        bytes: Bytes,
        digest: Digest,
    }

    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let artifacts = Artifacts::open(dir.path()).unwrap();
        let bytes = Bytes::from(vec![7; 100_000]);
        Fixture { dir, artifacts, digest: Digest::of(&bytes), bytes }
    }

    impl Fixture {
        fn file(&self) -> PathBuf {
            let hex = self.digest.hex();
            self.dir.path().join("sha256").join(&hex[..2]).join(hex)
        }

        async fn list(&self) -> Vec<Digest> {
            self.artifacts.list().map_ok(|(digest, _)| digest).try_collect().await.unwrap()
        }
    }

    #[tokio::test]
    async fn what_is_put_comes_back_until_it_is_deleted() {
        let fixture = fixture();
        let Fixture { artifacts, bytes, digest, .. } = &fixture;
        assert_eq!(artifacts.get(digest).await.unwrap(), None);
        assert!(!artifacts.contains(digest).await.unwrap());
        assert_eq!(fixture.list().await, []);
        for _ in 0..2 {
            artifacts.put(digest, bytes.clone()).await.unwrap();
            assert_eq!(artifacts.get(digest).await.unwrap().as_ref(), Some(bytes));
            assert!(artifacts.contains(digest).await.unwrap());
            assert_eq!(fixture.list().await, [*digest]);
        }
        for _ in 0..2 {
            artifacts.delete(digest).await.unwrap();
            assert!(!artifacts.contains(digest).await.unwrap());
            assert_eq!(fixture.list().await, []);
        }
    }

    #[tokio::test]
    async fn damage_is_noticed_and_put_mends_it() {
        let fixture = fixture();
        let Fixture { artifacts, bytes, digest, .. } = &fixture;
        let flipped = {
            let mut bytes = bytes.to_vec();
            bytes[50_000] ^= 1;
            bytes
        };
        for damage in [&b""[..], b"other", &bytes[..99_999], &flipped] {
            artifacts.put(digest, bytes.clone()).await.unwrap();
            fs::write(fixture.file(), damage).unwrap();
            let error = artifacts.get(digest).await.unwrap_err();
            assert!(matches!(error, StoreError::CorruptArtifact(found) if found == *digest), "{error}");
            assert!(error.to_string().contains(&digest.hex()));
        }
        artifacts.put(digest, bytes.clone()).await.unwrap();
        assert_eq!(artifacts.get(digest).await.unwrap().as_ref(), Some(bytes));
    }

    #[tokio::test]
    async fn pieces_come_to_the_whole_and_the_last_one_only_if_it_is_undamaged() {
        let Fixture { dir, artifacts, .. } = fixture();
        let piece = usize::try_from(ArtifactReader::PIECE_BYTES).unwrap();
        for length in [0, 1, piece, piece + 1, 3 * piece] {
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let digest = Digest::of(&bytes);
            assert!(artifacts.read(&digest).await.unwrap().is_none());
            assert_eq!(artifacts.check(&digest).await.unwrap(), None);
            artifacts.put(&digest, bytes.clone().into()).await.unwrap();
            let read = async || {
                let mut reader = artifacts.read(&digest).await.unwrap().unwrap();
                assert_eq!(reader.size(), length as u64);
                let mut whole = Vec::new();
                while let Some(piece) = reader.piece().await? {
                    whole.extend_from_slice(&piece);
                }
                Ok::<_, StoreError>(whole)
            };
            assert!(read().await.unwrap() == bytes, "{length}");
            assert_eq!(artifacts.check(&digest).await.unwrap(), Some(length as u64));
            let hex = digest.hex();
            let mut damaged = bytes;
            let Some(first) = damaged.first_mut() else { continue };
            *first ^= 1;
            fs::write(dir.path().join("sha256").join(&hex[..2]).join(hex), damaged).unwrap();
            for failure in [read().await.err(), artifacts.check(&digest).await.err()] {
                assert!(matches!(failure, Some(StoreError::CorruptArtifact(found)) if found == digest), "{length}");
            }
        }
    }

    #[tokio::test]
    async fn what_a_crash_leaves_behind_is_not_an_artifact() {
        let fixture = fixture();
        let Fixture { artifacts, bytes, digest, .. } = &fixture;
        fs::create_dir_all(fixture.file().parent().unwrap()).unwrap();
        fs::write(fixture.file().with_added_extension("half"), b"half").unwrap();
        fs::write(format!("{}#1", fixture.file().display()), b"half").unwrap();
        assert_eq!(artifacts.get(digest).await.unwrap(), None);
        assert_eq!(fixture.list().await, []);
        artifacts.put(digest, bytes.clone()).await.unwrap();
        assert_eq!(artifacts.get(digest).await.unwrap().as_ref(), Some(bytes));
        assert_eq!(fixture.list().await, [*digest]);
    }
}
