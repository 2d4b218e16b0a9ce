//! `wares new`: a project that builds and passes its tests, to be changed into one's own.

use anyhow::{Context as _, Result, bail};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use wares_model::ComponentName;
use wares_model::manifest::Language;

/// A file of the SDK's folder in this repository.
macro_rules! sdk {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../sdk/", $path))
    };
}

/// A file of a project: its path, its text with the names of [`Names`] to be filled in.
type Template = (&'static str, &'static str);

const RUST: &[Template] = &[
    (".gitignore", sdk!("templates/rust/gitignore.txt")),
    ("Cargo.toml", sdk!("templates/rust/Cargo.toml.txt")),
    ("README.md", sdk!("templates/rust/README.md")),
    ("src/lib.rs", sdk!("templates/rust/src/lib.rs.txt")),
    ("tests/sandbox.rs", sdk!("templates/rust/tests/sandbox.rs.txt")),
    ("wares.toml", sdk!("templates/rust/wares.toml")),
    ("wit/postage.wit", sdk!("templates/wit/postage.wit.txt")),
    ("wit/world.wit", sdk!("templates/rust/wit/world.wit.txt")),
];

const PYTHON: &[Template] = &[
    (".gitignore", sdk!("templates/python/gitignore.txt")),
    ("README.md", sdk!("templates/python/README.md")),
    ("app.py", sdk!("templates/python/app.py.txt")),
    ("postage.py", sdk!("templates/python/postage.py.txt")),
    ("tests/test_postage.py", sdk!("templates/python/tests/test_postage.py.txt")),
    ("wares.toml", sdk!("templates/python/wares.toml")),
];

const JS: &[Template] = &[
    (".gitignore", sdk!("templates/js/gitignore.txt")),
    ("README.md", sdk!("templates/js/README.md")),
    ("app.js", sdk!("templates/js/app.js.txt")),
    ("package.json", sdk!("templates/js/package.json.txt")),
    ("postage.js", sdk!("templates/js/postage.js.txt")),
    ("tests/postage.test.js", sdk!("templates/js/tests/postage.test.js.txt")),
    ("wares.toml", sdk!("templates/js/wares.toml")),
];

const C: &[Template] = &[
    (".gitignore", sdk!("templates/c/gitignore.txt")),
    ("README.md", sdk!("templates/c/README.md")),
    ("src/component.c", sdk!("templates/c/src/component.c.txt")),
    ("src/postage.c", sdk!("templates/c/src/postage.c.txt")),
    ("src/postage.h", sdk!("templates/c/src/postage.h.txt")),
    ("tests/postage.c", sdk!("templates/c/tests/postage.c.txt")),
    ("wares.toml", sdk!("templates/c/wares.toml")),
];

/// What every project has: all that a manifest can say.
const COMMON: &[Template] = &[("WARES.md", sdk!("README.md"))];

/// What languages without an SDK import: all that the SDK knows.
const INTERFACES: &[Template] = &[
    ("wit/postage.wit", sdk!("templates/wit/postage.wit.txt")),
    ("wit/world.wit", sdk!("templates/wit/world.wit.txt")),
    ("wit/deps/wares-secrets/store.wit", sdk!("wit/deps/wares-secrets/store.wit")),
    ("wit/deps/wasi-config/store.wit", sdk!("wit/deps/wasi-config/store.wit")),
    ("wit/deps/wasi-keyvalue/keyvalue.wit", sdk!("wit/deps/wasi-keyvalue/keyvalue.wit")),
    ("wit/deps/wasi-logging/logging.wit", sdk!("wit/deps/wasi-logging/logging.wit")),
];

