//! Backups of the shelf, one at a time.

use crate::Catalog;
use std::io::Write;
use tokio::runtime::Handle;
use tokio::sync::OwnedMutexGuard;
use wares_store::{BackupError, MissingArtifact};

/// Why no backup is taken.
#[derive(Debug, thiserror::Error)]
pub enum TakeBackupError {
    /// Another one is under way.
    #[error("another backup is under way: wait until it is done")]
    UnderWay,
    /// It failed.
    #[error(transparent)]
    Failed(#[from] BackupError),
}

/// A backup that has begun. The next one may begin when it is dropped.
pub struct Backup {
    backup: wares_store::Backup,
    _alone: OwnedMutexGuard<()>,
}

impl Catalog {
    /// Begins a backup of the shelf as it is now.
    pub async fn backup(&self) -> Result<Backup, TakeBackupError> {
        let _alone = self.backing_up.clone().try_lock_owned().map_err(|_| TakeBackupError::UnderWay)?;
        let backup = wares_store::Backup::begin(self.store(), self.artifacts.clone()).await?;
        tracing::info!(head = ?backup.head(), "a backup was begun");
        Ok(Backup { backup, _alone })
    }
}

impl Backup {
    /// Writes the archive; see [`wares_store::Backup::write`].
    pub fn write(self, out: impl Write, runtime: &Handle) -> Result<Vec<MissingArtifact>, BackupError> {
        self.backup.write(out, runtime)
    }
}
