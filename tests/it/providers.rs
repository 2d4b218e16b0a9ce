//! Who provides an interface: chosen per tenant and inherited below, for callers outside and for components alike.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

const CHOICE: &str = "/v1/providers/test:base/links";

/// A shelf with three components that provide `test:base/links`, each with an offset of its own, and one that uses it.
async fn shelf(dir: &tempfile::TempDir) -> Result<Host> {
    let host = Host::start(dir.path()).await?;
    for (name, offset) in [("base", 100), ("north", 200), ("south", 300)] {
        host.publish_and_deploy(guests::link_end("base", offset, "")?, &format!("test:{name}"), "1.0.0").await?;
    }
    let others = ["test:base", "test:north", "test:south"];
    host.put("/v1/components/test/top/grants", json!({"grants": {"components": others}})).await?;
    host.publish_and_deploy(guests::link("top", "base", 1)?, "test:top", "1.0.0").await?;
    Ok(host)
}

/// A tenant below another one, with a key.
async fn tenant(host: &Host, id: &str, parent: Option<&str>) -> Result<String> {
    host.post("/v1/tenants", json!({"id": id, "parent": parent})).await?;
    let key = host.post(&format!("/v1/tenants/{id}/keys"), json!({"application": "tests"})).await?;
    Ok(key["key"].as_str().unwrap_or_default().to_owned())
}

/// What a call of the interface and one of the component that uses it add.
async fn offsets(host: &Host, key: &str) -> Result<(u64, u64)> {
    let path = "/v1/interfaces/test:base/links@1/go";
    let direct = success(host.request(Method::POST, path, key).json(&json!({"n": 0})).send().await?).await?;
    let over = success(host.call("test/top/links/go", key, &json!({"n": 0})).await?).await?;
    Ok((direct.as_u64().unwrap_or_default(), over.as_u64().unwrap_or_default() - 1))
}

#[tokio::test]
async fn the_nearest_choice_above_a_tenant_wins() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(&dir).await?;
    let province = tenant(&host, "province", None).await?;
    let city = tenant(&host, "city", Some("province")).await?;
    let district = tenant(&host, "district", Some("city")).await?;
    let elsewhere = tenant(&host, "elsewhere", None).await?;
    let keys = [&province, &city, &district, &elsewhere];
    let serve = async |expected: [u64; 4], after: &str| {
        for (key, offset) in keys.iter().zip(expected) {
            ensure!(offsets(&host, key).await? == (offset, offset), "{offset} expected after {after}");
        }
        anyhow::Ok(())
    };
    serve([100; 4], "nothing was chosen: the one that is named like the interface's package").await?;
    host.put(CHOICE, json!({"component": "test:north", "tenant": "province", "reason": "a pilot"})).await?;
    serve([200, 200, 200, 100], "a choice for the province").await?;
    host.put(CHOICE, json!({"component": "test:south", "tenant": "district"})).await?;
    serve([200, 200, 300, 100], "a choice for the district").await?;
    host.put(CHOICE, json!({"component": "test:south"})).await?;
    serve([200, 200, 300, 300], "a choice for all").await?;
    host.put(CHOICE, json!({"component": "test:base", "tenant": "district"})).await?;
    serve([200, 200, 100, 300], "another choice for the district").await?;

    let admin_key = host.admin_key.clone();
    host.kill().await?;
    let host = Host::start_with(dir.path(), Some(&admin_key), &[]).await?;
    assert_eq!(offsets(&host, &district).await?, (100, 100), "choices outlive the host");
    let taken = host.request(Method::DELETE, &format!("{CHOICE}?tenant=district"), &host.admin_key).send().await?;
    success(taken).await?;
    assert_eq!(offsets(&host, &district).await?, (200, 200), "a choice that is taken back leaves the one above");
    let standing = host.get("/v1/providers").await?;
    let standing: Vec<_> = standing["items"].as_array().into_iter().flatten().collect();
    let named = |choice: &&Value| (choice["tenant"].clone(), choice["component"].clone());
    let expected = [(Value::Null, json!("test:south")), (json!("province"), json!("test:north"))];
    assert_eq!(standing.iter().map(named).collect::<Vec<_>>(), expected);
    let history = host.get(&format!("{CHOICE}/history")).await?;
    assert_eq!(history["items"].as_array().map(Vec::len), Some(5));
    Ok(())
}

#[tokio::test]
async fn a_choice_holds_even_where_it_does_not_serve() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(&dir).await?;
    let key = tenant(&host, "district", None).await?;
    let refused = async |body: Value| {
        let request = host.request(Method::PUT, CHOICE, &host.admin_key).json(&body);
        problem(request.send().await?).await
    };
    for (body, status, words) in [
        (json!({"component": "test:none"}), 404, "no component test:none"),
        (json!({"component": "test:north", "tenant": "nowhere"}), 404, "no tenant nowhere"),
        (json!({"component": "test:top"}), 400, "test:top does not provide test:base/links"),
    ] {
        let (got, problem) = refused(body).await?;
        assert_eq!(got, status, "{problem}");
        ensure!(problem["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{problem}");
    }
    // The chosen one stops: nobody else takes its place unasked.
    host.put(CHOICE, json!({"component": "test:north"})).await?;
    host.post("/v1/components/test/north/versions/1.0.0/stop", json!({})).await?;
    let request = host.request(Method::POST, "/v1/interfaces/test:base/links/go", &key).json(&json!({"n": 0}));
    let (status, document) = problem(request.send().await?).await?;
    assert_eq!((status, code(&document)), (404, "not-found"));
    ensure!(
        document["detail"].as_str().is_some_and(|detail| detail.contains("test:north, which is chosen")),
        "{document}"
    );
    // A range that it does not satisfy neither.
    host.put(CHOICE, json!({"component": "test:south"})).await?;
    let request = host.request(Method::POST, "/v1/interfaces/test:base/links@2/go", &key).json(&json!({"n": 0}));
    assert_eq!(problem(request.send().await?).await?.0, 404);
    Ok(())
}
