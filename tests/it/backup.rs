//! Backup and restore: one moment of a live host, and nothing from an archive that is not whole.

use crate::command::{client, wares};
use anyhow::{Context as _, Result, ensure};
use futures::future::join_all;
use reqwest::Method;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tar::{Builder, EntryType, Header};
use wares_it::guests;
use wares_it::host::{Host, success};
use wares_it::wait;
use wares_model::Digest;

const CALLERS: usize = 16;
/// Calls answered before and after the backup.
const CALLS: u64 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_is_of_one_moment_and_goes_on_elsewhere() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(Host::start(&dir.path().join("data")).await?);
    let key = Arc::new(host.tenant("district").await?);
    for (number, version) in [(1, "1.0.0"), (2, "1.1.0")] {
        host.publish_and_deploy(guests::number(number)?, "test:swap", version).await?;
    }
    let [sent, answered] = [(), ()].map(|()| Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (host, key, stop) = (Arc::clone(&host), Arc::clone(&key), Arc::clone(&stop));
            let (sent, answered) = (Arc::clone(&sent), Arc::clone(&answered));
            tokio::spawn(async move {
                while !stop.load(Ordering::SeqCst) {
                    sent.fetch_add(1, Ordering::SeqCst);
                    success(host.call("test/swap/numbers/number", &key, &json!({})).await?).await?;
                    answered.fetch_add(1, Ordering::SeqCst);
                }
                anyhow::Ok(())
            })
        })
        .collect();
    let until = async |calls: u64| {
        let are_answered =
            || answered.load(Ordering::SeqCst) >= calls || callers.iter().any(|caller| caller.is_finished());
        wait::holds("calls are answered", are_answered).await
    };
    until(CALLS).await?;
    let before = answered.load(Ordering::SeqCst);
    let taken = {
        let (folder, host) = (dir.path().to_owned(), Arc::clone(&host));
        tokio::task::spawn_blocking(move || client(&folder, &host, &host.admin_key, &["backup", "shelf.tar"])).await??
    };
    let after = sent.load(Ordering::SeqCst);
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    until(after + CALLS).await?;
    stop.store(true, Ordering::SeqCst);
    for caller in join_all(callers).await {
        caller??;
    }
    let file = dir.path().join("shelf.tar");
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let again = client(dir.path(), &host, &host.admin_key, &["backup", "shelf.tar"])?;
    assert!(again.code == 6 && again.stderr.contains("never overwritten"), "{}", again.stderr);
    let left: Vec<_> = fs::read_dir(dir.path())?.collect::<Result<_, _>>()?;
    assert_eq!(left.len(), 2, "something else was left behind: {left:?}");

    let restored = wares(dir.path(), ["restore", "shelf.tar", "--data-dir", "restored"])?;
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let database = Connection::open(dir.path().join("restored/wares.sqlite"))?;
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let entries = number("SELECT COUNT(*) FROM entries")?;
    ensure!(
        (before..=after).contains(&entries),
        "{entries} calls, {before} answered before and {after} sent by the end"
    );
    assert_eq!(entries, number("SELECT SUM(calls) FROM aggregates WHERE unit_us = 60000000")?);
    drop(database);

    let copy = Host::start_with(&dir.path().join("restored"), Some(&host.admin_key), &[]).await?;
    let usage = copy.get("/v1/usage").await?;
    assert_eq!(usage["items"][0]["calls"], json!(entries));
    for (path, number) in [("test/swap/numbers/number", "2"), ("test/swap@=1.0.0/numbers/number", "1")] {
        assert_eq!(copy.call(path, &key, &json!({})).await?.text().await?, number, "{path}");
    }
    let tenant = host.request(Method::GET, "/v1/backup", &key).send().await?;
    assert_eq!(tenant.status(), 403, "a backup has everything in it");
    Ok(())
}

/// The files of an archive.
type Files = Vec<(String, Vec<u8>)>;

/// What is done to an archive's files.
type Harm = fn(&mut Files) -> Result<()>;

/// What is done, and a word of what is said of it.
const HARM: [(&str, &str, Harm); 9] = [
    ("a database with one bit flipped", "digest", |files| {
        let (_, database) = files.get_mut(1).context("database")?;
        *database.get_mut(5_000).context("a page")? ^= 1;
        Ok(())
    }),
    ("an artifact with other bytes", "another digest", |files| {
        let (_, artifact) = files.get_mut(2).context("artifact")?;
        *artifact.last_mut().context("bytes")? ^= 1;
        Ok(())
    }),
    ("an artifact that is missing", "missing", |files| {
        files.pop();
        Ok(())
    }),
    ("an artifact twice", "twice", |files| {
        files.push(files.last().context("artifact")?.clone());
        Ok(())
    }),
    ("an artifact of nobody", "no artifact that its database names", |files| {
        let hex = Digest::of(b"nobody").hex();
        files.push((format!("artifacts/sha256/{hex}"), b"nobody".to_vec()));
        Ok(())
    }),
    ("a path out of the folder", "../evil", |files| {
        files.push(("../evil".to_owned(), Vec::new()));
        Ok(())
    }),
    ("no head", "backup.json", |files| {
        files.remove(0);
        Ok(())
    }),
    ("a database of another program", "_sqlx_migrations", |files| with_database(files, |_| Ok(()), true)),
    ("a database with a trigger", "trigger", |files| {
        with_database(
            files,
            |database| {
                Ok(database.execute_batch("CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM keys; END")?)
            },
            false,
        )
    }),
];

