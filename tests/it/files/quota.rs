//! Quotas of files: kept to the byte, told as what they are, and right after a crash.

use super::{call, files_of, grant, refused, shelf};
use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use std::path::Path;
use wares_it::host::Host;
use wares_it::wait;

/// Functions that write by the standard library's streams. What adapts those to WASI 0.2 has one word for all that goes wrong
/// with a stream: EIO.
const BY_STREAM: [&str; 4] = ["append", "append-until-refused", "write", "write-at"];

/// Whether an error of a function says that there is no room.
fn is_full(function: &str, words: &str) -> bool {
    words.to_lowercase().contains("quota") || BY_STREAM.contains(&function) && words.contains("os error 29")
}

/// Bytes of all files below a folder, and how many files and folders there are.
fn measure(folder: &Path) -> Result<(u64, u64)> {
    let (mut bytes, mut files) = (0, 0);
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        files += 1;
        let metadata = entry.metadata()?;
        let below = if metadata.is_dir() { measure(&entry.path())? } else { (metadata.len(), 0) };
        (bytes, files) = (bytes + below.0, files + below.1);
    }
    Ok((bytes, files))
}

#[tokio::test(flavor = "multi_thread")]
async fn quotas_hold_to_the_byte_under_many_writers() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(dir.path(), json!({"access": "read-write", "bytes-max": 100_000, "files-max": 40})).await?;
    let key = host.tenant("north").await?;
    let own = files_of(dir.path(), "north");

    let writers = try_join_all((0..16).map(|writer| {
        let (host, key) = (&host, &key);
        async move { call(host, key, "append-until-refused", json!([format!("w{writer}")])).await }
    }));
    let written = writers.await?;
    let chunks: u64 = written.iter().filter_map(|answer| answer[0].as_u64()).sum();
    assert_eq!((chunks, measure(&own)?), (100, (100_000, 16)), "{written:?}");
    let is_full_told = |answer: &Value| answer[1].as_str().is_some_and(|words| is_full("append-until-refused", words));
    assert!(written.iter().all(is_full_told), "{written:?}");

    // Not one byte more, in no way.
    for (function, arguments) in [
        ("append", json!(["w0", "x"])),
        ("write", json!(["new", "x"])),
        ("write-at", json!(["new", 5_000_000, "x"])),
        ("set-size", json!(["new", 1])),
        ("set-size", json!(["new", i64::MAX])),
        ("set-size", json!(["w0", 1_000_000])),
    ] {
        let words = refused(&host, &key, function, arguments.clone()).await?;
        assert!(is_full(function, &words), "{function} {arguments}: {words}");
    }
    assert_eq!(refused(&host, &key, "append-raw", json!(["w0", "x"])).await?, "quota");
    assert_eq!(measure(&own)?.0, 100_000);

    // What is cut, overwritten, replaced or removed makes room, as much as it had.
    let size = call(&host, &key, "size", json!(["w0"])).await?.as_u64().context("size")?;
    call(&host, &key, "set-size", json!(["w0", 0])).await?;
    call(&host, &key, "set-size", json!(["w1", 0])).await?;
    let room = 100_000 - measure(&own)?.0;
    ensure!(room >= size);
    call(&host, &key, "set-size", json!(["new", room])).await?;
    assert!(is_full("append", &refused(&host, &key, "append", json!(["w0", "x"])).await?));
    call(&host, &key, "rename", json!(["w0", "new"])).await?;
    call(&host, &key, "write-at", json!(["w1", room - 1, "x"])).await?;
    assert!(is_full("append", &refused(&host, &key, "append", json!(["new", "x"])).await?));
    call(&host, &key, "write", json!(["w1", ""])).await?;
    call(&host, &key, "rename", json!(["w1", "./w1"])).await?;
    call(&host, &key, "remove", json!(["w2"])).await?;
    let room = 100_000 - measure(&own)?.0;
    // A file that is removed while it is open takes its place until it is closed.
    let chunks = call(&host, &key, "write-removed", json!(["gone", 1000])).await?;
    assert_eq!(chunks, room / 4096);
    assert_eq!(call(&host, &key, "write-removed", json!(["gone", 1000])).await?, chunks);
    call(&host, &key, "set-size", json!(["w1", room])).await?;
    assert_eq!(measure(&own)?.0, 100_000);

    // Files and folders are counted alike.
    let (_, there) = measure(&own)?;
    let made = try_join_all((0..16).map(|maker| {
        let (host, key) = (&host, &key);
        async move { call(host, key, "create-until-refused", json!([format!("m{maker}-")])).await }
    }));
    let made = made.await?;
    let is_full_told = |answer: &Value| answer[1].as_str().is_some_and(|words| is_full("create-until-refused", words));
    assert!(made.iter().all(is_full_told), "{made:?}");
    let made: u64 = made.iter().filter_map(|answer| answer[0].as_u64()).sum();
    assert_eq!((made + there, measure(&own)?.1), (40, 40));
    assert!(is_full("make-directory", &refused(&host, &key, "make-directory", json!(["folder"])).await?));
    call(&host, &key, "remove", json!(["w3"])).await?;
    call(&host, &key, "make-directory", json!(["folder"])).await?;
    assert!(is_full("make-directory", &refused(&host, &key, "make-directory", json!(["folder/inner"])).await?));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_the_counters_right() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let files = json!({"access": "read-write", "bytes-max": 30_000_000, "files-max": 1000});
    let host = shelf(dir.path(), files).await?;
    let key = host.tenant("north").await?;
    let own = files_of(dir.path(), "north");
    {
        let writers = try_join_all((0..16).map(|writer| {
            let (host, key) = (&host, &key);
            async move { call(host, key, "append-until-refused", json!([format!("w{writer}")])).await }
        }));
        let some_written =
            wait::holds("something is written", || measure(&own).is_ok_and(|(bytes, _)| bytes >= 200_000));
        // Whoever is first: the writers cannot all be done by then.
        tokio::select! {
            written = writers => anyhow::bail!("all was written: {written:?}"),
            some_written = some_written => some_written?,
        }
    }
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let (there, files) = measure(&own)?;

    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    grant(&host, json!({"access": "read-write", "bytes-max": there + 2_500, "files-max": files + 2})).await?;
    let written = call(&host, &key, "append-until-refused", json!(["more"])).await?;
    assert_eq!(written[0], 2, "{written}");
    assert_eq!(measure(&own)?, (there + 2_000, files + 1));
    let made = call(&host, &key, "create-until-refused", json!(["m"])).await?;
    assert_eq!(made[0], 1, "{made}");
    Ok(())
}
