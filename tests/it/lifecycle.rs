//! Versions that callers pin, and what becomes of versions: deprecated, yanked, stopped, and back.

use crate::command::client;
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

const VERSIONS: &str = "/v1/components/test/swap/versions";

/// Publishes 1.0.0, 1.1.0 and 2.0.0, which answer 10, 11 and 20, and 3.0.0, which is not deployed; the traffic goes to 2.0.0.
async fn shelf(host: &Host) -> Result<()> {
    for (number, version) in [(10, "1.0.0"), (11, "1.1.0"), (20, "2.0.0")] {
        host.publish_and_deploy(guests::number(number)?, "test:swap", version).await?;
    }
    host.publish(guests::number(30)?, "name=test:swap&version=3.0.0").await?.error_for_status()?;
    Ok(())
}

/// The number that answers, or the code of the problem.
async fn answer(host: &Host, key: &str, at: &str) -> Result<Result<u64, String>> {
    let response = host.call(&format!("test/swap{at}/numbers/number"), key, &json!({})).await?;
    if response.status().is_success() {
        return Ok(Ok(success(response).await?.as_u64().context("a number")?));
    }
    let (status, document) = problem(response).await?;
    Ok(Err(format!("{status} {}", code(&document))))
}

async fn delete(host: &Host, path: &str) -> Result<Value> {
    success(host.request(Method::DELETE, path, &host.admin_key).send().await?).await
}

