//! Lists and tables: they show what there is, all of it and once, whatever happens between two pages.

use crate::command::{client, done};
use anyhow::{Context as _, Result};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

/// All pages of a list, with what happens between two of them.
async fn pages(host: &Host, path: &str, between: impl AsyncFn(usize) -> Result<()>) -> Result<Vec<Value>> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    for number in 0.. {
        let joint = if path.contains('?') { '&' } else { '?' };
        let response = host.request(Method::GET, &format!("{path}{joint}limit=2"), &host.admin_key);
        let response = if cursor.is_empty() { response } else { response.query(&[("cursor", &cursor)]) };
        let page = success(response.send().await?).await?;
        items.extend(page["items"].as_array().context("items")?.iter().cloned());
        match page["next"].as_str() {
            None => break,
            Some(next) => cursor = next.to_owned(),
        }
        between(number).await?;
    }
    Ok(items)
}

fn texts(items: &[Value], pointer: &str) -> Vec<String> {
    items.iter().map(|item| item.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_few_calls_that_went_wrong_are_all_found_among_many() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "2.0.0").await?;
    let key = host.tenant("district").await?;
    let mut traps = BTreeSet::new();
    for round in 0..5 {
        for a in 0..60 {
            host.call("test/hostile/add", &key, &json!({"a": a, "b": round})).await?.error_for_status()?;
        }
        let trap = host.call("test/hostile/trap", &key, &json!({})).await?;
        traps.insert(trap.headers()["wares-call-id"].to_str()?.to_owned());
    }
    host.call("test/swap/numbers/number", &key, &json!({})).await?.error_for_status()?;

    let quiet = async |_| Ok(());
    let bad = pages(&host, "/v1/calls?outcome=trap", quiet).await?;
    assert_eq!(texts(&bad, "/call").into_iter().collect::<BTreeSet<_>>(), traps);
    assert_eq!(bad.len(), traps.len(), "each once");
    // Whatever is asked for, as many calls are listed as are counted.
    for (filter, expected) in [
        ("outcome=trap", 5),
        ("outcome=ok", 301),
        ("component=test:hostile", 305),
        ("component=test:hostile&outcome=ok&version=1.0.0", 300),
        ("version=2.0.0", 1),
        ("function=trap&application=tests&tenant=district", 5),
        ("application=nobody", 0),
        ("to=2020-01-01", 0),
        ("from=2020-01-01", 306),
    ] {
        let listed = pages(&host, &format!("/v1/calls?{filter}"), quiet).await?;
        let usage = host.get(&format!("/v1/usage?{filter}")).await?;
        let counted = usage["items"][0]["calls"].as_u64().unwrap_or_default();
        assert_eq!((listed.len() as u64, counted), (expected, expected), "{filter}");
    }
    let said = |args: &[&str]| done(dir.path(), &host, &host.admin_key, args);
    let listed: Vec<Value> =
        serde_json::from_str(&said(&["calls", "list", "--outcome", "trap", "--limit", "10", "--output", "json"])?)?;
    assert_eq!(texts(&listed, "/call").into_iter().collect::<BTreeSet<_>>(), traps);
    assert_eq!(said(&["calls", "list", "--to", "2020-01-01"])?.trim(), "no such calls");
    let counted = said(&["usage", "test/hostile", "--version", "1.0.0", "--outcome", "trap", "--by", "function"])?;
    assert!(counted.contains("trap") && !counted.contains("add"), "{counted}");
    for (args, word) in
        [(["--from", "soon"], "2026-11-24"), (["--outcome", "bad"], "outcome"), (["--version", "1"], "1")]
    {
        let refused = client(dir.path(), &host, &host.admin_key, &[&["calls", "list"], &args[..]].concat())?;
        assert_eq!((refused.code, refused.stderr.contains(word)), (2, true), "{args:?}: {}", refused.stderr);
    }
    Ok(())
}

