//! Changes that are tried first, taken back, and asked about: dry runs, ways back, and what cannot be taken back.

use crate::command::{client, done};
use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::path::Path;
use wares_it::guests;
use wares_it::host::{Host, problem, success};

const COMPONENT: &str = "/v1/components/test/swap";

/// Everything that a data directory holds, but for what the host notes by itself.
fn contents(data_dir: &Path) -> Result<Vec<String>> {
    let database = rusqlite::Connection::open(data_dir.join("wares.sqlite"))?;
    let names = |sql: &str| -> Result<Vec<String>> {
        let mut statement = database.prepare(sql)?;
        let names = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(names)
    };
    let mut lines = Vec::new();
    for table in names("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('upkeep') ORDER BY name")?
    {
        let columns = names(&format!("SELECT name FROM pragma_table_info('{table}') WHERE name <> 'used_at'"))?;
        let row = columns.iter().map(|column| format!("quote({column})")).collect::<Vec<_>>().join("||','||");
        let rows = names(&format!("SELECT {row} FROM {table} ORDER BY 1"))?;
        lines.extend(rows.into_iter().map(|row| format!("{table}: {row}")));
    }
    for folder in ["artifacts", "files"] {
        let mut open = vec![data_dir.join(folder)];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten() {
                let path = entry?.path();
                lines.push(path.display().to_string());
                open.extend(path.is_dir().then_some(path));
            }
        }
    }
    lines.sort();
    Ok(lines)
}

/// An answer without what differs from one time to the next.
fn settled(mut answer: Value) -> Value {
    fn settle(value: &mut Value) {
        match value {
            Value::Object(object) => {
                object.shift_remove("key");
                // A version that is not there cannot be deployed; that it may be is checked.
                object.shift_remove("deployed-at");
                for (name, value) in object.iter_mut() {
                    match name.as_str() {
                        "id" if value.is_string() => *value = json!("an id"),
                        // Seen at different times.
                        "seconds" => *value = json!(0),
                        "held" if value.is_string() => *value = json!("why, and when"),
                        _ => settle(value),
                    }
                }
            }
            Value::Array(items) => items.iter_mut().for_each(settle),
            Value::String(text) if text.parse::<wares_model::Timestamp>().is_ok() => *value = json!("a time"),
            _ => {}
        }
    }
    settle(&mut answer);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_of_any_change_tells_what_would_be_and_changes_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let send = async |method: &str, path: &str, body: &Value, dry: bool| -> Result<Response> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let path = if dry { format!("{path}{joint}dry-run=true") } else { path.to_owned() };
        let request = host.request(method.parse()?, &path, &host.admin_key);
        let request = match body["wasm"].as_u64() {
            Some(number) => request.header("content-type", "application/wasm").body(guests::number(number as u32)?),
            None if body.is_null() => request,
            None => request.json(body),
        };
        Ok(request.send().await?)
    };
    let at = |rest: &str| format!("{COMPONENT}{rest}");
    let publish = "/v1/components?name=test:swap&version=";
    let (deployment, rollout, provider) =
        (at("/deployment"), at("/rollout"), "/v1/providers/test:swap/numbers".to_owned());
    let steps: Vec<(&str, String, Value)> = vec![
        ("POST", "/v1/tenants".into(), json!({"id": "district"})),
        ("POST", "/v1/tenants/district/keys".into(), json!({"application": "a", "label": "the registry"})),
        ("POST", "/v1/keys".into(), json!({"role": "reviewer"})),
        ("POST", format!("{publish}1.0.0&deploy=true"), json!({"wasm": 1})),
        ("POST", format!("{publish}1.1.0"), json!({"wasm": 2})),
        ("PUT", deployment.clone(), json!({"traffic": {"1.1.0": 100}})),
        ("POST", format!("{deployment}/rollback"), json!({})),
        ("POST", rollout.clone(), json!({"version": "1.1.0", "steps": [50, 100], "step-seconds": 3600})),
        ("DELETE", rollout, Value::Null),
        ("PUT", at("/grants"), json!({"grants": {"http": [{"allow": "https://a.cn"}]}, "reason": "it calls a.cn"})),
        ("PUT", at("/secrets/bank"), json!({"value": "secret"})),
        ("POST", "/v1/secrets/rekey".into(), Value::Null),
        ("DELETE", at("/secrets/bank"), Value::Null),
        ("PUT", provider.clone(), json!({"component": "test:swap"})),
        ("DELETE", provider, Value::Null),
        ("PUT", "/v1/namespaces/test".into(), json!({"review": false, "signature": false, "source": null})),
        ("POST", at("/versions/1.1.0/deprecate"), json!({"reason": "old"})),
        ("DELETE", at("/versions/1.1.0/deprecate"), Value::Null),
        ("POST", at("/versions/1.1.0/yank"), Value::Null),
        ("DELETE", at("/versions/1.1.0/yank"), Value::Null),
        ("POST", at("/versions/1.0.0/stop"), json!({"reason": "wrong"})),
        ("DELETE", at("/versions/1.0.0/stop"), Value::Null),
        ("DELETE", "/v1/garbage".into(), Value::Null),
        ("DELETE", "/v1/tenants/district/data".into(), Value::Null),
    ];
    for (method, path, body) in &steps {
        let before = contents(dir.path())?;
        let tried = send(method, path, body, true).await?;
        let (status, flag) = (tried.status(), tried.headers().get("wares-dry-run").cloned());
        let tried = tried.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status} {tried}");
        ensure!(flag.is_some_and(|flag| flag == "true"), "{method} {path} does not say that nothing was changed");
        assert_eq!(contents(dir.path())?, before, "{method} {path}");
        // Nor has it in memory: the same change is as new as it was.
        let made = send(method, path, body, false).await?;
        assert_eq!(made.status(), status, "{method} {path}");
        let made = made.text().await?;
        if status != StatusCode::NO_CONTENT {
            let (tried, made) = (serde_json::from_str(&tried)?, serde_json::from_str(&made)?);
            assert_eq!(settled(tried), settled(made), "{method} {path}");
        }
        let changed = contents(dir.path())? != before;
        let changes_nothing =
            ["/v1/garbage", "/v1/tenants/district/data", "/v1/secrets/rekey"].contains(&path.as_str());
        assert_eq!(changed, !changes_nothing, "{method} {path}");
    }
    // What is refused is refused in a dry run as well.
    let (status, _) = problem(send("POST", "/v1/tenants", &json!({"id": "district"}), true).await?).await?;
    assert_eq!(status, 409);
    let (status, _) = problem(send("POST", "/v1/tenants?dry-run=perhaps", &json!({"id": "x"}), false).await?).await?;
    assert_eq!(status, 400);
    // A key that was not made is not shown.
    let key = success(send("POST", "/v1/keys", &json!({"role": "admin"}), true).await?).await?;
    ensure!(key.get("key").is_none(), "{key}");
    Ok(())
}

