//! Running another program: its environment, and an error that says what it said.

use anyhow::{Context as _, Result, bail, ensure};
use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

/// Lines of a failed program's output that an error repeats.
const OUTPUT_LINES_MAX: usize = 20;
/// Variables of cargo that say where things come from, not what is built.
const CARGO_VARIABLES_KEPT: [&str; 7] =
    ["CARGO_HOME", "CARGO_BUILD_JOBS", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_TERM_"];

/// Runs the command to its end and returns its stdout; a failure repeats the end of its output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("`{shown}` does not start"))?;
    if output.status.success() {
        return String::from_utf8(output.stdout).with_context(|| format!("`{shown}` answered with other than UTF-8"));
    }
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    bail!("`{shown}` ended with {}\n{}", output.status, last_lines(&String::from_utf8_lossy(said)));
}

/// Runs the command to its end and returns its stdout; what it says beside that goes to the terminal as it comes.
pub(crate) fn visibly(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("{name} does not start"))?;
    ensure!(output.status.success(), "{name} ended with {}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{name} answered with other than UTF-8"))
}

/// The command as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines.get(lines.len().saturating_sub(OUTPUT_LINES_MAX)..).unwrap_or_default().join("\n")
}

/// Takes away what an enclosing cargo run or a developer's shell set for native builds: flags, target folders, wrappers.
pub(crate) fn without_build_settings(command: &mut Command) -> &mut Command {
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let of_cargo = text == "CARGO" || text.starts_with("CARGO_");
        let kept = CARGO_VARIABLES_KEPT.iter().any(|kept| text.starts_with(kept));
        let of_rustc = text.starts_with("RUSTC") || text == "RUSTFLAGS" || text == "RUSTDOCFLAGS";
        if (of_cargo && !kept) || of_rustc {
            command.env_remove(name);
        }
    }
    command
}

/// Makes the folder the first in which the command looks for programs.
pub(crate) fn path_first<'a>(command: &'a mut Command, folder: &Path) -> Result<&'a mut Command> {
    let rest = env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.to_owned()).chain(env::split_paths(&rest));
    let path = env::join_paths(folders).with_context(|| format!("{} cannot stand on PATH", folder.display()))?;
    Ok(command.env("PATH", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_repeats_the_end_of_the_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "seq 1 30 >&2; exit 4"]);
        let error = output(&mut command).unwrap_err().to_string();
        assert!(error.starts_with("`sh -c seq 1 30 >&2; exit 4` ended with exit status: 4\n11\n"), "{error}");
        assert!(error.ends_with("\n30"), "{error}");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = output(&mut Command::new("no-such-program-here")).unwrap_err().to_string();
        assert_eq!(error, "`no-such-program-here` does not start");
    }
}
