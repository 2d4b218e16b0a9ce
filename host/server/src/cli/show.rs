//! `wares show`: all there is to know of a component.

use super::Settings;
use super::components::{NameAt, cell, main_version, number, path, traffic, version_path, words};
use crate::client::{Access, Client, ClientError, Role};
use crate::exit::Exit;
use crate::output::{self, Format};
use reqwest::Method;
use serde_json::{Value, json};
use wares_model::{ComponentName, ProblemCode, Version};

/// Versions that are named; `--json` has all.
const VERSIONS_SHOWN: usize = 10;

/// Shows a component: versions, functions, limits, what it asks for, and, to operators, what it is granted and used lately.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The component, as benefit/match, or one version of it, as benefit/match@1.2.3
    #[arg(value_name = "NAME[@VERSION]")]
    target: NameAt<Version>,
    /// Print the version's WIT and nothing else
    #[arg(long, conflicts_with = "json")]
    wit: bool,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

impl Show {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let NameAt { name, at } = &self.target;
        let component: Value = client.get(&path(name)).await?;
        let version = at.clone().or_else(|| main_version(&component));
        let version = version.ok_or_else(|| Exit::NotFound.error(format!("{name} has no version")))?;
        if self.wit {
            let at = format!("{}/wit", version_path(name, &version));
            let wit = client.send(Method::GET, &at, crate::client::Body::None).await?.body;
            output::text(&String::from_utf8_lossy(&wit))?;
            return Ok(Exit::Ok);
        }
        self.format.print(&everything(&client, name, component, &version).await?, for_people)?;
        Ok(Exit::Ok)
    }
}

async fn everything(
    client: &Client,
    name: &ComponentName,
    component: Value,
    version: &Version,
) -> anyhow::Result<Value> {
    let versions = client.list(&format!("{}/versions", path(name))).await?;
    let shown: Value = client.get(&version_path(name, version)).await?;
    let grants = match client.get(&format!("{}/grants", path(name))).await {
        // Only operators see grants.
        Err(ClientError::Problem(problem)) if problem.code() == Some(ProblemCode::Forbidden) => Value::Null,
        grants => grants?,
    };
    Ok(json!({"component": component, "versions": versions, "version": shown, "grants": grants}))
}