#[tokio::test]
async fn what_comes_and_goes_between_pages_hides_and_repeats_nothing() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let set = async |key: &str| {
        host.put(&format!("/v1/components/test/swap/secrets/{key}"), json!({"value": "x"})).await.map(drop)
    };
    let all = ["b", "d", "f", "h", "j", "l"];
    for key in all {
        set(key).await?;
    }
    let path = "/v1/components/test/swap/secrets";
    let listed = pages(&host, path, async |page| {
        // The last one of the page, which the cursor names, goes; others come before and after it.
        let gone = host.request(Method::DELETE, &format!("{path}/{}", all[page * 2 + 1]), &host.admin_key);
        gone.send().await?.error_for_status()?;
        set("a").await?;
        set(["e", "i", "m"][page]).await
    })
    .await?;
    assert_eq!(texts(&listed, "/name"), ["b", "d", "e", "f", "i", "j", "m"]);
    let rest = pages(&host, path, async |_| Ok(())).await?;
    assert_eq!(texts(&rest, "/name"), ["a", "b", "e", "f", "i", "j", "m"]);

    for tenant in ["b", "d", "f"] {
        host.tenant(tenant).await?;
    }
    let listed = pages(&host, "/v1/tenants", async |_| host.tenant("a").await.map(drop)).await?;
    assert_eq!(texts(&listed, "/id"), ["b", "d", "f"]);
    let listed = pages(&host, "/v1/keys", async |_| Ok(())).await?;
    assert_eq!(listed.len(), 5);
    let refused = host.request(Method::GET, "/v1/keys?cursor=x", &host.admin_key).send().await?;
    assert_eq!(problem(refused).await?.0, 400);
    Ok(())
}

#[tokio::test]
async fn usage_by_hour_day_and_month_is_that_of_the_shelf_s_time_zone() -> Result<()> {
    let dir = tempfile::tempdir()?;
    // In China the next month has begun.
    let host = Host::start_at("2026-11-30 17:30:00", dir.path(), None, &[]).await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let key = host.tenant("district").await?;
    host.call("test/swap/numbers/number", &key, &json!({})).await?.error_for_status()?;
    let rows = async |query: &str| {
        let usage = host.get(&format!("/v1/usage?group_by=month,day,hour{query}")).await?;
        let row = &usage["items"][0];
        let words = ["month", "day", "hour"].map(|word| row[word].as_str().unwrap_or("-").to_owned());
        anyhow::Ok((usage["time-zone"].as_str().unwrap_or_default().to_owned(), words.join(" ")))
    };
    let there = ("Asia/Shanghai".to_owned(), "2026-12 2026-12-01 2026-12-01T01:00:00+08:00".to_owned());
    assert_eq!(rows("").await?, there);
    assert_eq!(rows("&from=2026-12-01&to=2026-12-02").await?, there);
    assert_eq!(rows("&to=2026-12-01").await?.1, "- - -", "the day begins at midnight there");
    let utc = "2026-11 2026-11-30 2026-11-30T17:00:00+00:00";
    assert_eq!(rows("&time_zone=UTC").await?, ("UTC".to_owned(), utc.to_owned()));
    assert_eq!(rows("&time_zone=UTC&from=2026-12-01").await?.1, "- - -");
    let calls = host.get("/v1/calls?from=2026-12-01&to=2026-12-02").await?;
    assert_eq!(calls["items"].as_array().map(Vec::len), Some(1));
    let table = done(dir.path(), &host, &host.admin_key, &["usage", "--by", "day,component"])?;
    assert!(table.contains("2026-12-01") && table.contains("test:swap"), "{table}");
    let wrong = host.request(Method::GET, "/v1/usage?time_zone=Asia/Peking", &host.admin_key).send().await?;
    let (status, document) = problem(wrong).await?;
    assert_eq!(status, 400, "{document:#}");
    drop(host);
    let host = Host::start_in(dir.path(), Some("x"), &[], &[("WARES_TIME_ZONE", "Asia/Peking")]).await;
    assert!(host.is_err(), "a zone that there is not");
    Ok(())
}

