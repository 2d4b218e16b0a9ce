//! `wares build`: compiles a project, or every project of a workspace, to components that carry their manifests.

use super::toolchain::{self, GuestToolchain, TARGET};
use super::{Progress, command, section};
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};
use wares_model::manifest::{FILE_NAME, Manifest, SECTION};
use wares_typed::{DOCUMENTATION_SECTION, Documentation};

/// A built component.
#[derive(Debug, Clone)]
pub(crate) struct Built {
    /// What its `wares.toml` says.
    pub(crate) manifest: Manifest,
    /// The component, complete with its manifest.
    pub(crate) path: PathBuf,
    /// The folder of the project.
    pub(crate) project: PathBuf,
}

/// Builds the project in the folder, or all projects of the workspace in the folder, in the order of their names.
pub(crate) fn build(folder: &Path, progress: Progress<'_>) -> Result<Vec<Built>> {
    let cargo_toml = folder.join("Cargo.toml");
    if !cargo_toml.is_file() {
        bail!(
            "{} does not exist: name the folder of a project (`wares new` makes one) or of a workspace of projects",
            cargo_toml.display()
        );
    }
    let toolchain = toolchain::ensure(progress)?;
    let workspace = Workspace::read(&toolchain, folder)?;
    let projects = projects(&workspace, folder)?;
    projects.into_iter().map(|project| build_one(&toolchain, &workspace, project, progress)).collect()
}

struct Project<'a> {
    package: &'a Package,
    manifest: Manifest,
    manifest_text: String,
    output: PathBuf,
}

/// All manifests are read before the first build, which takes longer.
fn projects<'a>(workspace: &'a Workspace, folder: &Path) -> Result<Vec<Project<'a>>> {
    let mut found = BTreeMap::new();
    for package in workspace.chosen(folder)? {
        let path = package.folder().join(FILE_NAME);
        let manifest_text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let manifest = Manifest::parse(&manifest_text).with_context(|| path.display().to_string())?;
        let name = &manifest.component.name;
        let file_name = format!("{}-{}.wasm", name.namespace(), name.name());
        let output = workspace.target_directory.join("wares").join(&file_name);
        let project = Project { package, manifest, manifest_text, output };
        if let Some(other) = found.insert(file_name.clone(), project) {
            bail!("{} and {} would both be {file_name}: rename one component", path.display(), other.package.name);
        }
    }
    Ok(found.into_values().collect())
}

fn build_one(
    toolchain: &GuestToolchain,
    workspace: &Workspace,
    project: Project<'_>,
    progress: Progress<'_>,
) -> Result<Built> {
    progress(&format!("building {} {}", project.manifest.component.name, project.manifest.component.version));
    let compiled = compile(toolchain, workspace, project.package)?;
    let bytes = fs::read(&compiled).with_context(|| compiled.display().to_string())?;
    let documentation = documentation(&project.package.folder().join("wit"))?;
    let mut sections: Vec<section::Custom<'_>> = vec![(SECTION, project.manifest_text.as_bytes())];
    sections.extend(documentation.as_deref().map(|bytes| (DOCUMENTATION_SECTION, bytes)));
    let component = section::with_sections(&bytes, &sections).with_context(|| compiled.display().to_string())?;
    write_whole(&project.output, &component).with_context(|| project.output.display().to_string())?;
    let folder = project.package.folder().to_owned();
    Ok(Built { manifest: project.manifest, path: project.output, project: folder })
}

/// The comments of the WIT files, which the compiler drops.
fn documentation(wit: &Path) -> Result<Option<Vec<u8>>> {
    if !wit.is_dir() {
        return Ok(None);
    }
    let documentation = Documentation::of_wit(wit).with_context(|| wit.display().to_string())?;
    Ok(Some(documentation.to_section().with_context(|| wit.display().to_string())?))
}

/// Packages are built one by one: features of one never change the bytes of another.
fn compile(toolchain: &GuestToolchain, workspace: &Workspace, package: &Package) -> Result<PathBuf> {
    let mut cargo = toolchain.cargo()?;
    cargo.args(["build", "--release", "--target", TARGET, "--message-format", "json-render-diagnostics"]);
    cargo.arg("--manifest-path").arg(&package.manifest_path);
    cargo.args(["--config", &format!("target.{TARGET}.rustflags={}", toml_array(&workspace.remappings()))]);
    let messages = run_visibly(&mut cargo).with_context(|| format!("{} does not build", package.name))?;
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

/// What the compiler says goes to the terminal as it comes.
fn run_visibly(cargo: &mut Command) -> Result<String> {
    let output = cargo.stdin(Stdio::null()).stderr(Stdio::inherit()).output().context("cargo does not start")?;
    ensure!(output.status.success(), "cargo ended with {}", output.status);
    String::from_utf8(output.stdout).context("cargo answered with other than UTF-8")
}

/// Readers never see half a component.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("no folder")?;
    fs::create_dir_all(folder)?;
    let part = path.with_extension("wasm.part");
    fs::write(&part, bytes)?;
    Ok(fs::rename(part, path)?)
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
    fn read(toolchain: &GuestToolchain, folder: &Path) -> Result<Self> {
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
    fn a_folder_without_a_crate_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = build(folder.path(), &|_| {}).unwrap_err().to_string();
        assert!(error.contains(&folder.path().join("Cargo.toml").display().to_string()), "{error}");
    }

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

    #[test]
    fn a_file_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wares/a-b.wasm");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path().join("wares")).unwrap().count(), 1);
    }
}
