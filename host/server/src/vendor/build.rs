//! `wares build`: compiles a project, or every project in a folder, to components that carry their manifests.

use super::c::{self, C};
use super::javascript::{self, JavaScript};
use super::project::{self, Project};
use super::python::{self, Python};
use super::rust::Rust;
use super::{Progress, section};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use wares_model::manifest::{Language, Manifest, SECTION};
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

/// What to do with a project whose compiler is not there and cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WithoutCompiler {
    /// End with the reason.
    Fail,
    /// Say so and go on with the others.
    LeaveOut,
}

/// Turns projects of one language into components.
pub(crate) trait Compiler {
    /// The component of the project, without manifest.
    fn compile(&self, project: &Project) -> Result<Vec<u8>>;
}

/// Builds the project in the folder, or all projects in the folder, in the order of their names.
pub(crate) fn build(folder: &Path, without: WithoutCompiler, progress: Progress<'_>) -> Result<Vec<Built>> {
    let mut compilers = Compilers { ready: BTreeMap::new(), rust: None, progress };
    let mut built = Vec::new();
    // Tests of a project run in its folder, and find the component by its path.
    let folder = fs::canonicalize(folder).with_context(|| folder.display().to_string())?;
    for project in projects(&folder, without, &mut compilers)? {
        let language = project.manifest.build.language;
        let recipe = recipe(language).map(|recipe| project.fingerprint(recipe)).transpose()?;
        if !project.is_made_from(recipe.as_deref()) {
            match compilers.get(language) {
                Err(error) if without == WithoutCompiler::LeaveOut => {
                    progress(&format!("left out {}: {error:#}", project.manifest.component.name));
                    continue;
                }
                compiler => build_one(compiler?, &project, recipe.as_deref(), progress)?,
            }
        }
        built.push(Built { manifest: project.manifest, path: project.output, project: project.folder });
    }
    ensure!(!built.is_empty(), "{}: no component could be built", folder.display());
    Ok(built)
}

/// All manifests are read before the first build, which takes longer. Which crates are projects, only cargo knows.
fn projects(folder: &Path, without: WithoutCompiler, compilers: &mut Compilers<'_>) -> Result<Vec<Project>> {
    let mut found: BTreeMap<String, Project> = BTreeMap::new();
    let mut is_said = false;
    let crates = |folder: &Path| match compilers.rust() {
        Err(error) if without == WithoutCompiler::LeaveOut => {
            if !std::mem::replace(&mut is_said, true) {
                (compilers.progress)(&format!("left out what is written in Rust: {error:#}"));
            }
            Ok(Vec::new())
        }
        rust => rust?.projects(folder),
    };
    for project in project::find(folder, crates)? {
        let (name, folder) = (project.file_name(), project.folder.clone());
        if let Some(other) = found.insert(name.clone(), project) {
            let (one, two) = (folder.display(), other.folder.display());
            bail!("{one} and {two} would both be {name}: rename one component");
        }
    }
    Ok(found.into_values().collect())
}

fn build_one(compiler: &dyn Compiler, project: &Project, recipe: Option<&str>, progress: Progress<'_>) -> Result<()> {
    let info = &project.manifest.component;
    progress(&format!("building {} {}", info.name, info.version));
    let compiled = compiler.compile(project).with_context(|| format!("{} does not build", project.folder.display()))?;
    let documentation = documentation(&project.wit())?;
    let mut sections: Vec<section::Custom<'_>> = vec![(SECTION, project.manifest_text.as_bytes())];
    sections.extend(documentation.as_deref().map(|bytes| (DOCUMENTATION_SECTION, bytes)));
    let component = section::with_sections(&compiled, &sections)?;
    project.write(&component, recipe)
}

/// The comments of the WIT files, which the compiler drops.
fn documentation(wit: &Path) -> Result<Option<Vec<u8>>> {
    if !wit.is_dir() {
        return Ok(None);
    }
    let documentation = Documentation::of_wit(wit).with_context(|| wit.display().to_string())?;
    Ok(Some(documentation.to_section().with_context(|| wit.display().to_string())?))
}

/// What a component is made with beside its source. Cargo knows by itself what is to be made anew.
fn recipe(language: Language) -> Option<&'static str> {
    match language {
        Language::Rust => None,
        Language::Python => Some(python::RECIPE),
        Language::Js => Some(javascript::RECIPE),
        Language::C => Some(c::RECIPE),
    }
}

/// Compilers, made ready when the first project needs them.
struct Compilers<'a> {
    ready: BTreeMap<Language, Result<Box<dyn Compiler>, String>>,
    rust: Option<Result<Rust, String>>,
    progress: Progress<'a>,
}

impl Compilers<'_> {
    fn rust(&mut self) -> Result<Rust> {
        let progress = self.progress;
        let ensure = || Rust::ensure(progress).map_err(|error| format!("{error:#}"));
        self.rust.get_or_insert_with(ensure).clone().map_err(|error| anyhow!("{error}"))
    }

    fn get(&mut self, language: Language) -> Result<&dyn Compiler> {
        if !self.ready.contains_key(&language) {
            let ready = self.make_ready(language).map_err(|error| format!("{error:#}"));
            self.ready.insert(language, ready);
        }
        match self.ready.get(&language) {
            Some(Ok(compiler)) => Ok(&**compiler),
            Some(Err(error)) => Err(anyhow!("{error}")),
            None => Err(anyhow!("there is no compiler for {language}")),
        }
    }

    fn make_ready(&mut self, language: Language) -> Result<Box<dyn Compiler>> {
        Ok(match language {
            Language::Rust => Box::new(self.rust()?),
            Language::Python => Box::new(Python::ensure(self.progress)?),
            Language::Js => Box::new(JavaScript::ensure(self.progress)?),
            Language::C => Box::new(C::ensure(self.progress)?),
        })
    }
}
