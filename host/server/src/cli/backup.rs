//! `wares backup` and `wares restore`: a whole shelf in one file, and back.

use super::Settings;
use crate::client::{Access, Role};
use crate::exit::Exit;
use crate::output::{self, Format};
use anyhow::Context as _;
use serde_json::json;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use tokio::fs::File;
use tokio::runtime::Handle;
use wares_store::{BackupHead, MissingArtifact, RestoreError};

/// Takes a backup.
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// The archive to write, which must not be there yet
    file: PathBuf,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

/// Restores one.
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The archive that `wares backup` wrote
    file: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Backup {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        if self.file.exists() {
            let message = format!("{} exists; a backup is never overwritten: name another file", self.file.display());
            return Err(Exit::Conflict.error(message));
        }
        let folder = self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Readable by its owner only, and under another name until it is whole.
        let part = NamedTempFile::new_in(folder).with_context(|| folder.display().to_string())?;
        let spinner =
            output::Spinner::start("backing up: the host copies its database and sends it with its artifacts");
        let mut file = File::from_std(part.reopen()?);
        client.save("/v1/backup", &mut file).await?;
        file.sync_all().await?;
        let written = part.path().to_owned();
        let head = tokio::task::spawn_blocking(move || wares_store::check_backup(&written)).await??;
        drop(spinner);
        part.persist_noclobber(&self.file).with_context(|| self.file.display().to_string())?;
        print(self.format, &head, &format!("backed up to {}", self.file.display()), "the backup")
    }
}

impl Restore {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        let spinner = output::Spinner::start("restoring: everything is checked on its way");
        let (file, target, runtime) = (self.file.clone(), data_dir.clone(), Handle::current());
        let restored = tokio::task::spawn_blocking(move || wares_store::restore_backup(&file, &target, &runtime));
        let restored = restored.await?;
        drop(spinner);
        let head = restored.map_err(|error| match &error {
            RestoreError::NotEmpty { .. } => Exit::Conflict.error(error.to_string()),
            _ => error.into(),
        })?;
        let next = format!("wares serve --data-dir {}", data_dir.display());
        print(
            self.format,
            &head,
            &format!("restored into {}; start it: {next}", data_dir.display()),
            "what was restored",
        )
    }
}

/// Says what was done. Where artifacts are missing that is told too, and the program fails, so that a script notices.
fn print(format: Format, head: &BackupHead, done: &str, whole: &str) -> anyhow::Result<Exit> {
    let missing = u64::try_from(head.missing.len()).unwrap_or(u64::MAX);
    format.print(&json!(head), |_| {
        let size = output::bytes(head.database_bytes.saturating_add(head.artifact_bytes));
        let artifacts = head.artifacts.saturating_sub(missing);
        format!("{done}\n{artifacts} artifacts and the database as of {}, {size}", head.created_at)
    })?;
    if head.missing.is_empty() {
        return Ok(Exit::Ok);
    }
    for MissingArtifact { digest, reason } in &head.missing {
        output::note(&format!("missing: {digest}: {reason}"));
    }
    output::note(&format!(
        "{missing} of {} artifacts are missing in {whole}; publish their versions again",
        head.artifacts
    ));
    Ok(Exit::Failed)
}