#[tokio::test]
async fn undeployed_versions_are_served_only_where_the_operator_allows_it() -> Result<()> {
    let never = "404 not-found";
    for (setting, exact, matching) in [
        (None, Err(never), Err(never)),
        (Some("never"), Err(never), Err(never)),
        (Some("exact"), Ok(30), Err(never)),
        (Some("matching"), Ok(30), Ok(30)),
    ] {
        let dir = tempfile::tempdir()?;
        let variables: Vec<_> = setting.map(|setting| ("WARES_CALLS_UNDEPLOYED", setting)).into_iter().collect();
        let host = Host::start_in(dir.path(), None, &[], &variables).await?;
        let key = host.tenant("district").await?;
        shelf(&host).await?;
        let cases = [
            ("", Ok(20)),
            ("@1", Ok(11)),
            ("@%5E1.0", Ok(11)),
            ("@=1.0.0", Ok(10)),
            ("@=3.0.0", exact),
            ("@3", matching),
            ("@4", Err(never)),
        ];
        for (at, expected) in cases {
            assert_eq!(answer(&host, &key, at).await?, expected.map_err(str::to_owned), "{at} with {setting:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn deprecation_and_sunset_travel_with_every_answer_until_they_are_withdrawn() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    host.publish(guests::built("test-answers")?, "deploy=true").await?.error_for_status()?;
    let notices = async |path: &str| {
        let response = host.request(Method::POST, path, &key).body(r#"{"a":1,"b":2}"#).send().await?;
        let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        anyhow::Ok((response.status().as_u16(), header("deprecation"), header("sunset")))
    };
    let calls = [
        ("/v1/call/test/hostile/add", 200),
        ("/v1/call/test/hostile@1/add", 200),
        ("/v1/call/test/hostile/trap", 400),
        ("/v1/call/test/hostile/nothing", 404),
        ("/serve/test/answers/echo", 200),
    ];
    let body = json!({"at": "2026-11-24T08:00:00Z", "sunset": "2027-01-01", "reason": "use 2.0.0"});
    for name in ["hostile", "answers"] {
        let path = format!("/v1/components/test/{name}/versions/1.0.0/deprecate");
        let shown = host.post(&path, body.clone()).await?;
        assert_eq!(shown["deprecation"]["at"], "2026-11-24T08:00:00.000000Z");
    }
    for (path, status) in calls {
        let (got, deprecation, sunset) = notices(path).await?;
        assert_eq!(got, status, "{path}");
        assert_eq!(deprecation.as_deref(), Some("@1795507200"), "{path}");
        assert_eq!(sunset.as_deref(), Some("Fri, 01 Jan 2027 00:00:00 GMT"), "{path}");
    }
    let shown = host.get("/v1/components/test/hostile/versions/1.0.0").await?;
    assert_eq!(shown["deprecation"]["reason"], "use 2.0.0");

    let at = "/v1/components/test/hostile/versions/1.0.0/deprecate";
    for (body, word) in [
        (json!({"at": "2027-01-01", "sunset": "2026-01-01"}), "sunset"),
        (json!({"at": "tomorrow"}), "tomorrow"),
        (json!({"date": "2027-01-01"}), "date"),
        (json!({"reason": "x".repeat(1_001)}), "1000 characters"),
    ] {
        let (status, document) =
            problem(host.request(Method::POST, at, &host.admin_key).json(&body).send().await?).await?;
        assert_eq!((status, code(&document)), (400, "bad-request"), "{document:#}");
        assert!(document["detail"].as_str().unwrap_or_default().contains(word), "{word}: {document:#}");
    }
    let (status, _) = problem(host.request(Method::POST, at, &key).send().await?).await?;
    assert_eq!(status, 403, "deprecating is operators' work");

    // What was noted outlives the host.
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    let call = async || Ok::<_, anyhow::Error>(host.call("test/hostile/add", &key, &json!({"a": 1, "b": 2})).await?);
    assert_eq!(call().await?.headers()["deprecation"], "@1795507200");
    assert_eq!(delete(&host, at).await?["deprecation"], Value::Null);
    let answer = call().await?;
    assert!(answer.headers().get("deprecation").is_none() && answer.headers().get("sunset").is_none());
    let events = host.get("/v1/components/test/hostile/versions/1.0.0/events").await?;
    let words: Vec<_> = events.as_array().context("events")?.iter().map(|event| &event["event"]).collect();
    assert_eq!(words, ["undeprecated", "deprecated"]);
    Ok(())
}

#[tokio::test]
async fn a_yanked_version_serves_those_who_have_it_until_it_is_stopped() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    shelf(&host).await?;
    let at = |version: &str, action: &str| format!("{VERSIONS}/{version}/{action}");
    let expect = async |cases: &[(&str, Result<u64, &str>)], when: &str| {
        for (at, expected) in cases {
            assert_eq!(answer(&host, &key, at).await?, expected.map_err(str::to_owned), "{at} {when}");
        }
        anyhow::Ok(())
    };
    let deploy = async |version: &str| {
        let path = "/v1/components/test/swap/deployment";
        let request = host.request(Method::PUT, path, &host.admin_key).json(&json!({"traffic": {version: 100}}));
        anyhow::Ok(request.send().await?)
    };

    host.post(&at("1.1.0", "yank"), json!({"reason": "wrong rounding"})).await?;
    host.post(&at("2.0.0", "yank"), json!({})).await?;
    let gone = "410 stopped";
    expect(&[("", Ok(20)), ("@2", Ok(20)), ("@1", Ok(10)), ("@=1.1.0", Ok(11))], "after the yanks").await?;
    let (status, document) = problem(deploy("1.1.0").await?).await?;
    assert_eq!((status, code(&document)), (400, "bad-request"), "{document:#}");
    assert!(document["detail"].as_str().unwrap_or_default().contains("1.1.0 is yanked"), "{document:#}");
    assert_eq!(deploy("2.0.0").await?.status(), 200, "what stands may stand");
    assert_eq!(host.get("/v1/components/test/swap").await?["latest"], "3.0.0");

    host.post(&at("1.1.0", "stop"), json!({"reason": "wrong rounding"})).await?;
    host.post(&at("2.0.0", "stop"), json!({})).await?;
    expect(&[("@=1.1.0", Err(gone)), ("@1", Ok(10)), ("", Err(gone)), ("@2", Err(gone))], "after the stops").await?;
    let shown = host.get("/v1/components/test/swap/deployment").await?;
    assert_eq!((&shown["traffic"], &shown["reason"]), (&json!({}), &json!("2.0.0 was stopped")), "{shown:#}");
    let (status, document) = problem(deploy("2.0.0").await?).await?;
    assert_eq!((status, code(&document)), (409, "conflict"), "{document:#}");
    assert!(document["detail"].as_str().unwrap_or_default().contains("2.0.0 was stopped"), "{document:#}");
    let (status, document) =
        problem(host.request(Method::DELETE, &at("2.0.0", "yank"), &host.admin_key).send().await?).await?;
    assert_eq!((status, code(&document)), (409, "conflict"), "{document:#}");

    // The stop and the yank outlive the host.
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    assert_eq!(answer(&host, &key, "@=1.1.0").await?, Err(gone.to_owned()));
    delete(&host, &at("1.1.0", "stop")).await?;
    assert_eq!(answer(&host, &key, "@=1.1.0").await?, Ok(11));
    let shown = delete(&host, &at("1.1.0", "yank")).await?;
    assert_eq!((&shown["yanked-at"], &shown["stopped-at"]), (&Value::Null, &Value::Null));
    assert_eq!(answer(&host, &key, "@1").await?, Ok(11));
    host.deploy("test/swap", "1.1.0").await?;
    assert_eq!(answer(&host, &key, "").await?, Ok(11));
    let events = host.get(&at("1.1.0", "events")).await?;
    let words: Vec<_> = events.as_array().context("events")?.iter().map(|event| &event["event"]).collect();
    assert_eq!(words, ["unyanked", "resumed", "stopped", "yanked"]);
    assert_eq!(events[3]["reason"], "wrong rounding");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_fails_no_call_of_the_component() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(Host::start(dir.path()).await?);
    shelf(&host).await?;
    let traffic = json!({"traffic": {"1.0.0": 40, "1.1.0": 40, "2.0.0": 20}});
    let put = host.request(Method::PUT, "/v1/components/test/swap/deployment", &host.admin_key).json(&traffic);
    success(put.send().await?).await?;
    let (stopped, end) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let mut callers = Vec::new();
    for number in 0..16 {
        let key = host.tenant(&format!("district{number}")).await?;
        let (host, stopped, end) = (Arc::clone(&host), Arc::clone(&stopped), Arc::clone(&end));
        callers.push(tokio::spawn(async move {
            let (mut before, mut after) = (0u64, 0u64);
            while !end.load(Ordering::SeqCst) || after < 20 {
                let was_stopped = stopped.load(Ordering::SeqCst);
                let number = answer(&host, &key, "").await?.map_err(anyhow::Error::msg)?;
                ensure!(!was_stopped || number != 11, "1.1.0 answered after it was stopped");
                *if was_stopped { &mut after } else { &mut before } += 1;
            }
            anyhow::Ok(before)
        }));
    }
    let first = callers.len() as u64 * 10;
    host.until("/v1/usage", |usage| usage["items"][0]["calls"].as_u64() >= Some(first)).await?;
    host.post(&format!("{VERSIONS}/1.1.0/stop"), json!({})).await?;
    stopped.store(true, Ordering::SeqCst);
    end.store(true, Ordering::SeqCst);
    let mut before = 0;
    for caller in callers {
        before += caller.await??;
    }
    assert!(before >= first);
    let shown = host.get("/v1/components/test/swap/deployment").await?;
    assert_eq!(shown["traffic"], json!({"1.0.0": 67, "2.0.0": 33}));
    Ok(())
}

#[tokio::test]
async fn a_stop_ends_the_rollout_of_the_version() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    shelf(&host).await?;
    let rollout = "/v1/components/test/swap/rollout";
    host.post(rollout, json!({"version": "3.0.0", "steps": [50, 100]})).await?;
    host.post(&format!("{VERSIONS}/3.0.0/yank"), json!({})).await?;
    assert_eq!(host.get(rollout).await?["state"], "running", "what stands goes on");
    host.post(&format!("{VERSIONS}/3.0.0/stop"), json!({})).await?;
    assert_eq!(host.get(rollout).await?["state"], "superseded");
    assert_eq!(host.get("/v1/components/test/swap/deployment").await?["traffic"], json!({"2.0.0": 100}));
    assert_eq!(answer(&host, &key, "").await?, Ok(20));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_do_it_from_the_command_line() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    shelf(&host).await?;
    let run = |args: &[&str]| client(dir.path(), &host, &host.admin_key, args);
    // Arguments, exit code, and a word of what is said.
    let steps: [(&[&str], i32, &str); 14] = [
        (
            &["deprecate", "test/swap@1.0.0", "--at", "2026-11-24", "--sunset", "2027-01-01", "--reason", "old rates"],
            0,
            "deprecated",
        ),
        (&["show", "test/swap@1.0.0"], 0, "to be stopped 2027-01-01"),
        (&["deprecate", "test/swap@1.0.0", "--sunset", "2020-01-01"], 2, "sunset"),
        (&["deprecate", "test/swap@1.0.0", "--undo"], 0, "no more"),
        (&["yank", "test/swap@1.0.0", "--reason", "wrong"], 0, "yanked"),
        (&["show", "test/swap@1.0.0"], 0, "yanked:"),
        (&["show", "test/swap"], 0, "1.0.0 (yanked)"),
        (&["deploy", "test/swap", "1.0.0"], 2, "yanked"),
        (&["stop", "test/swap@1.0.0"], 0, "stopped"),
        (&["yank", "test/swap@1.0.0", "--undo"], 6, "is stopped"),
        (&["stop", "test/swap@1.0.0", "--undo"], 0, "still yanked"),
        (&["yank", "test/swap@1.0.0", "--undo"], 0, "no more"),
        (&["yank", "test/swap"], 2, "1.2.3"),
        (&["stop", "test/swap@9.9.9"], 4, "9.9.9"),
    ];
    for (args, exit, word) in steps {
        let ended = run(args)?;
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, exit, "{args:?}: {said}");
        assert!(said.contains(word), "{args:?} does not say {word:?}: {said}");
    }
    Ok(())
}
