//! What a version's number promises, kept by type: at publication, and told to the vendor beforehand.

use crate::command::{client, wares};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use wares_it::guests;
use wares_it::host::{Host, code, problem, success};

/// `number.wat` with one text in place of another; each gives a component of another shape.
fn shaped(edits: &[(&str, &str)]) -> Result<Vec<u8>> {
    let path = guests::root().join("tests/guests/number.wat");
    let text = std::fs::read_to_string(path)?.replace("NUMBER", "7");
    Ok(wat::parse_str(edits.iter().fold(text, |text, (was, is)| text.replace(was, is)))?)
}

const OTHER_TYPE: (&str, &str) = ("(result u32)", "(result s32)");
const OTHER_NAME: (&str, &str) = ("(export \"number\" (func $number))", "(export \"count\" (func $number))");
const ONE_MORE: (&str, &str) =
    ("(export \"number\" (func $number))", "(export \"number\" (func $number)) (export \"twice\" (func $number))");
const IMPORTS: (&str, &str) = (
    "(component\n",
    "(component (import \"wasi:random/random@0.2.6\" (instance (export \"get-random-u64\" (func (result u64)))))\n",
);

/// What is published as which version, after all those before it: the status, and words of the answer.
type Case = (&'static [(&'static str, &'static str)], &'static str, u16, &'static [&'static str]);

const CASES: [Case; 16] = [
    (&[], "1.0.0", 201, &[]),
    (&[OTHER_TYPE], "1.1.0", 409, &["callers of 1.0.0", "- number: func() -> u32", "+ number: func() -> s32", "2.0.0"]),
    (&[OTHER_TYPE], "1.0.1", 409, &["test:swap/numbers#number"]),
    (&[OTHER_NAME], "1.1.0", 409, &["- number: func() -> u32"]),
    (&[ONE_MORE], "1.1.0", 201, &["\"version\":\"1.0.0\"", "\"added\":[\"test:swap/numbers#twice\"]"]),
    (&[], "1.2.0", 409, &["callers of 1.1.0", "- twice: func() -> u32"]),
    (&[ONE_MORE], "1.0.5", 409, &["1.0.5 is not above 1.1.0", "1.1.1"]),
    (&[ONE_MORE, IMPORTS], "1.2.0", 201, &["\"imports-added\":[\"wasi:random/random@0.2.6\"]"]),
    (&[OTHER_TYPE], "1.3.0-rc.1", 409, &["callers of 1.2.0"]),
    (&[ONE_MORE], "1.3.0-rc.1", 201, &["\"imports-removed\":[\"wasi:random/random@0.2.6\"]"]),
    (&[ONE_MORE], "1.3.0-beta", 409, &["1.3.0-rc.1"]),
    (&[OTHER_TYPE], "2.0.0", 201, &[]),
    (&[OTHER_TYPE], "2.0.0", 200, &[]),
    (&[OTHER_NAME], "0.1.0", 201, &[]),
    (&[], "0.1.1", 409, &["callers of 0.1.0", "0.2.0"]),
    (&[], "0.2.0", 201, &[]),
];

