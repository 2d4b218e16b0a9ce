//! The compiler for components in Rust: rustc with the standard library for `wasm32-wasip2`.
//!
//! rustup is asked first. Where it cannot download the target, Debian's compiler takes its place (see `debian`). Both
//! are set up once per machine; concurrent and interrupted runs are safe.

use super::{Progress, command, debian};
use anyhow::{Context as _, Result};
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The target that components are compiled for.
pub(crate) const TARGET: &str = "wasm32-wasip2";
/// The linker that makes a component of what the compiler gives.
const LINKER: &str = "wasm-component-ld";

/// A compiler that builds components.
#[derive(Debug, Clone)]
pub(crate) struct Toolchain {
    source: Source,
    /// Holds `rust-lld` and `wasm-component-ld`.
    linkers: PathBuf,
}

/// Where the compiler is from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// The active toolchain has the target.
    Active { rustup: bool },
    /// Debian's compiler, with its version, under a rustup name.
    Debian { version: String },
}

/// What a rustc says of itself.
#[derive(Debug, Clone)]
pub(crate) struct Rustc {
    /// `rustc -vV`.
    pub(crate) version_text: String,
    pub(crate) sysroot: PathBuf,
    host: String,
}

/// Finds the compiler, and sets it up when the machine has none yet.
pub(crate) fn ensure(progress: Progress<'_>) -> Result<Toolchain> {
    let rustc = Rustc::ask(Path::new("rustc")).context(
        "components in Rust are compiled with rustc: install rustup from https://rustup.rs or your distribution, then try again",
    )?;
    let toolchain = find(&rustc, progress)?;
    progress(&toolchain.line());
    Ok(toolchain)
}

fn find(rustc: &Rustc, progress: Progress<'_>) -> Result<Toolchain> {
    if let Some(toolchain) = active(rustc)? {
        return Ok(toolchain);
    }
    if let Some(version) = debian::ready()? {
        return of_debian(rustc, version);
    }
    let refusal = match add_target(rustc, progress) {
        Ok(()) => match active(rustc)? {
            Some(toolchain) => return Ok(toolchain),
            None => anyhow::anyhow!("rustup reports success, but {} has no {TARGET}", rustc.sysroot.display()),
        },
        Err(refusal) => refusal,
    };
    progress("rustup cannot add the target; Debian's Rust takes its place");
    let linkers = linkers(rustc)?;
    let version = debian::set_up(&linkers, progress)
        .with_context(|| format!("the target {TARGET} is not there: {}", first_line(&refusal)))?;
    of_debian(rustc, version)
}

impl Toolchain {
    /// Which compiler is used.
    pub(crate) fn line(&self) -> String {
        match &self.source {
            Source::Active { rustup: true } => format!("Rust for components: rustup target {TARGET}"),
            Source::Active { rustup: false } => {
                format!("Rust for components: this machine's rustc with target {TARGET}")
            }
            Source::Debian { version } => format!("Rust for components: Debian rustc {version} with std built here"),
        }
    }

    /// A cargo that builds components whatever the shell has set for native builds.
    pub(crate) fn cargo(&self) -> Result<Command> {
        let mut cargo = Command::new("cargo");
        command::path_first(command::without_build_settings(&mut cargo), &self.linkers)?;
        if let Source::Debian { .. } = self.source {
            cargo.env("RUSTUP_TOOLCHAIN", debian::TOOLCHAIN);
        }
        Ok(cargo)
    }
}

impl Rustc {
    pub(crate) fn ask(program: &Path) -> Result<Self> {
        let ask = |arguments: &[&str]| command::output(Command::new(program).args(arguments));
        let version_text = ask(&["-vV"])?;
        let field = |name: &str| version_text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        let host = field("host: ").with_context(|| format!("`{} -vV` names no host", program.display()))?;
        let sysroot = PathBuf::from(ask(&["--print", "sysroot"])?.trim());
        Ok(Self { version_text, sysroot, host })
    }

    /// `1.96` of `1.96.0`.
    pub(crate) fn short_version(&self) -> String {
        let release = self.version_text.lines().find_map(|line| line.strip_prefix("release: ")).unwrap_or("of Debian");
        release.rsplit_once('.').map_or(release, |(short, _patch)| short).to_owned()
    }

    pub(crate) fn target_libraries(&self) -> PathBuf {
        rustlib(&self.sysroot).join(TARGET).join("lib")
    }
}

fn rustlib(sysroot: &Path) -> PathBuf {
    sysroot.join("lib/rustlib")
}

