//! What the toolchains of others build by default is published, deployed and called: what they import besides is no reason to
//! refuse it, and what is not granted fails when it is used, with the interface's own error.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

/// Imports of a component without its own functions, by the toolchain that makes them by default.
const TOOLCHAINS: [(&str, &str, &[&str]); 4] = [
    (
        "rust",
        "0.2.6",
        &[
            "io/poll",
            "clocks/monotonic-clock",
            "io/error",
            "io/streams",
            "cli/environment",
            "cli/exit",
            "cli/stdin",
            "cli/stdout",
            "cli/stderr",
            "cli/terminal-input",
            "cli/terminal-output",
            "cli/terminal-stdin",
            "cli/terminal-stdout",
            "cli/terminal-stderr",
            "filesystem/types",
            "filesystem/preopens",
            "sockets/network",
            "sockets/instance-network",
            "sockets/udp",
            "sockets/udp-create-socket",
            "sockets/tcp",
            "sockets/tcp-create-socket",
            "sockets/ip-name-lookup",
        ],
    ),
    (
        "wasi-sdk",
        "0.2.0",
        &[
            "cli/environment",
            "cli/exit",
            "cli/stdin",
            "cli/stdout",
            "cli/stderr",
            "cli/terminal-input",
            "cli/terminal-output",
            "cli/terminal-stdin",
            "cli/terminal-stdout",
            "cli/terminal-stderr",
            "clocks/monotonic-clock",
            "clocks/wall-clock",
            "filesystem/preopens",
            "filesystem/types",
            "io/error",
            "io/poll",
            "io/streams",
            "random/random",
            "sockets/instance-network",
            "sockets/ip-name-lookup",
            "sockets/network",
            "sockets/tcp",
            "sockets/tcp-create-socket",
            "sockets/udp",
            "sockets/udp-create-socket",
        ],
    ),
    (
        "tinygo",
        "0.2.0",
        &[
            "cli/environment",
            "io/error",
            "io/streams",
            "cli/stdin",
            "cli/stdout",
            "cli/stderr",
            "clocks/monotonic-clock",
            "clocks/wall-clock",
            "filesystem/types",
            "filesystem/preopens",
            "random/random",
        ],
    ),
    (
        "dotnet",
        "0.2.0",
        &[
            "cli/environment",
            "cli/exit",
            "cli/stdin",
            "cli/stdout",
            "cli/stderr",
            "cli/terminal-input",
            "cli/terminal-output",
            "cli/terminal-stdin",
            "cli/terminal-stdout",
            "cli/terminal-stderr",
            "clocks/monotonic-clock",
            "clocks/wall-clock",
            "filesystem/preopens",
            "filesystem/types",
            "http/outgoing-handler",
            "http/types",
            "io/error",
            "io/poll",
            "io/streams",
            "random/random",
            "sockets/instance-network",
            "sockets/ip-name-lookup",
            "sockets/network",
            "sockets/tcp",
            "sockets/tcp-create-socket",
            "sockets/udp",
            "sockets/udp-create-socket",
        ],
    ),
];

