//! Components from C: clang compiles the sources and the bindings, which are generated from the world.

use super::build::Compiler;
use super::project::Project;
use super::world::World;
use super::{Progress, command, debian};
use anyhow::{Context as _, Result, ensure};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};
use wasi_preview1_component_adapter_provider as adapter;
use wit_bindgen_core::Files;
use wit_component::ComponentEncoder;

/// Changes when components are made in another way.
pub(crate) const RECIPE: &str = "c 2: clang 19 or newer, wit-bindgen-c 0.60";
const PACKAGES: [&str; 4] = ["clang-19", "lld-19", "wasi-libc", "libclang-rt-19-dev-wasm32"];
/// Compilers that are looked for; the first is Debian's.
const CLANG: &str = "clang-19";
const CLANG_OTHER: &str = "clang";
/// Major version of clang from which on components are compiled with it.
const CLANG_MAJOR_MIN: u32 = 19;
/// The variable that names another compiler.
const CHOSEN: &str = "CC_WASM";
const TARGET_FLAGS: [&str; 4] = ["--target=wasm32-wasi", "-mexec-model=reactor", "-O2", "-Wl,--strip-debug"];
/// Flags that say what the sources are.
pub(crate) const LANGUAGE_FLAGS: [&str; 4] = ["-std=c17", "-Wall", "-Wextra", "-Isrc"];
/// The usual file with the exports.
pub(crate) const ENTRY: &str = "src/component.c";
/// The folder with the sources.
pub(crate) const SOURCES: &str = "src";

/// What stands before generated sources: their warnings are not the vendor's.
const QUIET: &[u8] = b"#pragma clang diagnostic ignored \"-Weverything\"\n";

/// An installed clang.
pub(crate) struct C {
    program: OsString,
}

impl C {
    /// The one that `$CC_WASM` names, else one that is there, else Debian's, which is installed.
    pub(crate) fn ensure(progress: Progress<'_>) -> Result<Self> {
        if let Some(program) = env::var_os(CHOSEN).filter(|program| !program.is_empty()) {
            let chosen = Self { program };
            chosen.link_nothing().with_context(|| format!("what ${CHOSEN} names compiles no components"))?;
            return Ok(chosen);
        }
        let of = |program: &str| Self { program: program.into() };
        if let Some(found) = [CLANG, CLANG_OTHER].into_iter().map(of).find(Self::is_ready) {
            return Ok(found);
        }
        let debian = of(CLANG);
        if let Err(error) = debian.link_nothing() {
            let missing = || {
                format!(
                    "components in C are compiled with clang {CLANG_MAJOR_MIN} or newer, wasm-ld and wasi-libc, \
                     or with what ${CHOSEN} names: {error:#}"
                )
            };
            debian::install(&PACKAGES, progress).with_context(missing)?;
            debian.link_nothing()?;
        }
        Ok(debian)
    }

    fn is_ready(&self) -> bool {
        self.major().is_some_and(|major| major >= CLANG_MAJOR_MIN) && self.link_nothing().is_ok()
    }

    fn major(&self) -> Option<u32> {
        let version = command::output(Command::new(&self.program).arg("-dumpversion")).ok()?;
        version.trim().split('.').next()?.parse().ok()
    }

    /// Fails unless compiler, linker and libc are there.
    fn link_nothing(&self) -> Result<()> {
        let work = tempfile::tempdir().context("a temporary folder to try the compiler in")?;
        let source = work.path().join("nothing.c");
        fs::write(&source, "int nothing;\n").with_context(|| source.display().to_string())?;
        let mut clang = Command::new(&self.program);
        clang.args(TARGET_FLAGS).arg("-o").arg(work.path().join("nothing.wasm")).arg(source);
        command::output(&mut clang).map(drop)
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
        let mut clang = Command::new(&self.program);
        // What the machine calls its folders stays out of the bytes.
        clang
            .args(TARGET_FLAGS)
            .args(LANGUAGE_FLAGS)
            .arg("-I")
            .arg(work.path())
            .arg(format!("-ffile-prefix-map={}=", work.path().display()));
        clang.arg("-o").arg(&module).args(sources).args(bindings).current_dir(&project.folder);
        command::visibly(&mut clang)?;
        let module = fs::read(&module).with_context(|| module.display().to_string())?;
        // libc asks for preview 1, which is made of what hosts give.
        ComponentEncoder::default()
            .validate(true)
            .module(&module)?
            .adapter(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?
            .encode()
    }
}

/// Writes header, source and type object into the folder; returns what is to be compiled and linked.
fn write_bindings(world: World, folder: &Path) -> Result<Vec<PathBuf>> {
    let World { mut resolve, id } = world;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, id, &mut files)?;
    let mut parts = Vec::new();
    for (name, contents) in files.iter() {
        let path = folder.join(name);
        let is_source = path.extension().is_some_and(|extension| extension == "c");
        let text = [if is_source { QUIET } else { &[] }, contents].concat();
        fs::write(&path, text).with_context(|| path.display().to_string())?;
        if is_source || path.extension().is_some_and(|extension| extension == "o") {
            parts.push(path);
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_compiler_that_is_too_old_or_links_nothing_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        for (version, links, ready) in
            [("19.1.7", true, true), ("21", true, true), ("18.1.3", true, false), ("19", false, false)]
        {
            let program = folder.path().join(format!("{version}-{links}"));
            fs::write(&program, format!("#!/bin/sh\n[ $1 = -dumpversion ] && echo {version} || {links}\n")).unwrap();
            fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
            assert_eq!(C { program: program.into() }.is_ready(), ready, "{version} {links}");
        }
        assert!(!C { program: folder.path().join("none").into() }.is_ready());
    }
}