/// Whether the folder holds a compiled standard library.
pub(crate) fn has_std(libraries: &Path) -> bool {
    let Ok(entries) = fs::read_dir(libraries) else { return false };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && name.ends_with(".rlib")
    })
}

fn active(rustc: &Rustc) -> Result<Option<Toolchain>> {
    if rustc.sysroot == debian::sysroot() || !has_std(&rustc.target_libraries()) {
        return Ok(None);
    }
    let rustup = rustc.sysroot.parent().is_some_and(|folder| folder.ends_with("toolchains"));
    Ok(Some(Toolchain { source: Source::Active { rustup }, linkers: linkers(rustc)? }))
}

fn of_debian(rustc: &Rustc, version: String) -> Result<Toolchain> {
    debian::link()?;
    Ok(Toolchain { source: Source::Debian { version }, linkers: linkers(rustc)? })
}

/// The folder of the linkers: that of the active toolchain, else of any toolchain of rustup, else on PATH.
fn linkers(rustc: &Rustc) -> Result<PathBuf> {
    let folder_in = |sysroot: &Path| rustlib(sysroot).join(&rustc.host).join("bin");
    let home = env::var_os("RUSTUP_HOME").map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(".rustup")));
    let toolchains = home.and_then(|home| fs::read_dir(home.join("toolchains")).ok());
    let of_rustup = toolchains.into_iter().flatten().flatten().map(|entry| folder_in(&entry.path()));
    let on_path = env::var_os("PATH").unwrap_or_default();
    let mut folders = std::iter::once(folder_in(&rustc.sysroot)).chain(of_rustup).chain(env::split_paths(&on_path));
    folders.find(|folder| folder.join(LINKER).is_file()).with_context(|| {
        format!(
            "{LINKER}, the linker of components, is nowhere: it comes with every rustup toolchain (https://rustup.rs)"
        )
    })
}

fn add_target(rustc: &Rustc, progress: Progress<'_>) -> Result<()> {
    let _lock = lock(&rustlib(&rustc.sysroot))?;
    if has_std(&rustc.target_libraries()) {
        return Ok(());
    }
    progress(&format!("adding the target {TARGET} with rustup"));
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]).env("RUSTUP_MAX_RETRIES", "1");
    command::output(&mut rustup).map(drop)
}

/// Waits until no other process sets up in this folder; the lock ends with the returned file, however the process ends.
pub(crate) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".wares-guest.lock");
    let create = || {
        fs::create_dir_all(folder)?;
        let file = File::options().create(true).append(true).open(&path)?;
        file.lock()?;
        Ok(file)
    };
    create().map_err(|error: std::io::Error| {
        anyhow::anyhow!("{}: {error}; setting up a compiler needs the right to write there", path.display())
    })
}

fn first_line(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let lines: Vec<&str> = text.lines().collect();
    let said = lines.iter().find(|line| line.trim_start().starts_with("error")).or(lines.last());
    said.map_or_else(String::new, |line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_counts_only_with_its_std() {
        let folder = tempfile::tempdir().unwrap();
        let libraries = folder.path().join("lib");
        assert!(!has_std(&libraries));
        fs::create_dir(&libraries).unwrap();
        for (file, complete) in [("libcore-1.rlib", false), ("libstd-1.rmeta", false), ("libstd-1.rlib", true)] {
            fs::write(libraries.join(file), "").unwrap();
            assert_eq!(has_std(&libraries), complete, "{file}");
        }
    }

    #[test]
    fn one_process_at_a_time_sets_up() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let other = File::open(folder.path().join(".wares-guest.lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(first);
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn components_build_with_the_toolchain_and_its_linkers_first() {
        let source = Source::Debian { version: "1.96".into() };
        let toolchain = Toolchain { source, linkers: "/linkers".into() };
        assert_eq!(toolchain.line(), "Rust for components: Debian rustc 1.96 with std built here");
        let cargo = toolchain.cargo().unwrap();
        let set = |name: &str| cargo.get_envs().find(|(key, _)| *key == name).and_then(|(_, value)| value);
        assert_eq!(set("RUSTUP_TOOLCHAIN").unwrap(), debian::TOOLCHAIN);
        assert!(set("PATH").unwrap().to_str().unwrap().starts_with("/linkers:"));
    }

    #[test]
    fn the_line_that_names_the_error_is_told() {
        let error = anyhow::anyhow!("`rustup` ended with 1\ninfo: downloading\nerror: no network\n  caused by: x");
        assert_eq!(first_line(&error), "error: no network");
        assert_eq!(first_line(&anyhow::anyhow!("one\ntwo")), "two");
    }
}
