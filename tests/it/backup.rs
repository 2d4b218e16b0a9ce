//! Backup and restore: one moment of a live host, and nothing from an archive that is not whole.

use crate::command::{client, wares};
use crate::recovery::Fault;
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
        write_archive(&dir.path().join("bad.tar"), &files)?;
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

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_in_a_backup_is_told_and_the_rest_is_there() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let host = Host::start(&data).await?;
    let key = host.tenant("district").await?;
    let (gone, damaged, good) = (guests::number(1)?, guests::number(2)?, guests::number(3)?);
    for (wasm, version) in [(&gone, "1.0.0"), (&damaged, "1.1.0"), (&good, "1.2.0")] {
        host.publish_and_deploy(wasm.clone(), "test:swap", version).await?;
    }
    let digests = [&gone, &damaged].map(|wasm| Digest::of(wasm));
    let [gone, damaged] = digests.map(|digest| {
        let hex = digest.hex();
        data.join("artifacts/sha256").join(hex.get(..2).unwrap_or_default()).join(&hex)
    });
    fs::remove_file(gone)?;
    fs::write(damaged, "something else")?;

    let taken = client(dir.path(), &host, &host.admin_key, &["backup", "shelf.tar"])?;
    assert_eq!(taken.code, 1, "a script notices: {}{}", taken.stdout, taken.stderr);
    for word in [&digests[0].to_string(), &digests[1].to_string(), "not in the store", "another digest", "2 of 3"] {
        assert!(taken.stderr.contains(word), "no {word:?} in {}", taken.stderr);
    }
    let names: Vec<_> = read_archive(&dir.path().join("shelf.tar"))?.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert_eq!(names.last().map(String::as_str), Some("missing.json"));

    let restored = wares(dir.path(), ["restore", "shelf.tar", "--data-dir", "restored", "--json"])?;
    assert_eq!(restored.code, 1, "{}", restored.stderr);
    let document: Value = serde_json::from_str(&restored.stdout)?;
    assert_eq!(document["missing"].as_array().map(Vec::len), Some(2), "{document:#}");
    let copy = Host::start_with(&dir.path().join("restored"), Some(&host.admin_key), &[]).await?;
    assert_eq!(success(copy.call("test/swap/numbers/number", &key, &json!({})).await?).await?, 3);

    // An archive cannot say of what is there that it is missing, and nothing comes after its end.
    let files = read_archive(&dir.path().join("shelf.tar"))?;
    let harms: [(&str, Harm); 3] = [
        ("comes after the end", |files| {
            files.push(files.get(2).context("artifact")?.clone());
            Ok(())
        }),
        ("is not missing", |files| {
            let (_, missing) = files.last_mut().context("missing")?;
            *missing = json!([{"digest": Digest::of(b"nobody"), "reason": ""}]).to_string().into_bytes();
            Ok(())
        }),
        ("1 artifacts are missing", |files| {
            let (_, missing) = files.last_mut().context("missing")?;
            let mut some: Vec<Value> = serde_json::from_slice(missing)?;
            some.pop();
            *missing = serde_json::to_vec(&some)?;
            Ok(())
        }),
    ];
    for (word, harm) in harms {
        let mut files = files.clone();
        harm(&mut files)?;
        write_archive(&dir.path().join("bad.tar"), &files)?;
        let refused = wares(dir.path(), ["restore", "bad.tar", "--data-dir", "new"])?;
        assert!(refused.code != 0 && refused.stderr.contains(word), "no {word:?} in {}", refused.stderr);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_breaks_off_says_why() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(&dir.path().join("data")).await?;
    host.publish_and_deploy(guests::number(1)?, "test:swap", "1.0.0").await?;
    let report = dir.path().join("report");
    for (injection, word) in
        [("read:error=EIO:when=3+", "Input/output error"), ("pwrite64:error=ENOSPC:when=2+", "full")]
    {
        let fault = Fault::inject(&host, injection, &report).await?;
        let taken = client(dir.path(), &host, &host.admin_key, &["backup", "shelf.tar"])?;
        assert!(fault.lift().await? > 0, "{injection}");
        assert!(taken.code != 0 && taken.stderr.contains(word), "{injection}: no {word:?} in {}", taken.stderr);
        assert!(!dir.path().join("shelf.tar").exists());
    }
    let taken = client(dir.path(), &host, &host.admin_key, &["backup", "shelf.tar"])?;
    assert_eq!(taken.code, 0, "{}", taken.stderr);
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

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_whose_end_the_host_could_not_read_says_so() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let host = Host::start(&data).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("writes")?, "test:writes", "1.0.0").await?;
    // More than is on its way to a client that does not read.
    for _ in 0..400 {
        success(host.call("test/writes/writer/write", &key, &json!({"bytes": 60_000})).await?).await?;
    }
    let mut answer = host.request(Method::GET, "/v1/backup", &host.admin_key).send().await?.error_for_status()?;
    let mut archive = answer.chunk().await?.context("a first piece")?.to_vec();
    let files = fs::read_dir(&data)?.filter_map(|entry| Some(entry.ok()?.path()));
    let is_copy = |path: &std::path::PathBuf| path.to_string_lossy().contains("/backup-");
    let copies: Vec<_> = files.filter(is_copy).collect();
    assert_eq!(copies.len(), 1, "{copies:?}");
    fs::OpenOptions::new().write(true).open(&copies[0])?.set_len(10_000)?;
    while let Some(piece) = answer.chunk().await? {
        archive.extend_from_slice(&piece);
    }
    fs::write(dir.path().join("shelf.tar"), archive)?;
    let refused = wares(dir.path(), ["restore", "shelf.tar", "--data-dir", "new"])?;
    assert!(refused.code != 0 && refused.stderr.contains("the host broke it off"), "{}", refused.stderr);
    assert!(refused.stderr.contains("became shorter") && !dir.path().join("new").exists(), "{}", refused.stderr);
    Ok(())
}

fn write_archive(path: &Path, files: &Files) -> Result<()> {
    let mut archive = Builder::new(fs::File::create(path)?);
    for (name, bytes) in files {
        append(&mut archive, name, EntryType::Regular, bytes)?;
    }
    Ok(archive.finish()?)
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
