//! Components from Rust: a crate, or the members of a cargo workspace.

use super::build::Compiler;
use super::project::Project;
use super::toolchain::{self, TARGET, Toolchain};
use super::{Progress, command};
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::{env, fs};
use wares_model::manifest::FILE_NAME;

/// Cargo with a toolchain for components.
#[derive(Debug, Clone)]
pub(crate) struct Rust(Toolchain);

impl Rust {
    /// Finds the toolchain, or sets it up.
    pub(crate) fn ensure(progress: Progress<'_>) -> Result<Self> {
        toolchain::ensure(progress).map(Self)
    }

    /// The crate in the folder, or, for the root of a workspace, each member that has a manifest.
    pub(crate) fn projects(&self, folder: &Path) -> Result<Vec<Project>> {
        let workspace = Workspace::read(&self.0, folder)?;
        let packages = workspace.chosen(folder)?.into_iter();
        packages.map(|package| Project::read(package.folder(), &workspace.target_directory)).collect()
    }
}

impl Compiler for Rust {
    fn compile(&self, project: &Project) -> Result<Vec<u8>> {
        let workspace = Workspace::read(&self.0, &project.folder)?;
        let packages = workspace.chosen(&project.folder)?;
        let package = packages.first().with_context(|| format!("{} holds no crate", project.folder.display()))?;
        let compiled = compile(&self.0, &workspace, package)?;
        fs::read(&compiled).with_context(|| compiled.display().to_string())
    }
}

/// Packages are built one by one: features of one never change the bytes of another.
fn compile(toolchain: &Toolchain, workspace: &Workspace, package: &Package) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo()?;
    cargo.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    cargo.arg("--manifest-path").arg(&package.manifest_path);
    cargo.args(["--config", &format!("target.{TARGET}.rustflags={}", toml_array(&workspace.remappings()))]);
    let messages = command::visibly(&mut cargo).with_context(|| format!("{} does not build", package.name))?;
    let mut files: Vec<PathBuf> = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.reason == "compiler-artifact" && message.package_id.as_ref() == Some(&package.id))
        .flat_map(|message| message.filenames)
        .filter(|file| file.extension().is_some_and(|extension| extension == "wasm"))
        .collect();
    let file = files.pop().with_context(|| {
        format!(
            "{} gives no .wasm: add crate-type = [\"cdylib\", \"rlib\"] under [lib]",
            package.manifest_path.display()
        )
    })?;
    ensure!(
        files.is_empty(),
        "{} gives several .wasm files: a project is one component",
        package.manifest_path.display()
    );
    Ok(file)
}

/// A JSON array of strings is a TOML one too.
fn toml_array(items: &[String]) -> String {
    serde_json::Value::from(items).to_string()
}

/// Where cargo keeps what it downloads.
pub(crate) fn cargo_home() -> Option<PathBuf> {
    env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".cargo")))
}

/// What `cargo metadata` says, as far as it is used here.
#[derive(Debug, Deserialize)]
struct Workspace {
    workspace_root: PathBuf,
    target_directory: PathBuf,
    workspace_members: Vec<String>,
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    /// `None`: it lies on this machine.
    source: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

impl Package {
    fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or(Path::new(""))
    }
}

impl Workspace {
    fn read(toolchain: &Toolchain, folder: &Path) -> Result<Self> {
        let mut cargo = toolchain.cargo()?;
        cargo.args(["metadata", "--format-version", "1", "--filter-platform", TARGET]).arg("--manifest-path");
        let text = command::output(cargo.arg(folder.join("Cargo.toml")))?;
        serde_json::from_str(&text).context("`cargo metadata` answered in an unknown form")
    }

    /// The folder's own package, or, for the root of a workspace, each member that has a manifest.
    fn chosen(&self, folder: &Path) -> Result<Vec<&Package>> {
        let folder = fs::canonicalize(folder).with_context(|| folder.display().to_string())?;
        let has_manifest = |package: &&Package| package.folder().join(FILE_NAME).is_file();
        let members = self.packages.iter().filter(|package| self.workspace_members.contains(&package.id));
        let members: Vec<&Package> = members.filter(has_manifest).collect();
        if let Some(own) = members.iter().find(|package| package.folder() == folder) {
            return Ok(vec![own]);
        }
        let is_root = self.workspace_root == folder;
        ensure!(
            is_root && !members.is_empty(),
            "{} does not exist: a crate is a component by this file",
            folder.join(FILE_NAME).display()
        );
        Ok(members)
    }

    /// Compiler flags that keep this machine's folders out of the bytes, so that the same source gives the same bytes elsewhere.
    fn remappings(&self) -> Vec<String> {
        let outside =
            |package: &&Package| package.source.is_none() && !package.folder().starts_with(&self.workspace_root);
        let others =
            self.packages.iter().filter(outside).map(|package| (package.folder().to_owned(), package.name.as_str()));
        let own = [(self.workspace_root.clone(), "workspace")];
        let homes = cargo_home().map(|home| (home, "cargo"));
        // rustc takes the last prefix that fits: what lies inside the cargo home is named by its own folder.
        let all = homes.into_iter().chain(own).chain(others);
        all.map(|(folder, name)| format!("--remap-path-prefix={}=/{name}", folder.display())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_this_machine_are_remapped() {
        let package = |name: &str, folder: &str, source: Option<&str>| Package {
            id: name.into(),
            name: name.into(),
            manifest_path: Path::new(folder).join("Cargo.toml"),
            source: source.map(str::to_owned),
        };
        let workspace = Workspace {
            workspace_root: "/home/ada/plugins".into(),
            target_directory: "/home/ada/plugins/target".into(),
            workspace_members: vec!["own".into()],
            packages: vec![
                package("own", "/home/ada/plugins/own", None),
                package("wares-sdk", "/home/ada/sdk", None),
                package("serde", "/elsewhere/serde", Some("registry")),
            ],
        };
        let flags = workspace.remappings();
        let ends: Vec<&str> = flags.iter().rev().take(2).map(String::as_str).collect();
        assert_eq!(
            ends,
            ["--remap-path-prefix=/home/ada/sdk=/wares-sdk", "--remap-path-prefix=/home/ada/plugins=/workspace"]
        );
        assert_eq!(toml_array(&["a\"b".into()]), r#"["a\"b"]"#);
    }
}
