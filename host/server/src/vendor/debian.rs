//! Debian's Rust as the compiler for components, for machines that reach package mirrors but not Rust's download server.
//!
//! Debian ships a compiler together with the source of its standard library. That is compiled here for the target, once,
//! and put where the compiler looks for it; components then build with it like with any other toolchain.

use super::toolchain::{Rustc, TARGET, has_std, lock};
use super::{Progress, command};
use anyhow::{Context as _, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The toolchain's name for rustup.
pub(crate) const TOOLCHAIN: &str = "wares-guest";
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "wasi-libc"];
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const RUSTLIB: &str = "/usr/lib/rustlib";
const WASI_LIBC: &str = "/usr/lib/wasm32-wasi";
const WASI_LIBC_FILES: [&str; 3] = ["crt1-command.o", "crt1-reactor.o", "libc.a"];
/// Holds [`fingerprint`] of what made the folder it lies in.
const MARKER: &str = ".wares-guest";
/// Counts changes of the way the library is made; another number makes it anew.
const RECIPE: u32 = 1;

/// Where the compiler lives.
pub(crate) fn sysroot() -> &'static Path {
    Path::new("/usr")
}

/// The compiler's version, if it is there with a library that it can use.
pub(crate) fn ready() -> Result<Option<String>> {
    if !Path::new(RUSTC).is_file() || !Path::new(CARGO).is_file() {
        return Ok(None);
    }
    let rustc = Rustc::ask(Path::new(RUSTC))?;
    let libraries = rustc.target_libraries();
    if rustc.sysroot != sysroot() || !has_std(&libraries) || !libraries.join("self-contained/libc.a").is_file() {
        return Ok(None);
    }
    let marked = fs::read_to_string(target_folder().join(MARKER)).is_ok_and(|text| text == fingerprint(&rustc));
    Ok((marked || compiles(&libraries)?).then(|| rustc.short_version()))
}

/// Installs the compiler if need be and compiles the library for it; returns the compiler's version.
pub(crate) fn set_up(linkers: &Path, progress: Progress<'_>) -> Result<String> {
    if !Path::new("/etc/debian_version").exists() {
        bail!(
            "run `rustup target add {TARGET}` where Rust's download server is reachable; the other way works on Debian 12 only"
        );
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "run this command once as root: it installs {} and compiles Rust's standard library for {TARGET}",
        PACKAGES.join(", "),
    );
    let _lock = lock(Path::new(RUSTLIB))?;
    if let Some(version) = ready()? {
        return Ok(version);
    }
    install(&PACKAGES, progress)?;
    let rustc = Rustc::ask(Path::new(RUSTC))?;
    progress(&format!("compiling Rust's standard library for {TARGET}: about two minutes, once per machine"));
    let work = tempfile::tempdir().context("a temporary folder for the standard library")?;
    compile_std(work.path(), linkers)?;
    put_in_place(&work.path().join("target").join(TARGET).join("release/deps"), &rustc)?;
    ready()?.with_context(|| format!("{RUSTC} cannot use the library in {}", target_folder().display()))
}

/// Gives rustup the compiler's name, for the user who runs this.
pub(crate) fn link() -> Result<()> {
    let known = || -> Result<bool> {
        let list = command::output(Command::new("rustup").args(["toolchain", "list", "--quiet"]))?;
        Ok(list.lines().any(|line| line.split_whitespace().next() == Some(TOOLCHAIN)))
    };
    if known().context("Debian's Rust is used through rustup")? {
        return Ok(());
    }
    let linked = command::output(Command::new("rustup").args(["toolchain", "link", TOOLCHAIN]).arg(sysroot()));
    // Another process may have linked it in between.
    if known()? { Ok(()) } else { linked.map(drop) }
}