/// The SDK, which no registry has.
const SDK: &[Template] = &[
    ("wares-sdk/Cargo.toml", sdk!("Cargo.toml")),
    ("wares-sdk/src/bindings.rs", sdk!("src/bindings.rs")),
    ("wares-sdk/src/config.rs", sdk!("src/config.rs")),
    ("wares-sdk/src/keyvalue.rs", sdk!("src/keyvalue.rs")),
    ("wares-sdk/src/lib.rs", sdk!("src/lib.rs")),
    ("wares-sdk/src/log.rs", sdk!("src/log.rs")),
    ("wares-sdk/src/secrets.rs", sdk!("src/secrets.rs")),
    ("wares-sdk/src/testing.rs", sdk!("src/testing.rs")),
    ("wares-sdk/wit/world.wit", sdk!("wit/world.wit")),
    ("wares-sdk/wit/deps/wares-secrets/store.wit", sdk!("wit/deps/wares-secrets/store.wit")),
    ("wares-sdk/wit/deps/wasi-config/store.wit", sdk!("wit/deps/wasi-config/store.wit")),
    ("wares-sdk/wit/deps/wasi-keyvalue/keyvalue.wit", sdk!("wit/deps/wasi-keyvalue/keyvalue.wit")),
    ("wares-sdk/wit/deps/wasi-logging/logging.wit", sdk!("wit/deps/wasi-logging/logging.wit")),
];

/// Words that WIT keeps for itself; as a package's namespace they are written with `%`.
const WIT_KEYWORDS: &str = "as async bool borrow char constructor enum export f32 f64 flags from func future import \
    include interface list map option own package record resource result s16 s32 s64 s8 static stream string tuple \
    type u16 u32 u64 u8 use variant with world";
/// Words that Rust keeps for itself. As a namespace they become modules that end in `_`; as a package's name they give
/// code that does not compile.
const RUST_KEYWORDS: &str = "abstract as async await become box break const continue crate do dyn else enum extern \
    false final fn for gen if impl in let loop macro match mod move mut override priv pub ref return self static \
    struct super trait true try type typeof unsafe unsized use virtual where while yield";

/// Makes the folder `namespace-name` in `parent` with a project in it, and returns its path.
pub(crate) fn create(parent: &Path, name: &ComponentName, language: Language) -> Result<PathBuf> {
    let folder = parent.join(format!("{}-{}", name.namespace(), name.name()));
    match fs::create_dir(&folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} exists already: nothing is overwritten; choose another name or place", folder.display())
        }
        created => created.with_context(|| folder.display().to_string())?,
    }
    let names = Names::of(name);
    for (path, template) in files(language) {
        write(&folder.join(path), &names.fill_in(template))?;
    }
    Ok(folder)
}

fn files(language: Language) -> impl Iterator<Item = &'static Template> {
    let (own, shared) = match language {
        Language::Rust => (RUST, SDK),
        Language::Python => (PYTHON, INTERFACES),
        Language::Js => (JS, INTERFACES),
        Language::C => (C, INTERFACES),
    };
    own.iter().chain(shared).chain(COMMON)
}

