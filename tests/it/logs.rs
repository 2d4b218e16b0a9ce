//! What calls wrote: line by line with where it is from, from the ledger or as the calls end.

use crate::command::client;
use crate::watch::status_bytes;
use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wares_it::guests;
use wares_it::host::{Host, binary, code, problem};
use wares_it::wait;

async fn confidant(data: &Path) -> Result<(Host, String)> {
    let host = Host::start(data).await?;
    let grants = json!({"grants": {"secrets": ["token", "spare"]}});
    host.put("/v1/components/test/confides/grants", grants).await?;
    host.publish(guests::built("test-confides")?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("north").await?;
    Ok((host, key))
}

async fn say(host: &Host, key: &str, line: &str) -> Result<String> {
    let response = host.call("test/confides/confidant/say", key, &json!({"line": line})).await?.error_for_status()?;
    Ok(response.headers()["wares-call-id"].to_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_keeps_lines_with_what_they_are() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, north) = confidant(data.path()).await?;
    let south = host.tenant("south").await?;
    let first = say(&host, &north, "one").await?;
    say(&host, &south, "two").await?;
    let logs = host.get("/v1/logs").await?;
    let shown: Vec<_> = logs["items"]
        .as_array()
        .context("items")?
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            format!("{} {} {} {}", text("tenant"), text("stream"), text("level"), text("message"))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "north log warn logged one",
            "north stdout - out one",
            "north stderr - err one",
            "south log warn logged two",
            "south stdout - out two",
            "south stderr - err two",
        ]
    );
    let line = &logs["items"][0];
    assert_eq!(
        (&line["call"], &line["component"], &line["version"]),
        (&json!(first), &json!("test:confides"), &json!("1.0.0"))
    );
    assert_eq!(line["context"], json!("confides"));
    assert!(line["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    for (query, count) in [
        ("tenant=south", 3),
        ("component=test:confides", 6),
        ("component=test:other", 0),
        ("limit=1", 3),
        (&*format!("call={first}"), 3),
    ] {
        let logs = host.get(&format!("/v1/logs?{query}")).await?;
        assert_eq!(logs["items"].as_array().map(Vec::len), Some(count), "{query}: {logs}");
    }
    // The call's own entry has the same as one text.
    let entry = host.get(&format!("/v1/calls/{first}")).await?;
    assert_eq!(entry["logs"], json!("[warn confides] logged one\nout one\nerr one\n"));
    let listed = client(data.path(), &host, &host.admin_key, &["logs", "test:confides", "--tenant", "south"])?;
    ensure!(listed.code == 0, "{}", listed.stderr);
    assert!(
        listed.stdout.lines().count() == 3 && listed.stdout.contains("warn confides: logged two"),
        "{}",
        listed.stdout
    );
    let (status, _) = problem(host.request(Method::GET, "/v1/logs", &north).send().await?).await?;
    assert_eq!(status, 403);
    Ok(())
}

