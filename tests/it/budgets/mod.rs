//! What one caller can make the host hold, and for how long: bodies, answers, downloads, connections, turns to change something.

mod scene;

use crate::connections::http2_with_window;
use crate::raw::{Raw, exchange};
use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::channel::mpsc;
use futures::future::join_all;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use reqwest::{Method, StatusCode};
use scene::{Scene, bounds, head_of};
use serde_json::json;
use std::pin::pin;
use std::time::Duration;
use tokio::task::JoinSet;
use wares_it::guests;
use wares_it::host::{code, problem, success};
use wares_model::PrivateKey;

/// Longest wait for what the host does by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// The host waits this many seconds for a client.
const SHORT: [(&str, &str); 1] = [("WARES_HTTP_BODY_SECONDS_MAX", "2")];
/// Memory that grows beside what is counted: buffers of connections, and what the allocator keeps.
const BESIDE_BYTES_MAX: u64 = 192 << 20;
/// What the attacker's requests may hold, as the host is set by default.
const TENANT_BYTES: u64 = 256 << 20;

/// Base64 of so many bytes, a multiple of three.
fn base64_of_zeros(bytes: usize) -> String {
    "A".repeat(bytes / 3 * 4)
}

/// How many of so many bodies, all but their last byte, are refused with a word to come later.
async fn slow_bodies(scene: &Scene, keys: &[&str], count: usize) -> Result<usize> {
    let length = 4 << 20;
    let mut bodies = JoinSet::new();
    for key in keys.iter().cycle().take(count) {
        let head = format!("{}content-length: {length}\r\n\r\n", head_of(key, "POST /v1/call/test/bulk/take"));
        let mut raw = Raw::connect(&scene.host).await?;
        bodies.spawn(async move {
            raw.send(&head).await?;
            // All but the last byte, or as much as the host takes.
            let _ = raw.send(&"x".repeat(length - 1)).await;
            raw.rest().await
        });
    }
    let mut refused = 0;
    while let Some(answer) = bodies.join_next().await {
        let answer = answer??;
        // An answer may be lost that comes while the client sends.
        let later = ["HTTP/1.1 429 ", "HTTP/1.1 503 "].iter().any(|status| answer.starts_with(status));
        ensure!(answer.is_empty() || later || answer.starts_with("HTTP/1.1 4"), "{answer}");
        refused += usize::from(later);
    }
    Ok(refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_sent_slowly_hold_no_more_than_their_tenants_part() -> Result<()> {
    let scene = Scene::new(&SHORT).await?;
    let watch = scene.watch().await?;
    ensure!(slow_bodies(&scene, &[&scene.key], 600).await? > 0, "more was taken than the tenant may hold");
    watch.end("slow bodies", bounds(TENANT_BYTES + BESIDE_BYTES_MAX)).await?;
    scene.until_normal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_several_tenants_hold_no_more_than_the_hosts_part() -> Result<()> {
    let (tenant_bytes, host_bytes) = (64 << 20, 128 << 20);
    let [short] = SHORT;
    let (of_tenant, of_host) = (tenant_bytes.to_string(), host_bytes.to_string());
    let bytes = [("WARES_HTTP_TENANT_HELD_BYTES_MAX", &*of_tenant), ("WARES_HTTP_HELD_BYTES_MAX", &*of_host)];
    let scene = Scene::new(&[&[short], &bytes[..]].concat()).await?;
    let others =
        [scene.host.tenant("second").await?, scene.host.tenant("third").await?, scene.host.tenant("fourth").await?];
    let keys = [&*scene.key, &others[0], &others[1], &others[2]];
    let watch = scene.watch().await?;
    ensure!(slow_bodies(&scene, &keys, 200).await? > 0, "more was taken than the host may hold");
    watch.end("slow bodies of four tenants", bounds(host_bytes + BESIDE_BYTES_MAX)).await?;
    scene.until_normal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_not_taken_hold_no_more_than_their_tenants_part() -> Result<()> {
    let (length, running_max, tenant_bytes) = (1 << 20, 64, 64 << 20);
    let part = tenant_bytes.to_string();
    let [short] = SHORT;
    let scene = Scene::new(&[short, ("WARES_HTTP_TENANT_HELD_BYTES_MAX", &part)]).await?;
    let watch = scene.watch().await?;
    let mut answers = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..2 {
        let (sender, connection) = http2_with_window(&scene.host, 0).await?;
        for _ in 0..128 {
            let request = hyper::Request::post(format!("{}/v1/call/test/bulk/give", scene.host.url))
                .header("authorization", format!("Bearer {}", scene.key))
                .body(Full::from(json!({"length": length}).to_string()).boxed())?;
            let mut sender = sender.clone();
            answers.spawn(async move {
                let answer = sender.send_request(request).await?;
                let status = answer.status();
                // Nothing can come: there is no window.
                anyhow::Ok((status, answer.into_body().collect().await.is_err()))
            });
        }
        connections.push((sender, connection));
    }
    let mut refused = 0;
    let all = async {
        while let Some(answer) = answers.join_next().await {
            let (status, is_given_up) = answer??;
            ensure!(is_given_up, "{status}: an answer came through no window");
            refused += usize::from(status == 429);
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE * 4, all).await.context("answers are kept for good")??;
    ensure!(refused > 0, "more was kept than the tenant may hold");
    // What was running when the budget was full counts as well: each call's memory, its value, and the text of that.
    watch.end("answers not taken", bounds(tenant_bytes + 4 * running_max * length + BESIDE_BYTES_MAX)).await?;
    for (mut sender, connection) in connections {
        // Only the streams were ended.
        let health = hyper::Request::get(format!("{}/healthz", scene.host.url)).body(Full::default().boxed())?;
        assert_eq!(sender.send_request(health).await?.status(), 200);
        drop(connection);
    }
    scene.until_normal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_only_read_is_not_given_beyond_the_tenants_part() -> Result<()> {
    let (length, tenant_bytes) = (900_000, 32 << 20);
    let part = tenant_bytes.to_string();
    let [short] = SHORT;
    let scene = Scene::new(&[short, ("WARES_HTTP_TENANT_HELD_BYTES_MAX", &part)]).await?;
    let give = scene.host.request(Method::POST, "/v1/call/test/bulk/give", &scene.key);
    let job = success(give.header("prefer", "respond-async").json(&json!({"length": length})).send().await?).await?;
    let path = format!("/v1/jobs/{}", job["id"].as_str().context("a job")?);
    scene.host.until(&path, |job| job["state"] == "succeeded").await?;
    let watch = scene.watch().await?;
    let (sender, _connection) = http2_with_window(&scene.host, 0).await?;
    let mut answers = JoinSet::new();
    for _ in 0..128 {
        let request = hyper::Request::get(format!("{}{path}", scene.host.url))
            .header("authorization", format!("Bearer {}", scene.key))
            .body(Full::default().boxed())?;
        let mut sender = sender.clone();
        answers.spawn(async move {
            let answer = sender.send_request(request).await?;
            let status = answer.status();
            drop(answer.into_body().collect().await);
            anyhow::Ok(status)
        });
    }
    let mut statuses = std::collections::BTreeMap::<u16, usize>::new();
    while let Some(answer) = tokio::time::timeout(PATIENCE * 4, answers.join_next()).await.context("kept for good")? {
        *statuses.entry(answer??.as_u16()).or_default() += 1;
    }
    println!("{statuses:?}");
    ensure!(statuses.get(&429).is_some_and(|refused| *refused > 64), "{statuses:?}");
    watch.end("results of a job that are not taken", bounds(tenant_bytes + BESIDE_BYTES_MAX)).await?;
    scene.until_normal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_no_key_and_takes_no_answer_keeps_nobody_out() -> Result<()> {
    let settings = [("WARES_HTTP_CONNECTIONS_MAX", "2000"), ("WARES_HTTP_PEER_CONNECTIONS_MAX", "1000")];
    let scene = Scene::new(&settings).await?;
    let watch = scene.watch().await?;
    let mut waiting = Vec::new();
    for path in ["/docs", "/healthz", "/v1/keys"].iter().cycle().take(1_200) {
        let (mut sender, connection) = http2_with_window(&scene.host, 0).await?;
        let ask = || hyper::Request::get(format!("{}{path}", scene.host.url)).body(Full::default().boxed());
        let asked = (0..24).map(|_| Ok(sender.send_request(ask()?))).collect::<Result<Vec<_>>>()?;
        waiting.push((sender, connection, tokio::spawn(join_all(asked))));
    }
    scene.is_normal().await?;
    let operator = scene.host.request(Method::GET, "/v1/keys", &scene.host.admin_key).send().await?;
    assert_eq!(operator.status(), StatusCode::OK);
    watch.end("answers that nobody takes who shows no key", bounds(BESIDE_BYTES_MAX)).await?;
    drop(waiting);
    scene.until_normal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_that_are_not_taken_hold_a_piece_each() -> Result<()> {
    let scene = Scene::new(&SHORT).await?;
    let padded = guests::with_section(guests::number(1)?, "padding", &vec![7; 32 << 20]);
    scene.host.publish_and_deploy(padded.clone(), "test:padded", "1.0.0").await?;
    let watch = scene.watch().await?;
    let path = "/v1/components/test/padded/versions/1.0.0/wasm";
    let mut downloads = Vec::new();
    for _ in 0..100 {
        let mut raw = Raw::connect(&scene.host).await?;
        raw.send(&format!("{}\r\n", scene.head(&format!("GET {path}")))).await?;
        raw.until("\r\n\r\n").await?;
        downloads.push(raw);
    }
    join_all(downloads.iter().map(Raw::until_given_up)).await.into_iter().collect::<Result<Vec<_>>>()?;
    watch.end("downloads not taken", bounds(BESIDE_BYTES_MAX)).await?;
    drop(downloads);
    let whole = scene.host.request(Method::GET, path, &scene.key).send().await?.error_for_status()?;
    ensure!(whole.bytes().await? == padded, "the bytes are others");
    scene.until_normal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn values_count_as_memory_of_their_call() -> Result<()> {
    let scene = Scene::new(&[("WARES_HTTP_TENANT_HELD_BYTES_MAX", "33554432")]).await?;
    let take = async |bytes: usize| {
        scene.host.call("test/bulk/take", &scene.key, &json!({"bytes": base64_of_zeros(bytes)})).await
    };
    let answer = take(300_000).await?;
    let call = answer.headers().get("wares-call-id").context("a call")?.to_str()?.to_owned();
    assert_eq!(success(answer).await?, 300_000);
    let entry = scene.host.get(&format!("/v1/calls/{call}")).await?;
    let peak = entry["memory-peak-bytes"].as_u64().unwrap_or_default();
    ensure!(peak > 300_000 * 24, "each byte is a value while the call runs: {entry:#}");

    // Three quarters of the tenant's part are for large requests.
    let (status, document) = problem(take(3_000_000).await?).await?;
    assert_eq!((status, code(&document)), (413, "too-large"), "{document:#}");
    scene.is_normal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_only_drip_are_broken_off() -> Result<()> {
    let settings = [("WARES_HTTP_BODY_SECONDS_MAX", "2"), ("WARES_HTTP_BODY_BYTES_PER_SECOND_MIN", "1000000")];
    let scene = Scene::new(&settings).await?;
    let mut raw = Raw::connect(&scene.host).await?;
    raw.send(&format!("{}content-length: 1000000\r\n\r\n", scene.head("POST /v1/call/test/bulk/take"))).await?;
    // Never silent for as long as the host waits for a piece.
    let dripping = async {
        let mut drops = tokio::time::interval(Duration::from_millis(200));
        loop {
            drops.tick().await;
            if raw.send("x").await.is_err() || raw.has_answer() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, dripping).await.context("it drips on")?;
    let answer = raw.rest().await?;
    ensure!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("too slowly"), "{answer}");

    // The same as one stream among others, which go on.
    let (mut sender, _connection) = http2_with_window(&scene.host, 65_535).await?;
    let (pieces, sent) = mpsc::unbounded();
    let request = hyper::Request::post(format!("{}/v1/call/test/bulk/take", scene.host.url))
        .header("authorization", format!("Bearer {}", scene.key))
        .body(StreamBody::new(sent).boxed())?;
    let mut answer = pin!(sender.send_request(request));
    let dripping = async {
        let mut drops = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                answer = &mut answer => return anyhow::Ok(answer?.status()),
                _ = drops.tick() => drop(pieces.unbounded_send(Ok(Frame::data(Bytes::from_static(b"x"))))),
            }
        }
    };
    assert_eq!(tokio::time::timeout(PATIENCE, dripping).await.context("it drips on")??, 400);
    let health = hyper::Request::get(format!("{}/healthz", scene.host.url)).body(Full::default().boxed())?;
    assert_eq!(sender.send_request(health).await?.status(), 200);
    scene.is_normal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_requests_make_room_for_others() -> Result<()> {
    let cases: [(&[(&str, &str)], usize); 3] = [
        (&[("WARES_HTTP_CONNECTIONS_MAX", "200"), ("WARES_HTTP_PEER_CONNECTIONS_MAX", "200")], 500),
        (&[("WARES_HTTP_CONNECTIONS_MAX", "400"), ("WARES_HTTP_PEER_CONNECTIONS_MAX", "100")], 500),
        // More than a host takes as it is set by default.
        (&[], 4_200),
    ];
    for (settings, count) in cases {
        let scene = Scene::new(settings).await?;
        let watch = scene.watch().await?;
        let mut idle = Vec::new();
        for _ in 0..count {
            idle.push(Raw::connect(&scene.host).await?);
        }
        scene.is_normal().await?;
        watch.end("idle connections", bounds(BESIDE_BYTES_MAX)).await?;
        // The oldest ones went first.
        let mut ends = idle.into_iter();
        assert_eq!(ends.next().context("the first one")?.rest().await?, "");
        let mut last = ends.next_back().context("the last one")?;
        last.send("GET /healthz HTTP/1.1\r\nhost: shelf\r\nconnection: close\r\n\r\n").await?;
        ensure!(last.rest().await?.starts_with("HTTP/1.1 200 "));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_connections_are_busy_operators_and_probes_get_through() -> Result<()> {
    let settings = [("WARES_HTTP_CONNECTIONS_MAX", "20"), ("WARES_HTTP_OPERATOR_CONNECTIONS_MIN", "4")];
    let scene = Scene::new(&settings).await?;
    let mut busy = Vec::new();
    for _ in 0..16 {
        let mut raw = Raw::connect(&scene.host).await?;
        // Leave to send is given when the host reads: the request is open then.
        let head = scene.head("POST /v1/call/test/bulk/take");
        raw.send(&format!("{head}content-length: 100\r\nexpect: 100-continue\r\n\r\n")).await?;
        raw.until("HTTP/1.1 100 Continue\r\n\r\n").await?;
        busy.push(raw);
    }
    let ask = async |path: &str, key: &str| {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: shelf\r\nauthorization: Bearer {key}\r\nconnection: close\r\n\r\n");
        let answer = exchange(&scene.host, &request).await?;
        anyhow::Ok(answer.split(' ').nth(1).unwrap_or_default().to_owned())
    };
    let admin = &scene.host.admin_key;
    let cases = [
        ("/v1/components", scene.key.as_str(), "503"),
        ("/healthz", "", "200"),
        ("/readyz", "", "200"),
        ("/metrics", admin, "200"),
        ("/v1/keys", admin, "200"),
        ("/", "", "503"),
    ];
    for (path, key, expected) in cases {
        assert_eq!(ask(path, key).await?, expected, "{path}");
    }
    // Who has a place and says nothing gives it up to the next one.
    let silent = join_all((0..8).map(|_| Raw::connect(&scene.host))).await;
    assert_eq!(ask("/v1/keys", admin).await?, "200");
    drop((silent, busy));
    scene.until_normal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_has_so_many_requests_open() -> Result<()> {
    let scene = Scene::new(&[("WARES_HTTP_KEY_REQUESTS_MAX", "3")]).await?;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(&scene.host).await?;
        let head = scene.head("POST /v1/call/test/bulk/take");
        raw.send(&format!("{head}content-length: 100\r\nexpect: 100-continue\r\n\r\n")).await?;
        raw.until("HTTP/1.1 100 Continue\r\n\r\n").await?;
        open.push(raw);
    }
    let answer = scene.host.request(Method::GET, "/v1/components", &scene.key).send().await?;
    assert_eq!(answer.headers().get("retry-after").context("retry-after")?, "1");
    let (status, document) = problem(answer).await?;
    assert_eq!((status, code(&document)), (429, "rate-limited"), "{document:#}");
    let operator = scene.host.request(Method::GET, "/v1/components", &scene.host.admin_key).send().await?;
    assert_eq!(operator.status(), StatusCode::OK);
    drop(open);
    scene.until_normal().await
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_change_things_while_others_send_slowly() -> Result<()> {
    let scene = Scene::new(&[]).await?;
    let watch = scene.watch().await?;
    let signature = format!("{}:{}", PrivateKey::from_random([7; 32]).public(), "0".repeat(128));
    let mut reports = Vec::new();
    for _ in 0..300 {
        let mut raw = Raw::connect(&scene.host).await?;
        let head = scene.head("POST /v1/usage-reports");
        raw.send(&format!("{head}wares-signature: {signature}\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n"))
            .await?;
        raw.until("HTTP/1.1 100 Continue\r\n\r\n").await?;
        reports.push(raw);
    }
    let keys = scene.host.get("/v1/tenants/attacker/keys").await?;
    let id = keys["items"][0]["id"].as_str().context("a key")?.to_owned();
    let revoke = scene.host.request(Method::DELETE, &format!("/v1/keys/{id}"), &scene.host.admin_key);
    let revoked =
        tokio::time::timeout(PATIENCE, revoke.send()).await.context("the operator waits behind a tenant")??;
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    let known = scene.host.request(Method::GET, "/v1/components", &scene.key).send().await?;
    assert_eq!(known.status(), StatusCode::UNAUTHORIZED);
    watch.end("dripping reports", bounds(BESIDE_BYTES_MAX)).await
}
