//! Components that call others: each hop is a call of its own, within what its caller has left, and only where it is granted.

use crate::command::{done, wares};
use crate::tree;
use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

/// Core instructions that take some fifty milliseconds at least.
const LONG: &str = "(local.set $left (i32.const 200000000))
    (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))";
/// Core instructions that never end.
pub(crate) const FOREVER: &str = "(loop $again (br $again))";

/// Lets one component call others.
pub(crate) async fn grant(host: &Host, component: &str, others: &[&str]) -> Result<()> {
    let path = format!("/v1/components/{}/grants", component.replace(':', "/"));
    host.put(&path, json!({"grants": {"components": others}})).await?;
    Ok(())
}

/// A chain `test:NAME0` -> … of so many components, deployed; the last one adds `offset` after some work.
pub(crate) async fn chain(host: &Host, name: &str, length: usize, offset: u32, work: &str) -> Result<()> {
    let link = |at: usize| format!("{name}{at}");
    let end = link(length - 1);
    host.publish_and_deploy(guests::link_end(&end, offset, work)?, &format!("test:{end}"), "1.0.0").await?;
    for at in (0..length - 1).rev() {
        let (own, next) = (link(at), link(at + 1));
        grant(host, &format!("test:{own}"), &[&format!("test:{next}")]).await?;
        host.publish_and_deploy(guests::link(&own, &next, 1)?, &format!("test:{own}"), "1.0.0").await?;
    }
    Ok(())
}

pub(crate) async fn go(host: &Host, key: &str, component: &str, n: u32) -> Result<reqwest::Response> {
    host.call(&format!("test/{component}/links/go"), key, &json!({"n": n})).await
}

#[tokio::test]
async fn each_hop_of_a_chain_of_five_is_a_call_of_its_own() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    chain(&host, "link", 5, 100, "").await?;
    assert_eq!(success(go(&host, &key, "link0", 1).await?).await?, json!(105));

    let entries = tree::entries(dir.path())?;
    assert_eq!(entries.len(), 5, "{entries:#?}");
    let mut above = None;
    for at in 0..5 {
        let entry = tree::of(&entries, &format!("test:link{at}"))?;
        assert_eq!(entry.parent, above, "{entries:#?}");
        assert_eq!(entry.outcome, "ok");
        assert_eq!(entry.caller, ("district".to_owned(), "tests".to_owned()), "whose call it is");
        above = Some(entry.call.clone());
    }
    let grants = host.get("/v1/components/test/link0/grants").await?;
    assert_eq!(grants["used"]["items"][0]["what"], "component test:link1");
    Ok(())
}

#[tokio::test]
async fn calls_of_a_tree_are_counted_and_the_sixty_fifth_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = diamond(&dir, "").await?;
    let key = host.tenant("district").await?;
    // Twice four calls, each of which makes seven.
    assert_eq!(success(go(&host, &key, "fork", 4).await?).await?, json!(2));
    let entries = tree::entries(dir.path())?;
    assert_eq!(entries.len(), 1 + 64);
    let root = &tree::of(&entries, "test:fork")?.call;
    let below = |parent: &str| entries.iter().filter(|entry| entry.parent.as_deref() == Some(parent)).count();
    assert_eq!(below(root), 8);
    let middle = entries.iter().filter(|entry| entry.parent.as_ref() == Some(root));
    assert!(middle.map(|entry| below(&entry.call)).all(|calls| calls == 7), "{entries:#?}");

    let (status, problem) = problem(go(&host, &key, "fork", 5).await?).await?;
    assert_eq!((status, code(&problem)), (500, "trap"), "{problem:#}");
    ensure!(detail(&problem).contains("64 calls of components"), "{problem:#}");
    let made = tree::entries(dir.path())?.len() - entries.len();
    assert_eq!(made, 1 + 64, "what was refused is no call");
    Ok(())
}

