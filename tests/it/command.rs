//! Runs of the `wares` program to its end.

use anyhow::{Context as _, Result, ensure};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;
use wares_it::host::{Host, binary};

/// How a run of the program ended.
pub(crate) struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said about it.
    pub stderr: String,
}

/// Runs `wares` in a folder, with no settings but its arguments.
pub(crate) fn wares(folder: &Path, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Ended> {
    run(command(folder)?.args(args))
}

/// Runs `wares` against a host, with this key.
pub(crate) fn client(folder: &Path, host: &Host, key: &str, args: &[&str]) -> Result<Ended> {
    run(command(folder)?.args(args).env("WARES_HOST", &host.url).env("WARES_KEY", key))
}

/// The same for a run that does what it was asked for: what it printed.
pub(crate) fn done(folder: &Path, host: &Host, key: &str, args: &[&str]) -> Result<String> {
    let ended = client(folder, host, key, args)?;
    ensure!(ended.code == 0, "{args:?}: {}{}", ended.stdout, ended.stderr);
    Ok(ended.stdout)
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<Ended> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let code = output.status.code().context("the program was killed")?;
    Ok(Ended { code, stdout: text(output.stdout), stderr: text(output.stderr) })
}

fn command(folder: &Path) -> Result<Command> {
    let mut command = Command::new(binary()?);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("WARES_")) {
        command.env_remove(name);
    }
    // What is compared is English.
    command.current_dir(folder).env("LC_ALL", "C.UTF-8");
    Ok(command)
}
