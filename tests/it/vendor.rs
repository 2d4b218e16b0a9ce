//! What vendors do before they publish: new projects, tests and checks. The README's own story is in `readme`.

use crate::command::{run, wares};
use anyhow::Result;
use std::process::Command;
use wares_it::guests;
use wares_it::host::{Host, binary, problem};

#[test]
fn a_new_project_in_python_passes_its_own_tests() -> Result<()> {
    passes_its_own_tests("python")
}

#[test]
fn a_new_project_in_javascript_passes_its_own_tests() -> Result<()> {
    passes_its_own_tests("js")
}

#[test]
fn a_new_project_in_c_passes_its_own_tests() -> Result<()> {
    passes_its_own_tests("c")
}

/// Also with a name of which WIT keeps a word for itself.
fn passes_its_own_tests(language: &str) -> Result<()> {
    let work = tempfile::tempdir()?;
    let made = wares(work.path(), ["new", "type/fast-match", "--lang", language])?;
    assert_eq!(made.code, 0, "{}", made.stderr);
    let tested = wares(work.path(), ["test", "type-fast-match"])?;
    assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
    assert!(tested.stdout.ends_with("3 passed, 0 failed\n"), "{}", tested.stdout);
    assert!(tested.stderr.contains("1200 g"), "what the component prints is shown: {}", tested.stderr);
    Ok(())
}

#[test]
fn the_examples_of_every_plugin_hold_in_the_sandbox() -> Result<()> {
    let ended = wares(&guests::root(), ["test", "plugins"])?;
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains(" 0 failed"), "{}", ended.stdout);
    Ok(())
}

/// An import that nobody knows, and a manifest with a schedule of a function that is not there.
const REFUSED: [(&str, &str, &str); 2] = [
    ("(component (import \"wares:unheard/of@1.0.0\" (instance))", "", "unheard"),
    (
        "(component",
        "[[schedules]]\nname = \"nightly\"\ncron = \"30 2 * * *\"\ninterface = \"numbers\"\nfunction = \"nmber\"\n",
        "nmber",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_refuses_is_refused_before_it_is_published() -> Result<()> {
    let (dir, work) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let host = Host::start(dir.path()).await?;
    let text = std::fs::read_to_string(guests::root().join("tests/guests/number.wat"))?.replace("NUMBER", "1");
    for (start, more, word) in REFUSED {
        let manifest = format!("[component]\nname = \"test:swap\"\nversion = \"1.0.0\"\n{more}");
        let wasm = wat::parse_str(text.replacen("(component", start, 1))?;
        let wasm = guests::with_section(wasm, "wares:manifest", manifest.as_bytes());
        std::fs::write(work.path().join("one.wasm"), &wasm)?;
        let (status, document) = problem(host.publish(wasm, "").await?).await?;
        let words = document["detail"].as_str().unwrap_or_default();
        assert!(status == 422 && words.contains(word), "{document:#}");
        let checked = wares(work.path(), ["check", "one.wasm"])?;
        assert_eq!(checked.code, 1, "{}", checked.stdout);
        assert!(checked.stdout.contains(words), "no {words:?} in {}", checked.stdout);
    }
    Ok(())
}

#[test]
fn a_check_says_what_is_asked_for() -> Result<()> {
    let work = tempfile::tempdir()?;
    std::fs::write(work.path().join("pairs.wasm"), guests::built("test-pairs")?)?;
    let checked = wares(work.path(), ["check", "pairs.wasm"])?;
    assert_eq!(checked.code, 0, "{}", checked.stdout);
    assert!(checked.stdout.contains("asks for:\n  keyvalue counts\n"), "{}", checked.stdout);
    Ok(())
}

#[test]
fn examples_have_key_value_pairs_of_their_own() -> Result<()> {
    for _ in 0..2 {
        let tested = wares(&guests::root(), ["test", "tests/guests/pairs"])?;
        assert_eq!(tested.code, 0, "{}{}", tested.stdout, tested.stderr);
        assert!(tested.stdout.contains("ok      example \"goes on where it was\""), "{}", tested.stdout);
    }
    Ok(())
}

#[test]
fn the_sandbox_has_files_and_the_secrets_that_it_is_given() -> Result<()> {
    let work = tempfile::tempdir()?;
    for name in ["files", "confides"] {
        std::fs::write(work.path().join(format!("{name}.wasm")), guests::built(&format!("test-{name}"))?)?;
    }
    std::fs::write(work.path().join("token.txt"), "hush\n")?;
    let call = |file: &'static str, words: [&'static str; 2], more: &[&'static str]| {
        wares(work.path(), ["call", "--file", file].into_iter().chain(more.iter().copied()).chain(words))
    };
    let written = call("files.wasm", ["write", "[\"a.txt\", \"text\"]"], &[])?;
    assert_eq!((written.code, written.stdout.trim()), (0, "null"), "{}", written.stderr);
    let again = call("files.wasm", ["entries", "[\"/\"]"], &[])?;
    assert_eq!((again.code, again.stdout.trim()), (0, "[]"), "nothing is left for the next: {}", again.stderr);

    let ask = ["secret", "[\"token\"]"];
    let told = call("confides.wasm", ask, &["--secret", "token=token.txt"])?;
    assert_eq!((told.code, told.stdout.trim()), (0, "\"hush\""), "{}", told.stderr);
    assert_eq!(call("confides.wasm", ask, &[])?.code, 3, "no secret is given");
    let not_asked = call("confides.wasm", ["secret", "[\"other\"]"], &["--secret", "other=token.txt"])?;
    assert_eq!(not_asked.code, 3, "{}", not_asked.stdout);
    let none = call("confides.wasm", ask, &["--secret", "token=none.txt"])?;
    assert!(none.code == 1 && none.stderr.contains("none.txt"), "{}", none.stderr);
    // So the calls of a project's own tests find them.
    let mut of_tests = Command::new(binary()?);
    of_tests.current_dir(work.path()).args(["call", "--file", "confides.wasm"]).args(ask);
    let told = run(of_tests.env("WARES_TEST_SECRETS", "spare=token.txt\ntoken=token.txt"))?;
    assert_eq!((told.code, told.stdout.trim()), (0, "\"hush\""), "{}", told.stderr);
    Ok(())
}