#[tokio::test]
async fn a_tree_of_calls_stays_within_the_cpu_time_of_its_root() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = diamond(&dir, LONG).await?;
    let key = host.tenant("district").await?;
    let (status, problem) = problem(go(&host, &key, "fork", 4).await?).await?;
    assert_eq!((status, code(&problem)), (500, "limit-cpu"), "{problem:#}");
    ensure!(detail(&problem).contains("test:bottom@1.0.0"), "{problem:#}");
    let entries = tree::entries(dir.path())?;
    let used: u64 = entries.iter().map(|entry| entry.cpu_us).sum();
    ensure!((900_000..1_100_000).contains(&used), "{used} µs of CPU time in all: {entries:#?}");
    assert_eq!(tree::of(&entries, "test:fork")?.outcome, "limit-cpu");
    ensure!(tree::of(&entries, "test:fork")?.cpu_us < 100_000, "what others used is theirs: {entries:#?}");
    Ok(())
}

#[tokio::test]
async fn components_call_each_other_eight_deep_and_no_deeper() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    chain(&host, "deep", 10, 0, "").await?;
    assert_eq!(success(go(&host, &key, "deep1", 0).await?).await?, json!(8));
    let (status, problem) = problem(go(&host, &key, "deep0", 0).await?).await?;
    assert_eq!((status, code(&problem)), (500, "trap"));
    ensure!(detail(&problem).contains("8 deep"), "{problem:#}");
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_himself() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    chain(&host, "ring", 2, 10, "").await?;
    // The end of the chain learns to call its beginning: refused, and what runs goes on.
    grant(&host, "test:ring1", &["test:ring0"]).await?;
    let back = guests::link("ring1", "ring0", 1)?;
    host.publish(back.clone(), "name=test:ring1&version=1.1.0").await?.error_for_status()?;
    let refused = deployment(&host, "test/ring1", "1.1.0").await?;
    let (status, document) = problem(refused).await?;
    assert_eq!((status, code(&document)), (422, "invalid-component"), "{document:#}");
    ensure!(detail(&document).contains("test:ring1 -> test:ring0 -> test:ring1"), "{document:#}");
    assert_eq!(success(go(&host, &key, "ring0", 0).await?).await?, json!(11));

    // A choice of an operator may close a circle for a tenant: then the call is refused that would wait.
    grant(&host, "test:other", &["test:ring0"]).await?;
    grant(&host, "test:ring0", &["test:ring1", "test:other"]).await?;
    host.publish_and_deploy(back, "test:other", "1.0.0").await?;
    host.put("/v1/providers/test:ring1/links", json!({"component": "test:other", "tenant": "district"})).await?;
    let (status, document) = problem(go(&host, &key, "ring0", 0).await?).await?;
    assert_eq!((status, code(&document)), (500, "trap"), "{document:#}");
    ensure!(detail(&document).contains("test:ring0 -> test:other -> test:ring0"), "{document:#}");
    Ok(())
}

#[tokio::test]
async fn a_component_is_called_only_by_those_who_may() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish(guests::link("top", "base", 1)?, "name=test:top&version=1.0.0").await?.error_for_status()?;
    let refusal = async || {
        let (status, problem) = problem(deployment(&host, "test/top", "1.0.0").await?).await?;
        assert_eq!((status, code(&problem)), (422, "invalid-component"), "{problem:#}");
        anyhow::Ok(detail(&problem).to_owned())
    };
    // Nobody provides it, then something of its name does with another type, then it is not granted.
    host.publish_and_deploy(guests::link_end("bases", 1, "")?, "test:bases", "1.0.0").await?;
    let told = refusal().await?;
    ensure!(told.contains("test:base/links@1.0.0, which no deployed component provides"), "{told}");
    ensure!(told.contains("nearest: test:bases/links@1.0.0"), "{told}");
    let words = [("u32", "s32"), ("NAME", "base"), ("OFFSET", "1"), ("WORK", "")];
    host.publish_and_deploy(guests::with_words("link-end", &words)?, "test:base", "1.0.0").await?;
    let told = refusal().await?;
    ensure!(told.contains("its function go has other parameters or another result"), "{told}");
    host.publish_and_deploy(guests::link_end("base", 1, "")?, "test:base", "2.0.0").await?;
    let told = refusal().await?;
    ensure!(told.contains("`wares grants add test:top --component test:base` would allow it"), "{told}");
    grant(&host, "test:top", &["test:base"]).await?;
    success(deployment(&host, "test/top", "1.0.0").await?).await?;
    assert_eq!(success(go(&host, &key, "top", 0).await?).await?, json!(2));

    grant(&host, "test:top", &[]).await?;
    let (status, problem) = problem(go(&host, &key, "top", 0).await?).await?;
    assert_eq!((status, code(&problem)), (500, "trap"));
    ensure!(detail(&problem).contains("`wares grants add test:top --component test:base`"), "{problem:#}");
    Ok(())
}