/// `wares logs --follow`, with these further words.
fn follower(host: &Host, words: &[&str]) -> Result<Child> {
    let mut command = Command::new(binary()?);
    command.args(["logs", "test:confides", "--follow"]).args(words).kill_on_drop(true);
    command.env("WARES_HOST", &host.url).env("WARES_KEY", &host.admin_key);
    Ok(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Makes calls until something comes of one: it takes a moment until who follows is there.
async fn calling_until<T>(mut call: impl AsyncFnMut() -> Result<String>, wanted: impl Future<Output = T>) -> Result<T> {
    let calling = wait::until("a call that who follows sees", async || Ok(Err::<T, _>(call().await?)));
    tokio::select! {
        came = wanted => Ok(came),
        never = calling => never,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_sees_the_lines_of_a_call_that_ends() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, north) = confidant(data.path()).await?;
    let south = host.tenant("south").await?;
    let mut process = follower(&host, &["--tenant", "south", "--json"])?;
    let mut lines = BufReader::new(process.stdout.take().context("stdout")?).lines();
    let call = async || {
        say(&host, &north, "not for them").await?;
        say(&host, &south, "for them").await
    };
    let line = calling_until(call, lines.next_line()).await??.context("it ended")?;
    let line: Value = serde_json::from_str(&line)?;
    assert_eq!((&line["tenant"], &line["message"]), (&json!("south"), &json!("logged for them")));
    let entry = host.entry(line["call"].as_str().context("call")?).await?;
    assert_eq!(entry["tenant"], "south", "{line}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_ends_when_nobody_reads_any_more() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = confidant(data.path()).await?;
    for words in [&["--json"], &[] as &[&str]] {
        let mut process = follower(&host, words)?;
        drop(process.stdout.take());
        let ended = calling_until(async || say(&host, &key, "anyone?").await, process.wait()).await??;
        assert_eq!(ended.code(), Some(0));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_follows_is_told_that_the_host_ends() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (mut host, key) = confidant(data.path()).await?;
    let mut process = follower(&host, &[])?;
    let mut lines = BufReader::new(process.stdout.take().context("stdout")?).lines();
    calling_until(async || say(&host, &key, "anyone?").await, lines.next_line()).await??.context("it ended")?;
    host.signal(Signal::TERM)?;
    let read_on = async {
        while lines.next_line().await?.is_some() {}
        anyhow::Ok(())
    };
    let (read_on, ended) = tokio::join!(read_on, process.wait_with_output());
    read_on?;
    let ended = ended?;
    assert_eq!(ended.status.code(), Some(8));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("no more lines"), "{said}");
    assert!(host.wait().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_keep_up_is_cut_off_and_told_and_no_call_waits() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = confidant(data.path()).await?;
    let path = "/v1/logs?follow=true";
    let mut slow = host.request(Method::GET, path, &host.admin_key).send().await?.error_for_status()?;
    // It reads nothing, while more is written than what lies between it and the host holds.
    let long = "x".repeat(15_000);
    let calls = (0..64).map(|_| async {
        for _ in 0..16 {
            say(&host, &key, &long).await?;
        }
        anyhow::Ok(())
    });
    futures::future::try_join_all(calls).await?;
    let mut tail = Vec::new();
    let read = async {
        while let Some(chunk) = slow.chunk().await? {
            tail.extend_from_slice(&chunk);
            let excess = tail.len().saturating_sub(100_000);
            tail.drain(..excess);
        }
        anyhow::Ok(())
    };
    wait::patiently("it is not cut off", read).await??;
    let tail = String::from_utf8_lossy(&tail);
    let last = tail.trim_end().lines().last().unwrap_or_default();
    assert!(last.starts_with("{\"cut-off\":") && last.contains("does not keep up"), "{last}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_have_a_bound_and_leave_room_when_they_go() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = confidant(data.path()).await?;
    let follow = || host.request(Method::GET, "/v1/logs?follow=true", &host.admin_key).send();
    let mut all = Vec::new();
    let refused = loop {
        let response = follow().await?;
        if !response.status().is_success() {
            break response;
        }
        all.push(response);
        ensure!(all.len() <= 1_000, "there is no bound");
    };
    let (status, refusal) = problem(refused).await?;
    assert!(status == 503 && code(&refusal) == "overloaded", "{refusal}");
    drop(all);
    wait::until("there is room", async || {
        // The host finds out that a reader has gone when it writes.
        say(&host, &key, "anyone?").await?;
        let status = follow().await?.status();
        Ok(if status.is_success() { Ok(()) } else { Err(status) })
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_ends_does_not_wait_for_those_who_follow() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (mut host, _) = confidant(data.path()).await?;
    let mut following =
        host.request(Method::GET, "/v1/logs?follow=true", &host.admin_key).send().await?.error_for_status()?;
    host.signal(Signal::TERM)?;
    assert!(following.chunk().await?.is_none());
    assert!(host.wait().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_of_nothing_but_lines_are_read_in_pages_of_a_size() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = confidant(data.path()).await?;
    let mut calls = std::collections::BTreeSet::new();
    for _ in 0..40 {
        calls.insert(say(&host, &key, &"\n".repeat(60_000)).await?);
    }
    let pid = host.pid().context("pid")?;
    let before = status_bytes(pid, "VmRSS")?;
    let (mut pages, mut cursor) = (0, String::new());
    loop {
        let page = host.request(Method::GET, &format!("/v1/logs?limit=1000{cursor}"), &host.admin_key).send().await?;
        let page = page.error_for_status()?.text().await?;
        ensure!(page.len() < 8 << 20, "a page of {} bytes", page.len());
        let page: Value = serde_json::from_str(&page)?;
        for line in page["items"].as_array().context("items")? {
            calls.remove(line["call"].as_str().unwrap_or_default());
        }
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    ensure!(calls.is_empty() && pages > 3, "{pages} pages, without {calls:?}");
    let grown = status_bytes(pid, "VmHWM")?.saturating_sub(before);
    ensure!(grown < 128 << 20, "the host grew by {grown} bytes");
    Ok(())
}
