//! HTTP components that the compilers of other languages make: they answer under `/serve/` like those in Rust.

use anyhow::Result;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use wares_it::guests;
use wares_it::host::{Host, code, problem};

#[tokio::test(flavor = "multi_thread")]
async fn an_http_component_in_javascript_answers() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = answers(data.path(), "answers-js").await?;
    let key = host.tenant("district").await?;
    let drops = host.request(Method::GET, "/serve/test/answers-js/drops", &key).send().await?.text().await?;
    assert!(drops.starts_with("drop 0\n") && drops.ends_with("drop 9\n"), "{drops}");
    let spinning = host.request(Method::GET, "/serve/test/answers-js/spin", &key).send().await?;
    let (status, document) = problem(spinning).await?;
    assert_eq!((status, code(&document)), (500, "limit-cpu"), "{document:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_component_in_python_answers() -> Result<()> {
    let data = tempfile::tempdir()?;
    let host = answers(data.path(), "answers-python").await?;
    let key = host.tenant("district").await?;
    let raised = host.request(Method::GET, "/serve/test/answers-python/raise", &key).send().await?;
    let (status, document) = problem(raised).await?;
    assert_eq!((status, code(&document)), (500, "trap"), "{document:#}");
    Ok(())
}

/// A host with the component, which was seen to do what every one of them does.
async fn answers(data: &std::path::Path, name: &str) -> Result<Host> {
    let host = Host::start(data).await?;
    host.publish(guests::built(&format!("test-{name}"))?, "deploy=true").await?.error_for_status()?;
    let key = host.tenant("county").await?;
    let request = |method, path: &str| host.request(method, &format!("/serve/test/{name}{path}"), &key);

    let text = "回声 echo ".repeat(5_000);
    let response = request(Method::POST, "/echo").body(text.clone()).send().await?;
    let call = response.headers()["wares-call-id"].to_str()?.to_owned();
    assert_eq!(response.text().await?, text);
    let entry = host.get(&format!("/v1/calls/{call}")).await?;
    assert_eq!((&entry["outcome"], &entry["bytes-out"]), (&"ok".into(), &text.len().into()), "{entry:#}");

    let reversed = request(Method::POST, "/reversed").body("居民").send().await?;
    assert_eq!(reversed.text().await?, "民居");
    let seen: Value = request(Method::PUT, "/seen?a=1").header("x-own", "mine").send().await?.json().await?;
    assert_eq!((&seen["method"], &seen["headers"]["x-own"]), (&"PUT".into(), &"mine".into()), "{seen:#}");
    assert_eq!(seen["headers"].get("authorization"), None, "the key is not for the component");
    assert_eq!(request(Method::GET, "/nowhere").send().await?.status(), StatusCode::NOT_FOUND);
    Ok(host)
}
