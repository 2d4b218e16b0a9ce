//! The README's first command, as a newcomer uses it.

use crate::command::run;
use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::{Command as Blocking, Stdio};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use wares_it::guests;
use wares_it::host::binary;

/// A running demo and what it printed.
struct Demo {
    process: Child,
    lines: Vec<String>,
}

impl Demo {
    async fn start(data_dir: &Path) -> Result<Self> {
        let mut command = Command::new(binary()?);
        command.args(["demo", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data_dir).current_dir(guests::root());
        let mut process = command.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut out = BufReader::new(process.stdout.take().context("stdout")?).lines();
        let mut lines = Vec::new();
        while lines.iter().filter(|line: &&String| line.starts_with("curl ")).count() < 3 {
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
    for line in demo.lines.iter().filter(|line| line.starts_with("curl ")) {
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
    assert_eq!(calls(&data)?, 3);
    demo.stop().await?;

    let demo = Demo::start(&data).await?;
    assert_eq!((demo.value("admin key")?, demo.value("tenant key")?), (admin.as_str(), tenant.as_str()));
    assert_eq!(calls(&data)?, 3);
    demo.stop().await
}
