//! Bad input at the API's door: what, where, and what to do.

use anyhow::Result;
use reqwest::Method;
use serde_json::json;
use wares_it::guests;
use wares_it::host::{Host, client, code, problem};

/// Method, path, body, and the status, code and word of the answer; sent with the operator's key.
const OPERATOR: [(&str, &str, &str, u16, &str, &str); 18] = [
    ("GET", "/v1/nothing", "", 404, "not-found", "/v1/nothing"),
    ("DELETE", "/v1/components", "", 405, "unsupported", "DELETE"),
    ("GET", "/v1/components/test/nothing", "", 404, "not-found", "test:nothing"),
    ("GET", "/v1/components/Test/swap", "", 400, "bad-request", "kebab-case"),
    ("GET", "/v1/components?limit=many", "", 400, "bad-request", "limit"),
    ("GET", "/v1/components?sort=name", "", 400, "bad-request", "sort"),
    ("GET", "/v1/components/test/swap/versions/one", "", 400, "bad-request", "one"),
    ("GET", "/v1/components/test/swap/versions/9.9.9", "", 404, "not-found", "9.9.9"),
    ("PUT", "/v1/components/test/swap/deployment", "{", 400, "bad-request", "body"),
    ("PUT", "/v1/components/test/swap/deployment", r#"{"traffic":{"1.0.0":50}}"#, 400, "bad-request", "add up to 50"),
    ("PUT", "/v1/components/test/swap/deployment", r#"{"traffic":{"9.9.9":100}}"#, 404, "not-found", "9.9.9"),
    ("PUT", "/v1/components/test/swap/deployment", r#"{"trafic":{}}"#, 400, "bad-request", "trafic"),
    ("POST", "/v1/tenants", r#"{"id":"Not Kebab"}"#, 400, "bad-request", "kebab-case"),
    ("POST", "/v1/tenants", r#"{"id":"district"}"#, 409, "conflict", "district"),
    ("POST", "/v1/tenants/nobody/keys", r#"{"application":"x"}"#, 404, "not-found", "nobody"),
    ("GET", "/v1/usage?group_by=weather", "", 400, "bad-request", "weather"),
    ("GET", "/v1/usage?from=yesterday", "", 400, "bad-request", "yesterday"),
    ("GET", "/v1/calls/12", "", 400, "bad-request", "12"),
];

/// Path below `/v1/`, body, and the status, code, word and pointer of the answer.
type TenantCase = (&'static str, &'static str, u16, &'static str, &'static str, Option<&'static str>);

/// Sent with a tenant's key.
const TENANT: [TenantCase; 11] = [
    ("call/test/hostile/add", r#"{"a":1,"b":-1}"#, 400, "bad-arguments", "u32", Some("/b")),
    ("call/test/hostile/add", r#"{"a":1}"#, 400, "bad-arguments", "b", None),
    ("call/test/hostile/add", r#"{"a":1,"b":2,"c":3}"#, 400, "bad-arguments", "c", Some("/c")),
    ("call/test/hostile/add", r#"{"a":1,"#, 400, "bad-arguments", "", None),
    ("call/test/hostile/ad", "{}", 404, "not-found", "ad", None),
    ("call/test/hostil/add", "{}", 404, "not-found", "test:hostil", None),
    ("call/test/hostile@nine/add", "{}", 400, "bad-request", "requirement", None),
    ("call/test/hostile@9/add", "{}", 404, "not-found", "9", None),
    ("call/test/swap/letters/number", "{}", 404, "not-found", "letters", None),
    ("interfaces/test:swap/letters/number", "{}", 404, "not-found", "test:swap/letters", None),
    ("interfaces/testswap/numbers/number", "{}", 400, "bad-request", "namespace:package", None),
];

#[tokio::test]
async fn bad_requests_are_answered_with_what_and_where() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    host.publish_and_deploy(guests::text("hostile")?, "test:hostile", "1.0.0").await?;

    for (method, path, body, status, expected, word) in OPERATOR {
        let request = host.request(method.parse()?, path, &host.admin_key).header("content-type", "application/json");
        let (got, document) = problem(request.body(body).send().await?).await?;
        assert_eq!((got, code(&document)), (status, expected), "{method} {path}: {document:#}");
        assert!(document["detail"].as_str().unwrap_or_default().contains(word), "{method} {path}: {document:#}");
    }
    for (path, body, status, expected, word, pointer) in TENANT {
        let request = host.request(Method::POST, &format!("/v1/{path}"), &key);
        let (got, document) = problem(request.body(body).send().await?).await?;
        assert_eq!((got, code(&document)), (status, expected), "{path} {body}: {document:#}");
        assert!(document["detail"].as_str().unwrap_or_default().contains(word), "{path} {body}: {document:#}");
        if let Some(pointer) = pointer {
            assert_eq!(document["pointer"], pointer, "{path} {body}: {document:#}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_longer_than_any_name_or_search_is_refused_before_it_is_looked_at() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let (long, longer) = ("a".repeat(600), "a".repeat(5_000));
    for (method, path, word) in [
        ("POST", format!("/v1/call/test/swap/numbers/{long}"), "the function's name has 600 bytes"),
        ("POST", format!("/v1/call/test/swap/{long}/number"), "the interface's name has 600 bytes"),
        ("POST", format!("/v1/interfaces/test:swap/{long}/number"), "the interface's name has 600 bytes"),
        ("POST", format!("/v1/interfaces/test:swap/{longer}/number"), "the address has"),
        ("GET", format!("/v1/components/test/{longer}"), "the address has"),
        ("GET", format!("/v1/components?q={longer}"), "the query string has"),
        ("GET", format!("/v1/components?q={}", "a+".repeat(2_000)), "at most 8 words"),
        ("GET", "/v1/components?cursor=x".to_owned(), "cursor"),
    ] {
        let (status, document) = problem(host.request(method.parse()?, &path, &key).body("{}").send().await?).await?;
        assert_eq!((status, code(&document)), (400, "bad-request"), "{path}: {document:#}");
        assert!(document["detail"].as_str().unwrap_or_default().contains(word), "{path}: {document:#}");
    }
    Ok(())
}

#[tokio::test]
async fn a_search_finds_what_it_finds_page_by_page() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    for name in ["test:swap", "test:apple", "test:swamp"] {
        host.publish_and_deploy(guests::number(7)?, name, "1.0.0").await?;
    }
    let names = async |query: &str| {
        let page = host.get(&format!("/v1/components?{query}")).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let names: Vec<_> = items.iter().map(|item| item["name"].as_str().unwrap_or_default().to_owned()).collect();
        anyhow::Ok((names.join(" "), page["next"].as_str().map(str::to_owned)))
    };
    assert_eq!(names("q=SWAM").await?, ("test:swamp".to_owned(), None));
    assert_eq!(names("q=Numbers+swam").await?, ("test:swamp".to_owned(), None));
    assert_eq!(names("q=pear").await?, (String::new(), None));
    let next = Some("test:swamp".to_owned());
    assert_eq!(names("q=numbers&limit=2").await?, ("test:apple test:swamp".to_owned(), next));
    assert_eq!(names("q=numbers&limit=2&cursor=test:swamp").await?, ("test:swap".to_owned(), None));
    // A page goes on behind a component that is gone meanwhile.
    assert_eq!(names("limit=1&cursor=test:b").await?.0, "test:swamp");
    Ok(())
}

#[tokio::test]
async fn everything_but_health_problems_and_docs_needs_a_key_of_the_right_role() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    let status = async |method: &str, path: &str, key: Option<&str>| {
        let request = client()?.request(method.parse()?, format!("{}{path}", host.url));
        let request = key.into_iter().fold(request, |request, key| request.bearer_auth(key));
        anyhow::Ok(request.send().await?.status().as_u16())
    };
    for path in ["/", "/docs", "/healthz", "/readyz", "/problems", "/problems/trap"] {
        assert_eq!(status("GET", path, None).await?, 200, "{path}");
    }
    let guarded = [
        ("GET", "/v1/components"),
        ("POST", "/v1/components"),
        ("GET", "/v1/tenants"),
        ("GET", "/v1/keys"),
        ("GET", "/v1/usage"),
        ("GET", "/v1/nothing"),
        ("POST", "/v1/call/a/b/c"),
        ("GET", "/metrics"),
    ];
    for (method, path) in guarded {
        assert_eq!(status(method, path, None).await?, 401, "{method} {path} without a key");
        assert_eq!(status(method, path, Some("wares_admin_guess")).await?, 401, "{method} {path} with an unknown key");
    }
    for (method, path) in [("POST", "/v1/components"), ("GET", "/v1/tenants"), ("GET", "/v1/keys"), ("GET", "/metrics")]
    {
        assert_eq!(status(method, path, Some(&key)).await?, 403, "{method} {path} with a tenant's key");
    }
    assert_eq!(status("POST", "/v1/call/a/b/c", Some(&host.admin_key)).await?, 403);

    let keys = host.get("/v1/tenants/district/keys").await?;
    assert!(keys["items"][0].get("key").is_none(), "a key is shown once: {keys:#}");
    let id = keys["items"][0]["id"].as_str().unwrap_or_default();
    assert_eq!(status("DELETE", &format!("/v1/keys/{id}"), Some(&host.admin_key)).await?, 204);
    assert_eq!(status("GET", "/v1/components", Some(&key)).await?, 401, "a revoked key");
    Ok(())
}

#[tokio::test]
async fn deployments_guard_against_lost_updates() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    host.publish_and_deploy(guests::number(7)?, "test:swap", "1.0.0").await?;
    let put = async |tag: &str| {
        let request = host.request(Method::PUT, "/v1/components/test/swap/deployment", &host.admin_key);
        anyhow::Ok(request.header("if-match", tag).json(&json!({"traffic": {"1.0.0": 100}})).send().await?)
    };
    assert_eq!(put("\"1\"").await?.status(), 200);
    let (status, document) = problem(put("\"1\"").await?).await?;
    assert_eq!((status, code(&document)), (409, "conflict"), "{document:#}");
    let (status, _) = problem(put("yesterday").await?).await?;
    assert_eq!(status, 400);
    Ok(())
}
