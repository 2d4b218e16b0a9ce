//! English and Chinese: what the host and the program say, and what components say of themselves.

use anyhow::{Context as _, Result};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::path::Path;
use wares_it::guests;
use wares_it::host::{Host, binary, client, code, problem};

fn is_chinese(text: &str) -> bool {
    text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c))
}

#[tokio::test]
async fn problems_are_told_in_the_language_that_is_asked_for() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let key = host.tenant("district").await?;
    let ask = async |method: Method, path: &str, key: &str, language: &str| {
        let request = host.request(method, path, key).header("accept-language", language);
        anyhow::Ok(request.body("{}").send().await?)
    };
    let cases = [
        (Method::GET, "/v1/components", "nonsense", "unauthenticated", "本货架不认识该密钥，或它已被吊销"),
        (Method::GET, "/v1/tenants", key.as_str(), "forbidden", "这是运维工作：请使用管理员密钥"),
        (Method::POST, "/v1/call/no/such/f", key.as_str(), "not-found", "本货架上没有组件 no:such"),
        (Method::GET, "/nowhere", key.as_str(), "not-found", "/nowhere 处没有任何内容；/docs 列出全部接口"),
        (Method::GET, "/v1/calls?from=soon", key.as_str(), "bad-request", "请写成 2026-11-24T08:00:00+08:00"),
    ];
    for (method, path, key, expected, words) in cases {
        let answer = ask(method.clone(), path, key, "zh-CN,zh;q=0.9,en;q=0.8").await?;
        assert_eq!(answer.headers().get("content-language").context("content-language")?, "zh", "{path}");
        let (status, chinese) = problem(answer).await?;
        assert_eq!(code(&chinese), expected, "{chinese:#}");
        let detail = chinese["detail"].as_str().unwrap_or_default();
        assert!(detail.contains(words), "{path}: {detail}");
        assert!(is_chinese(chinese["title"].as_str().unwrap_or_default()), "{chinese:#}");
        for language in ["en", "fr", "zh;q=0"] {
            let (again, english) = problem(ask(method.clone(), path, key, language).await?).await?;
            assert_eq!((again, code(&english)), (status, expected));
            assert!(!is_chinese(&english.to_string()), "{language}: {english:#}");
        }
    }
    let page = async |language: &str| -> Result<String> {
        let asked = client()?.get(format!("{}/problems/trap", host.url)).header("accept-language", language);
        Ok(asked.send().await?.error_for_status()?.text().await?)
    };
    assert!(page("zh").await?.contains("组件运行时崩溃"));
    assert!(page("en").await?.contains("The guest trapped"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_speaks_the_language_of_its_environment() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let run = |args: &[&str], variables: &[(&str, &str)]| -> Result<String> {
        let mut command = std::process::Command::new(binary()?);
        for name in ["LC_ALL", "LC_MESSAGES", "LANG"] {
            command.env_remove(name);
        }
        command.envs([("WARES_HOST", &host.url), ("WARES_KEY", &host.admin_key)]).envs(variables.iter().copied());
        Ok(crate::command::run(command.args(args).current_dir(dir.path()))?.stderr)
    };
    let chinese = [("LANG", "zh_CN.UTF-8")];
    let asked = run(&["show", "no/such"], &chinese)?;
    assert!(asked.contains("错误：") && asked.contains("本货架上没有组件 no:such"), "{asked}");
    let own = run(&["tenants", "wipe", "no-tenant"], &chinese)?;
    assert!(own.contains("没有租户 no-tenant"), "{own}");
    for english in [&[][..], &[("LANG", "C.UTF-8")], &[("LC_ALL", "en_US.UTF-8"), ("LANG", "zh_CN.UTF-8")]] {
        let said = run(&["show", "no/such"], english)?;
        assert!(said.contains("error: ") && !is_chinese(&said), "{english:?}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn documentation_in_both_languages_is_shown_in_the_one_that_is_asked_for() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let docs = json!({"interfaces": {"test:swap/numbers@1.0.0": {
        "docs": "Numbers.\n\nzh: 数字。",
        "items": {"number": "Tells its number.\n\nzh: 给出它的数字。"},
    }}});
    let wasm = guests::with_section(guests::number(7)?, "wares:docs", docs.to_string().as_bytes());
    host.publish_and_deploy(wasm, "test:swap", "1.0.0").await?;
    for path in ["/v1/components/test/swap/versions/1.0.0", "/v1/components/test/swap/openapi.json"] {
        let ask = async |language: &str| -> Result<Response> {
            let request = host.request(Method::GET, path, &host.admin_key).header("accept-language", language);
            Ok(request.send().await?.error_for_status()?)
        };
        let (chinese, english) = (ask("zh").await?, ask("en").await?);
        assert_ne!(chinese.headers()["etag"], english.headers()["etag"], "{path}");
        let (chinese, english): (Value, Value) = (chinese.json().await?, english.json().await?);
        let without_wit = |mut value: Value| {
            value.as_object_mut().map(|object| object.shift_remove("wit"));
            value.to_string()
        };
        let (chinese, english) = (without_wit(chinese), without_wit(english));
        assert!(chinese.contains("给出它的数字") && !chinese.contains("Tells its number"), "{path}: {chinese}");
        assert!(english.contains("Tells its number") && !is_chinese(&english), "{path}: {english}");
    }
    Ok(())
}

/// Text as it stands in a source, with all that stands in braces the same, and lines that are continued in one.
fn flat(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find(['{', '\\']) {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(end) = rest.strip_prefix('{').and_then(|inner| inner.find(['{', '}', '\n'])).map(|end| end + 1) {
            let is_gap = rest[end..].starts_with('}');
            text.push_str(if is_gap { "{}" } else { "{" });
            rest = if is_gap { &rest[end + 1..] } else { &rest[1..] };
        } else if let Some(next) = rest.strip_prefix("\\\n") {
            rest = next.trim_start();
        } else {
            // An escape: what is escaped.
            rest = rest.strip_prefix('\\').or_else(|| rest.strip_prefix('{')).unwrap_or_default();
            let escaped = rest.chars().next().unwrap_or_default();
            text.push(escaped);
            rest = &rest[escaped.len_utf8().min(rest.len())..];
        }
    }
    text + rest
}

fn sources(folder: &Path, all: &mut String) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, all)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&flat(&std::fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// A sentence that is worded anew must be so in the catalogue, too.
#[test]
fn every_sentence_of_the_catalogue_is_one_that_is_said() -> Result<()> {
    let mut said = String::new();
    sources(&guests::root().join("host"), &mut said)?;
    let catalogue = std::fs::read_to_string(guests::root().join("host/model/src/language/zh.txt"))?;
    let sentences = catalogue.lines().filter(|line| !line.starts_with(['#', ' ']) && !line.is_empty());
    let unsaid: Vec<_> = sentences.filter(|sentence| !said.contains(&flat(&sentence.replace('\\', "\\\\")))).collect();
    assert!(unsaid.is_empty(), "nobody says: {unsaid:#?}");
    Ok(())
}