#[tokio::test]
async fn a_failure_says_whose_it_was() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    chain(&host, "bad", 3, 0, "unreachable").await?;
    chain(&host, "busy", 2, 0, FOREVER).await?;
    let (status, document) = problem(go(&host, &key, "bad0", 0).await?).await?;
    assert_eq!((status, code(&document)), (500, "trap"), "{document:#}");
    let entries = tree::entries(dir.path())?;
    let failed = tree::of(&entries, "test:bad2")?;
    for words in ["calling test:bad2/links@1.0.0#go", "test:bad2@1.0.0", "unreachable"] {
        ensure!(detail(&document).contains(words), "{words}: {document:#}");
    }
    let id = detail(&document).replace('-', "");
    ensure!(id.contains(&failed.call), "{id} names the call {}", failed.call);
    assert!(entries.iter().all(|entry| entry.outcome == "trap"), "{entries:#?}");

    let (status, document) = problem(go(&host, &key, "busy0", 0).await?).await?;
    assert_eq!((status, code(&document)), (500, "limit-cpu"), "{document:#}");
    let entries = tree::entries(dir.path())?;
    for component in ["test:busy0", "test:busy1"] {
        assert_eq!(tree::of(&entries, component)?.outcome, "limit-cpu");
    }
    Ok(())
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_all_calls_below() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let limits = [("WARES_LIMITS_DEFAULT_CPU_MS_MAX", "10000"), ("WARES_LIMITS_DEFAULT_WALL_MS_MAX", "60000")];
    let host = Host::start_in(dir.path(), None, &[], &limits).await?;
    let key = host.tenant("district").await?;
    chain(&host, "busy", 3, 0, FOREVER).await?;
    tokio::select! {
        answer = go(&host, &key, "busy0", 0) => anyhow::bail!("the caller should be gone by then: {answer:?}"),
        running = host.until_running(3) => running?,
    }
    host.until("/v1/usage?group_by=outcome", |usage| {
        usage["items"].as_array().is_some_and(|rows| rows.iter().any(|row| row["calls"] == 3))
    })
    .await?;
    let entries = tree::entries(dir.path())?;
    assert!(entries.iter().all(|entry| entry.outcome == "cancelled"), "{entries:#?}");
    let parent = tree::of(&entries, "test:busy1")?.call.clone();
    assert_eq!(tree::of(&entries, "test:busy2")?.parent, Some(parent));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_changes_under_its_consumers_and_no_call_fails() -> Result<()> {
    const CALLERS: usize = 32;
    const DEPLOYMENTS: usize = 40;
    let dir = tempfile::tempdir()?;
    let host = Arc::new(Host::start(dir.path()).await?);
    let key = host.tenant("district").await?;
    chain(&host, "swap", 3, 100, "").await?;
    let newer = guests::link_end("swap2", 200, "")?;
    host.publish(newer, "name=test:swap2&version=1.1.0").await?.error_for_status()?;
    let stop = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (host, key, stop) = (Arc::clone(&host), key.clone(), Arc::clone(&stop));
            tokio::spawn(async move {
                let mut answers = BTreeSet::new();
                while !stop.load(Ordering::SeqCst) {
                    answers.extend(success(go(&host, &key, "swap0", 0).await?).await?.as_u64());
                }
                anyhow::Ok(answers)
            })
        })
        .collect();
    for k in 1..=DEPLOYMENTS {
        host.deploy("test/swap2", if k % 2 == 0 { "1.0.0" } else { "1.1.0" }).await?;
    }
    stop.store(true, Ordering::SeqCst);
    let mut answers = BTreeSet::new();
    for caller in callers {
        answers.extend(caller.await??);
    }
    assert_eq!(answers, BTreeSet::from([102, 202]));
    let unlike = tree::entries(dir.path())?.into_iter().find(|entry| entry.outcome != "ok");
    assert_eq!(unlike, None);
    Ok(())
}