/// A component that imports these interfaces and answers 7.
fn importing(version: &str, imports: &[&str]) -> Result<Vec<u8>> {
    let imports = imports.iter().map(|name| format!("(import \"wasi:{name}@{version}\" (instance))"));
    let text = format!(
        "(component {}
           (core module $m (func (export \"f\") (result i32) i32.const 7))
           (core instance $i (instantiate $m))
           (func (export \"f\") (result u32) (canon lift (core func $i \"f\"))))",
        imports.collect::<String>()
    );
    Ok(wat::parse_str(text)?)
}

/// The component in `tests/it/cases/NAME.wat`.
fn case(name: &str) -> Result<Vec<u8>> {
    let path = cases().join(format!("{name}.wat"));
    wat::parse_file(&path).with_context(|| path.display().to_string())
}

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")
}

/// The built component of `tests/guests/NAME`, its manifest as a section that nobody reads.
fn without_manifest(name: &str) -> Result<Vec<u8>> {
    const SECTION: &[u8] = b"wares:manifest";
    let mut wasm = guests::built(name)?;
    let at = wasm.windows(SECTION.len()).rposition(|bytes| bytes == SECTION).context("a manifest")?;
    wasm[at..at + SECTION.len()].copy_from_slice(b"other:manifest");
    Ok(wasm)
}

/// A program that `wares build` keeps for the user.
fn tool(path: &str) -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(std::env::home_dir()?.join(".cache"))).context("a cache")?;
    let program = cache.join("wares/tools").join(path);
    ensure!(program.exists(), "{}: `wares build tests/guests` brings it", program.display());
    Ok(program)
}

fn run(command: &mut Command) -> Result<()> {
    let ended = command.output()?;
    ensure!(ended.status.success(), "{command:?}: {}", String::from_utf8_lossy(&ended.stderr));
    Ok(())
}

/// Calls a function and gives back its answer with the log of the call.
async fn ask(host: &Host, key: &str, path: &str, arguments: Value) -> Result<(u16, Value, String)> {
    let response = host.call(path, key, &arguments).await?;
    let call = response.headers()["wares-call-id"].to_str()?.to_owned();
    let status = response.status().as_u16();
    let answer = response.json().await?;
    let entry = host.entry(&call).await?;
    Ok((status, answer, entry["logs"].as_str().unwrap_or_default().to_owned()))
}

#[tokio::test]
async fn imports_of_every_toolchain_are_given() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    for (name, version, imports) in TOOLCHAINS {
        let component = format!("made:by-{name}");
        host.publish_and_deploy(importing(version, imports)?, &component, "1.0.0").await.context(name)?;
        let answer = success(host.call(&format!("made/by-{name}/f"), &key, &json!({})).await?).await?;
        assert_eq!(answer, 7, "{name}");
    }
    host.publish_and_deploy(case("sockets-type-only")?, "made:sockets-type-only", "1.0.0").await?;
    assert_eq!(success(host.call("made/sockets-type-only/f", &key, &json!({})).await?).await?, 7);
    Ok(())
}

#[tokio::test]
async fn sockets_and_files_of_rusts_standard_library_are_denied_when_they_are_used() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish(guests::built("test-stock-rust")?, "deploy=true").await?.error_for_status()?;
    for (function, arguments, error, log) in [
        ("connect", json!({"address": "127.0.0.1:80"}), "PermissionDenied", "[sockets] a TCP socket was denied"),
        ("bind", json!({"address": "127.0.0.1:0"}), "PermissionDenied", "[sockets] a UDP socket was denied"),
        ("look-up", json!({"name": "example.com"}), ":", "[sockets] the address of a name was denied"),
        (
            "read",
            json!({"path": "/etc/passwd"}),
            ":",
            "`wares grants add test:stock-rust --files read-only` would grant it",
        ),
    ] {
        let (status, answer, logs) = ask(&host, &key, &format!("test/stock-rust/tries/{function}"), arguments).await?;
        assert_eq!((status, code(&answer)), (422, "component-error"), "{function}: {answer:#}");
        assert!(answer["error"].as_str().unwrap_or_default().contains(error), "{function}: {answer:#}");
        assert!(logs.contains(log), "{function}: {logs}");
    }
    Ok(())
}

