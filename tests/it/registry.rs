//! Components through a real OCI registry: pushed and pulled by Wares and by `wkg`, in both directions.

use crate::command::{Ended, client, run, wares};
use crate::program;
use anyhow::{Context as _, Result, ensure};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::{Child, Command};
use wares_it::guests;
use wares_it::host::Host;

/// A registry on a free port, with its files in a folder of its own.
struct Registry {
    addr: SocketAddr,
    files: tempfile::TempDir,
    _process: Child,
}

impl Registry {
    async fn start() -> Result<Self> {
        let files = tempfile::tempdir()?;
        let settings = files.path().join("registry.yml");
        let root = files.path().join("root");
        let storage = format!("storage: {{filesystem: {{rootdirectory: {}}}}}", root.display());
        std::fs::write(&settings, format!("version: 0.1\n{storage}\nhttp: {{addr: \"127.0.0.1:0\"}}\n"))?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null());
        let (process, addr) = program::start(command, Ipv4Addr::LOCALHOST).await?;
        Ok(Self { addr, files, _process: process })
    }

    /// `127.0.0.1:PORT/NAME`.
    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.addr)
    }

    /// All files under which it keeps content.
    fn blobs(&self) -> Result<Vec<PathBuf>> {
        fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
            for entry in std::fs::read_dir(folder)? {
                let path = entry?.path();
                match path.is_dir() {
                    true => walk(&path, found)?,
                    false => found.push(path),
                }
            }
            Ok(())
        }
        let mut found = Vec::new();
        walk(&self.files.path().join("root/docker/registry/v2/blobs"), &mut found)?;
        Ok(found)
    }
}

fn wkg(folder: &Path, args: &[&str]) -> Result<()> {
    let ended =
        run(std::process::Command::new("wkg").args(args).current_dir(folder).env("HOME", folder)).context("wkg")?;
    ensure!(ended.code == 0, "wkg {args:?}: {}{}", ended.stdout, ended.stderr);
    Ok(())
}

fn plugin() -> Result<PathBuf> {
    let path = guests::root().join("plugins/target/wares/kitchen-rating.wasm");
    ensure!(path.is_file(), "{}: build it with `wares build plugins`", path.display());
    Ok(path)
}