fn write(path: &Path, text: &str) -> Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(parent).with_context(|| parent.display().to_string())?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// The forms of a component's name that the templates use.
struct Names([(&'static str, String); 8]);

impl Names {
    fn of(name: &ComponentName) -> Self {
        let (namespace, name) = (name.namespace(), name.name());
        let package = package_name(name);
        let c_prefix = format!("{namespace}_{package}").replace('-', "_");
        Self([
            ("{{namespace}}", namespace.to_owned()),
            ("{{name}}", name.to_owned()),
            ("{{wit-namespace}}", wit_namespace(namespace)),
            ("{{wit-name}}", package.clone()),
            ("{{rust-namespace}}", rust_module(namespace)),
            ("{{rust-name}}", rust_module(&package)),
            ("{{C-PREFIX}}", c_prefix.to_uppercase()),
            ("{{c-prefix}}", c_prefix),
        ])
    }

    fn fill_in(&self, template: &str) -> String {
        let fill = |text: String, (mark, value): &(&str, String)| text.replace(mark, value);
        self.0.iter().fold(template.to_owned(), fill)
    }
}

fn is_one_of(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|other| other == word)
}

fn wit_namespace(label: &str) -> String {
    if is_one_of(WIT_KEYWORDS, label) { format!("%{label}") } else { label.to_owned() }
}

/// The WIT package is named like the component, unless a language keeps that word: `match-api` for `match`.
fn package_name(label: &str) -> String {
    let kept = is_one_of(WIT_KEYWORDS, label) || is_one_of(RUST_KEYWORDS, label);
    if kept { format!("{label}-api") } else { label.to_owned() }
}

fn rust_module(label: &str) -> String {
    let module = label.replace('-', "_");
    if is_one_of(RUST_KEYWORDS, &module) { format!("{module}_") } else { module }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vendor::world::World;
    use wares_model::manifest::Manifest;

    fn name(text: &str) -> ComponentName {
        text.parse().unwrap()
    }

    #[test]
    fn a_project_is_complete_and_filled_in() {
        for (language, _) in Language::ALL {
            let parent = tempfile::tempdir().unwrap();
            let folder = create(parent.path(), &name("benefit/fast-match"), language).unwrap();
            assert_eq!(folder, parent.path().join("benefit-fast-match"));
            for (path, _) in files(language) {
                let text = fs::read_to_string(folder.join(path)).unwrap();
                assert!(!text.contains("{{"), "{language}: {path} has an unfilled mark");
            }
            let manifest = Manifest::parse(&fs::read_to_string(folder.join("wares.toml")).unwrap()).unwrap();
            assert_eq!(manifest.component.name, name("benefit:fast-match"));
            assert_eq!(manifest.build.language, language);
            assert_eq!(manifest.examples.len(), 2);
            World::read(&folder.join("wit"), None).unwrap();
        }
    }

    #[test]
    fn every_language_has_the_interfaces_of_the_sdk() {
        let deps = |files: &[Template], folder: &str| -> Vec<_> {
            files.iter().filter_map(|(path, _)| Some(path.strip_prefix(folder)?.to_owned())).collect()
        };
        assert_eq!(deps(INTERFACES, "wit/deps/"), deps(SDK, "wares-sdk/wit/deps/"));
    }

    #[test]
    fn nothing_is_overwritten() {
        let parent = tempfile::tempdir().unwrap();
        let folder = create(parent.path(), &name("a:b"), Language::Rust).unwrap();
        fs::write(folder.join("wares.toml"), "mine").unwrap();
        let error = create(parent.path(), &name("a:b"), Language::Rust).unwrap_err().to_string();
        assert!(error.contains("exists already"), "{error}");
        assert_eq!(fs::read_to_string(folder.join("wares.toml")).unwrap(), "mine");
    }

    #[test]
    fn names_that_languages_keep_are_written_around() {
        let cases = [
            ("type:match", "%type:match-api", "type_::match_api", "type_match_api"),
            ("a:fast-match", "a:fast-match", "a::fast_match", "a_fast_match"),
        ];
        for (text, wit, rust, c) in cases {
            let names = Names::of(&name(text));
            assert_eq!(names.fill_in("{{wit-namespace}}:{{wit-name}}"), wit);
            assert_eq!(names.fill_in("{{rust-namespace}}::{{rust-name}}"), rust);
            assert_eq!(names.fill_in("{{c-prefix}}"), c);
        }
    }

    #[test]
    fn the_sdk_ships_every_file_it_has() {
        let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk");
        let mut files = Vec::new();
        let folders = ["wares-secrets", "wasi-config", "wasi-keyvalue", "wasi-logging"];
        let folders = folders.map(|folder| format!("wit/deps/{folder}"));
        for folder in ["src", "wit"].into_iter().chain(folders.iter().map(String::as_str)) {
            let entries = fs::read_dir(sdk.join(folder)).unwrap().map(Result::unwrap);
            files.extend(
                entries
                    .filter(|entry| entry.path().is_file())
                    .map(|entry| format!("wares-sdk/{folder}/{}", entry.file_name().into_string().unwrap())),
            );
        }
        files.push("wares-sdk/Cargo.toml".into());
        files.sort();
        let mut shipped: Vec<_> = SDK.iter().map(|(path, _)| *path).collect();
        shipped.sort_unstable();
        assert_eq!(files, shipped);
    }

    #[test]
    fn the_sdk_has_the_released_interfaces() {
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit");
        for (copy, original) in [
            (sdk!("wit/deps/wares-secrets/store.wit"), "wares-secrets/0.1.0/store.wit"),
            (sdk!("wit/deps/wasi-config/store.wit"), "wasi-config/0.2.0-rc.1/store.wit"),
            (sdk!("wit/deps/wasi-keyvalue/keyvalue.wit"), "wasi-keyvalue/0.2.0-draft/keyvalue.wit"),
            (sdk!("wit/deps/wasi-logging/logging.wit"), "wasi-logging/0.1.0-draft/logging.wit"),
        ] {
            assert_eq!(copy, fs::read_to_string(wit.join(original)).unwrap(), "{original} differs from the SDK's copy");
        }
    }
}