fn for_people(all: &Value) -> String {
    let null = &Value::Null;
    let [component, version] = ["component", "version"].map(|key| all.get(key).unwrap_or(null));
    let mut lines = vec![format!("{}  {}", cell(component, "/name"), words(component.get("title").unwrap_or(null)))];
    let about = words(component.get("description").unwrap_or(null));
    lines.extend((!about.is_empty()).then_some(about));
    lines.push(format!("deployed: {}", traffic(component.get("deployment").unwrap_or(null))));
    let versions = all.get("versions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut named: Vec<_> = versions.iter().take(VERSIONS_SHOWN).map(named_version).collect();
    named.extend((versions.len() > VERSIONS_SHOWN).then(|| format!("and {} more", versions.len() - VERSIONS_SHOWN)));
    lines.push(format!("versions: {}", named.join(", ")));
    lines.push(String::new());
    lines.push(format!("version {}", cell(version, "/version")));
    lines.push(format!("  digest:    {}", cell(version, "/digest")));
    lines.push(format!("  size:      {}", output::bytes(number(version, "/size-bytes"))));
    lines.push(format!("  published: {} by {}", cell(version, "/published-at"), cell(version, "/publisher")));
    lines.extend(standing(version));
    lines.push(format!("  signed by: {}", cell(version, "/signer")));
    lines.extend(version.get("held").and_then(Value::as_str).map(|held| format!("  held back: {held}")));
    lines.extend(provenance(version).into_iter().map(|line| format!("  {line}")));
    let imports = version.get("imports").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    lines.extend(section("imports", imports.map(str::to_owned)));
    let asks = version.get("capabilities").filter(|asked| asked.is_object());
    let asks = asks.map(|asked| super::grants::asks(asked, &cell(component, "/name"))).unwrap_or_default();
    lines.extend(section("asks for", asks.iter().map(|line| line.trim_start().to_owned())));
    lines.extend(usage(all, !asks.is_empty()));
    let limits = version.get("limits").and_then(Value::as_object).into_iter().flatten();
    lines.extend(section("limits", limits.map(|(name, value)| format!("{name} = {value}"))));
    let schedules = version.pointer("/manifest/schedules").and_then(Value::as_array).into_iter().flatten();
    let schedule = |one: &Value| format!("{}: {} ({})", cell(one, "/name"), cell(one, "/cron"), cell(one, "/function"));
    lines.extend(section("schedules", schedules.map(schedule)));
    lines.push("  functions:".to_owned());
    lines.extend(functions(version));
    lines.join("\n")
}

/// What the component is granted and used; that it is granted nothing matters if it asks for something.
fn usage(all: &Value, asks: bool) -> Vec<String> {
    let grants = all.pointer("/grants/grants");
    let granted = super::grants::granted(grants.unwrap_or(&Value::Null));
    let mut lines = section("granted", granted.iter().map(|line| line.trim_start().to_owned()));
    lines.extend((asks && grants.is_some() && granted.is_empty()).then(|| "  granted: nothing".to_owned()));
    let used = all.pointer("/grants/used/items").and_then(Value::as_array).into_iter().flatten();
    let used = used.map(|one| format!("{} ({} calls)", cell(one, "/what"), cell(one, "/calls")));
    lines.extend(section("used lately", used));
    lines
}

/// A version, and in a word what became of it.
fn named_version(version: &Value) -> String {
    let words = [("stopped", "stopped-at"), ("yanked", "yanked-at"), ("deprecated", "deprecation")];
    let word = words.into_iter().find(|(_, key)| version.get(key).is_some_and(|value| !value.is_null()));
    let word = word.map(|(word, _)| format!(" ({word})")).unwrap_or_default();
    format!("{}{word}", cell(version, "/version"))
}

/// Whether the version is deprecated, yanked or stopped.
fn standing(version: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if version.get("deprecation").is_some_and(Value::is_object) {
        let sunset = version.pointer("/deprecation/sunset").and_then(Value::as_str);
        let sunset = sunset.map(|sunset| format!(", to be stopped {sunset}")).unwrap_or_default();
        let reason = version.pointer("/deprecation/reason").and_then(Value::as_str);
        let reason = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        lines.push(format!("  deprecated: {}{sunset}{reason}", cell(version, "/deprecation/at")));
    }
    for (word, key) in [("yanked:    ", "yanked-at"), ("stopped:   ", "stopped-at")] {
        let at = version.get(key).and_then(Value::as_str);
        lines.extend(at.map(|at| format!("  {word} {at}")));
    }
    lines
}

/// What a component says of who made it and from what, its manifest's words before those of its sections.
pub(super) fn provenance(value: &Value) -> Vec<String> {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let texts = [
        ("licence", text("/manifest/component/license").or_else(|| text("/metadata/licenses"))),
        ("source", text("/manifest/component/source").or_else(|| text("/metadata/source"))),
        ("revision", text("/metadata/revision")),
    ];
    let mut lines: Vec<_> =
        texts.into_iter().filter_map(|(name, text)| Some(format!("{:<10} {}", format!("{name}:"), text?))).collect();
    for (field, producers) in value.get("producers").and_then(Value::as_object).into_iter().flatten() {
        let named = producers.as_array().into_iter().flatten().map(|producer| {
            let version = text_of(producer, "version");
            format!("{} {version}", text_of(producer, "name")).trim_end().to_owned()
        });
        lines.push(format!("{:<10} {}", format!("{field}:"), named.collect::<Vec<_>>().join(", ")));
    }
    lines
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn section(title: &str, items: impl Iterator<Item = String>) -> Vec<String> {
    let items: Vec<_> = items.map(|item| format!("    {item}")).collect();
    let head = (!items.is_empty()).then(|| format!("  {title}:"));
    head.into_iter().chain(items).collect()
}

/// Functions under their interfaces, as WIT writes them.
fn functions(version: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let mut last = None;
    for function in version.get("functions").and_then(Value::as_array).into_iter().flatten() {
        let interface = function.get("interface").and_then(Value::as_str);
        if last != Some(interface) {
            lines.push(format!("    {}", interface.unwrap_or("(the world itself)")));
            last = Some(interface);
        }
        let reason = function.get("reason").and_then(Value::as_str);
        let reason = reason.map(|reason| format!("  (not callable: {reason})")).unwrap_or_default();
        lines.push(format!("      {}{reason}", cell(function, "/signature")));
    }
    lines
}
