//! Whose jobs are whose, and how their makers learn of their end.

use super::*;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_their_applications_own() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path(), "", &[]).await?;
    let other = host.post("/v1/tenants/north/keys", json!({"application": "other"})).await?;
    let other = other["key"].as_str().context("key")?.to_owned();
    let add = format!("{HOSTILE}/add");
    let first = success(ask(&host, &key, &add, &json!([1, 2]), Some("mine")).await?).await?;
    let second = success(ask(&host, &other, &add, &json!([3, 4]), Some("mine")).await?).await?;
    assert_ne!(first["id"], second["id"], "keys are an application's own");
    let at = |job: &Value| format!("/v1/jobs/{}", job["id"].as_str().unwrap_or_default());
    for (sees, key, [own, others]) in [("tests", &key, [&first, &second]), ("other", &other, [&second, &first])] {
        let status = async |method: Method, path: String| {
            anyhow::Ok(host.request(method, &path, key).send().await?.status().as_u16())
        };
        assert_eq!(status(Method::GET, at(own)).await?, 200, "{sees}");
        assert_eq!(status(Method::GET, at(others)).await?, 404, "{sees}");
        assert_eq!(status(Method::POST, format!("{}/cancel", at(others))).await?, 404, "{sees}");
        assert_eq!(status(Method::POST, format!("{}/replay", at(others))).await?, 404, "{sees}");
        let listed = success(host.request(Method::GET, "/v1/jobs", key).send().await?).await?;
        let ids: Vec<_> = listed["items"].as_array().into_iter().flatten().map(|job| &job["id"]).collect();
        assert_eq!(ids, [&own["id"]], "{sees}");
    }
    let all = host.get("/v1/jobs?tenant=north").await?;
    assert_eq!(all["items"].as_array().map(Vec::len), Some(2), "operators see all");
    // Arguments are compared as values.
    let again = host.request(Method::POST, &add, &key).header("prefer", "respond-async");
    let again = again.header("idempotency-key", "mine").header("content-type", "application/json").body(" [1.0, 2e0] ");
    assert_eq!(success(again.send().await?).await?["id"], first["id"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_take_arguments_as_large_as_calls_do() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path(), "", &[]).await?;
    let padded = |bytes: usize| format!("[1,{}2]", " ".repeat(bytes - 5));
    let send = async |bytes: usize, later: bool| {
        let request = host.request(Method::POST, &format!("{HOSTILE}/add"), &key).body(padded(bytes));
        let request = if later { request.header("prefer", "respond-async") } else { request };
        anyhow::Ok(request.header("content-type", "application/json").send().await?)
    };
    assert_eq!(send(4 << 20, false).await?.status(), 200);
    let job = success(send(4 << 20, true).await?).await?;
    let at = format!("/v1/jobs/{}", job["id"].as_str().context("id")?);
    assert_eq!(until_state(&host, &at, "succeeded").await?["result"], json!(3));
    for later in [false, true] {
        let (status, refused) = problem(send((4 << 20) + 1, later).await?).await?;
        assert_eq!((status, code(&refused)), (413, "too-large"), "{refused}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_job_hears_of_its_end() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path(), "", &[("WARES_JOBS_TENANT_CONCURRENCY_MAX", "1")]).await?;
    let get = async |path: String| success(host.request(Method::GET, &path, &key).send().await?).await;
    let sleeps = later(&host, &key, &format!("{HOSTILE}/sleep"), &json!([1_000])).await?;
    let waits = later(&host, &key, &format!("{HOSTILE}/add"), &json!([1, 2])).await?;
    let ends = get(format!("{waits}?wait=60")).await?;
    assert_eq!((&ends["state"], &ends["result"]), (&json!("succeeded"), &json!(3)));
    assert_eq!(get(format!("{sleeps}?wait=0")).await?["state"], "succeeded", "it was first");
    // One that is at its end, or whose end does not come in time, is shown as it is.
    assert_eq!(get(format!("{waits}?wait=60")).await?["state"], "succeeded");
    let long = later(&host, &key, &format!("{HOSTILE}/sleep"), &json!([9_000])).await?;
    until_state(&host, &long, "running").await?;
    assert_eq!(get(format!("{long}?wait=0")).await?["state"], "running");
    // A job that is ended on request has an end too, also where it never ran.
    let queued = later(&host, &key, &format!("{HOSTILE}/sleep"), &json!([9_000])).await?;
    let cancel = async {
        for job in [&queued, &long] {
            host.post(&format!("{job}/cancel"), json!({})).await?;
        }
        anyhow::Ok(())
    };
    let (first, second, cancelled) =
        tokio::join!(get(format!("{queued}?wait=60")), get(format!("{long}?wait=60")), cancel);
    cancelled?;
    assert_eq!((&first?["state"], &second?["state"]), (&json!("cancelled"), &json!("cancelled")));
    for wait in ["long", "-1", "1.5"] {
        assert_eq!(host.request(Method::GET, &format!("{long}?wait={wait}"), &key).send().await?.status(), 400);
    }
    Ok(())
}

/// A server that answers each request with the next of these statuses, the last one again and again.
async fn receiver(statuses: &'static [u16]) -> Result<(String, mpsc::UnboundedReceiver<(String, String)>)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/hook?a=1", listener.local_addr()?);
    let (told, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut left = statuses;
        while let Ok((mut socket, _)) = listener.accept().await {
            let (Some(request), [status, rest @ ..]) = (read(&mut socket).await, left) else { continue };
            left = if rest.is_empty() { left } else { rest };
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = told.send(request);
        }
    });
    Ok((url, heard))
}

/// Head and body of a request.
async fn read(socket: &mut tokio::net::TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    loop {
        if socket.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        if body.len() >= field(head, "content-length").parse().ok()? {
            return Some((head.to_owned(), body.to_owned()));
        }
    }
}

fn field<'a>(head: &'a str, name: &str) -> &'a str {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value)
}

