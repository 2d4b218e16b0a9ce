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

#[tokio::test]
async fn an_interface_is_found_in_whichever_version_has_it() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(&dir).await?;
    let words = [("links@1.0.0", "links@2.0.0"), ("NAME", "base"), ("OFFSET", "1000"), ("WORK", "")];
    host.publish(guests::with_words("link-end", &words)?, "name=test:base&version=2.0.0").await?.error_for_status()?;
    let traffic = json!({"traffic": {"1.0.0": 50, "2.0.0": 50}});
    host.put("/v1/components/test/base/deployment", traffic).await?;
    for key in host.tenants(20).await? {
        assert_eq!(offsets(&host, &key).await?, (100, 100));
        let request = host.request(Method::POST, "/v1/interfaces/test:base/links@2/go", &key).json(&json!({"n": 0}));
        assert_eq!(success(request.send().await?).await?, json!(1000));
    }
    Ok(())
}

#[tokio::test]
async fn choices_come_in_pages_and_those_for_other_tenants_are_for_operators() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = shelf(&dir).await?;
    let key = tenant(&host, "district", None).await?;
    for (component, whom) in
        [("test:north", json!("district")), ("test:base", Value::Null), ("test:south", Value::Null)]
    {
        host.put(CHOICE, json!({"component": component, "tenant": whom})).await?;
    }
    let pages = async |path: &str, key: &str, pointer: &str| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let page =
                success(host.request(Method::GET, &format!("{path}?limit=1{cursor}"), key).send().await?).await?;
            let items = page["items"].as_array().into_iter().flatten();
            let more: Vec<_> = items.map(|item| item[pointer].as_str().unwrap_or_default().to_owned()).collect();
            ensure!(more.len() <= 1, "{page:#}");
            found.extend(more);
            match page["next"].as_str() {
                None => return anyhow::Ok(found),
                Some(next) => cursor = format!("&cursor={}", next.replace(' ', "+")),
            }
        }
    };
    let admin = host.admin_key.as_str();
    assert_eq!(pages("/v1/graph", admin, "component").await?, ["test:north", "test:south", "test:top"]);
    assert_eq!(pages("/v1/graph", &key, "component").await?, ["test:south", "test:top"]);
    assert_eq!(pages("/v1/providers", admin, "component").await?, ["test:south", "test:north"]);
    let history = pages(&format!("{CHOICE}/history"), admin, "component").await?;
    assert_eq!(history, ["test:south", "test:base", "test:north"]);
    Ok(())
}
