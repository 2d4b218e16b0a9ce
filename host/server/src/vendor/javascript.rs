//! Components from JavaScript: `componentize-js` puts a module and SpiderMonkey into one.

use super::build::Compiler;
use super::project::Project;
use super::tools::Tool;
use super::world::World;
use super::{Progress, command};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes when components are made in another way.
pub(crate) const RECIPE: &str = concat!("js 1\n", include_str!("../../../../sdk/tools/js/package-lock.json"));
const PACKAGE: &str = include_str!("../../../../sdk/tools/js/package.json");
const LOCK: &str = include_str!("../../../../sdk/tools/js/package-lock.json");
/// What the engine offers when a world asks for it, and what the world then says.
const FEATURES: [(&str, &str); 2] =
    [("http", "wasi:http/outgoing-handler"), ("fetch-event", "wasi:http/incoming-handler")];
/// Major version of Node.js from which on the packages run.
const NODE_MAJOR_MIN: u32 = 20;
/// The usual file with the exports.
const ENTRY: &str = "app.js";

/// An installed `componentize-js`.
pub(crate) struct JavaScript {
    program: PathBuf,
}

impl JavaScript {
    /// Finds it, or installs it with npm.
    pub(crate) fn ensure(progress: Progress<'_>) -> Result<Self> {
        check_node().with_context(|| {
            format!(
                "components in JavaScript are made with Node.js: install version {NODE_MAJOR_MIN} or newer, with npm"
            )
        })?;
        let folder = Tool { name: "componentize-js", pins: LOCK }.ensure(|folder| install(folder, progress))?;
        Ok(Self { program: folder.join("node_modules/@bytecodealliance/componentize-js/src/cli.js") })
    }
}

impl Compiler for JavaScript {
    fn compile(&self, project: &Project) -> Result<Vec<u8>> {
        let entry = project.entry(ENTRY)?;
        let world = World::read(&project.wit(), project.world())?;
        let work = tempfile::tempdir().context("a temporary folder for the component")?;
        let output = work.path().join("component.wasm");
        let mut componentize = Command::new("node");
        componentize.current_dir(&project.folder).arg(&self.program).arg(entry);
        componentize.args(["--wit", "wit", "--world-name", world.name(), "--out"]).arg(&output);
        for (feature, interface) in FEATURES {
            if !world.names(interface) {
                componentize.args(["--disable", feature]);
            }
        }
        command::output(&mut componentize)?;
        fs::read(&output).with_context(|| output.display().to_string())
    }
}

fn check_node() -> Result<()> {
    command::output(Command::new("npm").arg("--version"))?;
    let version = command::output(Command::new("node").arg("--version"))?;
    let major = version.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u32>().ok());
    ensure!(major.is_some_and(|major| major >= NODE_MAJOR_MIN), "this one has version {}", version.trim());
    Ok(())
}

fn install(folder: &Path, progress: Progress<'_>) -> Result<()> {
    progress("installing componentize-js with npm");
    for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK)] {
        fs::write(folder.join(name), text).with_context(|| folder.join(name).display().to_string())?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(folder);
    command::output(npm.current_dir(folder)).map(drop)
}
