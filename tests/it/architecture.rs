//! What the repository promises of itself: crates import downwards only, no guest or plugin is there that no test
//! names, and no defence is claimed without its test.

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use wares_it::guests;

/// The host's crates from the top to the bottom: each may import those below its own line, and no others.
const LAYERS: [&[&str]; 8] = [
    &["wares"],
    &["wares-http"],
    &["wares-call"],
    &["wares-catalog"],
    &["wares-engine"],
    &["wares-capabilities"],
    &["wares-registry", "wares-store", "wares-typed"],
    &["wares-model"],
];
/// What is built beside the host, and imported by nothing of it.
const BESIDE: [&str; 3] = ["wares-bench", "wares-fuzz", "wares-it"];

#[test]
fn crates_import_downwards_only() -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(guests::root());
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = metadata["packages"].as_array().context("packages")?;
    let names: Vec<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let layer = |name: &str| LAYERS.iter().position(|layer| layer.contains(&name));
    for known in LAYERS.concat().iter().chain(&BESIDE) {
        ensure!(names.contains(known), "{known} is gone: take it off the lists here");
    }
    for package in packages {
        let name = package["name"].as_str().context("name")?;
        if BESIDE.contains(&name) {
            continue;
        }
        let own = layer(name).with_context(|| format!("{name} has no layer: say here where it is"))?;
        let imported = package["dependencies"].as_array().into_iter().flatten();
        for other in imported.filter_map(|import| import["name"].as_str()).filter(|other| names.contains(other)) {
            let is_below = layer(other).is_some_and(|other| other > own);
            ensure!(
                is_below,
                "{name} imports {other}, which is not below it: what has to call upwards is a trait of `model`"
            );
        }
    }
    Ok(())
}

#[test]
fn every_guest_and_plugin_is_named_by_a_test() -> Result<()> {
    let root = guests::root();
    let mut code = String::new();
    for folder in ["tests/it", "tests/benchmark/src", "host/engine/tests/it", "host/engine/benches"] {
        read_all(&root.join(folder), &mut code)?;
    }
    for folder in ["tests/guests", "plugins", "host/engine/tests/guests"] {
        for entry in std::fs::read_dir(root.join(folder))? {
            let path = entry?.path();
            let is_text = path.extension().is_some_and(|extension| extension == "wat");
            if !is_text && !path.join("wares.toml").is_file() {
                continue;
            }
            let name = path.file_stem().context("a name")?.to_string_lossy();
            let written =
                [format!("\"{name}\""), format!("-{name}\""), format!("{folder}/{name}\""), format!("{name}.wat")];
            let is_named = written.iter().any(|written| code.contains(written));
            ensure!(is_named, "no test names {folder}/{name}: it is of no use, or a test is missing");
        }
    }
    Ok(())
}

#[test]
fn every_defence_has_the_test_that_is_named_for_it() -> Result<()> {
    let root = guests::root();
    let mut code = String::new();
    for folder in ["tests/it", "tests/fuzz/tests", "host"] {
        read_all(&root.join(folder), &mut code)?;
    }
    let page = std::fs::read_to_string(root.join("SECURITY.md"))?;
    let rows =
        page.lines().filter(|line| line.starts_with('|') && !line.starts_with("| ---") && !line.ends_with("| test |"));
    for row in rows {
        let tests = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        ensure!(!names.is_empty(), "no test is named: {row}");
        for name in names {
            ensure!(code.contains(&format!("fn {name}(")), "there is no test {name}");
        }
    }
    Ok(())
}

/// Adds the text of all Rust files in a folder.
fn read_all(folder: &Path, text: &mut String) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        match path.is_dir() {
            true => read_all(&path, text)?,
            false if path.extension().is_some_and(|extension| extension == "rs") => {
                text.push_str(&std::fs::read_to_string(&path)?);
            }
            false => {}
        }
    }
    Ok(())
}
