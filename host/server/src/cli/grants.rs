//! `wares grants`: what components may use of the world.

mod change;

use super::Settings;
use super::components::{cell, path};
use crate::client::{Access, Body, Changing, Role};
use crate::exit::Exit;
use crate::output::{Format, table};
use anyhow::Context as _;
use change::{Addition, Change};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use wares_model::{ComponentName, Grants as Granted};

/// Grants.
#[derive(Debug, clap::Subcommand)]
pub enum Grants {
    /// Show what a component asks for, is granted, and used
    Show {
        /// The component
        name: ComponentName,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Grant more; calls that begin from then on may use it
    Add(Box<Addition>),
    /// Grant less; it holds for calls that begin from then on
    Remove(Change),
    /// Set all of it from a file of JSON, as `wares grants show --json` prints it under `grants`
    Set {
        /// The component
        name: ComponentName,
        /// The file
        file: PathBuf,
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
    /// Show how a component's grants changed, newest first
    History {
        /// The component
        name: ComponentName,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
}

impl Grants {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::Show { name, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                format.print(&client.get::<Value>(&grants_path(&name)).await?, for_people)?;
            }
            Self::Add(addition) => addition.make(&data_dir).await?,
            Self::Remove(change) => change.take_away(&data_dir).await?,
            Self::Set { name, file, reason, format, access } => {
                let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
                let grants: Granted = serde_json::from_str(&text).with_context(|| file.display().to_string())?;
                let client = access.client(&data_dir, Role::Admin)?;
                let body = Body::Json(json!({"grants": grants, "reason": reason}));
                let set: Value = client.send(Method::PUT, &grants_path(&name), body).await?.json()?;
                format.print(&set, for_people)?;
            }
            Self::History { name, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let states = client.list(&format!("{}/history", grants_path(&name))).await?;
                format.print(&states, |states| {
                    let columns = ["/revision", "/at", "/actor", "/grants", "/reason"];
                    let rows = states.iter().map(|state| columns.map(|pointer| cell(state, pointer)));
                    table(&["revision", "at", "by", "grants", "reason"], rows, "nothing was ever granted")
                })?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn grants_path(name: &ComponentName) -> String {
    format!("{}/grants", path(name))
}

/// Asked, granted and used, one line each.
pub(super) fn for_people(shown: &Value) -> String {
    let mut lines = vec![format!("{}, grants at revision {}", cell(shown, "/component"), cell(shown, "/revision"))];
    lines.push("granted:".to_owned());
    lines.extend(granted(shown.get("grants").unwrap_or(&Value::Null)));
    for (version, asked) in shown.get("versions").and_then(Value::as_object).into_iter().flatten() {
        lines.push(format!("{version} asks for:"));
        lines.extend(asks(asked, &cell(shown, "/component")));
    }
    let lacking = shown.get("lacking").and_then(Value::as_array).into_iter().flatten();
    lines.extend(lacking.filter_map(Value::as_str).map(|lacking| format!("WARNING: {lacking}")));
    lines.push(format!("used by the last {} calls that used anything:", cell(shown, "/used/of-calls")));
    let used = shown.pointer("/used/items").and_then(Value::as_array).into_iter().flatten();
    lines.extend(used.map(|one| format!("  {} ({} calls)", cell(one, "/what"), cell(one, "/calls"))));
    lines.join("\n")
}

/// What a version asks for, by its manifest or by what it imports, and the command that grants what of it is missing.
pub(super) fn asks(asked: &Value, component: &str) -> Vec<String> {
    let manifest = granted(asked.get("manifest").unwrap_or(&Value::Null));
    let lines = match manifest.is_empty() {
        true => {
            let imports = asked.get("imports").and_then(Value::as_array).into_iter().flatten();
            imports.filter_map(Value::as_str).map(|import| format!("  {import}")).collect()
        }
        false => manifest,
    };
    let others = asked.get("interfaces").and_then(Value::as_array).into_iter().flatten();
    let others = others.filter_map(Value::as_str).map(|interface| format!("  {interface} of another component"));
    let mut lines: Vec<_> = lines.into_iter().chain(others).collect();
    let missing = asked.get("missing").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    lines.extend(missing.iter().map(|one| format!("  not granted: {}", cell(one, "/capability"))));
    let flags: Vec<_> = missing.iter().map(|one| cell(one, "/flags")).collect();
    lines.extend(
        (!flags.is_empty()).then(|| format!("  to grant it: wares grants add {component} {}", flags.join(" "))),
    );
    lines
}

/// Lists of a manifest's asks or of grants, an entry per line.
pub(super) fn granted(capabilities: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (capability, entries) in capabilities.as_object().into_iter().flatten() {
        match entries {
            Value::Array(entries) => {
                lines.extend(entries.iter().map(|entry| format!("  {capability} {}", entry_text(entry))))
            }
            entry => lines.push(format!("  {capability} {}", entry_text(entry))),
        }
    }
    lines
}

/// An entry: its name, then what differs from the usual.
fn entry_text(entry: &Value) -> String {
    let Some(fields) = entry.as_object() else {
        return entry.as_str().map_or_else(|| entry.to_string(), str::to_owned);
    };
    let (mut name, mut rest) = (String::new(), Vec::new());
    for (key, value) in fields {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match key.as_str() {
            "allow" | "bucket" | "access" => name = text,
            _ => rest.push(format!("{key} {text}")),
        }
    }
    if rest.is_empty() { name } else { format!("{name} ({})", rest.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_see_what_is_asked_granted_and_used() {
        let shown = json!({
            "component": "a:b", "revision": 2,
            "grants": {"http": [{"allow": "https://a.cn"}], "files": {"access": "read-only", "bytes-max": 1, "files-max": 2}},
            "versions": {"1.0.0": {
                "manifest": {"http": ["https://a.cn"], "secrets": ["token"]},
                "missing": [{"capability": "secret token", "flags": "--secret token"}],
            }},
            "lacking": ["a:b@1.0.0 asks for more"],
            "used": {"of-calls": 3, "items": [{"what": "http GET https://a.cn", "calls": 2}]},
        });
        insta::assert_snapshot!(for_people(&shown), @r"
        a:b, grants at revision 2
        granted:
          http https://a.cn
          files read-only (bytes-max 1, files-max 2)
        1.0.0 asks for:
          http https://a.cn
          secrets token
          not granted: secret token
          to grant it: wares grants add a:b --secret token
        WARNING: a:b@1.0.0 asks for more
        used by the last 3 calls that used anything:
          http GET https://a.cn (2 calls)
        ");
    }
}
