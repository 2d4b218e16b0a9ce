//! A component's project: a folder with `wares.toml`, and what was last made of it.

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use wares_model::manifest::{FILE_NAME, Language, Manifest};

/// Folders that hold what was made or installed, not source.
const NOT_SOURCE: [&str; 3] = ["target", "node_modules", "__pycache__"];
/// Who may do what with a component's file; the user's mask takes from it.
const FILE_MODE: u32 = 0o666;
/// How deep source lies in a project's folder at most: symbolic links may go in circles.
const DEPTH_MAX: usize = 16;

/// A project whose manifest was read.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// Its folder.
    pub(crate) folder: PathBuf,
    pub(crate) manifest: Manifest,
    pub(crate) manifest_text: String,
    /// Where its component goes.
    pub(crate) output: PathBuf,
}

impl Project {
    /// Reads the manifest in the folder. The component goes to `target/wares`.
    pub(crate) fn read(folder: &Path, target: &Path) -> Result<Self> {
        let path = folder.join(FILE_NAME);
        let manifest_text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let manifest = Manifest::parse(&manifest_text).with_context(|| path.display().to_string())?;
        let mut project = Self { folder: folder.to_owned(), manifest, manifest_text, output: PathBuf::new() };
        project.output = target.join("wares").join(project.file_name());
        Ok(project)
    }

    /// Name of the component's file.
    pub(crate) fn file_name(&self) -> String {
        let name = &self.manifest.component.name;
        format!("{}-{}.wasm", name.namespace(), name.name())
    }

    fn is_crate(&self) -> bool {
        self.manifest.build.language == Language::Rust
    }

    /// The folder of its interfaces.
    pub(crate) fn wit(&self) -> PathBuf {
        self.folder.join("wit")
    }

    /// The world that the manifest names.
    pub(crate) fn world(&self) -> Option<&str> {
        self.manifest.build.world.as_deref()
    }

    /// The file that implements the exports, relative to the folder.
    pub(crate) fn entry(&self, usual: &str) -> Result<PathBuf> {
        let entry = self.manifest.build.entry.as_deref().unwrap_or(usual);
        let path = self.folder.join(entry);
        ensure!(
            path.is_file(),
            "{} does not exist: `entry` under [build] in {FILE_NAME} names the file that implements the exports",
            path.display()
        );
        Ok(entry.into())
    }

    /// The source files in a folder of the project that end so, in the order of their names; none if there is no such folder.
    pub(crate) fn files(&self, folder: &str, ending: &str) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        match fs::read_dir(self.folder.join(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(files),
            entries => {
                for entry in entries.with_context(|| folder.to_owned())? {
                    let name = entry?.file_name();
                    if name.to_string_lossy().ends_with(ending) {
                        files.push(Path::new(folder).join(name));
                    }
                }
            }
        }
        files.sort();
        Ok(files)
    }

    /// One text for what the component is made of and with.
    pub(crate) fn fingerprint(&self, recipe: &str) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(recipe);
        hash_folder(&mut hash, &self.folder, DEPTH_MAX)?;
        Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether the component is there and was made from that.
    pub(crate) fn is_made_from(&self, fingerprint: Option<&str>) -> bool {
        fingerprint.is_some_and(|fingerprint| {
            let noted = fs::read_to_string(self.note());
            self.output.is_file() && noted.is_ok_and(|noted| noted == fingerprint)
        })
    }

    /// Writes the component, and notes what it was made from.
    pub(crate) fn write(&self, component: &[u8], fingerprint: Option<&str>) -> Result<()> {
        write_whole(&self.output, component).with_context(|| self.output.display().to_string())?;
        let note = self.note();
        fingerprint.map_or(Ok(()), |text| fs::write(&note, text)).with_context(|| note.display().to_string())
    }

    fn note(&self) -> PathBuf {
        self.output.with_extension("sources")
    }
}

/// The folder's own project, or those of the folders in it; `crates` tells which crates of a cargo workspace are projects.
pub(crate) fn find(folder: &Path, mut crates: impl FnMut(&Path) -> Result<Vec<Project>>) -> Result<Vec<Project>> {
    let target = folder.join("target");
    if folder.join(FILE_NAME).is_file() {
        let own = Project::read(folder, &target)?;
        return if own.is_crate() { crates(folder) } else { Ok(vec![own]) };
    }
    let mut is_any = folder.join("Cargo.toml").is_file();
    let mut found = if is_any { crates(folder)? } else { Vec::new() };
    let known = found.iter().map(|project| fs::canonicalize(&project.folder)).collect::<Result<Vec<_>, _>>()?;
    let mut names = entries(folder)?;
    names.sort();
    for inner in names.into_iter().map(|name| folder.join(name)).filter(|inner| inner.join(FILE_NAME).is_file()) {
        is_any = true;
        if !known.contains(&fs::canonicalize(&inner)?) {
            let project = Project::read(&inner, &target)?;
            found.extend(if project.is_crate() { crates(&inner)? } else { vec![project] });
        }
    }
    ensure!(
        is_any,
        "{} does not exist, and no folder beside it has one: name the folder of a project (`wares new` makes one) or of several",
        folder.join(FILE_NAME).display()
    );
    Ok(found)
}