/// Installs packages that are not there; where that cannot be done, the error says what to run.
pub(crate) fn install(packages: &[&str], progress: Progress<'_>) -> Result<()> {
    if packages.iter().all(|package| is_installed(package)) {
        return Ok(());
    }
    let names = packages.join(" ");
    if !Path::new("/etc/debian_version").exists() {
        bail!("install what Debian calls {names}");
    }
    ensure!(rustix::process::geteuid().is_root(), "run `apt-get install --no-install-recommends {names}` as root");
    progress(&format!("installing {names} with apt-get"));
    let apt_get = |arguments: &[&str]| {
        let mut apt_get = Command::new("apt-get");
        apt_get.args(["-q", "-o", "DPkg::Lock::Timeout=300"]).args(arguments);
        command::output(apt_get.env("DEBIAN_FRONTEND", "noninteractive"))
    };
    apt_get(&["update"])?;
    let install = [&["install", "-y", "--no-install-recommends"], packages].concat();
    apt_get(&install).map(drop)
}

fn is_installed(package: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Status}", package]);
    command::output(&mut query).is_ok_and(|status| status == "installed")
}

/// Compiles std as a by-product of a program that does nothing.
fn compile_std(work: &Path, linkers: &Path) -> Result<()> {
    fs::create_dir(work.join("src"))?;
    fs::write(work.join("src/main.rs"), "fn main() {}\n")?;
    let manifest = "[package]\nname = \"nothing\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
    fs::write(work.join("Cargo.toml"), manifest)?;
    let flags = format!(
        "-C embed-bitcode=yes -C link-self-contained=no -L {WASI_LIBC} -C link-arg={WASI_LIBC}/crt1-command.o {}",
        remap_cargo_home(),
    );
    let mut cargo = Command::new(CARGO);
    command::path_first(command::without_build_settings(&mut cargo), linkers)?;
    cargo.env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", flags).current_dir(work);
    cargo.args(["build", "--release", "-Zbuild-std=std,panic_abort", "--target", TARGET, "--target-dir", "target"]);
    command::output(&mut cargo).map(drop)
}

/// Keeps the home folder's path out of the components. RUSTFLAGS cannot say a path with a space.
fn remap_cargo_home() -> String {
    let home = super::rust::cargo_home().map(|home| home.display().to_string());
    let home = home.filter(|home| !home.contains(char::is_whitespace));
    home.map(|home| format!("--remap-path-prefix={home}=/cargo")).unwrap_or_default()
}

/// The new folder is complete, with its marker, before it takes the old one's place: two generations never mix.
fn put_in_place(rlibs: &Path, rustc: &Rustc) -> Result<()> {
    let staging = Path::new(RUSTLIB).join(format!(".{TARGET}.new"));
    remove_folder(&staging)?;
    let self_contained = staging.join("lib/self-contained");
    fs::create_dir_all(&self_contained).with_context(|| self_contained.display().to_string())?;
    for entry in fs::read_dir(rlibs).with_context(|| rlibs.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rlib") {
            copy(&path, &staging.join("lib"))?;
        }
    }
    for file in WASI_LIBC_FILES {
        copy(&Path::new(WASI_LIBC).join(file), &self_contained)?;
    }
    fs::write(staging.join(MARKER), fingerprint(rustc))?;
    remove_folder(&target_folder())?;
    fs::rename(&staging, target_folder()).with_context(|| target_folder().display().to_string())
}

fn copy(file: &Path, folder: &Path) -> Result<()> {
    let name = file.file_name().with_context(|| format!("{} has no file name", file.display()))?;
    fs::copy(file, folder.join(name)).with_context(|| format!("copying {} to {}", file.display(), folder.display()))?;
    Ok(())
}

fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context(folder.display().to_string()),
        _ => Ok(()),
    }
}

fn target_folder() -> PathBuf {
    Path::new(RUSTLIB).join(TARGET)
}

fn fingerprint(rustc: &Rustc) -> String {
    format!("recipe {RECIPE}\n{}", rustc.version_text)
}

/// Whether the compiler takes a library that something else put there.
fn compiles(libraries: &Path) -> Result<bool> {
    let folder = tempfile::tempdir().context("a temporary folder to try the compiler in")?;
    let source = folder.path().join("lib.rs");
    fs::write(&source, "pub fn answer() -> String { String::from(\"42\") }\n")?;
    let mut rustc = Command::new(RUSTC);
    rustc.args(["--edition=2024", "--crate-type=rlib", "--target", TARGET, "--out-dir"]).arg(folder.path());
    command::without_build_settings(rustc.arg(&source));
    Ok(libraries.is_dir() && command::output(&mut rustc).is_ok())
}