/// One that tries to open a socket of WASI 0.3, and answers with the number of the error's case.
const SOCKETS_0_3: &str = r#"(component
  (import "wasi:sockets/types@0.3.0" (instance $types
    (export "tcp-socket" (type $socket (sub resource)))
    (type $e (variant (case "access-denied") (case "not-supported") (case "invalid-argument") (case "out-of-memory")
      (case "timeout") (case "invalid-state") (case "address-not-bindable") (case "address-in-use")
      (case "remote-unreachable") (case "connection-refused") (case "connection-broken") (case "connection-reset")
      (case "connection-aborted") (case "datagram-too-large") (case "other" (option string))))
    (export "error-code" (type $error (eq $e)))
    (type $f (enum "ipv4" "ipv6"))
    (export "ip-address-family" (type $family (eq $f)))
    (export "[static]tcp-socket.create" (func (param "address-family" $family)
      (result (result (own $socket) (error $error)))))))
  (core module $memory (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
  (core instance $memory (instantiate $memory))
  (core func $create (canon lower (func $types "[static]tcp-socket.create")
    (memory $memory "memory") (realloc (func $memory "realloc"))))
  (core module $m
    (import "memory" "memory" (memory 1))
    (import "types" "create" (func $create (param i32 i32)))
    (func (export "f") (result i32)
      (call $create (i32.const 0) (i32.const 16))
      (i32.add (i32.mul (i32.load8_u (i32.const 16)) (i32.const 100)) (i32.load8_u offset=4 (i32.const 16)))))
  (core instance $i (instantiate $m
    (with "memory" (instance $memory))
    (with "types" (instance (export "create" (func $create))))))
  (func (export "f") (result u32) (canon lift (core func $i "f"))))"#;

#[tokio::test]
async fn sockets_of_wasi_0_3_are_denied_when_they_are_used() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(wat::parse_str(SOCKETS_0_3)?, "test:sockets", "1.0.0").await?;
    let (_, answer, logs) = ask(&host, &key, "test/sockets/f", json!({})).await?;
    assert_eq!(answer, 100, "the first case of the error: access-denied");
    assert!(logs.contains("[sockets] a TCP socket was denied"), "{logs}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn componentize_py_as_it_comes_is_taken() -> Result<()> {
    let (dir, work) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (host, python) = (Host::start(dir.path()).await?, cases().join("python"));
    let file = work.path().join("app.wasm");
    // Python leaves something beside a module.
    std::fs::copy(python.join("app.py"), work.path().join("app.py"))?;
    let mut componentize = Command::new(tool("componentize-py/bin/componentize-py")?);
    componentize.current_dir(work.path()).arg("-d").arg(python.join("wit"));
    run(componentize.args(["-w", "w", "componentize", "app", "-o"]).arg(&file))?;
    host.publish_and_deploy(std::fs::read(file)?, "my:py", "1.0.0").await?;
    let key = host.tenant("district").await?;
    assert_eq!(success(host.call("my/py/text/upper", &key, &json!({"s": "loud"})).await?).await?, "LOUD");
    assert_eq!(success(host.call("my/py/text/env", &key, &json!({})).await?).await?, json!([]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn componentize_js_as_it_comes_is_taken() -> Result<()> {
    let (dir, work) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let (host, js) = (Host::start(dir.path()).await?, cases().join("js"));
    let file = work.path().join("app.wasm");
    let cli = tool("componentize-js/node_modules/@bytecodealliance/componentize-js/src/cli.js")?;
    let mut componentize = Command::new("node");
    componentize.arg(cli).arg(js.join("app.js")).arg("--wit").arg(js.join("w.wit"));
    run(componentize.args(["--world-name", "w", "--out"]).arg(&file))?;
    host.publish_and_deploy(std::fs::read(file)?, "my:js", "1.0.0").await?;
    let key = host.tenant("district").await?;
    assert_eq!(success(host.call("my/js/text/upper", &key, &json!({"s": "loud"})).await?).await?, "LOUD");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_nobody_granted_is_denied_when_it_is_sent() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(without_manifest("test-outbound-async")?, "test:outbound-async", "1.0.0").await?;
    let path = "/serve/test/outbound-async/?nobody.example/";
    let response = host.request(Method::GET, path, &key).send().await?;
    let call = response.headers()["wares-call-id"].to_str()?.to_owned();
    let (_, document) = problem(response).await?;
    assert!(document.to_string().contains("HttpRequestDenied"), "{document:#}");
    let entry = host.entry(&call).await?;
    let grant = "`wares grants add test:outbound-async --http 'GET http://nobody.example'` would grant it";
    assert!(entry["logs"].as_str().unwrap_or_default().contains(grant), "{entry:#}");
    Ok(())
}
