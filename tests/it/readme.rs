//! The README's second story, as it is written there: a vendor writes, tests, checks and publishes a component, and calls it.

use crate::command::run;
use anyhow::{Context as _, Result};
use serde_json::json;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use wares_it::guests;
use wares_it::host::{Host, binary};

#[tokio::test(flavor = "multi_thread")]
async fn the_vendor_s_story_runs_as_it_is_written() -> Result<()> {
    let (data, checkout) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let host = Host::start(data.path()).await?;
    // What the story finds: the program, and the keys that the demo noted.
    std::fs::create_dir_all(checkout.path().join("target"))?;
    let programs = binary()?.parent().context("the folder of the program")?.to_owned();
    std::os::unix::fs::symlink(programs, checkout.path().join("target/release"))?;
    std::fs::create_dir(checkout.path().join("wares-data"))?;
    let (url, admin, tenant) = (&host.url, &host.admin_key, host.tenant("district").await?);
    let noted = format!("host = {url:?}\nadmin-key = {admin:?}\ntenant-key = {tenant:?}\n");
    let client = checkout.path().join("wares-data/client.toml");
    std::fs::write(&client, noted)?;
    std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o600))?;

    let readme = std::fs::read_to_string(guests::root().join("README.md"))?;
    let settings = readme.lines().find(|line| line.starts_with("export PATH=")).context("the line that sets PATH")?;
    let story = readme.split("```sh\n").find(|block| block.starts_with("wares new ")).context("the story")?;
    let story = story.split("```").next().unwrap_or_default();
    let mut shell = Command::new("sh");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WARES_")) {
        shell.env_remove(name);
    }
    let ended = run(shell.current_dir(checkout.path()).args(["-ec", &format!("{settings}\n{story}")]))?;
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("passed, 0 failed"), "{}", ended.stdout);
    let price = ended.stdout.lines().last().unwrap_or_default();
    assert_eq!(serde_json::from_str::<serde_json::Value>(price)?, json!({"cents": 1560, "speed": "express"}));
    let shelf = host.get("/v1/components/bureau/greeting").await?;
    assert_eq!(shelf["deployment"]["traffic"]["0.1.0"], 100, "{shelf:#}");
    Ok(())
}