/// Names and bytes, each after its length: nothing can be moved from the one to the other.
fn hash_folder(hash: &mut Sha256, folder: &Path, depth: usize) -> Result<()> {
    ensure!(depth > 0, "{} lies too deep", folder.display());
    let mut names = entries(folder)?;
    names.sort();
    for name in names {
        let path = folder.join(&name);
        let kind = fs::metadata(&path).with_context(|| path.display().to_string())?;
        hash_part(hash, name.as_encoded_bytes());
        if kind.is_dir() {
            hash_folder(hash, &path, depth - 1)?;
        } else if kind.is_file() {
            hash_part(hash, &fs::read(&path).with_context(|| path.display().to_string())?);
        }
    }
    hash_part(hash, &[]);
    Ok(())
}

fn hash_part(hash: &mut Sha256, part: &[u8]) {
    hash.update((part.len() as u64).to_le_bytes());
    hash.update(part);
}

/// Names in the folder that may be source.
fn entries(folder: &Path) -> Result<Vec<OsString>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>();
    let mut names = read().with_context(|| folder.display().to_string())?;
    let is_source = |name: &OsStr| {
        !name.as_encoded_bytes().starts_with(b".") && !NOT_SOURCE.iter().any(|other| name == OsStr::new(other))
    };
    names.retain(|name| is_source(name));
    Ok(names)
}

/// Readers never see half a component, whoever else builds it at the same time.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("no folder")?;
    fs::create_dir_all(folder)?;
    let mut part = tempfile::Builder::new().permissions(Permissions::from_mode(FILE_MODE)).tempfile_in(folder)?;
    part.write_all(bytes)?;
    part.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(folder: &Path, build: &str) -> Project {
        fs::create_dir_all(folder).unwrap();
        let name = folder.file_name().unwrap().to_str().unwrap();
        let text = format!("[component]\nname = 'test:{name}'\nversion = '1.0.0'\n[build]\n{build}");
        fs::write(folder.join(FILE_NAME), text).unwrap();
        Project::read(folder, &folder.join("target")).unwrap()
    }

    #[test]
    fn a_folder_without_projects_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let error = find(folder.path(), |_| Ok(Vec::new())).unwrap_err().to_string();
        assert!(error.contains(&folder.path().join(FILE_NAME).display().to_string()), "{error}");
    }

    #[test]
    fn projects_of_several_languages_stand_side_by_side() {
        let folder = tempfile::tempdir().unwrap();
        for (name, build) in [("one", "language = 'python'"), ("two", "language = 'c'"), ("three", "")] {
            project(&folder.path().join(name), build);
        }
        fs::create_dir(folder.path().join("none")).unwrap();
        let crates = |crates: &Path| Ok(vec![Project::read(crates, &crates.join("target"))?]);
        let mut found: Vec<_> = find(folder.path(), crates).unwrap().iter().map(Project::file_name).collect();
        found.sort();
        assert_eq!(found, ["test-one.wasm", "test-three.wasm", "test-two.wasm"]);
        let alone = find(&folder.path().join("two"), crates).unwrap();
        assert_eq!(alone.first().unwrap().output, folder.path().join("two/target/wares/test-two.wasm"));
    }

    #[test]
    fn a_component_is_made_anew_when_source_or_recipe_changed() {
        let folder = tempfile::tempdir().unwrap();
        let one = project(&folder.path().join("one"), "language = 'python'");
        fs::write(one.folder.join("app.py"), "first").unwrap();
        let first = one.fingerprint("recipe 1").unwrap();
        assert!(!one.is_made_from(Some(&first)));
        one.write(b"component", Some(&first)).unwrap();
        assert!(one.is_made_from(Some(&one.fingerprint("recipe 1").unwrap())), "what was made is not source");
        assert!(!one.is_made_from(None));
        assert!(!one.is_made_from(Some(&one.fingerprint("recipe 2").unwrap())));
        fs::write(one.folder.join("app.py"), "second").unwrap();
        assert!(!one.is_made_from(Some(&one.fingerprint("recipe 1").unwrap())));
    }

    #[test]
    fn a_missing_entry_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let one = project(&folder.path().join("one"), "language = 'js'\nentry = 'src/main.js'");
        let error = one.entry("app.js").unwrap_err().to_string();
        assert!(error.contains("one/src/main.js does not exist"), "{error}");
    }

    #[test]
    fn a_file_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wares/a-b.wasm");
        write_whole(&path, b"one").unwrap();
        write_whole(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path().join("wares")).unwrap().count(), 1);
        let usual = folder.path().join("usual");
        fs::write(&usual, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&usual), "whoever may read other new files may read it");
    }

    #[test]
    fn builds_at_the_same_time_do_not_disturb_each_other() {
        const BYTES: usize = 100_000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wares/a-b.wasm");
        std::thread::scope(|scope| {
            for byte in 0..4 {
                let path = &path;
                scope.spawn(move || (0..100).for_each(|_| write_whole(path, &[byte; BYTES]).unwrap()));
            }
        });
        let last = fs::read(&path).unwrap();
        assert!(last.len() == BYTES && last.iter().all(|byte| Some(byte) == last.first()), "a mixture");
        assert_eq!(fs::read_dir(folder.path().join("wares")).unwrap().count(), 1);
    }
}
