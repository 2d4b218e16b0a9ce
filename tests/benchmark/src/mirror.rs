//! A shelf that follows another one: how long it takes to copy many versions, beside what the disk takes for as many files.

use crate::contender::start_host;
use crate::shelf::timed;
use anyhow::{Result, ensure};
use futures::stream::{self, TryStreamExt as _};
use serde::Serialize;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use tokio::process::Command;
use wares_it::guests;
use wares_it::host::binary;

/// Components on the shelf that is followed.
const COMPONENTS: u32 = 100;
/// Versions of each.
const VERSIONS: u32 = 10;
/// Publications at once.
const PUBLISHERS: usize = 16;

/// Times in milliseconds.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Versions copied.
    pub versions: u32,
    /// Time to copy all.
    pub mirror_ms: f64,
    /// Time to find out that nothing is new.
    pub again_ms: f64,
    /// Time to write as many files of the same size one after the other, each durable before the next.
    pub disk_ms: f64,
}

/// Measures two new shelves.
pub async fn measure() -> Result<Figures> {
    let data = [tempfile::tempdir()?, tempfile::tempdir()?];
    let [from_data, here_data] = &data;
    let (from, here) = (start_host(from_data.path()).await?, start_host(here_data.path()).await?);
    let component = async |component: u32| {
        for version in 0..VERSIONS {
            let query = format!("name=bench:copied{component}&version=1.{version}.0&compile=later");
            from.publish(guests::number(component * VERSIONS + version)?, &query).await?.error_for_status()?;
        }
        anyhow::Ok(())
    };
    stream::iter((0..COMPONENTS).map(anyhow::Ok)).try_for_each_concurrent(PUBLISHERS, component).await?;
    let mirror = async || {
        let mut command = Command::new(binary()?);
        command.args([
            "mirror",
            &from.url,
            "--from-key",
            &from.admin_key,
            "--host",
            &here.url,
            "--key",
            &here.admin_key,
        ]);
        let ended = command.current_dir(here_data.path()).output().await?;
        ensure!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        Ok(())
    };
    let (mirror_ms, ()) = timed(mirror()).await?;
    let (again_ms, ()) = timed(mirror()).await?;
    let disk = tempfile::tempdir()?;
    let (disk_ms, ()) = timed(async { write_files(disk.path()) }).await?;
    Ok(Figures { versions: COMPONENTS * VERSIONS, mirror_ms, again_ms, disk_ms })
}

/// Files as artifacts are written: whole and durable under another name, then renamed, which is made durable too.
fn write_files(folder: &Path) -> Result<()> {
    for number in 0..COMPONENTS * VERSIONS {
        let unfinished = folder.join("unfinished");
        let mut file = File::create(&unfinished)?;
        file.write_all(&guests::number(number)?)?;
        file.sync_all()?;
        fs::rename(&unfinished, folder.join(number.to_string()))?;
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
