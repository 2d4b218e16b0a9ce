//! Review: who may publish, what reviewers see, and that nothing unapproved is called.

use crate::command::client;
use anyhow::{Context as _, Result};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

const STATED: &str = "kind=fix&method=by%20hand&basis=decree%2012";

/// A component that answers with `number`, and with a manifest of this version and further TOML.
fn numbered(number: u32, version: &str, more: &str) -> Result<Vec<u8>> {
    let manifest = format!("[component]\nname = \"test:swap\"\nversion = \"{version}\"\n{more}");
    Ok(guests::with_section(guests::number(number)?, "wares:manifest", manifest.as_bytes()))
}

/// The same with one more function and one more import.
fn grown(version: &str, more: &str) -> Result<Vec<u8>> {
    let text = std::fs::read_to_string(guests::root().join("tests/guests/number.wat"))?;
    let import =
        "(component (import \"wasi:random/random@0.2.6\" (instance (export \"get-random-u64\" (func (result u64)))))";
    let text = text.replace("NUMBER", "2").replacen("(component", import, 1);
    let text = text.replace(
        "(export \"number\" (func $number))",
        "(export \"number\" (func $number)) (export \"again\" (func $number))",
    );
    let manifest = format!("[component]\nname = \"test:swap\"\nversion = \"{version}\"\n{more}");
    Ok(guests::with_section(wat::parse_str(text)?, "wares:manifest", manifest.as_bytes()))
}

async fn publish(host: &Host, key: &str, wasm: Vec<u8>, query: &str) -> Result<Response> {
    let request = host.request(Method::POST, &format!("/v1/components?{query}"), key);
    Ok(request.header("content-type", "application/wasm").body(wasm).send().await?)
}

async fn key(host: &Host, body: Value) -> Result<String> {
    let made = host.post("/v1/keys", body).await?;
    Ok(made["key"].as_str().context("key")?.to_owned())
}

async fn put(host: &Host, key: &str, path: &str, body: Value) -> Result<Response> {
    Ok(host.request(Method::PUT, path, key).json(&body).send().await?)
}

