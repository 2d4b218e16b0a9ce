//! Grants: what a version asks for must be granted before it takes traffic, and the refusal says what would grant it.

use crate::command::client;
use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

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
    Ok(())
}