#[tokio::test]
async fn who_would_break_is_told_and_who_uses_whom_is_shown() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    chain(&host, "g", 3, 0, "").await?;
    let wares = |args: &[&str]| done(dir.path(), &host, &host.admin_key, args);
    let tree = wares(&["graph"])?;
    let lines: Vec<_> = tree.lines().collect();
    let expected = [
        "test:g0 1.0.0",
        "  test:g1 1.0.0 (test:g1/links@1.0.0 of 1.0.0)",
        "    test:g2 1.0.0 (test:g2/links@1.0.0 of 1.0.0)",
    ];
    assert_eq!(lines, expected);
    assert!(wares(&["graph", "test:g1", "--dot"])?.contains("\"test:g1\" -> \"test:g2\""));
    let json: Value = serde_json::from_str(&wares(&["graph", "--json"])?)?;
    assert_eq!(json[0]["uses"][0]["provider"], "test:g1");

    let words = [("u32", "s32"), ("NAME", "g2"), ("OFFSET", "1"), ("WORK", "")];
    let unlike = guests::with_words("link-end", &words)?;
    host.publish(unlike, "name=test:g2&version=2.0.0").await?.error_for_status()?;
    let told = wares(&["rollout", "start", "test:g2", "2.0.0"])?;
    let warning = "WARNING: test:g1@1.0.0 imports test:g2/links@1.0.0, which test:g2@2.0.0 provides as \
        test:g2/links@1.0.0, but its function go has other";
    ensure!(told.contains(warning), "{told}");
    let told = wares(&["rollout", "abort", "test:g2"])?;
    ensure!(!told.contains("WARNING"), "{told}");

    let told = wares(&["yank", "test:g2@1.0.0"])?;
    ensure!(told.contains("WARNING: test:g1@1.0.0 uses test:g2/links@1.0.0 of test:g2@1.0.0"), "{told}");
    let other = guests::number(1)?;
    host.publish(other, "name=test:g2&version=3.0.0").await?.error_for_status()?;
    let told = wares(&["deploy", "test:g2", "3.0.0"])?;
    ensure!(
        told.contains("WARNING: test:g1@1.0.0 imports test:g2/links@1.0.0, which no deployed component provides"),
        "{told}"
    );
    let told = wares(&["stop", "test:g1@1.0.0", "--yes"])?;
    ensure!(
        told.contains("WARNING: test:g0@1.0.0 imports test:g1/links@1.0.0, which no deployed component provides"),
        "{told}"
    );
    assert!(wares(&["graph"])?.contains("NOBODY (test:g1/links@1.0.0 of 1.0.0)"));
    Ok(())
}

