//! Components from Python: `componentize-py` puts a module and CPython into one.

use super::build::Compiler;
use super::project::Project;
use super::tools::Tool;
use super::{Progress, command, debian, stubs};
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes when components are made in another way.
pub(crate) const RECIPE: &str = concat!("python 1\n", include_str!("../../../../sdk/tools/python/requirements.txt"));
const REQUIREMENTS: &str = include_str!("../../../../sdk/tools/python/requirements.txt");
const PACKAGES: [&str; 2] = ["python3", "python3-venv"];
/// What CPython's libc imports and no host gives.
const SOCKETS: &str = "wasi:sockets";
/// An export by which `componentize-py` prepares a component, of no use afterwards.
const LEFTOVER: &str = "exports";
/// The usual file with the exports.
const ENTRY: &str = "app.py";

/// An installed `componentize-py`.
pub(crate) struct Python {
    program: PathBuf,
}

impl Python {
    /// Finds it, or installs it with pip into an environment of its own.
    pub(crate) fn ensure(progress: Progress<'_>) -> Result<Self> {
        let tool = Tool { name: "componentize-py", pins: REQUIREMENTS };
        let folder = tool.ensure(|folder| install(folder, progress))?;
        Ok(Self { program: folder.join("bin/componentize-py") })
    }
}

impl Compiler for Python {
    fn compile(&self, project: &Project) -> Result<Vec<u8>> {
        let entry = project.entry(ENTRY)?;
        let module = entry.file_stem().context("`entry` under [build] names no file")?;
        let work = tempfile::tempdir().context("a temporary folder for the component")?;
        let output = work.path().join("component.wasm");
        let mut componentize = Command::new(&self.program);
        componentize.current_dir(&project.folder).env_remove("VIRTUAL_ENV");
        componentize.args(["--quiet", "--wit-path", "wit"]);
        componentize.args(project.world().into_iter().flat_map(|world| ["--world", world]));
        componentize.args(["componentize", "--python-path"]);
        componentize.arg(entry.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new(".")));
        componentize.arg("--output").arg(&output).arg(module);
        command::output(&mut componentize)?;
        let component = fs::read(&output).with_context(|| output.display().to_string())?;
        stubs::stub(&component, SOCKETS, LEFTOVER)
    }
}

fn install(folder: &Path, progress: Progress<'_>) -> Result<()> {
    let venv = || command::output(Command::new("python3").args(["-m", "venv"]).arg(folder));
    if let Err(error) = venv() {
        debian::install(&PACKAGES, progress).with_context(|| format!("python3 makes no environment: {error:#}"))?;
        venv()?;
    }
    progress("installing componentize-py with pip");
    let requirements = folder.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).with_context(|| requirements.display().to_string())?;
    let mut pip = Command::new(folder.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]);
    command::output(pip.args(["--require-hashes", "--requirement"]).arg(requirements)).map(drop)
}
