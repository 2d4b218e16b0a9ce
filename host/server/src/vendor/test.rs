//! The part of `wares test` that runs a project's own tests, natively, with the sandbox at hand.

use super::build::Built;
use super::project::Project;
use super::{c, command};
use anyhow::{Context as _, Result};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitStatus};
use tempfile::TempDir;
use wares_model::manifest::Language;

/// The folder with the tests.
const TESTS: &str = "tests";

/// The variable with the secrets for calls that a project's own tests make in the sandbox: one `NAME=FILE` a line.
pub(crate) const SECRETS_VARIABLE: &str = "WARES_TEST_SECRETS";

/// The project's own tests.
pub(crate) struct OwnTests {
    /// What runs them.
    pub(crate) name: &'static str,
    command: Command,
    /// What was compiled for them.
    _work: Option<TempDir>,
}

impl OwnTests {
    /// The tests in the manner of the project's language, if there are any.
    ///
    /// Tests that call the built component in the sandbox find the program and the component through the environment
    /// (see the SDK's `testing`); for Rust they are marked as ignored, for runs without a sandbox. Their calls find the secrets
    /// in `secret_files`, which is as [`SECRETS_VARIABLE`].
    pub(crate) fn of(built: &Built, wares: &Path, secret_files: &str) -> Result<Option<Self>> {
        let project = Project::read(&built.project, Path::new(""))?;
        let tests = match built.manifest.build.language {
            Language::Rust => Some(cargo()),
            Language::Python => python(&project)?,
            Language::Js => javascript(&project)?,
            Language::C => c(&project)?,
        };
        Ok(tests.map(|mut tests| {
            tests.command.current_dir(&built.project).env("WARES_BIN", wares).env("WARES_COMPONENT", &built.path);
            match secret_files {
                "" => tests.command.env_remove(SECRETS_VARIABLE),
                files => tests.command.env(SECRETS_VARIABLE, files),
            };
            tests
        }))
    }

    /// Runs them; output goes to the terminal.
    pub(crate) fn run(mut self) -> Result<ExitStatus> {
        self.command.status().with_context(|| format!("{} does not start", self.name))
    }

    fn new(name: &'static str, program: impl AsRef<OsStr>) -> Self {
        Self { name, command: Command::new(program), _work: None }
    }
}

fn cargo() -> OwnTests {
    let mut tests = OwnTests::new("cargo test", "cargo");
    command::without_build_settings(&mut tests.command);
    tests.command.args(["test", "--quiet", "--", "--include-ignored"]);
    tests
}

fn python(project: &Project) -> Result<Option<OwnTests>> {
    if project.files(TESTS, ".py")?.is_empty() {
        return Ok(None);
    }
    let mut tests = OwnTests::new("python3 -m unittest", "python3");
    tests.command.args(["-B", "-m", "unittest", "discover", "--buffer", "--start-directory", TESTS]);
    tests.command.env("PYTHONPATH", &project.folder);
    Ok(Some(tests))
}

fn javascript(project: &Project) -> Result<Option<OwnTests>> {
    let files = project.files(TESTS, ".test.js")?;
    let mut tests = OwnTests::new("node --test", "node");
    tests.command.arg("--test").args(&files);
    Ok((!files.is_empty()).then_some(tests))
}

/// All tests and sources but the one with the exports, as a program of this machine.
fn c(project: &Project) -> Result<Option<OwnTests>> {
    let files = project.files(TESTS, ".c")?;
    if files.is_empty() {
        return Ok(None);
    }
    let entry = project.entry(c::ENTRY)?;
    let sources = project.files(c::SOURCES, ".c")?.into_iter().filter(|source| *source != entry);
    let work = tempfile::tempdir().context("a temporary folder for the tests")?;
    let program = work.path().join("tests");
    let mut cc = Command::new("cc");
    cc.args(c::LANGUAGE_FLAGS).args(["-g", "-o"]).arg(&program).args(files).args(sources);
    command::output(cc.current_dir(&project.folder))?;
    Ok(Some(OwnTests { _work: Some(work), ..OwnTests::new("C tests", program) }))
}
