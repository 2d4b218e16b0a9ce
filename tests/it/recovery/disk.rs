//! A real disk that is full and has room again, and artifacts that are missing or damaged.

use super::shelf::{Kind, Shelf};
use super::{PATIENCE, readiness, until};
use crate::jobs::later;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use wares_it::guests;
use wares_it::host::{Host, success};
use wares_model::Digest;

/// Bytes of the disk.
const DISK: &str = "size=48m";

/// A disk of its own in memory.
struct Disk(tempfile::TempDir);

impl Disk {
    /// Nothing where this user may not mount one.
    fn new() -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", DISK, "none"]).arg(folder.path()).output()?;
        Ok(mounted.status.success().then_some(Self(folder)))
    }

    fn fill(&self) -> Result<PathBuf> {
        let path = self.0.path().join("fill");
        let mut file = fs::File::create(&path)?;
        while file.write_all(&[1; 4_096]).is_ok() {}
        Ok(path)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_full_and_has_room_again_needs_no_restart() -> Result<()> {
    let Some(disk) = Disk::new()? else {
        eprintln!("this user may not mount a disk; the faults that are injected stand for it");
        return Ok(());
    };
    let shelf = Shelf::new(&disk.0.path().join("data")).await?;
    let mut answered = shelf.look(Kind::Entry).await?.as_u64().context("calls")?;
    let fill = disk.fill()?;
    // Until what the database has for itself is used up.
    until("a call is refused", async || {
        let answer = shelf.call().await?;
        answered += u64::from(answer.status() == 200);
        Ok(answer.status() == 503)
    })
    .await?;
    until("/readyz says so", async || Ok(readiness(&shelf.host).await?.0 == 503)).await?;
    let (_, document) = readiness(&shelf.host).await?;
    ensure!(document["detail"].to_string().contains("full"), "{document}");
    // Something small may still find room in what the database has.
    let mut refused = 0;
    for (kind, number) in Kind::ALL.into_iter().zip(1..) {
        let before = shelf.look(kind).await?;
        let status = shelf.change(kind, number).await?.status();
        let is_there = shelf.look(kind).await? != before;
        ensure!(
            is_there == status.is_success() || !kind.is_atomic(),
            "{kind:?}: {status}, and it is there: {is_there}"
        );
        refused += usize::from(status.is_server_error());
    }
    ensure!(refused > 0, "there was room for all");
    fs::remove_file(fill)?;
    let took = shelf.recovers(1_000).await?;
    println!("with room again everything worked in {took:?}");
    let job = later(&shelf.host, &shelf.key, "/v1/call/test/swap/numbers/number", &json!({})).await?;
    shelf.host.until(&job, |job| job["state"] == "succeeded").await?;
    ensure!(shelf.look(Kind::Entry).await?.as_u64() > Some(answered), "calls that were answered are counted");
    Ok(())
}

fn artifact(data: &Path, wasm: &[u8]) -> PathBuf {
    let hex = Digest::of(wasm).hex();
    data.join("artifacts/sha256").join(&hex[..2]).join(hex)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_what_is_deployed_is_not_ready_until_it_is_there_again() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = Host::start(data.path()).await?;
    let (one, two) = (guests::number(1)?, guests::number(2)?);
    host.publish_and_deploy(one.clone(), "test:swap", "1.0.0").await?;
    success(host.publish(two.clone(), "name=test:swap&version=2.0.0").await?).await?;
    let is = async |host: &Host, status: u16, word: &str| {
        let so = async || {
            let (found, document) = readiness(host).await?;
            Ok(found == status && document.to_string().contains(word))
        };
        until(&format!("/readyz says {status} {word}"), so).await
    };
    // What takes no traffic keeps nobody from being ready.
    fs::remove_file(artifact(data.path(), &two))?;
    let (file, beside) = (artifact(data.path(), &one), data.path().join("beside"));
    fs::rename(&file, &beside)?;
    let told = is(&host, 503, "test:swap@1.0.0, which takes traffic, is missing").await?;
    fs::rename(&beside, &file)?;
    let again = is(&host, 200, "ready").await?;
    println!("missing was told in {told:?}, and that it is there again in {again:?}");
    let admin_key = host.admin_key.clone();
    host.kill().await?;

    let mut damaged = one.clone();
    *damaged.last_mut().context("bytes")? ^= 1;
    fs::write(&file, damaged)?;
    let host = Host::start_with(data.path(), Some(&admin_key), &[]).await?;
    is(&host, 503, "is damaged").await?;
    // The same version again mends it.
    success(host.publish(one, "name=test:swap&version=1.0.0").await?).await?;
    ensure!(is(&host, 200, "ready").await? < PATIENCE);
    Ok(())
}
