//! Files that nothing on the shelf refers to, and their removal.
//!
//! An artifact belongs to the versions with its digest. Versions are never removed, whatever becomes of them, and ledger entries
//! and deployments name versions, so that what any of them needs is kept. Artifacts without a version are left by publications
//! that a crash or a refusal cut short. Native code can be made again: that of stopped versions, of components without a
//! version, and of other versions of the engine goes too.
//!
//! Each removal stands for itself: a host that dies in between has removed what it has removed, and the next run goes on.

use crate::Catalog;
use crate::rehearsal::is_rehearsal;
use futures::TryStreamExt as _;
use serde::Serialize;
use std::collections::HashSet;
use std::io;
use wares_engine::NativeFile;
use wares_model::Digest;
use wares_store::{Leftover, StoreError};

/// Files of one run; the next one finds the rest.
const FILES_MAX: usize = 10_000;

/// What nothing refers to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Garbage {
    /// The files, artifacts first.
    pub files: Vec<GarbageFile>,
    /// Bytes of all of them.
    pub size_bytes: u64,
    /// Whether there are more than one run takes.
    pub more: bool,
}

/// A file that nothing refers to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GarbageFile {
    /// What it is.
    pub kind: GarbageKind,
    /// The digest of an artifact, the name of another file.
    pub name: String,
    /// Its size in bytes.
    pub size_bytes: u64,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GarbageKind {
    /// Published bytes.
    Artifact,
    /// An artifact that was never written to its end.
    Unfinished,
    /// Native code.
    Native,
}

/// Why garbage stays.
#[derive(Debug, thiserror::Error)]
pub enum GarbageError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The native code cache failed.
    #[error("the native code cache: {0}")]
    Native(#[from] io::Error),
}

/// The same, as those who remove it need it.
struct Found {
    artifacts: Vec<(Digest, u64)>,
    unfinished: Vec<Leftover>,
    native: Vec<NativeFile>,
    more: bool,
}

impl Catalog {
    /// What would go now.
    pub async fn garbage(&self) -> Result<Garbage, GarbageError> {
        let _no_publication = self.publishing.write().await;
        Ok(self.find_garbage().await?.into())
    }

    /// Removes what nothing refers to and says what it was. Publications wait for it.
    pub async fn collect_garbage(&self) -> Result<Garbage, GarbageError> {
        if is_rehearsal() {
            return self.garbage().await;
        }
        let _no_publication = self.publishing.write().await;
        let found = self.find_garbage().await?;
        for (digest, _) in &found.artifacts {
            self.artifacts.delete(digest).await?;
        }
        for leftover in &found.unfinished {
            self.artifacts.remove_leftover(leftover).await?;
        }
        self.engine.remove_native(found.native.clone()).await?;
        let garbage = Garbage::from(found);
        tracing::info!(files = garbage.files.len(), bytes = garbage.size_bytes, "removed what nothing refers to");
        Ok(garbage)
    }

    async fn find_garbage(&self) -> Result<Found, GarbageError> {
        // From the store itself: what is durable counts.
        let versions = self.store.versions().await?;
        let named: HashSet<Digest> = versions.iter().map(|version| version.digest).collect();
        let running = versions.iter().filter(|version| version.stopped_at.is_none());
        let running: HashSet<Digest> = running.map(|version| version.digest).collect();
        let mut room = FILES_MAX;
        let mut more = false;
        let mut artifacts = Vec::new();
        let mut stored = std::pin::pin!(self.artifacts.list());
        while let Some((digest, size)) = stored.try_next().await? {
            match (named.contains(&digest), artifacts.len() < room) {
                (true, _) => {}
                (false, true) => artifacts.push((digest, size)),
                (false, false) => more = true,
            }
        }
        artifacts.sort();
        room -= artifacts.len();
        let mut unfinished = self.artifacts.leftovers().await?;
        more |= unfinished.len() > room;
        unfinished.truncate(room);
        room -= unfinished.len();
        let mut native = self.engine.unneeded_native(running).await?;
        more |= native.len() > room;
        native.truncate(room);
        Ok(Found { artifacts, unfinished, native, more })
    }
}

impl From<Found> for Garbage {
    fn from(found: Found) -> Self {
        let Found { artifacts, unfinished, native, more } = found;
        let file = |kind, name: String, size_bytes| GarbageFile { kind, name, size_bytes };
        let artifacts =
            artifacts.into_iter().map(|(digest, size)| file(GarbageKind::Artifact, digest.to_string(), size));
        let unfinished = unfinished
            .into_iter()
            .map(|leftover| file(GarbageKind::Unfinished, leftover.path.display().to_string(), leftover.size_bytes));
        let native = native.into_iter().map(|native| file(GarbageKind::Native, native.name, native.size_bytes));
        let files: Vec<_> = artifacts.chain(unfinished).chain(native).collect();
        let size_bytes = files.iter().map(|file| file.size_bytes).sum();
        Self { files, size_bytes, more }
    }
}
