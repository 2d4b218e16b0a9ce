//! The README's first command, as a newcomer uses it.

use crate::command::{run, wares};
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::{Command as Blocking, Stdio};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wares_it::guests;
use wares_it::host::binary;

/// The components of the plugins folder.
const PLUGINS: [&str; 6] =
    ["benefit-match", "credit-code", "form-report", "form-rules", "kitchen-rating", "resident-roster"];

/// A running demo and what it printed.
struct Demo {
    process: Child,
    lines: Vec<String>,
}

impl Demo {
    async fn start(data_dir: &Path) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["demo", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).current_dir(guests::root());
        Self::run(command, PLUGINS.len()).await
    }

    /// Runs the command until it has printed so many lines to paste.
    async fn run(mut command: Command, curls: usize) -> Result<Self> {
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut out = BufReader::new(process.stdout.take().context("stdout")?).lines();
        let mut lines = Vec::new();
        while lines.iter().filter(|line: &&String| line.starts_with("curl ")).count() < curls {
            let Some(line) = out.next_line().await? else { bail!("the demo ended: {lines:#?}") };
            lines.push(line);
        }
        Ok(Self { process, lines })
    }

    fn value(&self, name: &str) -> Result<&str> {
        let prefix = format!("{name}: ");
        self.lines.iter().find_map(|line| line.strip_prefix(prefix.as_str())).context(prefix)
    }

    async fn stop(mut self) -> Result<()> {
        let pid = self.process.id().and_then(|pid| Pid::from_raw(pid as i32)).context("pid")?;
        kill_process(pid, Signal::TERM)?;
        assert!(self.process.wait().await?.success());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_prints_lines_that_work_and_keeps_everything() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let demo = Demo::start(&data).await?;
    let (admin, tenant) = (demo.value("admin key")?.to_owned(), demo.value("tenant key")?.to_owned());
    assert!(demo.value("console")?.starts_with("http://"));
    let lines: Vec<_> = demo.lines.iter().filter(|line| line.starts_with("curl ")).collect();
    for plugin in PLUGINS {
        let called = format!("/v1/call/{}/", plugin.replacen('-', "/", 1));
        assert!(lines.iter().any(|line| line.contains(&called)), "nothing of {plugin}: {lines:#?}");
    }
    for line in &lines {
        let ended = run(Blocking::new("sh").arg("-c").arg(line))?;
        let answer: Value = serde_json::from_str(&ended.stdout).with_context(|| format!("{line}\n{}", ended.stdout))?;
        assert!(answer.get("type").is_none(), "{line}\n{answer:#}");
    }
    // The client finds host and keys by itself where the demo runs.
    let calls = |data: &Path| -> Result<u64> {
        let usage = run(Blocking::new(binary()?).args(["usage", "--json", "--data-dir"]).arg(data))?;
        let usage: Value = serde_json::from_str(&usage.stdout).with_context(|| usage.stderr.clone())?;
        let rows = usage["items"].as_array().context("items")?;
        Ok(rows.iter().filter_map(|row| row["calls"].as_u64()).sum())
    };
    let called = lines.len() as u64;
    assert_eq!(calls(&data)?, called);
    demo.stop().await?;

    let demo = Demo::start(&data).await?;
    assert_eq!((demo.value("admin key")?, demo.value("tenant key")?), (admin.as_str(), tenant.as_str()));
    assert_eq!(calls(&data)?, called);
    demo.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_built_here_is_left_out() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let plugins = dir.path().join("plugins");
    std::fs::create_dir(&plugins)?;
    for (name, language) in [("bureau/checks", "c"), ("bureau/forms", "js"), ("bureau/greeting", "rust")] {
        let made = wares(&plugins, ["new", name, "--lang", language])?;
        assert_eq!(made.code, 0, "{}", made.stderr);
    }
    // Built before, it needs no compiler; one project's own folder is not where the others look for it.
    let built = wares(&plugins, ["build", "bureau-checks"])?;
    assert_eq!(built.code, 0, "{}", built.stderr);
    std::fs::rename(plugins.join("bureau-checks/target"), plugins.join("target"))?;

    let mut command = Command::new(binary()?);
    command.args(["demo", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path().join("data"));
    command.arg("--plugins").arg(&plugins).env("PATH", dir.path()).stderr(Stdio::piped());
    let mut demo = Demo::run(command, 1).await?;
    assert!(demo.lines.iter().any(|line| line.contains("/v1/call/bureau/checks/")), "{:#?}", demo.lines);
    let mut said = BufReader::new(demo.process.stderr.take().context("stderr")?).lines();
    let mut left_out = Vec::new();
    while left_out.len() < 2 {
        let line = said.next_line().await?.with_context(|| format!("it ended with {left_out:?}"))?;
        left_out.extend(line.contains("left out").then_some(line));
    }
    let is_said = |words: [&str; 2]| left_out.iter().any(|line| words.iter().all(|word| line.contains(word)));
    assert!(is_said(["bureau:forms", "Node.js"]) && is_said(["Rust", "rustup"]), "{left_out:#?}");
    demo.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_granted_takes_no_traffic_and_the_rest_does() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let plugins = dir.path().join("plugins");
    std::fs::create_dir(&plugins)?;
    for name in ["bureau/asks", "bureau/checks"] {
        let made = wares(&plugins, ["new", name, "--lang", "c"])?;
        assert_eq!(made.code, 0, "{}", made.stderr);
    }
    let manifest = plugins.join("bureau-asks/wares.toml");
    let text = std::fs::read_to_string(&manifest)?;
    std::fs::write(&manifest, format!("{text}\n[capabilities]\nkeyvalue = [\"rates\"]\n"))?;

    let mut command = Command::new(binary()?);
    command.args(["demo", "--listen", "127.0.0.1:0", "--data-dir"]).arg(dir.path().join("data"));
    command.arg("--plugins").arg(&plugins).stderr(Stdio::piped());
    let mut demo = Demo::run(command, 1).await?;
    let curls: Vec<_> = demo.lines.iter().filter(|line| line.starts_with("curl ")).collect();
    assert!(curls.iter().all(|line| line.contains("/v1/call/bureau/checks/")), "{curls:#?}");
    let mut said = BufReader::new(demo.process.stderr.take().context("stderr")?).lines();
    let refused = loop {
        let line = said.next_line().await?.context("nothing is said of what takes no traffic")?;
        if line.contains("takes no traffic") {
            break line;
        }
    };
    assert!(refused.contains("wares grants add bureau:asks --keyvalue rates"), "{refused}");
    demo.stop().await
}
