//! What is committed survives the end of a process; what is not ours, or too new, is left alone.

use super::*;
use crate::DataDirError;
use crate::sqlite::checkpoint::{Checkpointer, Folding};
use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Tells a test that it is the child process, and in which data directory.
const CHILD: &str = "WARES_STORE_TEST_CHILD";

/// This test binary again, running only `test`, as the child of the test that calls it.
fn child(test: &str, dir: &Path) -> Child {
    Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The rest of the child's lines that begin with `word`.
fn lines(child: &mut Child, word: &'static str) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.filter_map(move |line| line.strip_prefix(word).map(|rest| rest.trim().to_owned()))
}

#[tokio::test]
async fn a_killed_host_loses_no_entry_that_it_acknowledged() {
    if let Some(dir) = env::var_os(CHILD) {
        return append_until_killed(Path::new(&dir)).await;
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = child("sqlite::tests::crash::a_killed_host_loses_no_entry_that_it_acknowledged", dir.path());
    let mut acknowledged = Vec::new();
    for line in lines(&mut child, "entered ") {
        acknowledged.push(line.parse::<CallId>().unwrap());
        if acknowledged.len() == 300 {
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(acknowledged.len() >= 300, "the child ended early, after {}", acknowledged.len());

    let data_dir = DataDir::open(dir.path()).unwrap();
    let store = open(&data_dir).await.unwrap();
    for call in &acknowledged {
        assert!(store.call(*call).await.unwrap().is_some(), "{call} was acknowledged");
    }
    let entries = count(&store, "entries").await;
    assert!(entries >= acknowledged.len() as i64);
    assert_eq!(total(&store).await.calls, entries as u64, "sums and entries go together");
    let check: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&store.writer).await.unwrap();
    assert_eq!(check, "ok");
}

async fn append_until_killed(dir: &Path) {
    let data_dir = DataDir::open(dir).unwrap();
    let store = open(&data_dir).await.unwrap();
    let mut out = std::io::stdout();
    loop {
        let entries: Vec<_> = (0..20).map(|i| entry(&format!("f{i}"), Outcome::Ok, 0)).collect();
        store.append_entries(&entries).await.unwrap();
        for one in &entries {
            // The test that reads went away: so does this process.
            if writeln!(out, "entered {}", one.call).is_err() {
                return;
            }
        }
    }
}

#[test]
fn a_second_host_is_refused_and_told_who_holds_the_directory() {
    if let Some(dir) = env::var_os(CHILD) {
        // Printed with the word that the parent looks for, past what the test harness prints.
        println!(
            "\nanswer {}",
            DataDir::open(Path::new(&dir)).map_or_else(|error| error.to_string(), |_| "open".into())
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let ask = || {
        let mut child =
            child("sqlite::tests::crash::a_second_host_is_refused_and_told_who_holds_the_directory", dir.path());
        let answer = lines(&mut child, "answer ").last();
        child.wait().unwrap();
        answer.unwrap()
    };
    let held = DataDir::open(dir.path()).unwrap();
    let answer = ask();
    assert!(answer.starts_with(&format!("another host (process {})", std::process::id())), "{answer}");
    assert!(answer.contains(dir.path().to_str().unwrap()), "{answer}");
    drop(held);
    assert_eq!(ask(), "open");
}

#[tokio::test]
async fn a_store_that_was_not_closed_opens_again() {
    let Fixture { data_dir, store, .. } = &fixture().await;
    let one = entry("f", Outcome::Ok, 0);
    store.append_entries(std::slice::from_ref(&one)).await.unwrap();
    // The first store still stands, as after an end without goodbye: its log is not folded into the database.
    let again =
        open_sqlite(data_dir, SqliteOptions { sync: SqliteSync::Full, ..SqliteOptions::default() }).await.unwrap();
    assert_eq!(again.call(one.call).await.unwrap().as_ref(), Some(&one));
    again.append_entries(&[entry("f", Outcome::Ok, 0)]).await.unwrap();
    assert_eq!(total(store).await.calls, 2);
}

#[tokio::test]
async fn every_connection_is_as_durable_as_it_was_asked_to_be() {
    let Fixture { data_dir, .. } = &fixture().await;
    for (sync, expected) in [(SqliteSync::Normal, 1), (SqliteSync::Full, 2)] {
        let store = open_sqlite(data_dir, SqliteOptions { sync, ..SqliteOptions::default() }).await.unwrap();
        // Changes of the shelf reach the disk in any case.
        for (pool, expected) in [(&store.writer, 2), (&store.readers, expected)] {
            let pragma = async |sql: &'static str| -> i64 { sqlx::query_scalar(sql).fetch_one(pool).await.unwrap() };
            assert_eq!(pragma("PRAGMA synchronous").await, expected, "{sync:?}");
            assert_eq!(pragma("PRAGMA foreign_keys").await, 1);
            let mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(pool).await.unwrap();
            assert_eq!(mode, "wal");
        }
        let pragma = |name: &str| {
            let read = |appender: &mut Appender| {
                Ok(appender.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0))?)
            };
            store.ledger.with(read).unwrap()
        };
        assert_eq!((pragma("synchronous"), pragma("foreign_keys")), (expected, 1), "{sync:?}");
        store.probe().await.unwrap();
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_as_it_is() {
    let Fixture { dir: _dir, data_dir, store } = fixture().await;
    let step = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                VALUES (99, 'later', TRUE, x'00', 0)";
    sqlx::query(step).execute(&store.writer).await.unwrap();
    drop(store);
    for _ in 0..2 {
        let error = open(&data_dir).await.err().unwrap();
        assert!(matches!(error, StoreError::TooNew(99)), "{error}");
        assert!(error.to_string().contains("start that version or a newer one"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(dir.path()).unwrap();
    std::fs::write(data_dir.database(), "no database".repeat(1_000)).unwrap();
    let error = open(&data_dir).await.err().unwrap();
    assert!(matches!(error, StoreError::Open { .. }), "{error}");
    assert!(error.to_string().contains(data_dir.database().to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn the_database_is_for_this_user_only() {
    let Fixture { dir, store, .. } = &fixture().await;
    store.append_entries(&[entry("f", Outcome::Ok, 0)]).await.unwrap();
    let files = std::fs::read_dir(dir.path()).unwrap().map(Result::unwrap);
    let files: Vec<_> = files.filter(|file| file.file_name().to_string_lossy().starts_with("wares.sqlite")).collect();
    assert_eq!(files.len(), 3, "the database, its log and its index");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
}

#[test]
fn errors_of_the_directory_are_typed() {
    let Err(error) = DataDir::open(Path::new("/proc/nowhere")) else { panic!("/proc takes no folders") };
    assert!(matches!(error, DataDirError::Io { .. }), "{error}");
}

#[tokio::test]
async fn the_log_is_folded_back_while_entries_come() {
    let Fixture { data_dir, store, .. } = &fixture().await;
    let turn = Arc::clone(&store.turn);
    let folding = Folding { interval: Duration::from_millis(1), pages_max: 100 };
    let _checkpointer = Checkpointer::start(&data_dir.database(), turn, Copying::default(), folding).unwrap();
    let log = data_dir.database().with_extension("sqlite-wal");
    let mut written = 0;
    let mut longest = 0;
    // Far more than the log may become: it has to start again from its beginning several times.
    while written < 40 << 20 {
        let batch: Vec<_> =
            (0..200).map(|_| LedgerEntry { logs: Some("x".repeat(1_000)), ..entry("f", Outcome::Ok, 0) }).collect();
        store.append_entries(&batch).await.unwrap();
        written += 200 * 1_000;
        longest = longest.max(std::fs::metadata(&log).unwrap().len());
    }
    assert!(longest < 20 << 20, "the log grew to {longest} bytes");
    assert_eq!(total(store).await.calls, (40 << 20) / 200_000 * 200 + 200);
}
