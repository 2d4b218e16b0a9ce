//! The command line: what people and scripts see of it.

use crate::command::{client, wares};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use wares_it::guests;
use wares_it::host::Host;

/// Arguments, exit code, and words that standard error must have.
const WRONG: [(&[&str], i32, &[&str]); 13] = [
    (&["serv"], 2, &["serve"]),
    (&["serve", "--listen", "nowhere"], 2, &["--listen", "nowhere"]),
    (&["serve", "--config", "missing.toml"], 2, &["missing.toml"]),
    (&["serve", "--config", "typo.toml"], 2, &["typo.toml", "lisen"]),
    (&["check", "missing.wasm"], 4, &["missing.wasm"]),
    (&["check", "core.wasm"], 1, &["core WebAssembly module"]),
    (&["build", "empty"], 1, &["wares.toml"]),
    (&["test", "broken"], 1, &["wares.toml", "naem"]),
    (&["new", "NotKebab"], 2, &["namespace"]),
    (&["new", "empty/folder"], 1, &["empty-folder"]),
    (&["new", "a/b", "--lang", "perl"], 2, &["perl", "python"]),
    (&["list", "--host", "http://127.0.0.1:1", "--key", "x"], 8, &["127.0.0.1:1"]),
    (&["call", "--file", "number.wasm", "numbers", "nothing"], 4, &["nothing"]),
];

#[test]
fn what_is_wrong_is_said_with_its_place_and_its_own_exit_code() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes);
    write("typo.toml", b"lisen = \"127.0.0.1:0\"\n")?;
    write("core.wasm", &wat::parse_str("(module)")?)?;
    write("number.wasm", &guests::number(7)?)?;
    for folder in ["empty", "broken", "empty-folder"] {
        std::fs::create_dir(dir.path().join(folder))?;
    }
    write("broken/Cargo.toml", b"[package]\nname = \"broken\"\n[lib]\npath = \"lib.rs\"\n")?;
    write("broken/lib.rs", b"")?;
    write("broken/wares.toml", b"[component]\nname = \"a:b\"\nversion = \"1.0.0\"\nnaem = 1\n")?;
    for (args, code, words) in WRONG {
        let ended = wares(dir.path(), args)?;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, code, "{args:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{args:?} does not say {word:?}: {said}");
        }
    }
    Ok(())
}

#[test]
fn an_unknown_variable_is_an_error_that_names_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut command = std::process::Command::new(wares_it::host::binary()?);
    let ended = crate::command::run(command.current_dir(dir.path()).args(["serve"]).env("WARES_LISEN", "127.0.0.1:0"))?;
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("WARES_LISEN"), "{}", ended.stderr);
    Ok(())
}

