//! Grants: what a version asks for must be granted before it takes traffic, and the refusal says what would grant it.

use crate::command::client;
use crate::raw::Raw;
use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Instant;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};
use wares_it::wait;

const GRANTS: &str = "/v1/components/test/asking/grants";

/// A component that asks for this under `[capabilities]`.
fn asking(version: &str, capabilities: &str) -> Result<Vec<u8>> {
    let manifest = format!("[component]\nname = 'test:asking'\nversion = '{version}'\n[capabilities]\n{capabilities}");
    Ok(guests::with_section(guests::number(1)?, "wares:manifest", manifest.as_bytes()))
}

async fn deploy(host: &Host, version: &str) -> Result<reqwest::Response> {
    let request = host.request(Method::PUT, "/v1/components/test/asking/deployment", &host.admin_key);
    Ok(request.json(&json!({"traffic": {version: 100}})).send().await?)
}

async fn grant(host: &Host, grants: Value, revision: &str) -> Result<reqwest::Response> {
    let request = host.request(Method::PUT, GRANTS, &host.admin_key).header("if-match", revision);
    Ok(request.json(&json!({"grants": grants, "reason": "for the test"})).send().await?)
}

#[tokio::test]
async fn a_version_takes_traffic_only_with_all_that_it_asks_for() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let asks = "http = ['https://api.example.cn']\nfiles = 'read-only'";
    host.publish(asking("1.0.0", asks)?, "").await?.error_for_status()?;
    let (status, refused) = problem(deploy(&host, "1.0.0").await?).await?;
    assert_eq!((status, code(&refused)), (422, "invalid-component"), "{refused:#}");
    let detail = refused["detail"].as_str().unwrap_or_default();
    for word in [
        "`http https://api.example.cn`",
        "`files read-only`",
        "wares grants add test:asking --http 'https://api.example.cn' --files read-only",
    ] {
        assert!(detail.contains(word), "{word}: {detail}");
    }

    let grants = json!({"http": [{"allow": "https://*.example.cn"}], "files": {"access": "read-write"}});
    let granted = success(grant(&host, grants.clone(), "\"0\"").await?).await?;
    assert_eq!(granted["revision"], 1);
    assert_eq!(granted["versions"]["1.0.0"]["missing"], json!([]), "{granted:#}");
    success(deploy(&host, "1.0.0").await?).await?;

    let (status, conflict) = problem(grant(&host, grants, "\"0\"").await?).await?;
    assert_eq!((status, code(&conflict)), (409, "conflict"));

    // An upgrade that asks for more is told what is new, and the version with traffic goes on.
    host.publish(asking("1.1.0", &format!("{asks}\nsecrets = ['token']"))?, "").await?.error_for_status()?;
    let (_, refused) = problem(deploy(&host, "1.1.0").await?).await?;
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("asks for `secret token`, which") && !detail.contains("`http"), "{detail}");

    // What is taken away is missed by versions with traffic, and the operator is told.
    let less = success(grant(&host, json!({}), "\"1\"").await?).await?;
    assert!(less["lacking"][0].as_str().unwrap_or_default().contains("test:asking@1.0.0"), "{less:#}");
    let history = host.get(&format!("{GRANTS}/history")).await?;
    assert_eq!(history["items"].as_array().map(Vec::len), Some(2), "{history:#}");
    Ok(())
}

