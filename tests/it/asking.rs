//! How requests are answered that are not calls that end well: statuses, what they say of the ledger, and that nothing of what
//! is refused stays.

use crate::command::done;
use crate::raw::{Raw, exchange};
use crate::serve::Shelf;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use reqwest::{Method, Response};
use serde_json::json;
use wares_it::guests;
use wares_it::host::{Host, code, problem};

const HOSTILE: &str = "/v1/call/test/hostile";

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

async fn shelf(data: &std::path::Path) -> Result<(Host, String)> {
    let host = Host::start(data).await?;
    let key = host.tenant("north").await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;
    Ok((host, key))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_how_its_call_stands_in_the_ledger() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, key) = shelf(dir.path()).await?;
    host.publish_and_deploy(guests::text("refuses")?, "test:refuses", "1.0.0").await?;
    for (path, arguments, status, outcome) in [
        ("test/hostile/add", json!([1, 2]), 200, "ok"),
        ("test/refuses/refuse", json!({"n": 7}), 422, "component-error"),
        ("test/hostile/trap", json!({}), 500, "trap"),
        ("test/hostile/spin", json!({}), 500, "limit-cpu"),
        ("test/hostile/eat-memory", json!({}), 500, "limit-memory"),
        ("test/hostile/add", json!([1]), 400, ""),
        ("test/hostile/ad", json!([1]), 404, ""),
    ] {
        let answer = host.call(path, &key, &arguments).await?;
        assert_eq!((answer.status().as_u16(), header(&answer, "wares-outcome")), (status, outcome), "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_component_does_not_say_itself_how_its_call_ended() -> Result<()> {
    let shelf = Shelf::new().await?;
    let empty = shelf.request(Method::GET, "/empty").send().await?;
    assert_eq!((empty.status().as_u16(), header(&empty, "wares-outcome")), (204, "ok"));
    let long = shelf.request(Method::GET, "/long").send().await?;
    assert_eq!((long.status().as_u16(), header(&long, "wares-outcome")), (200, ""), "its head leaves before its end");
    let trapped = shelf.request(Method::GET, "/panic").send().await?;
    assert_eq!((trapped.status().as_u16(), header(&trapped, "wares-outcome")), (500, "trap"));
    Ok(())
}

/// Path, key, headers, and the status of the answer and the encodings that it names.
type Bodied<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_an_address_does_not_take_are_unsupported() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, key) = shelf(dir.path()).await?;
    let add = format!("{HOSTILE}/add");
    let plain = [("content-type", "text/plain")];
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let gzip = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let zstd = [("content-encoding", "zstd")];
    let json_with_charset = [("content-type", "application/json; charset=utf-8"), ("content-encoding", "identity")];
    let cases: [Bodied; 8] = [
        (&add, &key, &plain, 415, ""),
        (&add, &key, &form, 415, ""),
        (&add, &key, &gzip, 415, "identity"),
        (&add, &key, &zstd, 415, "identity"),
        (&add, &key, &json_with_charset, 200, ""),
        ("/v1/tenants", &host.admin_key, &plain, 415, ""),
        ("/v1/tenants", &host.admin_key, &gzip, 415, "identity"),
        ("/v1/components", &host.admin_key, &plain, 415, ""),
    ];
    for (path, key, headers, status, accepted) in cases {
        let request = host.request(Method::POST, path, key).body("[1, 2]");
        let answer =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)).send().await?;
        assert_eq!(
            (answer.status().as_u16(), header(&answer, "accept-encoding")),
            (status, accepted),
            "{path} {headers:?}"
        );
        if status != 200 {
            assert_eq!(code(&problem(answer).await?.1), "unsupported", "{path} {headers:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_an_address_does_not_take_are_unsupported() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, key) = shelf(dir.path()).await?;
    let add = format!("{HOSTILE}/add");
    for (method, path, status, allowed) in [
        ("GET", add.as_str(), 405, "POST"),
        ("DELETE", "/v1/components", 405, "GET,HEAD,POST"),
        ("PATCH", "/v1/jobs", 405, "GET,HEAD"),
        ("POST", "/healthz", 405, "GET,HEAD"),
        ("BREW", add.as_str(), 501, "POST"),
    ] {
        let answer = host.request(method.parse()?, path, &key).send().await?;
        let mut allow: Vec<_> = header(&answer, "allow").split(',').map(str::to_owned).collect();
        allow.sort();
        assert_eq!((answer.status().as_u16(), allow.join(",").as_str()), (status, allowed), "{method} {path}");
        let (_, document) = problem(answer).await?;
        assert_eq!((code(&document), &document["status"]), ("unsupported", &json!(status)), "{method} {path}");
    }
    let page = host.request(Method::GET, "/problems/unsupported", &key).send().await?.text().await?;
    assert!(page.contains("415, 405, 501"), "{page}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_opens_no_tunnels() -> Result<()> {
    let shelf = Shelf::new().await?;
    for target in ["/serve/test/answers/x", "/v1/components", "other:443"] {
        let key = &shelf.key;
        let request = format!("CONNECT {target} HTTP/1.1\r\nhost: shelf\r\nauthorization: Bearer {key}\r\n\r\n");
        let answer = exchange(&shelf.host, &request).await?;
        assert!(answer.starts_with("HTTP/1.1 501 ") && answer.contains("/problems/unsupported"), "{target}: {answer}");
    }
    let io = TokioIo::new(Raw::connect(&shelf.host).await?.into_stream());
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new()).handshake(io).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::builder().method(Method::CONNECT).uri("other:443").body(Empty::<Bytes>::new())?;
    assert_eq!(sender.send_request(request).await?.status(), 501);
    connection.abort();
    let usage = shelf.host.get("/v1/usage").await?;
    assert_eq!(usage["items"], json!([]), "the component has not run");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_head_is_refused_and_ends_its_connection() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    for (head, word) in [
        ("GET /healthz HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "more than one Host"),
        ("GET /healthz HTTP/1.1\r\n\r\n", "no Host"),
        ("GET ftp://a/healthz HTTP/1.1\r\nhost: a\r\n\r\n", "ftp"),
    ] {
        let answer = exchange(&host, head).await?;
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains(word), "{head:?}: {answer}");
    }
    let absolute = "GET http://a/healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = exchange(&host, absolute).await?;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    answer.split_once("\r\n\r\n").context("a body").map(drop)
}

/// A component that exports a function, and one that imports what nobody has too.
fn fine_and_needing() -> Result<[Vec<u8>; 2]> {
    let exports = r#"(core module $m (func (export "f") (result i32) i32.const 1)) (core instance $i (instantiate $m))
        (func (export "f") (result u32) (canon lift (core func $i "f")))"#;
    let import = r#"(import "nobody:has/this@1.0.0" (instance (export "x" (func))))"#;
    Ok([wat::parse_str(format!("(component {exports})"))?, wat::parse_str(format!("(component {import} {exports})"))?])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_cannot_be_deployed_is_not_kept() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("north").await?;
    let [fine, needing] = fine_and_needing()?;
    let refused = host.publish(needing.clone(), "name=burn:one&version=1.0.0&deploy=true").await?;
    let (status, document) = problem(refused).await?;
    assert_eq!((status, code(&document)), (422, "invalid-component"), "{document:#}");
    let detail = document["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("was not published") && detail.contains("nobody:has/this"), "{detail}");
    assert_eq!(host.get("/v1/components").await?["items"], json!([]));

    // The number is free for other bytes, and nothing of the refused ones is loaded for it.
    host.publish_and_deploy(fine, "burn:one", "1.0.0").await?;
    let answer = host.call("burn/one/f", &key, &json!({})).await?;
    assert_eq!((answer.status().as_u16(), answer.text().await?), (200, "1".to_owned()));
    // A later one that is refused leaves the traffic as it is.
    let refused = host.publish(needing.clone(), "name=burn:one&version=1.0.1&deploy=true").await?;
    assert_eq!(refused.status(), 422);
    let versions = host.get("/v1/components/burn/one/versions").await?;
    assert_eq!(versions["items"].as_array().map(Vec::len), Some(1), "{versions:#}");
    let deployment = host.get("/v1/components/burn/one/deployment").await?;
    assert_eq!((&deployment["revision"], &deployment["traffic"]), (&json!(1), &json!({"1.0.0": 100})));
    // Without traffic it is taken.
    assert_eq!(host.publish(needing, "name=burn:one&version=1.0.1").await?.status(), 201);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_awaits_review_is_not_published_with_traffic() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let [fine, _] = fine_and_needing()?;
    host.put("/v1/namespaces/burn", json!({"review": true, "signature": false, "source": null})).await?;
    let query = "name=burn:one&version=1.0.0&kind=feature&method=tests&basis=asked";
    let refused = host.publish(fine.clone(), &format!("{query}&deploy=true")).await?;
    let (status, document) = problem(refused).await?;
    assert_eq!((status, code(&document)), (409, "conflict"), "{document:#}");
    assert!(document["detail"].as_str().unwrap_or_default().contains("awaits review"), "{document:#}");
    assert_eq!(host.get("/v1/submissions?state=all").await?["items"], json!([]));
    assert_eq!(host.publish(fine, query).await?.status(), 202);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_publication_with_traffic_many_times_at_once_is_one() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let [fine, _] = fine_and_needing()?;
    let publish = || host.publish(fine.clone(), "name=burn:one&version=1.0.0&deploy=true");
    for answer in futures::future::join_all((0..8).map(|_| publish())).await {
        let answer = answer?;
        assert!(answer.status().is_success(), "{}: {}", answer.status(), answer.text().await?);
    }
    let deployment = host.get("/v1/components/burn/one/deployment").await?;
    assert_eq!(deployment["traffic"], json!({"1.0.0": 100}));
    Ok(())
}

/// The id that an answer names, of its call or of the request.
fn id(response: &Response) -> &str {
    [header(response, "wares-call-id"), header(response, "wares-request-id")]
        .into_iter()
        .find(|id| !id.is_empty())
        .unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_an_id_that_leads_to_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, key) = shelf(dir.path()).await?;
    let other = host.tenant("south").await?;
    let (norths, nobody) = (key.clone(), "nobody".to_owned());
    for (key, method, path, expected, is_norths) in [
        (&key, Method::POST, format!("{HOSTILE}/add"), "bad-arguments", true),
        (&key, Method::POST, format!("{HOSTILE}/ad"), "not-found", true),
        (&key, Method::POST, "/v1/call/test/nothing/add".to_owned(), "not-found", true),
        (&key, Method::GET, format!("{HOSTILE}/add"), "unsupported", false),
        (&key, Method::GET, "/serve/test/hostile/".to_owned(), "not-found", true),
        (&key, Method::GET, "/v1/tenants".to_owned(), "forbidden", true),
        (&host.admin_key, Method::PUT, "/v1/components/test/hostile/deployment".to_owned(), "bad-request", false),
        (&nobody, Method::POST, format!("{HOSTILE}/add"), "unauthenticated", false),
    ] {
        let request = host.request(method.clone(), &path, key).header("x-request-id", "mine-7").body("{");
        let answer = request.header("content-type", "application/json").send().await?;
        assert_eq!(header(&answer, "x-request-id"), "mine-7", "{path}");
        let (id, status) = (id(&answer).to_owned(), answer.status().as_u16());
        let (_, document) = problem(answer).await?;
        let named = if document["call_id"].is_null() { &document["request_id"] } else { &document["call_id"] };
        assert_eq!(named, &json!(id), "{path}: {document:#}");

        let kept = host.get(&format!("/v1/calls/{id}")).await.with_context(|| path.clone())?;
        let seen = (&kept["outcome"], &kept["code"], &kept["status"], &kept["path"], &kept["request-id"]);
        assert_eq!(
            seen,
            (&json!("refused"), &json!(expected), &json!(status), &json!(path), &json!("mine-7")),
            "{kept:#}"
        );
        assert_eq!((&kept["method"], &kept["detail"]), (&json!(method.as_str()), &document["detail"]));
        for (asks, sees) in [(&host.admin_key, true), (&other, false), (&norths, is_norths)] {
            let status = host.request(Method::GET, &format!("/v1/calls/{id}"), asks).send().await?.status();
            assert_eq!(status, if sees { 200 } else { 404 }, "{path}");
        }
    }
    let usage = host.get("/v1/usage").await?;
    assert_eq!(usage["items"], json!([]), "what is refused is not counted");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_of_a_request_is_kept_with_its_call() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, key) = shelf(dir.path()).await?;
    let long = "x".repeat(129);
    for (name, kept) in [("order-7", json!("order-7")), (long.as_str(), json!(null)), ("two words", json!(null))] {
        let request = host.request(Method::POST, &format!("{HOSTILE}/add"), &key).header("x-request-id", name);
        let answer = request.json(&json!([1, 2])).send().await?;
        assert_eq!(header(&answer, "x-request-id"), kept.as_str().unwrap_or_default());
        let entry = host.get(&format!("/v1/calls/{}", id(&answer))).await?;
        assert_eq!((&entry["outcome"], &entry["request-id"]), (&json!("ok"), &kept));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_the_host_stands_in_its_log_under_the_id_of_the_answer() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, key) = shelf(dir.path()).await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    for folder in ["artifacts", "native"].map(|folder| dir.path().join(folder)) {
        std::fs::remove_dir_all(&folder)?;
        std::fs::create_dir(&folder)?;
    }
    let log = dir.path().join("log");
    let mut command = Host::command(dir.path(), &[], &[])?;
    command.stderr(std::fs::File::create(&log)?);
    let host = Host::run(command, Some(&admin_key)).await?;
    let answer = host.call("test/hostile/add", &key, &json!([1, 2])).await?;
    let id = id(&answer).to_owned();
    let (status, document) = problem(answer).await?;
    assert_eq!((status, code(&document)), (500, "host-error"), "{document:#}");
    let text = std::fs::read_to_string(&log)?;
    assert!(text.lines().any(|line| line.contains("ERROR") && line.contains(&id)), "no {id} in {text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_a_refusal() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (host, key) = shelf(dir.path()).await?;
    let refused = host.call("test/hostile/ad", &key, &json!([1, 2])).await?;
    let shown = done(dir.path(), &host, &key, &["calls", "show", id(&refused)])?;
    assert!(shown.contains("refused: not-found (404)") && shown.contains("POST /v1/call/test/hostile/ad"), "{shown}");
    Ok(())
}
