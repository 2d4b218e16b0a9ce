//! Files: used with a grant, refused without, apart by tenant and component, within their quota, and no way out.

mod quota;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};
use wares_it::wait;

/// Calls a function of `test:files`.
async fn call(host: &Host, key: &str, function: &str, arguments: Value) -> Result<Value> {
    success(host.call(&format!("test/files/files/{function}"), key, &arguments).await?).await
}

/// The words of the error that a function returns.
async fn refused(host: &Host, key: &str, function: &str, arguments: Value) -> Result<String> {
    let answer = host.call(&format!("test/files/files/{function}"), key, &arguments).await?;
    ensure!(answer.status().as_u16() == 422, "{function} {arguments}: {}", answer.text().await?);
    let (_, problem) = problem(answer).await?;
    Ok(problem["error"].as_str().context("error")?.to_owned())
}

async fn grant(host: &Host, files: Value) -> Result<Value> {
    host.put("/v1/components/test/files/grants", json!({"grants": {"files": files}})).await
}

/// A host on which `test:files` may do this.
async fn shelf(dir: &Path, files: Value) -> Result<Host> {
    let host = Host::start(dir).await?;
    grant(&host, files).await?;
    host.publish(guests::built("test-files")?, "deploy=true").await?.error_for_status()?;
    Ok(host)
}

/// Whether an error says that this may not be done.
fn is_forbidden(words: &str) -> bool {
    words.starts_with("PermissionDenied")
}

/// Where the files of a tenant are.
fn files_of(data: &Path, tenant: &str) -> PathBuf {
    data.join("files").join(tenant).join("test/files")
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_there_with_a_grant_and_not_without() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("north").await?;
    let (status, refusal) = problem(host.publish(guests::built("test-files")?, "deploy=true").await?).await?;
    assert_eq!((status, code(&refusal)), (422, "invalid-component"), "{refusal}");
    assert!(refusal["detail"].to_string().contains("`files read-write`"), "{refusal}");

    // Read-only is less than it asks for.
    grant(&host, json!({"access": "read-only"})).await?;
    let (status, _) = problem(host.publish(guests::built("test-files")?, "deploy=true").await?).await?;
    assert_eq!(status, 422);

    grant(&host, json!({"access": "read-write"})).await?;
    host.publish(guests::built("test-files")?, "deploy=true").await?.error_for_status()?;
    call(&host, &key, "write", json!(["notes.txt", "one"])).await?;
    call(&host, &key, "append", json!(["/notes.txt", " two"])).await?;
    assert_eq!(call(&host, &key, "read", json!(["notes.txt"])).await?, "one two");
    call(&host, &key, "write-at", json!(["notes.txt", 4, "2"])).await?;
    call(&host, &key, "make-directory", json!(["old"])).await?;
    call(&host, &key, "rename", json!(["notes.txt", "old/notes.txt"])).await?;
    assert_eq!(call(&host, &key, "entries", json!(["."])).await?, json!(["old"]));
    assert_eq!(call(&host, &key, "size", json!(["old/notes.txt"])).await?, 7);
    assert_eq!(call(&host, &key, "read", json!(["old/../old/notes.txt"])).await?, "one 2wo");
    refused(&host, &key, "remove", json!(["old"])).await?;
    call(&host, &key, "remove", json!(["old/notes.txt"])).await?;
    call(&host, &key, "remove", json!(["old"])).await?;
    assert_eq!(call(&host, &key, "entries", json!(["/"])).await?, json!([]));
    // Paths have a longest length, so that whoever looks at them from outside can.
    let mut path = "x".repeat(250);
    for _ in 0..4 {
        call(&host, &key, "make-directory", json!([path])).await?;
        path = format!("{path}/{}", "x".repeat(250));
    }
    refused(&host, &key, "make-directory", json!([path])).await?;
    refused(&host, &key, "write", json!([path, "deep"])).await?;
    call(&host, &key, "make-directory", json!(["y".repeat(250)])).await?;
    refused(&host, &key, "rename", json!(["x".repeat(250), format!("{}/{}", "y".repeat(250), "z".repeat(100))]))
        .await?;
    call(&host, &key, "write", json!(["kept.txt", "kept"])).await?;
    let used = host.get("/v1/components/test/files/grants").await?["used"].to_string();
    assert!(used.contains("files read-write"), "{used}");

    // Granted less, the same version may read only; granted nothing, it finds no files at all.
    grant(&host, json!({"access": "read-only"})).await?;
    assert_eq!(call(&host, &key, "read", json!(["kept.txt"])).await?, "kept");
    for (function, arguments) in [
        ("write", json!(["kept.txt", "x"])),
        ("append", json!(["new.txt", "x"])),
        ("set-size", json!(["kept.txt", 0])),
        ("make-directory", json!(["new"])),
        ("remove", json!(["kept.txt"])),
        ("rename", json!(["kept.txt", "new.txt"])),
    ] {
        let words = refused(&host, &key, function, arguments).await?;
        assert!(is_forbidden(&words), "{function}: {words}");
    }
    grant(&host, Value::Null).await?;
    refused(&host, &key, "read", json!(["kept.txt"])).await?;
    assert_eq!(std::fs::read(files_of(dir.path(), "north").join("kept.txt"))?, b"kept");
    Ok(())
}