/// Two versions on the shelf, of which none takes traffic.
async fn shelf(host: &Host) -> Result<()> {
    for (number, version) in [(1, "1.0.0"), (2, "1.1.0")] {
        let published = host.publish(guests::number(number)?, &format!("name=test:swap&version={version}")).await?;
        published.error_for_status()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_rollback_never_leads_to_what_was_rejected_unless_it_is_named() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    shelf(&host).await?;
    let (old, new) = (json!({"1.0.0": 100}), json!({"1.1.0": 100}));
    let rollback = async |body: Value| {
        let request = host.request(Method::POST, &format!("{COMPONENT}/deployment/rollback"), &host.admin_key);
        anyhow::Ok(request.json(&body).send().await?)
    };
    let nowhere = async || {
        let (status, document) = problem(rollback(json!({})).await?).await?;
        ensure!(status == 400 && document["detail"].as_str().is_some_and(|text| text.contains("name the revision")));
        anyhow::Ok(())
    };
    host.deploy("test/swap", "1.0.0").await?;
    host.deploy("test/swap", "1.1.0").await?;
    let back = success(rollback(json!({})).await?).await?;
    assert_eq!((&back["traffic"], &back["rejects"]), (&old, &json!(["1.1.0"])));
    nowhere().await?;
    // By its name it is given traffic, which is no verdict on the other one.
    assert_eq!(success(rollback(json!({"to": 2})).await?).await?["traffic"], new);
    assert_eq!(success(rollback(json!({})).await?).await?["traffic"], old);
    nowhere().await?;

    // What a rollout was ended for is rejected too, and remembered.
    let plan = json!({"version": "1.1.0", "steps": [50, 100], "step-seconds": 3600});
    host.post(&format!("{COMPONENT}/rollout"), plan).await?;
    let ended = host.request(Method::DELETE, &format!("{COMPONENT}/rollout"), &host.admin_key).send().await?;
    success(ended).await?;
    nowhere().await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    let ended = client(dir.path(), &host, &admin_key, &["rollback", "test/swap"])?;
    assert_eq!((ended.code, ended.stderr.contains("name the revision")), (2, true), "{}", ended.stderr);
    // Deployed again it is wanted again; and the plan is shown before it is carried out.
    host.deploy("test/swap", "1.1.0").await?;
    let tried = client(dir.path(), &host, &admin_key, &["rollback", "test/swap", "--dry-run"])?;
    assert_eq!((tried.code, tried.stdout.contains("1.0.0")), (0, true), "{}", tried.stderr);
    assert_eq!(host.get(&format!("{COMPONENT}/deployment")).await?["traffic"], new);
    let ended = client(dir.path(), &host, &admin_key, &["rollback", "test/swap"])?;
    assert_eq!((ended.code, ended.stderr.contains("test:swap: 1.1.0 -> 1.0.0")), (0, true), "{}", ended.stderr);
    assert_eq!(host.get(&format!("{COMPONENT}/deployment")).await?["traffic"], old);
    Ok(())
}

#[tokio::test]
async fn a_stop_that_is_taken_back_gives_back_what_it_took() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    shelf(&host).await?;
    let shares = json!({"1.0.0": 90, "1.1.0": 10});
    let deployment = format!("{COMPONENT}/deployment");
    let undo = async |version: &str| {
        let path = format!("{COMPONENT}/versions/{version}/stop");
        success(host.request(Method::DELETE, &path, &host.admin_key).send().await?).await
    };
    let stop = async |version: &str| host.post(&format!("{COMPONENT}/versions/{version}/stop"), json!({})).await;
    host.put(&deployment, json!({"traffic": shares, "stickiness": "call"})).await?;
    stop("1.1.0").await?;
    assert_eq!(host.get(&deployment).await?["traffic"], json!({"1.0.0": 100}));
    let back = undo("1.1.0").await?;
    assert_eq!(
        (&back["yanked-at"], &back["stopped-at"], back.get("warnings")),
        (&Value::Null, &Value::Null, None),
        "{back:#}"
    );
    let now = host.get(&deployment).await?;
    assert_eq!((&now["traffic"], &now["stickiness"]), (&shares, &json!("call")), "{now:#}");

    // One that was yanked before is so still.
    host.post(&format!("{COMPONENT}/versions/1.1.0/yank"), json!({})).await?;
    stop("1.1.0").await?;
    assert!(undo("1.1.0").await?["yanked-at"].is_string());
    // Its traffic is not given back over what was deployed meanwhile, and that is said.
    host.deploy("test/swap", "1.0.0").await?;
    stop("1.0.0").await?;
    assert_eq!(host.get(&deployment).await?["traffic"], json!({}));
    assert!(undo("1.0.0").await?.get("warnings").is_none());
    assert_eq!(host.get(&deployment).await?["traffic"], json!({"1.0.0": 100}));
    stop("1.0.0").await?;
    host.publish_and_deploy(guests::number(3)?, "test:swap", "1.2.0").await?;
    let back = undo("1.0.0").await?;
    assert!(back["warnings"][0].as_str().is_some_and(|warning| warning.contains("changed since")), "{back:#}");
    assert_eq!(host.get(&deployment).await?["traffic"], json!({"1.2.0": 100}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_back_wants_a_yes() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    shelf(&host).await?;
    host.put(&format!("{COMPONENT}/deployment"), json!({"traffic": {"1.0.0": 50, "1.1.0": 50}})).await?;
    host.tenant("district").await?;
    let keys = host.get("/v1/keys").await?;
    let admin = keys["items"].as_array().context("keys")?.iter().find(|key| key["role"] == "admin").context("key")?;
    let admin = admin["id"].as_str().context("id")?;
    let run = |args: &[&str]| client(dir.path(), &host, &host.admin_key, args);
    // One of two goes without a question.
    done(dir.path(), &host, &host.admin_key, &["stop", "test/swap@1.0.0"])?;
    let wanted: [(&[&str], &str); 3] = [
        (&["stop", "test/swap@1.1.0"], "nobody can call test:swap"),
        (&["tenants", "wipe", "district"], "0 key-value pairs of district"),
        (&["keys", "revoke", admin], "the last admin key"),
    ];
    for (args, word) in wanted {
        let refused = run(args)?;
        assert_eq!(refused.code, 2, "{args:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(word) && refused.stderr.contains("--yes"), "{args:?}: {}", refused.stderr);
        let tried = run(&[args, &["--dry-run"]].concat())?;
        assert_eq!((tried.code, tried.stderr.contains("nothing is changed")), (0, true), "{args:?}: {}", tried.stderr);
    }
    assert_eq!(host.get(&format!("{COMPONENT}/deployment")).await?["traffic"], json!({"1.1.0": 100}));
    for (args, _) in wanted {
        done(dir.path(), &host, &host.admin_key, &[args, &["--yes"]].concat())?;
    }
    assert_eq!(run(&["list"])?.code, 5, "the key is gone");
    Ok(())
}