#[tokio::test]
async fn grants_outlive_a_restart_and_are_for_operators() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let tenant = host.tenant("district").await?;
    success(grant(&host, json!({"secrets": ["token"]}), "\"0\"").await?).await?;
    let (status, _) = problem(host.request(Method::GET, GRANTS, &tenant).send().await?).await?;
    assert_eq!(status, 403);
    let key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(dir.path(), Some(&key), &[]).await?;
    assert_eq!(host.get(GRANTS).await?["grants"]["secrets"], json!(["token"]));
    // What is granted before it is published holds from its first deployment.
    let published = host.publish(asking("1.0.0", "secrets = ['token']")?, "deploy=true").await?;
    assert_eq!(published.status(), 201);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_grants_and_takes_away() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    host.publish(asking("1.0.0", "http = ['https://api.example.cn']\nkeyvalue = ['rates']")?, "")
        .await?
        .error_for_status()?;
    let run = |args: &[&str]| client(dir.path(), &host, &host.admin_key, args);
    let refused = run(&["deploy", "test:asking", "1.0.0"])?;
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("--http 'https://api.example.cn' --keyvalue rates"), "{}", refused.stderr);
    let shown = run(&["show", "test:asking"])?.stdout;
    for line in [
        "to grant it: wares grants add test:asking --http 'https://api.example.cn' --keyvalue rates",
        "granted: nothing",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let added = run(&["grants", "add", "test:asking", "--http", "https://api.example.cn", "--keyvalue", "rates"])?;
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert_eq!(run(&["deploy", "test:asking", "1.0.0"])?.code, 0);
    let shown = run(&["show", "test:asking"])?.stdout;
    for line in [
        "asks for:\n    http https://api.example.cn\n    keyvalue rates\n",
        "granted:\n    http https://api.example.cn",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let removed = run(&["grants", "remove", "test:asking", "--keyvalue", "rates"])?;
    assert!(removed.stdout.contains("WARNING: test:asking@1.0.0 asks for `keyvalue rates`"), "{}", removed.stdout);
    let tenant = host.tenant("district").await?;
    let shown = client(dir.path(), &host, &tenant, &["show", "test:asking"])?;
    assert_eq!((shown.code, shown.stdout.contains("  granted:")), (0, false), "{}{}", shown.stdout, shown.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_how_much_is_granted() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let add = |flags: &str| -> Result<Value> {
        let flags = format!("grants add test:asking --json {flags}");
        let added = client(dir.path(), &host, &host.admin_key, &flags.split(' ').collect::<Vec<_>>())?;
        assert_eq!(added.code, 0, "{}", added.stderr);
        Ok(serde_json::from_str::<Value>(&added.stdout)?["grants"].take())
    };
    let granted = add("--keyvalue rates --scope component --bytes-max 1000")?;
    assert_eq!(
        (&granted["keyvalue"][0]["scope"], &granted["keyvalue"][0]["bytes-max"]),
        (&"component".into(), &1000.into())
    );
    let granted = add("--keyvalue rates --keys-max 5 --files read-only --files-bytes-max 9 --files-max 3")?;
    let bucket = json!({"bucket": "rates", "scope": "component", "bytes-max": 1000, "keys-max": 5});
    assert_eq!(granted["keyvalue"], json!([bucket]), "what no flag says stays");
    assert_eq!(granted["files"], json!({"access": "read-only", "bytes-max": 9, "files-max": 3}));
    let granted = add("--files read-write")?;
    assert_eq!(granted["files"], json!({"access": "read-write", "bytes-max": 9, "files-max": 3}));
    let stray = client(
        dir.path(),
        &host,
        &host.admin_key,
        &["grants", "add", "test:asking", "--secret", "a", "--scope", "shared"],
    )?;
    assert_eq!(stray.code, 2, "{}", stray.stderr);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_names_no_secret_is_warned_of() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let run = |args: &[&str]| client(dir.path(), &host, &host.admin_key, args);
    let credential = ["--http", "https://api.example.cn", "--credential", "authorization: Bearer bank"];
    let add = [&["grants", "add", "test:asking"], &credential[..]].concat();
    let early = run(&add)?;
    assert!(early.code == 0 && early.stderr.contains("no secret named bank"), "{}", early.stderr);
    std::fs::write(dir.path().join("token.txt"), "t0ken")?;
    assert_eq!(run(&["secrets", "set", "test:asking", "bank", "--file", "token.txt"])?.code, 0);
    let late = run(&add)?;
    assert!(late.code == 0 && !late.stderr.contains("warning"), "{}", late.stderr);
    Ok(())
}

#[tokio::test]
async fn what_is_in_force_is_what_was_written_even_if_nobody_waits_for_it() -> Result<()> {
    const ROUNDS: u32 = 60;
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let body = json!({"grants": {"secrets": ["token"]}}).to_string();
    let request = format!(
        "PUT {GRANTS} HTTP/1.1\r\nhost: wares\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        host.admin_key,
        body.len()
    );
    let mut written = Value::Null;
    let mut client = Raw::connect(&host).await?;
    let began = Instant::now();
    client.send(&request).await?;
    client.until("200 OK").await?;
    let change = began.elapsed();
    for round in 0..ROUNDS {
        let mut client = Raw::connect(&host).await?;
        client.send(&request).await?;
        // Not to await anything: to leave at any moment of the change, and of one that takes twice as long.
        tokio::time::sleep(2 * change * round / ROUNDS).await;
        drop(client);
        written = wait::until(&format!("what is written is in force, round {round}"), async || {
            let written = host.get(&format!("{GRANTS}/history")).await?["items"][0]["revision"].clone();
            let found = host.get(GRANTS).await?["revision"].clone();
            Ok(if found == written { Ok(written) } else { Err(format!("{found} instead of {written}")) })
        })
        .await?;
    }
    ensure!(written.as_u64() > Some(1), "no change was made at all");
    Ok(())
}