#[tokio::test]
async fn keys_do_what_their_role_says_and_no_more() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let publisher = key(&host, json!({"role": "publisher", "namespace": "test"})).await?;
    let reviewer = key(&host, json!({"role": "reviewer"})).await?;
    let tenant = host.tenant("district").await?;

    let own = publish(&host, &publisher, guests::number(1)?, "name=test:swap&version=1.0.0").await?;
    assert_eq!(own.status(), 201);
    for (key, query, word) in [
        (&publisher, "name=other:swap&version=1.0.0", "publishes into test"),
        (&publisher, "name=test:swap&version=1.1.0&deploy=true", "deploy"),
        (&reviewer, "name=test:swap&version=1.1.0", "publish"),
        (&tenant, "name=test:swap&version=1.1.0", "publish"),
    ] {
        let (status, document) = problem(publish(&host, key, guests::number(2)?, query).await?).await?;
        assert_eq!((status, code(&document)), (403, "forbidden"), "{query}: {document:#}");
        assert!(document["detail"].as_str().unwrap_or_default().contains(word), "{query}: {document:#}");
    }
    let status = async |key: &str, method: &str, path: &str| {
        let request = host.request(method.parse()?, path, key).json(&json!({"review": true, "signature": true}));
        anyhow::Ok(request.send().await?.status().as_u16())
    };
    for (method, path, key, expected) in [
        ("PUT", "/v1/namespaces/test", &publisher, 403),
        ("PUT", "/v1/namespaces/test", &reviewer, 403),
        ("GET", "/v1/usage", &publisher, 403),
        ("GET", "/v1/usage", &reviewer, 403),
        ("GET", "/v1/keys", &reviewer, 403),
        ("GET", "/v1/submissions", &tenant, 403),
        ("GET", "/v1/submissions?namespace=other", &publisher, 403),
        ("GET", "/v1/submissions", &publisher, 200),
        ("GET", "/v1/submissions", &reviewer, 200),
        ("GET", "/v1/namespaces/test", &tenant, 200),
    ] {
        assert_eq!(status(key, method, path).await?, expected, "{method} {path}");
    }
    let bad = host.request(Method::POST, "/v1/keys", &host.admin_key).json(&json!({"role": "publisher"}));
    let (status, document) = problem(bad.send().await?).await?;
    assert_eq!((status, code(&document)), (400, "bad-request"), "a publisher of no namespace: {document:#}");
    let keys = host.get("/v1/keys").await?;
    let namespaces: Vec<&Value> =
        keys["items"].as_array().context("items")?.iter().map(|key| &key["namespace"]).collect();
    assert!(namespaces.contains(&&json!("test")), "{keys:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_called_that_was_not_approved() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let tenant = host.tenant("district").await?;
    let publisher = key(&host, json!({"role": "publisher", "namespace": "test"})).await?;
    let reviewer = key(&host, json!({"role": "reviewer"})).await?;
    // What is on the shelf before the namespace is put under review stays as it is.
    success(publish(&host, &host.admin_key, numbered(1, "1.0.0", "")?, "deploy=true").await?).await?;
    success(put(&host, &host.admin_key, "/v1/namespaces/test", json!({"review": true, "signature": false})).await?)
        .await?;
    let call = async |at: &str| host.call(&format!("test/swap{at}/numbers/number"), &tenant, &json!({})).await;
    assert_eq!(call("").await?.text().await?, "1");

    let (status, document) =
        problem(publish(&host, &publisher, numbered(2, "1.1.0", "")?, "kind=fix&basis=x").await?).await?;
    assert_eq!((status, code(&document)), (400, "bad-request"), "{document:#}");
    assert!(document["detail"].as_str().unwrap_or_default().contains("method"), "{document:#}");
    let submitted = publish(&host, &publisher, numbered(2, "1.1.0", "")?, STATED).await?;
    assert_eq!(submitted.status(), 202);
    let at = submitted.headers()["location"].to_str()?.to_owned();
    let again = publish(&host, &publisher, numbered(2, "1.1.0", "")?, STATED).await?;
    assert_eq!((again.status().as_u16(), again.headers()["location"].to_str()?), (202, at.as_str()));

    let deploy = async |version: &str| {
        let body = json!({"traffic": {version: 100}});
        put(&host, &host.admin_key, "/v1/components/test/swap/deployment", body).await
    };
    let refused = async |response: Response, expected: u16, words: &[&str]| {
        let (status, document) = problem(response).await?;
        assert_eq!(status, expected, "{document:#}");
        let detail = document["detail"].as_str().unwrap_or_default().to_owned();
        assert!(words.iter().all(|word| detail.contains(word)), "{words:?}: {detail}");
        anyhow::Ok(())
    };
    refused(deploy("1.1.0").await?, 409, &["1.1.0", "awaits review"]).await?;
    refused(call("@=1.1.0").await?, 404, &["awaits review"]).await?;
    assert_eq!(call("@1").await?.text().await?, "1", "a requirement that an approved version satisfies");
    assert_eq!(host.get("/v1/components/test/swap").await?["latest"], "1.0.0");

    let decide = async |key: &str, at: &str, what: &str| {
        let request = host.request(Method::POST, &format!("{at}/{what}"), key).json(&json!({"reason": "seen"}));
        anyhow::Ok(request.send().await?)
    };
    refused(decide(&publisher, &at, "approve").await?, 403, &["reviewer"]).await?;
    assert_eq!(success(decide(&reviewer, &at, "approve").await?).await?["state"], "approved");
    refused(decide(&reviewer, &at, "reject").await?, 409, &["approved"]).await?;
    success(deploy("1.1.0").await?).await?;
    assert_eq!(call("").await?.text().await?, "2");

    // Four eyes, for operators too; and what is rejected stays so, over a restart.
    let own = publish(&host, &host.admin_key, numbered(3, "1.2.0", "")?, STATED).await?;
    let at = own.headers()["location"].to_str()?.to_owned();
    for what in ["approve", "reject"] {
        refused(decide(&host.admin_key, &at, what).await?, 403, &["another one"]).await?;
    }
    let nothing = host.request(Method::POST, &format!("{at}/reject"), &reviewer).json(&json!({"reason": " "}));
    refused(nothing.send().await?, 400, &["reason"]).await?;
    success(decide(&reviewer, &at, "reject").await?).await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    let body = json!({"traffic": {"1.2.0": 100}});
    let response = put(&host, &admin_key, "/v1/components/test/swap/deployment", body).await?;
    refused(response, 409, &["rejected", "seen"]).await?;
    let answer = host.call("test/swap/numbers/number", &tenant, &json!({})).await?;
    assert_eq!(answer.text().await?, "2");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewer_sees_what_changes_and_how_the_examples_come_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let files = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let done = |key: &str, args: &[&str]| -> Result<String> {
        let ended = client(files.path(), &host, key, args)?;
        assert_eq!(ended.code, 0, "{args:?}: {}{}", ended.stdout, ended.stderr);
        Ok(ended.stdout)
    };
    let admin = |args: &[&str]| done(&host.admin_key, args);
    std::fs::write(files.path().join("one.wasm"), numbered(1, "1.0.0", "")?)?;
    let more = "license = \"EUPL-1.2\"\n[limits]\ncpu-ms-max = 2000\n\
        [[examples]]\nname = \"says two\"\ninterface = \"numbers\"\nfunction = \"number\"\narguments = \"{}\"\nresult = \"2\"\n\
        [[examples]]\nname = \"says three\"\nfunction = \"number\"\ninterface = \"numbers\"\narguments = \"{}\"\nresult = \"3\"\n";
    let two = guests::with_section(grown("1.1.0", more)?, "revision", b"4f2a91");
    std::fs::write(files.path().join("two.wasm"), two)?;
    admin(&["publish", "one.wasm", "--deploy"])?;
    assert!(admin(&["namespaces", "set", "test", "--review", "required"])?.contains("review required"));
    let publisher = admin(&["keys", "create", "--publisher", "test"])?;
    let reviewer = admin(&["keys", "create", "--reviewer"])?;
    let (publisher, reviewer) = (publisher.trim(), reviewer.trim());

    let statement = ["--kind", "new rule", "--method", "by hand", "--basis", "decree 12"];
    let said = done(publisher, &[&["publish", "two.wasm"], statement.as_slice()].concat())?;
    assert!(said.contains("waits for review"), "{said}");
    let waiting: Value = serde_json::from_str(&done(reviewer, &["submissions", "list", "--json"])?)?;
    let id = waiting[0]["id"].as_str().context("id")?;
    let shown = done(reviewer, &["submissions", "show", id])?;
    for words in [
        "test:swap@1.1.0  waiting",
        "kind:      new rule",
        "basis:     decree 12",
        "newly imports:\n  wasi:random/random@0.2.6",
        "cpu-ms-max: 1000 -> 2000",
        "revision:  4f2a91",
        "ok      says two",
        "FAILED  says three\n    the whole: expected 3, but it is 2",
        "+    again: func() -> u32;",
    ] {
        assert!(shown.contains(words), "no {words:?} in\n{shown}");
    }
    let detail = host.get(&format!("/v1/submissions/{id}")).await?;
    assert_eq!(detail["comparison"]["against"], "1.0.0");
    assert!(!detail["comparison"]["wit-diff"].as_str().context("diff")?.contains("-    number"), "{detail:#}");
    let usage = host.get("/v1/usage").await?;
    assert_eq!(usage["items"], json!([]), "examples are nobody's calls");

    let own = client(files.path(), &host, publisher, &["submissions", "approve", id, "--reason", "mine"])?;
    assert_eq!(own.code, 5, "{}", own.stderr);
    assert!(done(reviewer, &["submissions", "reject", id, "--reason", "says two"])?.contains("rejected"));
    assert!(admin(&["submissions", "list"])?.contains("nothing waits"));
    assert!(admin(&["submissions", "list", "--all", "--namespace", "test"])?.contains("rejected"));
    let shown = admin(&["show", "test/swap@1.1.0"])?;
    for words in ["held back: test:swap@1.1.0 was rejected in review: says two", "EUPL-1.2", "4f2a91"] {
        assert!(shown.contains(words), "no {words:?} in\n{shown}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn examples_under_review_have_key_value_pairs_of_their_own() -> Result<()> {
    let (dir, files) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let host = Host::start(dir.path()).await?;
    success(put(&host, &host.admin_key, "/v1/namespaces/test", json!({"review": true, "signature": false})).await?)
        .await?;
    let submitted = publish(&host, &host.admin_key, guests::built("test-pairs")?, STATED).await?;
    assert_eq!(submitted.status(), 202);
    let submitted = submitted.json::<Value>().await?;
    let id = submitted["submission"]["id"].as_str().context("id")?;
    let shown = client(files.path(), &host, &host.admin_key, &["submissions", "show", id])?;
    for words in ["ok      counts from nothing", "ok      goes on where it was"] {
        assert!(shown.stdout.contains(words), "no {words:?} in\n{}", shown.stdout);
    }
    let kept = rusqlite::Connection::open(dir.path().join("wares.sqlite"))?;
    let pairs: i64 = kept.query_row("SELECT count(*) FROM pairs", [], |row| row.get(0))?;
    assert_eq!(pairs, 0, "nothing of it is in the host's own store");
    Ok(())
}