#[tokio::test]
async fn every_list_comes_as_csv_with_the_same_head_whatever_is_in_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let csv = async |path: &str| {
        let asked = host.request(Method::GET, path, &host.admin_key).header("accept", "text/csv");
        table(asked.send().await?).await
    };
    const EMPTY: [&str; 3] = ["/v1/calls", "/v1/jobs", "/v1/tenants"];
    let mut heads = Vec::new();
    for path in EMPTY {
        heads.push(csv(path).await?.0);
    }
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    let key = host.tenant("district").await?;
    host.call("test/hostile/trap", &key, &json!({})).await?;
    let job = host.request(Method::POST, "/v1/call/test/hostile/trap", &key).header("prefer", "respond-async");
    job.json(&json!({})).send().await?.error_for_status()?;
    for (path, head) in EMPTY.iter().zip(heads) {
        let (now, lines, _) = csv(path).await?;
        assert!(!lines.is_empty() && now == head, "{path}: {head} became {now}");
    }
    for path in [
        "/v1/components",
        "/v1/components/test/hostile/versions",
        "/v1/components/test/hostile/deployment/history",
        "/v1/keys",
        "/v1/tenants/district/keys",
        "/v1/namespaces",
        "/v1/usage?group_by=component,outcome",
    ] {
        let (head, lines, _) = csv(path).await?;
        let listed = host.get(path).await?;
        let items = listed["items"].as_array().context("items")?;
        assert_eq!(lines.len(), items.len(), "{path}");
        let known: BTreeSet<&str> = head.split(',').collect();
        assert!(
            items
                .iter()
                .flat_map(|item| item.as_object())
                .flat_map(|item| item.keys())
                .all(|key| known.contains(key.as_str()))
        );
    }
    for path in [
        "/v1/providers",
        "/v1/graph",
        "/v1/submissions",
        "/v1/logs",
        "/v1/usage-reports",
        "/v1/tenants/district/schedules",
    ] {
        csv(path).await?;
    }
    let (_, lines, next) = csv("/v1/calls?limit=1&format=csv").await?;
    assert!(lines.len() == 1 && next.is_some(), "the cursor of the next page is in a header");

    let asked = |path: &str| host.request(Method::GET, path, &host.admin_key).send();
    table(asked("/v1/calls?format=csv").await?).await?;
    let (status, document) = problem(asked("/v1/components/test/hostile?format=csv").await?).await?;
    assert_eq!((status, code(&document)), (400, "bad-request"), "{document:#}");
    assert_eq!(problem(asked("/v1/calls?format=xml").await?).await?.0, 400);
    let tagged = asked("/v1/tenants?format=csv").await?;
    let tag = tagged.headers()["etag"].clone();
    let again = host.request(Method::GET, "/v1/tenants?format=csv", &host.admin_key).header("if-none-match", tag);
    assert_eq!(again.send().await?.status(), 304);

    let said = |args: &[&str]| done(dir.path(), &host, &host.admin_key, args);
    let calls = said(&["calls", "list", "--output", "csv"])?;
    assert!(calls.starts_with("call,tenant,application,component,version,"), "{calls}");
    let usage = said(&["usage", "--by", "component,outcome", "--output", "csv"])?;
    assert!(usage.starts_with("component,outcome,calls,cpu-us,"), "{usage}");
    assert!(usage.contains("\ntest:hostile,trap,"), "{usage}");
    assert_eq!(said(&["tenants", "list", "--json"])?, said(&["tenants", "list", "--output", "json"])?);
    Ok(())
}

/// The head and the lines of an answer that is a table, and the cursor of the next page.
async fn table(response: Response) -> Result<(String, Vec<String>, Option<String>)> {
    let response = response.error_for_status()?;
    let (headers, url) = (response.headers().clone(), response.url().clone());
    let kind = headers["content-type"].to_str()?;
    anyhow::ensure!(kind.starts_with("text/csv; charset=utf-8"), "{url}: {kind}");
    let next = headers.get("wares-next-cursor").map(|next| next.to_str().map(str::to_owned)).transpose()?;
    let text = response.text().await?;
    // Line feeds within a cell stand between quotation marks.
    let mut lines = text.split_terminator("\r\n").map(str::to_owned);
    Ok((lines.next().unwrap_or_default(), lines.collect(), next))
}
