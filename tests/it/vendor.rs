//! The README's second story: a vendor writes, tests, checks and publishes a component.

use crate::command::{client, wares};
use anyhow::Result;
use wares_it::guests;
use wares_it::host::Host;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_new_project_passes_its_own_tests_and_goes_on_the_shelf() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let work = tempfile::tempdir()?;
    let done = |args: &[&str]| -> Result<String> {
        let ended = wares(work.path(), args)?;
        assert_eq!(ended.code, 0, "{args:?}: {}{}", ended.stdout, ended.stderr);
        Ok(ended.stdout + &ended.stderr)
    };
    done(&["new", "bureau/greeting"])?;
    assert!(done(&["test", "bureau-greeting"])?.contains("passed, 0 failed"));
    let file = "bureau-greeting/target/wares/bureau-greeting.wasm";
    assert!(done(&["check", file])?.contains("bureau:greeting"));

    let host = Host::start(dir.path()).await?;
    let published = client(work.path(), &host, &host.admin_key, &["publish", "bureau-greeting", "--deploy"])?;
    assert_eq!(published.code, 0, "{}", published.stderr);
    let shelf = host.get("/v1/components/bureau/greeting").await?;
    assert_eq!(shelf["deployment"]["traffic"]["0.1.0"], 100, "{shelf:#}");
    Ok(())
}

#[test]
fn the_examples_of_every_plugin_hold_in_the_sandbox() -> Result<()> {
    let ended = wares(&guests::root(), ["test", "plugins"])?;
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains(" 0 failed"), "{}", ended.stdout);
    Ok(())
}