#[test]
fn a_component_runs_from_its_file() -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("hostile.wasm"), guests::text("hostile")?)?;
    let add = wares(dir.path(), ["call", "--file", "hostile.wasm", "add", r#"{"a":40,"b":2}"#])?;
    assert_eq!((add.code, add.stdout.trim()), (0, "42"), "{}", add.stderr);
    let trap = wares(dir.path(), ["call", "--file", "hostile.wasm", "trap"])?;
    let problem: Value = serde_json::from_str(&trap.stdout)?;
    assert_eq!((trap.code, &problem["type"]), (7, &json!("/problems/trap")), "{}", trap.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_and_applications_work_from_the_command_line() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let files = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    std::fs::write(files.path().join("one.wasm"), guests::number(1)?)?;
    std::fs::write(files.path().join("two.wasm"), guests::number(2)?)?;
    let admin = |args: &[&str]| client(files.path(), &host, &host.admin_key, args);
    let done = |args: &[&str]| -> Result<String> {
        let ended = admin(args)?;
        assert_eq!(ended.code, 0, "{args:?}: {}", ended.stderr);
        Ok(ended.stdout)
    };
    let json = |args: &[&str]| -> Result<Value> { Ok(serde_json::from_str(&done(args)?)?) };

    done(&["tenants", "create", "district"])?;
    let key = json(&["keys", "create", "--tenant", "district", "--application", "registry", "--json"])?;
    let key = key["key"].as_str().context("key")?;
    done(&["publish", "one.wasm", "--name", "test:swap", "--version", "1.0.0", "--deploy"])?;
    done(&["publish", "two.wasm", "--name", "test:swap", "--version", "1.1.0"])?;
    let call = |args: &[&str]| client(files.path(), &host, key, args);
    assert_eq!(call(&["call", "test/swap", "number"])?.stdout.trim(), "1");
    done(&["deploy", "test/swap", "1.1.0", "--reason", "new rules"])?;
    assert_eq!(call(&["call", "test/swap", "numbers", "number", "{}"])?.stdout.trim(), "2");
    assert_eq!(call(&["call", "test/swap@=1.0.0", "number"])?.stdout.trim(), "1");
    done(&["rollback", "test/swap"])?;
    assert_eq!(call(&["call", "test/swap", "number"])?.stdout.trim(), "1");

    assert!(done(&["list", "swap"])?.contains("test:swap"));
    assert!(done(&["show", "test/swap"])?.contains("number"));
    assert!(done(&["history", "test/swap"])?.contains("new rules"));
    let usage = json(&["usage", "--by", "version", "--json"])?;
    let counted: Vec<&Value> = usage["items"].as_array().context("items")?.iter().map(|row| &row["calls"]).collect();
    assert_eq!(counted, [3, 1]);

    assert_eq!(call(&["deploy", "test/swap", "1.1.0"])?.code, 5, "a tenant's key deploys nothing");
    assert_eq!(call(&["call", "test/swop", "number"])?.code, 4);
    assert_eq!(admin(&["publish", "two.wasm", "--name", "test:swap", "--version", "1.0.0"])?.code, 6);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_trapped_are_found() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    let [district, county] = [host.tenant("district").await?, host.tenant("county").await?];
    let mut traps = Vec::new();
    for key in [&district, &county] {
        host.call("test/hostile/add", key, &json!({"a": 40, "b": 2})).await?.error_for_status()?;
        let trap = host.call("test/hostile/trap", key, &json!({})).await?;
        traps.push(trap.headers()["wares-call-id"].to_str()?.to_owned());
    }
    let list = |key: &str, flags: &[&str]| -> Result<Vec<String>> {
        let listed = client(dir.path(), &host, key, &[&["calls", "list", "--json"], flags].concat())?;
        assert_eq!(listed.code, 0, "{flags:?}: {}", listed.stderr);
        let calls: Value = serde_json::from_str(&listed.stdout)?;
        let calls = calls.as_array().context("calls")?.iter();
        Ok(calls.map(|call| call["call"].as_str().unwrap_or_default().to_owned()).collect())
    };
    let trap = ["test/hostile", "--outcome", "trap"];
    assert_eq!(list(&host.admin_key, &trap)?, [traps[1].clone(), traps[0].clone()], "the newest first");
    assert_eq!(list(&host.admin_key, &[&trap[..], &["--tenant", "district"]].concat())?, traps[..1]);
    assert_eq!(list(&host.admin_key, &[&trap[..], &["--before", &traps[1]]].concat())?, traps[..1]);
    assert_eq!(list(&host.admin_key, &[])?.len(), 4);
    assert_eq!(list(&county, &trap)?, traps[1..], "a tenant sees its own");
    let foreign = client(dir.path(), &host, &county, &["calls", "list", "--tenant", "district"])?;
    assert_eq!(foreign.code, 5, "{}", foreign.stderr);
    let shown = client(dir.path(), &host, &host.admin_key, &["calls", "list", "test/hostile", "--limit", "1"])?;
    assert!(shown.stdout.contains(&traps[1]) && shown.stderr.contains("--before"), "{}{}", shown.stdout, shown.stderr);
    Ok(())
}
