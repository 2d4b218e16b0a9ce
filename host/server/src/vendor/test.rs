//! The part of `wares test` that runs a project's own Rust tests, natively, with the sandbox at hand.

use super::build::Built;
use super::command;
use anyhow::{Context as _, Result};
use std::path::Path;
use std::process::{Command, ExitStatus};

/// Runs `cargo test` of the project, with the tests that call the built component in the sandbox.
///
/// These are marked as ignored for runs without a sandbox; they find the program and the component through the
/// environment (see the SDK's `testing`). Output goes to the terminal.
pub(crate) fn cargo_test(built: &Built, wares: &Path) -> Result<ExitStatus> {
    let mut cargo = Command::new("cargo");
    command::without_build_settings(&mut cargo).current_dir(&built.project);
    cargo.env("WARES_BIN", wares).env("WARES_COMPONENT", &built.path);
    cargo.args(["test", "--quiet", "--", "--include-ignored"]);
    cargo.status().context("cargo does not start")
}
