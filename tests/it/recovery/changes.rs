//! Each write of every kind of change fails in turn: what was acknowledged is there, what was refused is not, and as soon as the
//! fault is lifted everything works.

use super::shelf::{Kind, Shelf};
use super::{Fault, PATIENCE, readiness, until};
use crate::command::{done, run};
use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use std::process::Command;
use wares_it::guests;
use wares_it::host::{Host, binary};

/// The calls with which a host makes something durable. Not `write`: a thread wakes another one with it, and that never fails.
const DURABLE: [&str; 5] =
    ["pwrite64", "fdatasync,fsync", "rename,renameat,renameat2,link,linkat", "ftruncate", "openat,mkdir,mkdirat"];
/// A full disk, a broken one, and one that the system has made read-only.
const ERRORS: [&str; 3] = ["ENOSPC", "EIO", "EROFS"];
/// Calls of one thread of the host, of which each fails in turn: no change makes more.
const POINTS: [usize; 7] = [1, 2, 3, 4, 5, 7, 10];

/// Calls of one thread of a restore, with those of the program's start, of which each fails in turn.
const RESTORE_POINTS: [usize; 5] = [1, 2, 4, 8, 16];

/// The n-th write of a change fails, with each of the errors.
async fn each_write_fails(kinds: &[Kind]) -> Result<()> {
    let (data, reports) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let shelf = Shelf::new(data.path()).await?;
    let mut number = 0;
    for kind in kinds {
        let mut failed = 0;
        for calls in DURABLE {
            for (place, point) in POINTS.into_iter().enumerate() {
                number += 2;
                let error = ERRORS[(number / 2 + place) % ERRORS.len()];
                let injection = format!("{calls}:error={error}:when={point}");
                let place = || format!("{kind:?} with {injection}");
                shelf.until_at_rest().await?;
                let before = shelf.look(*kind).await.with_context(place)?;
                let report = reports.path().join(number.to_string());
                let fault = Fault::inject(&shelf.host, &injection, &report).await?;
                let status = shelf.change(*kind, number).await.with_context(place)?.status();
                let injected = fault.lift().await?;
                let is_there = shelf.look(*kind).await.with_context(place)? != before;
                let is_right = is_there == status.is_success() || (is_there && !kind.is_atomic());
                ensure!(is_right, "{}: {status}, and it is there: {is_there}", place());
                failed += usize::from(!status.is_success());
                let again = async || Ok(shelf.change(*kind, number + 1).await?.status().is_success());
                until(&place(), again).await?;
                if injected == 0 {
                    break;
                }
            }
        }
        ensure!(failed > 0, "no fault of {kind:?} was seen");
    }
    shelf.recovers(number + 10).await.map(drop)
}

/// All writes fail, for as long as it lasts; every kind of change is tried meanwhile.
async fn all_writes_fail(error: &str) -> Result<()> {
    let (data, reports) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let shelf = Shelf::new(data.path()).await?;
    let before: Vec<_> = join_all(Kind::ALL.map(|kind| shelf.look(kind))).await.into_iter().collect::<Result<_>>()?;
    let injection = format!("pwrite64,fdatasync,fsync,rename,link,linkat,ftruncate:error={error}");
    let fault = Fault::inject(&shelf.host, &injection, &reports.path().join("all")).await?;
    for (kind, number) in Kind::ALL.into_iter().zip(1..) {
        let answer = shelf.change(kind, number).await?;
        ensure!(answer.status().is_server_error(), "{kind:?}: {} {}", answer.status(), answer.text().await?);
    }
    let told = until("/readyz with the fault", async || Ok(readiness(&shelf.host).await?.0 == 503)).await?;
    let (_, document) = readiness(&shelf.host).await?;
    ensure!(document["detail"].to_string().contains("the ledger cannot be written"), "{document}");
    ensure!(told < PATIENCE, "{told:?}");
    ensure!(fault.lift().await? > 0);
    let after: Vec<_> = join_all(Kind::ALL.map(|kind| shelf.look(kind))).await.into_iter().collect::<Result<_>>()?;
    for (kind, (before, after)) in Kind::ALL.into_iter().zip(before.iter().zip(&after)) {
        ensure!(before == after || !kind.is_atomic(), "{kind:?} was refused and is there: {before} {after}");
    }
    let took = shelf.recovers(1_000).await?;
    println!("after {error} everything worked again in {took:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_what_is_called_whose_write_fails_is_made_or_not() -> Result<()> {
    each_write_fails(&[Kind::Publish, Kind::Deploy, Kind::Yank, Kind::Provider, Kind::Namespace, Kind::Signer]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_who_may_do_what_whose_write_fails_is_made_or_not() -> Result<()> {
    each_write_fails(&[Kind::Grant, Kind::Config, Kind::Secret, Kind::Tenant, Kind::Key]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_or_job_whose_write_fails_is_counted_or_refused() -> Result<()> {
    each_write_fails(&[Kind::Job, Kind::Schedule, Kind::Entry, Kind::Log, Kind::Pair, Kind::File]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_full_broken_or_read_only_is_used_again_without_a_restart() -> Result<()> {
    for error in ERRORS {
        all_writes_fail(error).await.context(error)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_whose_write_fails_leaves_all_or_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(&dir.path().join("data")).await?;
    for (number, version) in [(1, "1.0.0"), (2, "1.1.0")] {
        host.publish_and_deploy(guests::number(number)?, "test:swap", version).await?;
    }
    done(dir.path(), &host, &host.admin_key, &["backup", "shelf.tar"])?;
    let (report, new) = (dir.path().join("report"), dir.path().join("new"));
    let mut refused = 0;
    for (calls, error) in DURABLE.into_iter().zip(ERRORS.into_iter().cycle()) {
        for point in RESTORE_POINTS {
            let injection = format!("inject={calls}:error={error}:when={point}");
            let mut command = Command::new("strace");
            command.args(["-f", "-e", &format!("trace={calls}"), "-e", &injection, "-o"]).arg(&report).arg(binary()?);
            command.args(["restore", "shelf.tar", "--data-dir", "new"]).current_dir(dir.path());
            let ended = run(&mut command)?;
            let was_injected = std::fs::read_to_string(&report)?.contains("(INJECTED)");
            ensure!(ended.code == 0 || !new.exists(), "{injection}: it failed and left something: {}", ended.stderr);
            if new.exists() {
                let files = std::fs::read_dir(new.join("artifacts/sha256"))?.count();
                ensure!(files == 2, "{injection}: it is done, with {files} artifacts");
                std::fs::remove_dir_all(&new)?;
            }
            let left = std::fs::read_dir(dir.path())?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let left: Vec<_> = left.filter(|name| name.starts_with('.')).collect();
            ensure!(left.is_empty(), "{injection}: {left:?}");
            refused += usize::from(ended.code != 0);
            if !was_injected {
                break;
            }
        }
    }
    ensure!(refused > 5, "only {refused} faults were seen");
    Ok(())
}