fn signature(secret: &str, head: &str, body: &str) -> Result<String> {
    let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").context("a secret")?)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
    mac.update(format!("{}.{}.{body}", field(head, "webhook-id"), field(head, "webhook-timestamp")).as_bytes());
    Ok(format!("v1,{}", BASE64_STANDARD.encode(mac.finalize().into_bytes())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_the_ends_of_its_applications_jobs() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path(), "[retry]\nattempts-max = 1", &[]).await?;
    let (url, mut heard) = receiver(&[500, 204]).await?;
    let path = "/v1/tenants/north/webhooks/tests";
    let set = host.put(path, json!({"url": url, "addresses": ["127.0.0.0/8"]})).await?;
    let secret = set["secret"].as_str().context("secret")?.to_owned();
    let job = later(&host, &key, &format!("{HOSTILE}/trap"), &json!({})).await?;
    // It did not take the first message, and has the same again, though the host is killed in between.
    let (head, _) = heard.recv().await.context("a message")?;
    let first = field(&head, "webhook-id").to_owned();
    host.until("/v1/tenants/north/webhooks", |shown| !shown["items"][0]["problem"].is_null()).await?;
    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(data.path(), Some(&admin_key), &[]).await?;
    let (head, body) = heard.recv().await.context("a message again")?;
    assert!(head.starts_with("POST /hook?a=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!((field(&head, "webhook-id"), field(&head, "content-type")), (first.as_str(), "application/json"));
    assert_eq!(field(&head, "webhook-signature"), signature(&secret, &head, &body)?, "{head}\n{body}");
    let told: Value = serde_json::from_str(&body)?;
    assert_eq!((&told["type"], &told["data"]["state"]), (&json!("job.dead"), &json!("dead")), "{told:#}");
    assert_eq!(told["data"]["path"], job.as_str(), "{told:#}");
    host.until("/v1/tenants/north/webhooks", |shown| shown["items"][0]["waiting"] == 0).await?;

    // Another application's jobs are not its own, and neither are those after it was removed.
    let other = host.post("/v1/tenants/north/keys", json!({"application": "other"})).await?;
    let others = later(&host, other["key"].as_str().context("key")?, &format!("{HOSTILE}/add"), &json!([1, 2])).await?;
    until_state(&host, &others, "succeeded").await?;
    let own = later(&host, &key, &format!("{HOSTILE}/add"), &json!([1, 2])).await?;
    let (_, body) = heard.recv().await.context("a message")?;
    assert_eq!(serde_json::from_str::<Value>(&body)?["data"]["path"], own.as_str(), "{body}");
    let removed = host.request(Method::DELETE, path, &host.admin_key).send().await?;
    assert_eq!(removed.status(), 204);
    let last = later(&host, &key, &format!("{HOSTILE}/add"), &json!([1, 2])).await?;
    until_state(&host, &last, "succeeded").await?;
    assert_eq!(host.get("/v1/tenants/north/webhooks").await?["items"], json!([]));
    assert!(timeout(Duration::ZERO, heard.recv()).await.is_err(), "nothing more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_goes_only_where_components_may() -> Result<()> {
    let data = tempfile::tempdir()?;
    let (host, key) = shelf(data.path(), "", &[]).await?;
    let (url, mut heard) = receiver(&[204]).await?;
    let path = "/v1/tenants/north/webhooks/tests";
    host.put(path, json!({"url": url})).await?;
    later(&host, &key, &format!("{HOSTILE}/add"), &json!([1, 2])).await?;
    let refused = host.until("/v1/tenants/north/webhooks", |shown| !shown["items"][0]["problem"].is_null()).await?;
    let why = refused["items"][0]["problem"].as_str().context("a problem")?;
    assert!(why.contains("loopback") && why.contains("not granted"), "{why}");
    assert!(timeout(Duration::ZERO, heard.recv()).await.is_err(), "nobody was asked");
    for target in [json!({"url": "ftp://a.cn/"}), json!({"url": "http://user@a.cn/"}), json!({"url": "/hook"})] {
        let answer = host.request(Method::PUT, path, &host.admin_key).json(&target).send().await?;
        assert_eq!(answer.status(), 400, "{target}");
    }
    let answer = host.request(Method::PUT, path, &key).json(&json!({"url": url})).send().await?;
    assert_eq!(answer.status(), 403, "operators set it");
    let answer = host.request(Method::PUT, "/v1/tenants/nobody/webhooks/a", &host.admin_key).json(&json!({"url": url}));
    assert_eq!(answer.send().await?.status(), 404);
    Ok(())
}
