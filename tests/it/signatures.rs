//! Signatures: what is not signed as a namespace asks is neither taken nor loaded.

use crate::command::{client, wares};
use anyhow::{Context as _, Result};
use reqwest::{Method, Response};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};
use wares_model::{Digest, PrivateKey, Release, Signature};

/// A signature over a version of `component`.
fn sign(key: &PrivateKey, component: &str, version: &str, wasm: &[u8]) -> Result<Signature> {
    let (component, version, digest) = (component.parse()?, version.parse()?, Digest::of(wasm));
    Ok(Release { component: &component, version: &version, digest: &digest }.sign(key))
}

async fn publish(host: &Host, wasm: Vec<u8>, query: &str, signature: Option<String>) -> Result<Response> {
    let request = host.request(Method::POST, &format!("/v1/components?{query}"), &host.admin_key);
    let request = signature.into_iter().fold(request, |request, text| request.header("wares-signature", text));
    Ok(request.header("content-type", "application/wasm").body(wasm).send().await?)
}

/// Asks a namespace for signatures by these keys.
async fn require(host: &Host, namespace: &str, keys: &[&PrivateKey]) -> Result<()> {
    let request = host.request(Method::PUT, &format!("/v1/namespaces/{namespace}"), &host.admin_key);
    success(request.json(&json!({"review": false, "signature": true})).send().await?).await?;
    for key in keys {
        host.post(&format!("/v1/namespaces/{namespace}/signers"), json!({"key": key.public()})).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_for_this_version_is_not_taken() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let [key, other] = [7, 8].map(|byte| PrivateKey::from_random([byte; 32]));
    require(&host, "test", &[&key]).await?;
    require(&host, "elsewhere", &[&other]).await?;
    let (one, two) = (guests::number(1)?, guests::number(2)?);
    let good = sign(&key, "test:swap", "1.0.0", &one)?.to_string();
    let forged = match good.strip_suffix('0') {
        Some(rest) => format!("{rest}1"),
        None => format!("{}0", good.get(..good.len() - 1).context("hex")?),
    };
    let claimed = format!(
        "{}:{}",
        key.public(),
        sign(&other, "test:swap", "1.0.0", &one)?.to_string().rsplit(':').next().context("hex")?
    );
    let cases = [
        ("without", None, 403, "untrusted", "must be signed"),
        ("no signature", Some("ed25519:00".to_owned()), 400, "bad-request", "wares-signature"),
        ("forged", Some(forged), 403, "untrusted", "forged"),
        ("another's, under this name", Some(claimed), 403, "untrusted", "forged"),
        (
            "by a key of another namespace",
            Some(sign(&other, "test:swap", "1.0.0", &one)?.to_string()),
            403,
            "untrusted",
            "no signer of test",
        ),
        (
            "for another version",
            Some(sign(&key, "test:swap", "0.9.0", &one)?.to_string()),
            403,
            "untrusted",
            "another version",
        ),
        (
            "for another component",
            Some(sign(&key, "test:swop", "1.0.0", &one)?.to_string()),
            403,
            "untrusted",
            "another version",
        ),
        (
            "for other bytes",
            Some(sign(&key, "test:swap", "1.0.0", &two)?.to_string()),
            403,
            "untrusted",
            "another version",
        ),
    ];
    for (what, signature, status, expected, word) in cases {
        let response = publish(&host, one.clone(), "name=test:swap&version=1.0.0", signature).await?;
        let (got, document) = problem(response).await?;
        assert_eq!((got, code(&document)), (status, expected), "{what}: {document:#}");
        assert!(document["detail"].as_str().unwrap_or_default().contains(word), "{what}: {document:#}");
    }
    assert_eq!(host.get("/v1/components").await?["items"], json!([]));

    let put = async |signature: Option<&str>| {
        publish(&host, one.clone(), "name=test:swap&version=1.0.0&deploy=true", signature.map(str::to_owned)).await
    };
    let published = success(put(Some(&good)).await?).await?;
    assert_eq!(published["signer"], json!(key.public()));
    assert_eq!(put(Some(&good)).await?.status(), 200);
    let (status, document) = problem(put(None).await?).await?;
    assert_eq!((status, code(&document)), (403, "untrusted"), "a signature stripped: {document:#}");
    // The older version's signature, for the next one.
    let response = publish(&host, two, "name=test:swap&version=1.1.0", Some(good.clone())).await?;
    assert_eq!(problem(response).await?.0, 403, "replayed");
    // The same bytes under a lower version.
    let response = publish(&host, one.clone(), "name=test:swap&version=0.9.0", Some(good)).await?;
    assert_eq!(problem(response).await?.0, 403, "downgraded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_and_revoked_and_what_they_signed_is_stopped_at_once() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let files = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let tenant = host.tenant("district").await?;
    let admin = |args: &[&str]| client(files.path(), &host, &host.admin_key, args);
    let done = |args: &[&str]| -> Result<String> {
        let ended = admin(args)?;
        assert_eq!(ended.code, 0, "{args:?}: {}{}", ended.stdout, ended.stderr);
        Ok(ended.stdout)
    };
    let mut keys = Vec::new();
    for name in ["old.key", "new.key"] {
        let made = wares(files.path(), ["keys", "new-signer", name])?;
        assert_eq!(made.code, 0, "{}", made.stderr);
        assert_eq!(fs::metadata(files.path().join(name))?.permissions().mode() & 0o777, 0o600);
        keys.push(made.stdout.trim().to_owned());
    }
    let [old, new] = keys.as_slice() else { anyhow::bail!("two keys") };
    for (number, file) in [(1, "one.wasm"), (2, "two.wasm"), (3, "three.wasm")] {
        fs::write(files.path().join(file), guests::number(number)?)?;
    }
    let publish = |file: &str, version: &str, key: &str| {
        admin(&["publish", file, "--name", "test:swap", "--version", version, "--sign", key])
    };
    done(&["namespaces", "set", "test", "--signature", "required"])?;
    assert_eq!(publish("one.wasm", "1.0.0", "old.key")?.code, 5, "no signer yet");
    done(&["namespaces", "signer", "add", "test", old])?;
    done(&["namespaces", "signer", "add", "test", new])?;
    assert_eq!(admin(&["namespaces", "signer", "add", "test", new])?.code, 6);
    assert_eq!(publish("one.wasm", "1.0.0", "old.key")?.code, 0);
    assert_eq!(publish("two.wasm", "1.1.0", "new.key")?.code, 0);
    assert_eq!(publish("one.wasm", "0.9.0", "old.key")?.code, 0);
    done(&["deploy", "test/swap", "1.0.0=40", "1.1.0=60"])?;

    assert_eq!(admin(&["namespaces", "signer", "stop", "test", old, "--reason", "x"])?.code, 6, "not revoked yet");
    let revoked = done(&["namespaces", "signer", "revoke", "test", old, "--reason", "the laptop was stolen"])?;
    assert!(revoked.contains("0.9.0") && revoked.contains("40%") && !revoked.contains("1.1.0"), "{revoked}");
    let refused = publish("three.wasm", "1.2.0", "old.key")?;
    assert!(refused.code == 5 && refused.stderr.contains("revoked"), "{}", refused.stderr);
    done(&["deploy", "test/swap", "1.0.0=30", "1.1.0=70", "--reason", "it has traffic already"])?;
    let refused = admin(&["deploy", "test/swap", "0.9.0"])?;
    assert!(refused.code == 6 && refused.stderr.contains("revoked"), "{}", refused.stderr);
    // What it signed before goes on, over a restart too.
    let pinned = async |host: &Host| {
        host.call("test/swap@=1.0.0/numbers/number", &tenant, &json!({}))
            .await?
            .text()
            .await
            .map_err(anyhow::Error::from)
    };
    assert_eq!(pinned(&host).await?, "1");
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    assert_eq!(pinned(&host).await?, "1");

    let stopped = client(
        files.path(),
        &host,
        &admin_key,
        &["namespaces", "signer", "stop", "test", old, "--reason", "stolen key", "--yes"],
    )?;
    assert!(stopped.code == 0 && stopped.stdout.contains("stopped 2 versions"), "{}{}", stopped.stdout, stopped.stderr);
    let deployment = host.get("/v1/components/test/swap/deployment").await?;
    assert_eq!(deployment["traffic"], json!({"1.1.0": 100}));
    let history = host.get("/v1/components/test/swap/deployment/history").await?;
    assert_eq!(history["items"][0]["reason"], "0.9.0, 1.0.0 were stopped: stolen key");
    let (status, document) = problem(host.call("test/swap@=1.0.0/numbers/number", &tenant, &json!({})).await?).await?;
    assert_eq!((status, code(&document)), (410, "stopped"), "{document:#}");
    let (status, document) =
        problem(host.request(Method::POST, "/v1/components/test/swap/deployment/rollback", &admin_key).send().await?)
            .await?;
    assert_eq!((status, code(&document)), (409, "conflict"), "{document:#}");

    // The last version goes too: then nothing takes calls until something is deployed.
    for what in ["revoke", "stop"] {
        host.post(&format!("/v1/namespaces/test/signers/{new}/{what}"), json!({"reason": "all of them"})).await?;
    }
    let (status, document) = problem(host.call("test/swap/numbers/number", &tenant, &json!({})).await?).await?;
    assert_eq!((status, code(&document)), (410, "stopped"), "{document:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_lets_a_rollout_go_on_and_a_stop_ends_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let [old, new] = [7, 8].map(|byte| PrivateKey::from_random([byte; 32]));
    require(&host, "test", &[&old, &new]).await?;
    for (key, number, version, more) in [(&old, 1, "1.0.0", "&deploy=true"), (&new, 2, "1.1.0", "")] {
        let wasm = guests::number(number)?;
        let signature = sign(key, "test:swap", version, &wasm)?.to_string();
        let query = format!("name=test:swap&version={version}{more}");
        success(publish(&host, wasm, &query, Some(signature)).await?).await?;
    }
    let rollout = "/v1/components/test/swap/rollout";
    let plan = json!({"version": "1.1.0", "steps": [5, 50, 100], "step-seconds": 3_600});
    host.post(rollout, plan.clone()).await?;
    let signer = format!("/v1/namespaces/test/signers/{}", old.public());
    host.post(&format!("{signer}/revoke"), json!({"reason": "routine"})).await?;
    // Back to the version of the revoked key, which has traffic, and forward again.
    host.request(Method::DELETE, rollout, &host.admin_key).send().await?.error_for_status()?;
    let deployment = host.get("/v1/components/test/swap/deployment").await?;
    assert_eq!(deployment["traffic"], json!({"1.0.0": 100}));
    host.post(rollout, plan).await?;
    host.post(&format!("{signer}/stop"), json!({"reason": "stolen"})).await?;
    let deployment = host.get("/v1/components/test/swap/deployment").await?;
    assert_eq!(deployment["traffic"], json!({"1.1.0": 100}));
    assert_eq!(host.get(rollout).await?["state"], "superseded");
    Ok(())
}

/// What is done to a data directory behind the host's back.
type Tampering = fn(&Path) -> Result<()>;

fn sql(data: &Path, statements: &str) -> Result<()> {
    Ok(Connection::open(data.join("wares.sqlite"))?.execute_batch(statements)?)
}

/// Changes one byte of the artifact that version 1.0.0 consists of.
fn damage_artifact(data: &Path) -> Result<()> {
    let hex = Digest::of(&guests::number(1)?).hex();
    let path = data.join("artifacts/sha256").join(hex.get(..2).context("hex")?).join(&hex);
    let mut bytes = fs::read(&path)?;
    *bytes.last_mut().context("bytes")? ^= 1;
    Ok(fs::write(path, bytes)?)
}

/// What is changed, and a word of what the caller is told.
const TAMPERINGS: [(&str, &str, Tampering); 9] = [
    ("the artifact's bytes", "corrupt", damage_artifact),
    ("another version's digest", "does not fit its signature", |data| {
        sql(
            data,
            "UPDATE versions SET digest = (SELECT digest FROM versions WHERE version = '1.1.0') WHERE version = '1.0.0'",
        )
    }),
    ("no signature", "is gone", |data| sql(data, "DELETE FROM signatures WHERE version = '1.0.0'")),
    ("another version's signature", "does not fit its signature", |data| {
        sql(
            data,
            "UPDATE signatures SET signature = (SELECT signature FROM signatures WHERE version = '1.1.0') WHERE version = '1.0.0'",
        )
    }),
    ("no trace of a signature", "has no signature", |data| {
        sql(data, "DELETE FROM signatures; UPDATE versions SET summary = json_remove(summary, '$.signer')")
    }),
    ("a signature where there was none", "without one", |data| {
        sql(data, "UPDATE versions SET summary = json_remove(summary, '$.signer')")
    }),
    ("no signer", "does not have", |data| sql(data, "DELETE FROM signers")),
    ("a revocation before the publication", "after its signer", |data| {
        sql(data, "UPDATE signers SET revoked_at = 1, revoked_by = 'x', reason = 'x'")
    }),
    ("a review that is gone", "no review of it is stored", |data| {
        sql(data, "DELETE FROM submissions; UPDATE namespaces SET review_since = 1")
    }),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_behind_the_hosts_back_is_not_run() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let host = Host::start(&data).await?;
    let tenant = host.tenant("district").await?;
    let key = PrivateKey::from_random([7; 32]);
    require(&host, "test", &[&key]).await?;
    for (number, version) in [(1, "1.0.0"), (2, "1.1.0")] {
        let wasm = guests::number(number)?;
        let signature = sign(&key, "test:swap", version, &wasm)?.to_string();
        let query = format!("name=test:swap&version={version}&deploy=true");
        success(publish(&host, wasm, &query, Some(signature)).await?).await?;
    }
    host.deploy("test/swap", "1.0.0").await?;
    let call = async |host: &Host| host.call("test/swap/numbers/number", &tenant, &json!({})).await;
    assert_eq!(call(&host).await?.text().await?, "1");
    let admin_key = host.admin_key.clone();
    host.kill().await?;

    for (what, word, tamper) in TAMPERINGS {
        let copy = dir.path().join("copy");
        copy_folder(&data, &copy)?;
        tamper(&copy).context(what)?;
        let host = Host::start_with(&copy, Some(&admin_key), &[]).await.context(what)?;
        let (status, document) = problem(call(&host).await?).await.context(what)?;
        assert_eq!((status, code(&document)), (403, "untrusted"), "{what}: {document:#}");
        assert!(document["detail"].as_str().unwrap_or_default().contains(word), "{what}: {document:#}");
        let deploy = host.request(Method::PUT, "/v1/components/test/swap/deployment", &admin_key);
        let (status, document) = problem(deploy.json(&json!({"traffic": {"1.0.0": 100}})).send().await?).await?;
        assert_eq!((status, code(&document)), (403, "untrusted"), "{what}, deployed: {document:#}");
        host.kill().await?;
        fs::remove_dir_all(&copy)?;
    }

    // What the host keeps about the bytes is not relied on: it is read from what was signed.
    sql(&data, "UPDATE versions SET detail = replace(detail, '\"number\"', '\"nothing\"')")?;
    let host = Host::start_with(&data, Some(&admin_key), &[]).await?;
    assert_eq!(call(&host).await?.text().await?, "1");
    let shown: Value = host.get("/v1/components/test/swap/versions/1.0.0").await?;
    assert_eq!(shown["signer"], json!(key.public()));
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &target)?,
            false => {
                fs::copy(entry.path(), target)?;
            }
        }
    }
    Ok(())
}