#[tokio::test]
async fn files_for_wasi_0_3_alone_are_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let made = |version: &str, imported: &[&str], asked: &str| {
        let imports = imported.iter().map(|wasi| format!("(import \"wasi:filesystem/preopens@{wasi}\" (instance))"));
        let words = [("NUMBER", "1"), ("(core module", &*format!("{} (core module", imports.collect::<String>()))];
        let wasm = guests::with_words("number", &words)?;
        let manifest = format!("[component]\nname = 'test:three'\nversion = '{version}'\n[capabilities]\n{asked}");
        anyhow::Ok(guests::with_section(wasm, "wares:manifest", manifest.as_bytes()))
    };
    let files = "files = 'read-only'";
    let (status, refusal) = problem(host.publish(made("1.0.0", &["0.3.0"], files)?, "").await?).await?;
    assert_eq!((status, code(&refusal)), (422, "invalid-component"), "{refusal}");
    assert!(refusal["detail"].to_string().contains("files are given to WASI 0.2 only"), "{refusal}");
    host.publish(made("1.0.0", &["0.3.0"], "")?, "").await?.error_for_status()?;
    host.publish(made("1.1.0", &["0.3.0", "0.2.12"], files)?, "").await?.error_for_status()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tenant_has_files_of_its_own_until_they_are_wiped() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(dir.path(), json!({"access": "read-write"})).await?;
    let (north, south) = (host.tenant("north").await?, host.tenant("south").await?);
    call(&host, &north, "write", json!(["who.txt", "north"])).await?;
    refused(&host, &south, "read", json!(["who.txt"])).await?;
    call(&host, &south, "write", json!(["who.txt", "south"])).await?;
    assert_eq!(call(&host, &north, "read", json!(["who.txt"])).await?, "north");

    let wipe = async || host.request(Method::DELETE, "/v1/tenants/north/data", &host.admin_key).send().await;
    assert_eq!(success(wipe().await?).await?, json!({"tenant": "north", "pairs": 0}));
    assert_eq!(call(&host, &north, "entries", json!(["/"])).await?, json!([]));
    assert_eq!(call(&host, &south, "read", json!(["who.txt"])).await?, "south");
    let files = dir.path().join("files");
    let names = || {
        let names = std::fs::read_dir(&files)?.map(|entry| Ok(entry?.file_name()));
        let mut names = names.collect::<Result<Vec<_>>>()?;
        names.sort();
        anyhow::Ok(names)
    };
    assert_eq!(names()?, ["north", "south"], "what was wiped is gone from the disk");

    // What an earlier wipe left goes too, whether there is anything new or not; and what cannot go is told.
    std::fs::create_dir(files.join(".wiped-north-east.before"))?;
    for left in [".wiped-north.before", ".wiped-north.again"] {
        std::fs::create_dir_all(files.join(left).join("test/files"))?;
        success(wipe().await?).await?;
        assert_eq!(names()?, [".wiped-north-east.before", "south"]);
    }
    std::fs::write(files.join(".wiped-north.stuck"), "no folder")?;
    let (status, refusal) = problem(wipe().await?).await?;
    assert_eq!(status, 500, "{refusal}");
    let gone = host.request(Method::DELETE, "/v1/tenants/nobody/data", &host.admin_key).send().await?;
    assert_eq!(gone.status().as_u16(), 404);
    let forbidden = host.request(Method::DELETE, "/v1/tenants/south/data", &north).send().await?;
    assert_eq!(forbidden.status().as_u16(), 403);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_leads_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(dir.path(), json!({"access": "read-write"})).await?;
    let (north, south) = (host.tenant("north").await?, host.tenant("south").await?);
    call(&host, &south, "write", json!(["secret.txt", "secret"])).await?;
    call(&host, &north, "write", json!(["own.txt", "own"])).await?;
    call(&host, &north, "make-directory", json!(["inner"])).await?;
    // Links that a guest could not make itself, as if an operator or an older host had left them.
    let own = files_of(dir.path(), "north");
    symlink("../../../south/test/files/secret.txt", own.join("relative"))?;
    symlink(files_of(dir.path(), "south").join("secret.txt"), own.join("absolute"))?;
    symlink("../../../south/test/files", own.join("folder"))?;
    symlink("..", own.join("inner/up"))?;
    symlink("/proc/self/root", own.join("root"))?;

    let paths = [
        "../../../south/test/files/secret.txt",
        "/../../../south/test/files/secret.txt",
        "inner/../../../../south/test/files/secret.txt",
        "inner/up/../../../../south/test/files/secret.txt",
        "./././../../../south/test/files/secret.txt",
        "..//..//../south/test/files/secret.txt",
        "relative",
        "absolute",
        "folder/secret.txt",
        "root/etc/passwd",
        "/etc/passwd",
        "/proc/self/environ",
        "/proc/self/fd/0",
        "/dev/null",
        "..",
        "inner/../..",
        "own.txt/../../../../south/test/files/secret.txt",
        "..\\..\\..\\south\\test\\files\\secret.txt",
        "%2e%2e/%2e%2e/%2e%2e/south/test/files/secret.txt",
        "inner/\u{0}/../../../south",
    ];
    for path in paths {
        // A link itself may be moved or replaced; what it leads to may not be reached.
        let is_link = ["relative", "absolute"].contains(&path);
        let mut functions = vec![("read", json!([path])), ("size", json!([path])), ("entries", json!([path]))];
        if !is_link {
            functions.push(("rename", json!([path, "stolen"])));
        }
        for (function, arguments) in functions {
            let words = refused(&host, &north, function, arguments).await?;
            assert!(!words.contains("secret"), "{function} {path}: {words}");
        }
        // A name without a folder in it is a file of its own, whatever characters it has.
        let may_be = !path.contains('/') && !is_link && path != "..";
        let write = host.call("test/files/files/write", &north, &json!([path, "harm"])).await?;
        ensure!(write.status().as_u16() == 422 || may_be, "{path} was written");
        if !is_link {
            let moved = host.call("test/files/files/rename", &north, &json!(["own.txt", path])).await?;
            ensure!(moved.status().as_u16() == 422 || may_be, "own.txt was moved to {path}");
            call(&host, &north, "write", json!(["own.txt", "own"])).await?;
        }
        refused(&host, &north, "make-directory", json!([format!("{path}/new")])).await?;
        refused(&host, &north, "hard-link", json!([path, "linked"])).await?;
    }
    // No links are made at all, not even within the directory.
    assert!(is_forbidden(&refused(&host, &north, "symlink", json!(["own.txt", "to-own"])).await?));
    assert!(is_forbidden(&refused(&host, &north, "hard-link", json!(["own.txt", "to-own"])).await?));
    for target in ["/etc/passwd", "../../../south", "own.txt"] {
        refused(&host, &north, "symlink", json!([target, "to"])).await?;
    }
    assert_eq!(call(&host, &south, "entries", json!(["/"])).await?, json!(["secret.txt"]));
    assert_eq!(call(&host, &south, "read", json!(["secret.txt"])).await?, "secret");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(dir.path(), json!({"access": "read-write"})).await?;
    let (north, south) = (host.tenant("north").await?, host.tenant("south").await?);
    call(&host, &south, "write", json!(["file", "secret"])).await?;
    call(&host, &north, "make-directory", json!(["folder"])).await?;
    call(&host, &north, "write", json!(["folder/file", "own"])).await?;
    let own = files_of(dir.path(), "north");
    symlink("../../../south/test/files", own.join("link"))?;
    // Swapped from outside, as fast as it goes: what a guest that can make no links would need the help of another program for.
    let (stop, stopped) = (std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false)), own.clone());
    let swapper = std::thread::spawn({
        let stop = std::sync::Arc::clone(&stop);
        move || {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let (folder, link) = (stopped.join("folder"), stopped.join("link"));
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                rustix::fs::renameat_with(rustix::fs::CWD, &folder, rustix::fs::CWD, &link, flags)?;
            }
            anyhow::Ok(())
        }
    });
    let tries = (0..8).map(|_| async {
        let (mut seen, mut refused) = (0, 0);
        for round in 0..60 {
            let (function, arguments) = match round % 3 {
                0 => ("read", json!(["folder/file"])),
                1 => ("write", json!(["folder/file", "own"])),
                _ => ("append", json!(["folder/new", ""])),
            };
            let answer = host.call(&format!("test/files/files/{function}"), &north, &arguments).await?;
            match answer.status().as_u16() {
                200 => seen += 1,
                _ => refused += 1,
            }
            let text = answer.text().await?;
            ensure!(!text.contains("secret"), "{function}: {text}");
        }
        Ok((seen, refused))
    });
    let counts = try_join_all(tries).await?;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    swapper.join().map_err(|_| anyhow::anyhow!("the swapper"))??;
    ensure!(counts.iter().any(|(seen, _)| *seen > 0), "the folder was seen: {counts:?}");
    ensure!(counts.iter().any(|(_, refused)| *refused > 0), "the link was met: {counts:?}");
    assert_eq!(call(&host, &south, "entries", json!(["/"])).await?, json!(["file"]));
    assert_eq!(call(&host, &south, "read", json!(["file"])).await?, "secret");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_has_open_is_bounded() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(dir.path(), json!({"access": "read-write"})).await?;
    let key = host.tenant("north").await?;
    assert_eq!(call(&host, &key, "write-from-many", json!(["file"])).await?, 64);
    assert_eq!(call(&host, &key, "list-many", json!(["/"])).await?, 16);
    assert_eq!(call(&host, &key, "entries", json!(["/"])).await?, json!(["file"]));

    let own = files_of(&dir.path().canonicalize()?, "north");
    let look = async {
        wait::holds("all is open", || own.join("all-open").exists()).await?;
        let open = open_below(&host, &own.join("file"))?;
        std::fs::create_dir(own.join("go-on"))?;
        Ok(open)
    };
    let (opened, open) = tokio::try_join!(call(&host, &key, "open-many", json!(["file"])), look)?;
    // The directory itself is one of 64.
    assert_eq!((&opened[0], open), (&json!(63), 63), "{opened}");
    assert!(opened[1].as_str().is_some_and(|words| words.to_lowercase().contains("memory")), "{opened}");
    wait::until("all is closed after the call", async || {
        let open = open_below(&host, &own)?;
        Ok(if open == 0 { Ok(()) } else { Err(open) })
    })
    .await
}

/// How many files and folders below a path, itself included, the host has open.
fn open_below(host: &Host, path: &Path) -> Result<usize> {
    let open = std::fs::read_dir(format!("/proc/{}/fd", host.pid().context("a pid")?))?;
    let targets = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    Ok(targets.filter(|target| target.starts_with(path)).count())
}