#[tokio::test]
async fn a_number_on_a_line_keeps_what_the_line_promises() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    for (edits, version, status, words) in CASES {
        let answer = host.publish(shaped(edits)?, &format!("name=test:swap&version={version}")).await?;
        let got = answer.status().as_u16();
        let text = answer.text().await?.replace("\\n", "\n");
        assert_eq!(got, status, "{version} {edits:?}: {text}");
        assert_eq!(text.contains("/problems/conflict"), status == 409, "{version}: {text}");
        for word in words {
            assert!(text.contains(word), "{version} {edits:?} does not say {word:?}: {text}");
        }
    }
    let versions = host.get("/v1/components/test/swap/versions").await?;
    let taken = CASES.iter().filter(|case| case.2 == 201).count();
    assert_eq!(versions["items"].as_array().context("items")?.len(), taken, "what was refused is not there");
    let garbage = host.get("/v1/garbage").await?;
    assert_eq!(garbage["files"], json!([]), "what was refused left nothing behind");

    // A yanked version promises nothing any more.
    host.post("/v1/components/test/swap/versions/1.1.0/yank", json!({})).await?;
    host.post("/v1/components/test/swap/versions/1.2.0/yank", json!({})).await?;
    let answer = success(host.publish(shaped(&[])?, "name=test:swap&version=1.3.0").await?).await?;
    assert_eq!(answer["against"]["version"], "1.0.0");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn publications_at_once_keep_the_promise_too() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Arc::new(Host::start(dir.path()).await?);
    let publish = |minor: usize| {
        let host = Arc::clone(&host);
        tokio::spawn(async move {
            // Each shape is compatible with those like it and with none of the others.
            let name = ["number", "count", "sum"].get(minor % 3).context("a name")?;
            let wasm =
                shaped(&[("(export \"number\" (func $number))", &format!("(export \"{name}\" (func $number))"))])?;
            let answer = host.publish(wasm, &format!("name=test:race&version=1.{minor}.0")).await?;
            anyhow::Ok((minor, answer.status().as_u16()))
        })
    };
    let racers: Vec<_> = (0..12).map(publish).collect();
    let (mut shapes, mut taken) = (BTreeSet::new(), 0);
    for racer in racers {
        let (minor, status) = racer.await??;
        assert!(matches!(status, 201 | 409), "1.{minor}.0: {status}");
        if status == 201 {
            shapes.insert(minor % 3);
            taken += 1;
        }
    }
    assert!(taken >= 1);
    assert_eq!(shapes.len(), 1, "versions of several shapes came onto one line");
    let versions = host.get("/v1/components/test/race/versions").await?;
    assert_eq!(versions["items"].as_array().context("items")?.len(), taken);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vendor_is_told_beforehand() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let files = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    let write =
        |name: &str, edits: &[(&str, &str)]| anyhow::Ok(std::fs::write(files.path().join(name), shaped(edits)?)?);
    write("same.wasm", &[])?;
    write("more.wasm", &[ONE_MORE, IMPORTS])?;
    write("other.wasm", &[OTHER_TYPE])?;
    host.publish(shaped(&[])?, "name=test:swap&version=1.0.0").await?.error_for_status()?;
    host.publish(shaped(&[])?, "name=test:swap&version=1.1.0").await?.error_for_status()?;

    // Arguments, exit code, the step and the next version, and words for people.
    type Told = (&'static [&'static str], i32, &'static str, &'static str, &'static [&'static str]);
    let cases: [Told; 10] = [
        (
            &["same.wasm", "--against", "LATEST", "--version", "1.1.1"],
            0,
            "patch",
            "1.1.1",
            &["nothing that is exported"],
        ),
        (&["same.wasm", "--against", "LATEST"], 0, "patch", "1.1.1", &["compared with 1.1.0"]),
        (&["same.wasm", "--against", "LATEST", "--version", "1.1.0"], 0, "patch", "1.1.1", &[]),
        (
            &["more.wasm", "--against", "LATEST", "--version", "1.2.0"],
            0,
            "minor",
            "1.2.0",
            &["twice", "wasi:random/random@0.2.6"],
        ),
        (
            &["more.wasm", "--against", "LATEST", "--version", "1.0.7"],
            1,
            "minor",
            "1.2.0",
            &["not above 1.1.0", "1.1.1"],
        ),
        (&["more.wasm", "--against", "LATEST", "--version", "1.1.0"], 1, "minor", "1.2.0", &["other bytes"]),
        (
            &["other.wasm", "--against", "LATEST", "--version", "1.2.0"],
            1,
            "major",
            "2.0.0",
            &["+ number: func() -> s32", "publish it as 2.0.0"],
        ),
        (&["other.wasm", "--against", "LATEST", "--version", "2.0.0"], 0, "major", "2.0.0", &["callers lose"]),
        (&["other.wasm", "--against", "1.0.0"], 0, "major", "2.0.0", &["compared with 1.0.0"]),
        (&["other.wasm", "--against", "same.wasm"], 0, "major", "-", &["- number: func() -> u32"]),
    ];
    for (args, exit, step, next, words) in cases {
        let mut all = vec!["check", "--name", "test:swap"];
        all.extend(args);
        let people = client(files.path(), &host, &host.admin_key, &all)?;
        assert_eq!(people.code, exit, "{args:?}: {}{}", people.stdout, people.stderr);
        for word in words {
            assert!(people.stdout.contains(word), "{args:?} does not say {word:?}: {}", people.stdout);
        }
        all.push("--json");
        let report: Value = serde_json::from_str(&client(files.path(), &host, &host.admin_key, &all)?.stdout)?;
        assert_eq!(report["against"]["step"], step, "{args:?}: {report:#}");
        assert_eq!(report["against"]["next-version"].as_str().unwrap_or("-"), next, "{args:?}: {report:#}");
        // The host says the same.
        if let Some(at) = args.iter().position(|arg| *arg == "--version").filter(|_| exit != 0) {
            let wasm = std::fs::read(files.path().join(args[0]))?;
            let answer = host.publish(wasm, &format!("name=test:swap&version={}", args[at + 1])).await?;
            assert_eq!(answer.status(), 409, "{args:?}");
        }
    }
    let nothing = client(
        files.path(),
        &host,
        &host.admin_key,
        &["check", "same.wasm", "--name", "test:new", "--against", "LATEST"],
    )?;
    assert_eq!(nothing.code, 0, "{}", nothing.stderr);
    assert!(nothing.stderr.contains("nothing is published"), "{}", nothing.stderr);
    let nameless = client(files.path(), &host, &host.admin_key, &["check", "same.wasm", "--against", "LATEST"])?;
    assert_eq!(nameless.code, 2, "{}", nameless.stderr);
    Ok(())
}

#[tokio::test]
async fn real_components_compare_with_themselves() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (name, wasm) in [
        ("plugin.wasm", guests::plugin("kitchen-rating")?),
        ("http.wasm", guests::built("test-answers")?),
        ("form.wasm", guests::plugin("form-report")?),
    ] {
        std::fs::write(dir.path().join(name), wasm)?;
        let told = wares(dir.path(), ["check", name, "--against", name, "--json"])?;
        let report: Value = serde_json::from_str(&told.stdout).context(told.stderr)?;
        assert_eq!((told.code, &report["against"]["step"]), (0, &json!("patch")), "{name}: {report:#}");
    }
    let told = wares(dir.path(), ["check", "plugin.wasm", "--against", "form.wasm", "--json"])?;
    let report: Value = serde_json::from_str(&told.stdout)?;
    assert_eq!(report["against"]["step"], "major", "{report:#}");
    Ok(())
}

#[tokio::test]
async fn the_same_number_with_other_bytes_is_a_conflict_of_its_own() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let host = Host::start(dir.path()).await?;
    host.publish(shaped(&[])?, "name=test:swap&version=1.0.0").await?.error_for_status()?;
    let (status, document) = problem(host.publish(shaped(&[ONE_MORE])?, "name=test:swap&version=1.0.0").await?).await?;
    assert_eq!((status, code(&document)), (409, "conflict"));
    assert!(document["detail"].as_str().unwrap_or_default().contains("never rewritten"), "{document:#}");
    Ok(())
}