#[tokio::test]
async fn what_does_not_leave_a_sandbox_is_refused_when_it_is_published() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let wasm = guests::text("imports-resource")?;
    let (status, problem) = problem(host.publish(wasm, "name=test:resource&version=1.0.0").await?).await?;
    assert_eq!((status, code(&problem)), (422, "invalid-component"), "{problem:#}");
    for words in ["test:files/files@1.0.0", "resource", "does not leave its sandbox"] {
        ensure!(detail(&problem).contains(words), "{words}: {problem:#}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_composed_beforehand_runs_as_it_is() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::text("composed")?, "test:composed", "1.0.0").await?;
    assert_eq!(success(go(&host, &key, "composed", 5).await?).await?, json!(47));
    assert_eq!(tree::entries(dir.path())?.len(), 1, "it is one component, and one call");
    Ok(())
}

/// A component that calls two others, each of which calls a fourth one seven times, which does some work.
async fn diamond(dir: &tempfile::TempDir, work: &str) -> Result<Host> {
    let host = Host::start(dir.path()).await?;
    host.publish_and_deploy(guests::link_end("bottom", 0, work)?, "test:bottom", "1.0.0").await?;
    for side in ["left", "right"] {
        grant(&host, &format!("test:{side}"), &["test:bottom"]).await?;
        host.publish_and_deploy(guests::link(side, "bottom", 7)?, &format!("test:{side}"), "1.0.0").await?;
    }
    grant(&host, "test:fork", &["test:left", "test:right"]).await?;
    host.publish_and_deploy(guests::text("fork")?, "test:fork", "1.0.0").await?;
    Ok(host)
}

pub(crate) async fn deployment(host: &Host, path: &str, version: &str) -> Result<reqwest::Response> {
    let request = host.request(Method::PUT, &format!("/v1/components/{path}/deployment"), &host.admin_key);
    Ok(request.json(&json!({"traffic": {version: 100}})).send().await?)
}

pub(crate) fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn values_of_all_kinds_cross_between_components_that_were_written_apart() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    success(host.publish(guests::plugin("kitchen-rating")?, "deploy=true").await?).await?;
    grant(&host, "test:canteens", &["kitchen:rating"]).await?;
    success(host.publish(guests::built("test-canteens")?, "deploy=true").await?).await?;
    let path = "test/canteens/canteens/rank";
    let arguments = json!({"kitchens": ["第一食堂", "第二食堂", "第三食堂"], "inspector": "陈明"});
    let ranked = success(host.call(path, &key, &arguments).await?).await?;
    let names: Vec<_> = ranked.as_array().into_iter().flatten().map(|one| one[0].clone()).collect();
    assert_eq!(names, ["第一食堂", "第二食堂", "第三食堂"], "{ranked}");
    ensure!(ranked[0][1].as_u64() > ranked[2][1].as_u64(), "{ranked}");
    let calls = tree::entries(dir.path())?;
    assert_eq!(calls.iter().filter(|entry| entry.component == "kitchen:rating" && entry.outcome == "ok").count(), 3);

    // The other one's error is a value to the caller, and an outcome in the ledger.
    let (status, problem) =
        problem(host.call(path, &key, &json!({"kitchens": ["一"], "inspector": null})).await?).await?;
    assert_eq!((status, code(&problem)), (422, "component-error"), "{problem:#}");
    ensure!(problem["error"].as_str().is_some_and(|error| error.contains("NoInspection")), "{problem:#}");
    let failed = tree::entries(dir.path())?.into_iter().rfind(|entry| entry.component == "kitchen:rating");
    assert_eq!(failed.map(|entry| entry.outcome), Some("component-error".to_owned()));
    Ok(())
}

#[test]
fn without_a_shelf_there_is_nobody_to_call() -> Result<()> {
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("link.wasm"), guests::link("one", "two", 1)?)?;
    let ended = wares(dir.path(), ["call", "--file", "link.wasm", "go", "{\"n\": 1}"])?;
    assert_eq!(ended.code, 7, "{}", ended.stderr);
    let problem: Value = serde_json::from_str(&ended.stdout)?;
    for words in ["test:two/links@1.0.0#go", "another component on a shelf provides that"] {
        ensure!(detail(&problem).contains(words), "{words}: {problem:#}");
    }
    Ok(())
}