/// Changes the database and makes the head fit it.
fn with_database(files: &mut Files, change: fn(&Connection) -> Result<()>, new: bool) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("database");
    let (_, bytes) = files.get_mut(1).context("database")?;
    if !new {
        fs::write(&path, &bytes)?;
    }
    let database = Connection::open(&path)?;
    database.execute_batch("PRAGMA journal_mode = DELETE; CREATE TABLE other (x)")?;
    change(&database)?;
    drop(database);
    *bytes = fs::read(&path)?;
    let (digest, size) = (Digest::of(bytes), bytes.len());
    let (_, head) = files.first_mut().context("head")?;
    let mut fields: Value = serde_json::from_slice(head)?;
    fields["database-digest"] = json!(digest);
    fields["database-bytes"] = json!(size);
    *head = serde_json::to_vec(&fields)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_not_whole_or_means_harm_is_refused_and_leaves_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(&dir.path().join("data")).await?;
    for (number, version) in [(1, "1.0.0"), (2, "1.1.0")] {
        host.publish_and_deploy(guests::number(number)?, "test:swap", version).await?;
    }
    let taken = client(dir.path(), &host, &host.admin_key, &["backup", "good.tar"])?;
    assert_eq!(taken.code, 0, "{}", taken.stderr);
    let good = dir.path().join("good.tar");
    let refused = |file: &str, what: &str, word: &str| -> Result<()> {
        let ended = wares(dir.path(), ["restore", file, "--data-dir", "new"])?;
        assert!(ended.code != 0 && ended.stderr.contains(word), "{what}: no {word:?} in {}", ended.stderr);
        assert!(!dir.path().join("new").exists() && !dir.path().join("evil").exists(), "{what}");
        let left = fs::read_dir(dir.path())?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let left: Vec<String> = left.filter(|name| name.starts_with('.')).collect();
        assert!(left.is_empty(), "{what}: {left:?}");
        Ok(())
    };
    for (what, word, harm) in HARM {
        let mut files = read_archive(&good)?;
        harm(&mut files).context(what)?;
        let mut archive = Builder::new(fs::File::create(dir.path().join("bad.tar"))?);
        for (name, bytes) in &files {
            append(&mut archive, name, EntryType::Regular, bytes)?;
        }
        archive.finish()?;
        refused("bad.tar", what, word)?;
    }
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Directory,
        EntryType::Char,
        EntryType::GNULongName,
        EntryType::XHeader,
        EntryType::GNUSparse,
    ] {
        let mut archive = Builder::new(fs::File::create(dir.path().join("bad.tar"))?);
        for (index, (name, bytes)) in read_archive(&good)?.iter().enumerate() {
            let kind = if index == 2 { kind } else { EntryType::Regular };
            append(&mut archive, name, kind, bytes)?;
        }
        archive.finish()?;
        refused("bad.tar", &format!("{kind:?}"), "no regular file")?;
    }
    let bytes = fs::read(&good)?;
    for length in [0, 100, 512, 1_000, bytes.len() / 2, bytes.len() - 1_500] {
        fs::write(dir.path().join("bad.tar"), bytes.get(..length).context("length")?)?;
        refused("bad.tar", &format!("{length} bytes of it"), "not a whole backup")?;
    }
    fs::write(dir.path().join("bad.tar"), b"hello".repeat(1_000))?;
    refused("bad.tar", "no archive", "not a whole backup")?;
    refused("missing.tar", "no file", "missing.tar")?;

    let ended = wares(dir.path(), ["restore", "good.tar", "--data-dir", "data"])?;
    assert!(ended.code == 6 && ended.stderr.contains("not empty"), "{}", ended.stderr);
    fs::create_dir(dir.path().join("new"))?;
    let ended = wares(dir.path(), ["restore", "good.tar", "--data-dir", "new"])?;
    assert_eq!(ended.code, 0, "into an empty folder: {}", ended.stderr);
    Ok(())
}

fn read_archive(path: &Path) -> Result<Files> {
    let mut archive = tar::Archive::new(fs::File::open(path)?);
    let files = archive.entries()?.map(|entry| {
        let mut entry = entry?;
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes)?;
        Ok((entry.path()?.display().to_string(), bytes))
    });
    files.collect()
}

/// Adds an entry, whatever its name.
fn append(archive: &mut Builder<fs::File>, name: &str, kind: EntryType, bytes: &[u8]) -> Result<()> {
    let mut header = Header::new_ustar();
    let field = header.as_old_mut().name.get_mut(..name.len()).context("name")?;
    field.copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    header.set_cksum();
    Ok(archive.append(&header, bytes)?)
}