fn ok(ended: &Ended) -> &str {
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    &ended.stdout
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wares_pushes_wkg_pulls_and_the_other_way_round() -> Result<()> {
    let (data, work, registry) = (tempfile::tempdir()?, tempfile::tempdir()?, Registry::start().await?);
    let host = Host::start(data.path()).await?;
    let here = work.path();
    let plugin = plugin()?;
    let file = plugin.to_str().context("a path in UTF-8")?;
    let bytes = std::fs::read(&plugin)?;

    // From a file; the version becomes the tag.
    let pushed = wares(here, ["push", file, &format!("oci://{}", registry.name("kitchen/rating")), "--json"])?;
    let pushed: serde_json::Value = serde_json::from_str(ok(&pushed))?;
    let version = pushed["version"].as_str().context("version")?;
    wkg(
        here,
        &[
            "oci",
            "pull",
            "--insecure",
            &registry.addr.to_string(),
            &registry.name(&format!("kitchen/rating:{version}")),
            "-o",
            "pulled.wasm",
        ],
    )?;
    assert_eq!(std::fs::read(here.join("pulled.wasm"))?, bytes);

    // By wkg into the registry, from there onto the shelf, and from the shelf back.
    wkg(here, &["oci", "push", "--insecure", &registry.addr.to_string(), &registry.name("other/kitchen:9"), file])?;
    let reference = format!("oci://{}", registry.name("other/kitchen:9"));
    let published = client(here, &host, &host.admin_key, &["publish", &reference, "--deploy", "--json"])?;
    let published: serde_json::Value = serde_json::from_str(ok(&published))?;
    assert_eq!(published["digest"], pushed["digest"]);
    // The host pulls by itself, from the place that its operator named.
    let other = tempfile::tempdir()?;
    let second = Host::start(other.path()).await?;
    let admin = |args: &[&str]| client(here, &second, &second.admin_key, args);
    let pull = ["publish", "--pull", "--name", "kitchen:rating", "--version", version];
    assert!(admin(&pull)?.stderr.contains("has no source"));
    ok(&admin(&["namespaces", "set", "kitchen", "--source", &format!("oci://{}", registry.name("kitchen"))])?);
    ok(&admin(&pull)?);
    let shown = second.get(&format!("/v1/components/kitchen/rating/versions/{version}")).await?;
    assert_eq!(shown["digest"], pushed["digest"]);
    assert!(
        admin(&["publish", "--pull", "--name", "kitchen:rating", "--version", "9.9.9"])?
            .stderr
            .contains("nothing under")
    );

    let at = format!("kitchen/rating@{version}");
    let again = format!("oci://{}", registry.name("again/kitchen:1"));
    ok(&client(here, &host, &host.admin_key, &["push", &at, &again])?);
    wkg(
        here,
        &[
            "oci",
            "pull",
            "--insecure",
            &registry.addr.to_string(),
            &registry.name("again/kitchen:1"),
            "-o",
            "again.wasm",
        ],
    )?;
    assert_eq!(std::fs::read(here.join("again.wasm"))?, bytes);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn other_bytes_than_those_named_are_refused() -> Result<()> {
    let (data, work, registry) = (tempfile::tempdir()?, tempfile::tempdir()?, Registry::start().await?);
    let host = Host::start(data.path()).await?;
    let here = work.path();
    let publish = |reference: &str| client(here, &host, &host.admin_key, &["publish", reference]);
    let plugin = plugin()?;
    let file = plugin.to_str().context("a path in UTF-8")?;
    let reference = format!("oci://{}", registry.name("kitchen/rating:1"));
    let pushed = wares(here, ["push", file, &reference, "--json"])?;
    let pushed: serde_json::Value = serde_json::from_str(ok(&pushed))?;
    let manifest = pushed["manifest"].as_str().context("manifest")?;
    let pinned = format!("oci://{}@{manifest}", registry.name("kitchen/rating"));

    // The tag moves on to another component; the pin does not.
    let other = guests::root().join("plugins/target/wares/form-report.wasm");
    ok(&wares(here, ["push", other.to_str().context("a path in UTF-8")?, &reference])?);
    ok(&publish(&pinned)?);
    assert!(host.get("/v1/components/kitchen/rating").await.is_ok());

    let missing = publish(&format!("oci://{}", registry.name("kitchen/rating:nothing")))?;
    assert!(missing.code != 0 && missing.stderr.contains("nothing under this tag"), "{}", missing.stderr);

    // Every file of the registry's content is damaged in turn; the first one of the largest is the component.
    let mut blobs = registry.blobs()?;
    blobs.sort_by_key(|path| std::fs::metadata(path).map_or(0, |data| data.len()));
    for blob in blobs.iter().rev().take(2) {
        let mut bytes = std::fs::read(blob)?;
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
        std::fs::write(blob, bytes)?;
    }
    for reference in [&reference, &pinned] {
        let refused = publish(reference)?;
        assert!(refused.code != 0 && refused.stderr.contains("digest"), "{}", refused.stderr);
    }
    assert!(host.get("/v1/components/form/report").await.is_err(), "nothing of it was taken");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_wares_pushed_has_its_name_and_its_file_s() -> Result<()> {
    let (data, work, registry) = (tempfile::tempdir()?, tempfile::tempdir()?, Registry::start().await?);
    let host = Host::start(data.path()).await?;
    let here = work.path();
    std::fs::write(here.join("some.wasm"), guests::number(3)?)?;
    let reference = format!("oci://{}", registry.name("mine/inline:1.0.0"));
    let name = ["--name", "my:inline", "--version", "1.0.0"];
    ok(&wares(here, [&["push", "some.wasm", &reference][..], &name[..]].concat())?);

    let at = format!("http://{}/v2/mine/inline/manifests/1.0.0", registry.addr);
    let request = wares_it::host::client()?.get(at).header("accept", "application/vnd.oci.image.manifest.v1+json");
    let manifest: serde_json::Value = request.send().await?.error_for_status()?.json().await?;
    let title = "org.opencontainers.image.title";
    assert_eq!(manifest["layers"][0]["annotations"][title], "inline.wasm", "{manifest:#}");
    assert_eq!(manifest["annotations"][title], "my:inline", "{manifest:#}");

    ok(&client(here, &host, &host.admin_key, &["publish", &reference])?);
    host.get("/v1/components/my/inline/versions/1.0.0").await?;
    // What is given counts before what it is called there.
    ok(&client(here, &host, &host.admin_key, &["publish", &reference, "--name", "my:other"])?);
    host.get("/v1/components/my/other/versions/1.0.0").await?;
    Ok(())
}
