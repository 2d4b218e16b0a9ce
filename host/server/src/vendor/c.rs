//! Components from C: clang compiles the sources and the bindings, which are generated from the world.

use super::build::Compiler;
use super::project::Project;
use super::world::World;
use super::{Progress, command, debian};
use anyhow::{Context as _, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wasi_preview1_component_adapter_provider as adapter;
use wit_bindgen_core::Files;
use wit_component::ComponentEncoder;

/// Changes when components are made in another way.
pub(crate) const RECIPE: &str = "c 1: clang 19, wit-bindgen-c 0.60";
const PACKAGES: [&str; 4] = ["clang-19", "lld-19", "wasi-libc", "libclang-rt-19-dev-wasm32"];
const CLANG: &str = "clang-19";
const TARGET_FLAGS: [&str; 4] = ["--target=wasm32-wasi", "-mexec-model=reactor", "-O2", "-Wl,--strip-debug"];
/// Flags that say what the sources are.
pub(crate) const LANGUAGE_FLAGS: [&str; 4] = ["-std=c17", "-Wall", "-Wextra", "-Isrc"];
/// The usual file with the exports.
pub(crate) const ENTRY: &str = "src/component.c";
/// The folder with the sources.
pub(crate) const SOURCES: &str = "src";

/// An installed clang.
pub(crate) struct C;

impl C {
    /// Finds it, or installs it from Debian's packages.
    pub(crate) fn ensure(progress: Progress<'_>) -> Result<Self> {
        if let Err(error) = link_nothing() {
            let missing = || format!("components in C are compiled with {CLANG}, which is not ready: {error:#}");
            debian::install(&PACKAGES, progress).with_context(missing)?;
            link_nothing()?;
        }
        Ok(Self)
    }
}

impl Compiler for C {
    fn compile(&self, project: &Project) -> Result<Vec<u8>> {
        let sources = project.files(SOURCES, ".c")?;
        ensure!(!sources.is_empty(), "{} holds no .c file", project.folder.join(SOURCES).display());
        let world = World::read(&project.wit(), project.world())?;
        let work = tempfile::tempdir().context("a temporary folder for the component")?;
        let bindings = write_bindings(world, work.path())?;
        let module = work.path().join("module.wasm");
        let mut clang = Command::new(CLANG);
        // What the machine calls its folders stays out of the bytes.
        clang
            .args(TARGET_FLAGS)
            .args(LANGUAGE_FLAGS)
            .arg("-I")
            .arg(work.path())
            .arg(format!("-ffile-prefix-map={}=", work.path().display()));
        clang.arg("-o").arg(&module).args(sources).args(bindings).current_dir(&project.folder);
        command::output(&mut clang)?;
        let module = fs::read(&module).with_context(|| module.display().to_string())?;
        // libc asks for preview 1, which is made of what hosts give.
        ComponentEncoder::default()
            .validate(true)
            .module(&module)?
            .adapter(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?
            .encode()
    }
}

/// Fails unless compiler, linker and libc are there.
fn link_nothing() -> Result<()> {
    let work = tempfile::tempdir().context("a temporary folder to try the compiler in")?;
    let source = work.path().join("nothing.c");
    fs::write(&source, "int nothing;\n").with_context(|| source.display().to_string())?;
    let mut clang = Command::new(CLANG);
    clang.args(TARGET_FLAGS).arg("-o").arg(work.path().join("nothing.wasm")).arg(source);
    command::output(&mut clang).map(drop)
}

/// Writes header, source and type object into the folder; returns what is to be compiled and linked.
fn write_bindings(world: World, folder: &Path) -> Result<Vec<PathBuf>> {
    let World { mut resolve, id } = world;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, id, &mut files)?;
    let mut parts = Vec::new();
    for (name, contents) in files.iter() {
        let path = folder.join(name);
        fs::write(&path, contents).with_context(|| path.display().to_string())?;
        if path.extension().is_some_and(|extension| extension == "c" || extension == "o") {
            parts.push(path);
        }
    }
    Ok(parts)
}
