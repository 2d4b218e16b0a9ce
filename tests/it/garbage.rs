//! Files that nothing refers to go, whatever happens meanwhile; what anything refers to stays.

use crate::command::client;
use anyhow::{Context as _, Result};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use wares_it::guests;
use wares_it::host::{Host, success};
use wares_it::wait;
use wares_model::Digest;

/// Artifacts without a version, enough to be killed in the midst of them.
const MANY: usize = 6_000;

fn artifact(data_dir: &Path, bytes: &[u8]) -> PathBuf {
    let hex = Digest::of(bytes).hex();
    data_dir.join("artifacts/sha256").join(hex.chars().take(2).collect::<String>()).join(hex)
}

/// Leaves an artifact without a version, as a publication does that is cut short.
fn leave_artifact(data_dir: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let path = artifact(data_dir, bytes);
    std::fs::create_dir_all(path.parent().context("a folder")?)?;
    std::fs::write(&path, bytes)?;
    Ok(path)
}

/// The files below a folder, by path.
fn files(folder: &Path) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => open.push(path),
                false => found.extend([path]),
            }
        }
    }
    Ok(found)
}

fn names(garbage: &Value, kind: &str) -> Result<Vec<String>> {
    let files = garbage["files"].as_array().context("files")?.iter().filter(|file| file["kind"] == kind);
    files.map(|file| Ok(file["name"].as_str().context("name")?.to_owned())).collect()
}

#[tokio::test]
async fn what_nothing_refers_to_is_listed_and_goes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    for (number, version) in [(10, "1.0.0"), (11, "1.1.0"), (20, "2.0.0")] {
        host.publish_and_deploy(guests::number(number)?, "test:swap", version).await?;
    }
    let kept = files(dir.path())?;
    let at = |version: &str, action: &str| format!("/v1/components/test/swap/versions/{version}/{action}");
    host.post(&at("1.0.0", "yank"), json!({})).await?;
    host.post(&at("1.1.0", "stop"), json!({})).await?;

    let lost = leave_artifact(dir.path(), b"left by a crash")?;
    let native = dir.path().join("native");
    let stopped = Digest::of(&guests::number(11)?).hex();
    let unknown = format!("{}-0123456789abcdef", Digest::of(b"nobody").hex());
    std::fs::write(native.join(format!("{unknown}.cwasm")), "old")?;
    std::fs::write(native.join(format!("{unknown}.seal")), "old")?;
    std::fs::write(native.join("README"), "not ours")?;
    let old = SystemTime::now() - Duration::from_secs(2 * 3_600);
    let unfinished = [native.join(".tmpOLD"), lost.with_file_name("abc#1")];
    let running = [native.join(".tmpNEW"), lost.with_file_name("abc#2")];
    for path in unfinished.iter().chain(&running) {
        std::fs::write(path, "half")?;
    }
    for path in &unfinished {
        std::fs::OpenOptions::new().append(true).open(path)?.set_modified(old)?;
    }

    let listed = host.get("/v1/garbage").await?;
    assert_eq!(names(&listed, "artifact")?, [Digest::of(b"left by a crash").to_string()]);
    assert_eq!(names(&listed, "unfinished")?.len(), 1);
    let native_names = names(&listed, "native")?;
    assert_eq!(native_names.len(), 5, "{listed:#}");
    assert_eq!(native_names.iter().filter(|name| name.starts_with(&stopped)).count(), 2, "{listed:#}");
    assert!(lost.exists(), "a list removes nothing");
    let dry = client(dir.path(), &host, &host.admin_key, &["gc", "--dry-run"])?;
    assert!(dry.code == 0 && dry.stdout.contains("would go: 7 files"), "{}{}", dry.stdout, dry.stderr);
    let tenant = host.request(Method::DELETE, "/v1/garbage", &key).send().await?;
    assert_eq!(tenant.status(), 403, "removing is operators' work");

    let done = client(dir.path(), &host, &host.admin_key, &["gc", "--json"])?;
    let done: Value = serde_json::from_str(&done.stdout).context(done.stderr)?;
    assert_eq!((&done["files"], &done["more"]), (&listed["files"], &json!(false)));
    assert_eq!(host.get("/v1/garbage").await?["files"], json!([]));
    let left = files(dir.path())?;
    let gone: Vec<_> = kept.difference(&left).collect();
    assert!(gone.iter().all(|path| path.to_string_lossy().contains(&stopped)), "{gone:?}");
    assert!(running.iter().all(|path| path.exists()) && native.join("README").exists());

    // Yanked and stopped versions can come back: their artifacts are here.
    let call =
        async |at: &str| success(host.call(&format!("test/swap@={at}/numbers/number"), &key, &json!({})).await?).await;
    assert_eq!(call("1.0.0").await?, json!(10));
    success(host.request(Method::DELETE, &at("1.1.0", "stop"), &host.admin_key).send().await?).await?;
    assert_eq!(call("1.1.0").await?, json!(11));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_beside_a_collection_lose_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(Host::start(dir.path()).await?);
    let key = host.tenant("district").await?;
    let publish = |number: u32| {
        let host = Arc::clone(&host);
        tokio::spawn(async move {
            host.publish_and_deploy(guests::number(number)?, &format!("test:swap{number}"), "1.0.0").await
        })
    };
    let publications: Vec<_> = (0..16).map(publish).collect();
    while publications.iter().any(|publication| !publication.is_finished()) {
        success(host.request(Method::DELETE, "/v1/garbage", &host.admin_key).send().await?).await?;
    }
    for publication in publications {
        publication.await??;
    }
    for number in 0..16u32 {
        assert!(artifact(dir.path(), &guests::number(number)?).exists(), "{number}");
        let answer = host.call(&format!("test/swap{number}/numbers/number"), &key, &json!({})).await?;
        assert_eq!(success(answer).await?, json!(number));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_killed_while_it_collects_has_lost_nothing_and_goes_on() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    for (number, version) in [(10, "1.0.0"), (20, "2.0.0")] {
        host.publish_and_deploy(guests::number(number)?, "test:swap", version).await?;
    }
    let garbage: Vec<_> = (0..MANY)
        .map(|number| leave_artifact(dir.path(), format!("garbage {number}").as_bytes()))
        .collect::<Result<_>>()?;
    let there = || garbage.iter().filter(|path| path.exists()).count();

    // They go in the order of their digests.
    let first = garbage.iter().min_by_key(|path| path.file_name()).context("garbage")?;
    let collection = host.request(Method::DELETE, "/v1/garbage", &host.admin_key).send();
    let collection = tokio::spawn(collection);
    wait::holds("the first goes", || !first.exists()).await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let answered = collection.await?.is_ok();
    let left = there();
    assert!(!answered && left > 0, "the host was killed too late: {left} files are left");

    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    let listed = host.get("/v1/garbage").await?;
    assert_eq!(names(&listed, "artifact")?.len(), left);
    for (at, number) in [("", 20), ("@=1.0.0", 10)] {
        let answer = host.call(&format!("test/swap{at}/numbers/number"), &key, &json!({})).await?;
        assert_eq!(success(answer).await?, json!(number), "{at}");
    }
    for number in [10, 20] {
        let wasm = guests::number(number)?;
        assert_eq!(std::fs::read(artifact(dir.path(), &wasm))?, wasm);
    }
    success(host.request(Method::DELETE, "/v1/garbage", &host.admin_key).send().await?).await?;
    assert_eq!(there(), 0);
    Ok(())
}
