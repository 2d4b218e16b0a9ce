//! HTTP components: what passes both ways, what is stopped, and that every answer is counted before its end.

use anyhow::{Context as _, Result};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use wares_it::guests;
use wares_it::host::{Host, code, problem};

/// A host with one HTTP component.
pub(crate) struct Shelf {
    pub(crate) host: Host,
    /// A tenant's.
    pub(crate) key: String,
    /// The component's, in the namespace `test`.
    pub(crate) name: &'static str,
    _data: tempfile::TempDir,
}

impl Shelf {
    pub(crate) async fn new() -> Result<Self> {
        Self::of("answers").await
    }

    pub(crate) async fn of(name: &'static str) -> Result<Self> {
        Self::within(name, &[]).await
    }

    /// The same with settings as environment variables.
    pub(crate) async fn within(name: &'static str, variables: &[(&str, &str)]) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let host = Host::start_in(data.path(), None, &[], variables).await?;
        let key = host.tenant("district").await?;
        host.publish(guests::built(&format!("test-{name}"))?, "deploy=true").await?.error_for_status()?;
        Ok(Self { host, key, name, _data: data })
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.host.request(method, &format!("/serve/test/{}{path}", self.name), &self.key)
    }

    /// The entry of a call, as soon as there is one.
    pub(crate) async fn entry(&self, call: &str) -> Result<Value> {
        self.host.entry(call).await
    }
}

pub(crate) fn call_id(response: &reqwest::Response) -> Result<String> {
    Ok(response.headers().get("wares-call-id").context("wares-call-id")?.to_str()?.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_responses_pass_and_are_counted_before_their_end() -> Result<()> {
    let shelf = Shelf::new().await?;
    let text = "回声 echo ".repeat(5_000);
    let response = shelf.request(Method::POST, "/echo").body(text.clone()).send().await?;
    let call = call_id(&response)?;
    assert_eq!(response.headers()["wares-version"], "1.0.0");
    assert_eq!(response.text().await?, text);
    // No waiting here: whoever has the whole answer finds the entry.
    let entry = shelf.host.get(&format!("/v1/calls/{call}")).await?;
    assert_eq!((&entry["outcome"], &entry["function"]), (&json!("ok"), &json!("handle")), "{entry:#}");
    assert_eq!(entry["bytes-in"], text.len(), "{entry:#}");
    assert_eq!(entry["bytes-out"], text.len(), "{entry:#}");

    let seen = shelf.request(Method::PATCH, "/seen?a=1&b=%2F").header("x-own", "mine").send().await?.text().await?;
    assert!(seen.starts_with("PATCH http://127.0.0.1:") && seen.contains("/seen?a=1&b=%2F\n"), "{seen}");
    assert!(seen.contains("x-own: mine") && seen.contains("x-forwarded-prefix: /serve/test/answers"), "{seen}");
    assert!(!seen.contains("authorization") && !seen.contains(&shelf.key), "the key is not for the component: {seen}");

    for (method, path, status, length) in [
        (Method::GET, "/long", 200, 900_000),
        (Method::HEAD, "/long", 200, 0),
        (Method::GET, "/empty", 204, 0),
        (Method::DELETE, "/nowhere", 404, "no /nowhere".len()),
    ] {
        let response = shelf.request(method.clone(), path).send().await?;
        let call = call_id(&response)?;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert_eq!(response.bytes().await?.len(), length, "{method} {path}");
        assert_eq!(shelf.host.get(&format!("/v1/calls/{call}")).await?["outcome"], "ok", "{method} {path}");
    }
    let usage = shelf.host.get("/v1/usage?group_by=outcome").await?;
    assert_eq!(usage["items"].as_array().map(Vec::len), Some(1), "{usage:#}");
    assert_eq!(usage["items"][0]["calls"], 6, "{usage:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_streams_while_the_component_runs() -> Result<()> {
    let shelf = Shelf::new().await?;
    let mut response = shelf.request(Method::GET, "/drops").send().await?;
    let call = call_id(&response)?;
    assert_eq!(response.chunk().await?.as_deref(), Some(b"drop 0\n".as_slice()));
    let path = format!("/v1/calls/{call}");
    let unfinished = shelf.host.request(Method::GET, &path, &shelf.host.admin_key).send().await?;
    assert_eq!(unfinished.status(), StatusCode::NOT_FOUND, "the component has not ended");
    let mut rest = String::new();
    while let Some(chunk) = response.chunk().await? {
        rest.push_str(std::str::from_utf8(&chunk)?);
    }
    assert!(rest.ends_with("drop 9\n"), "{rest}");
    assert_eq!(shelf.host.get(&path).await?["bytes-out"], 70);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_before_the_response_are_problems() -> Result<()> {
    let shelf = Shelf::new().await?;
    let cases = [
        ("/spin", 500, "limit-cpu"),
        ("/sleep", 504, "limit-wall"),
        ("/panic", 500, "trap"),
        ("/error", 422, "component-error"),
    ];
    for (path, status, expected) in cases {
        let response = shelf.request(Method::GET, path).send().await?;
        let call = call_id(&response)?;
        let (got, document) = problem(response).await?;
        assert_eq!((got, code(&document)), (status, expected), "{path}: {document:#}");
        assert_eq!(shelf.host.get(&format!("/v1/calls/{call}")).await?["outcome"], expected, "{path}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_in_the_middle_breaks_the_answer_off_and_is_counted() -> Result<()> {
    let shelf = Shelf::new().await?;
    for (path, outcome) in [("/too-long", "limit-output"), ("/breaks", "trap")] {
        let response = shelf.request(Method::GET, path).send().await?;
        let call = call_id(&response)?;
        assert_eq!(response.status(), 200, "{path}");
        assert!(response.bytes().await.is_err(), "{path}: the answer must not seem complete");
        assert_eq!(shelf.entry(&call).await?["outcome"], outcome, "{path}");
    }

    let mut response = shelf.request(Method::GET, "/drops").send().await?;
    let call = call_id(&response)?;
    assert!(response.chunk().await?.is_some());
    drop(response);
    assert_eq!(shelf.entry(&call).await?["outcome"], "cancelled", "the caller went away");

    let too_much = shelf.request(Method::POST, "/echo").body(vec![b'x'; 200_000]).send().await;
    let complete = match too_much {
        Ok(response) => response.bytes().await.is_ok_and(|bytes| bytes.len() == 200_000),
        Err(_) => false,
    };
    assert!(!complete, "the request's body is over its limit");
    Ok(())
}

#[tokio::test]
async fn only_tenants_are_served_and_only_by_http_components() -> Result<()> {
    let shelf = Shelf::new().await?;
    shelf.host.publish_and_deploy(guests::number(1)?, "test:swap", "1.0.0").await?;
    let get = async |path: &str, key: &str| problem(shelf.host.request(Method::GET, path, key).send().await?).await;
    for (path, key, status, word) in [
        ("/serve/test/swap/", shelf.key.as_str(), 404, "incoming-handler"),
        ("/serve/test/nothing/", shelf.key.as_str(), 404, "test:nothing"),
        ("/serve/test/answers@9/", shelf.key.as_str(), 404, "9"),
        ("/serve/test/answers/seen", shelf.host.admin_key.as_str(), 403, "tenant"),
        ("/serve/test/answers/seen", "wares_tenant_guess", 401, "key"),
    ] {
        let (got, document) = get(path, key).await?;
        assert_eq!(got, status, "{path}: {document:#}");
        assert!(document["detail"].as_str().unwrap_or_default().contains(word), "{path}: {document:#}");
    }
    Ok(())
}
