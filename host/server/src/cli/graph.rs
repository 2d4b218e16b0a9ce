//! `wares graph`: who uses whom.

use super::Settings;
use super::components::{cell, traffic};
use crate::client::{Access, Role, query};
use crate::exit::Exit;
use crate::output::{self, Format};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use wares_model::ComponentName;

/// Shows who uses whom.
#[derive(Debug, clap::Args)]
pub struct Graph {
    /// A component [default: all that use others]
    name: Option<ComponentName>,
    /// Write the graph for Graphviz
    #[arg(long, conflicts_with = "json")]
    dot: bool,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

/// Components of the graph by name.
type Nodes<'a> = BTreeMap<&'a str, &'a Value>;

impl Graph {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let query = query([("component", self.name.as_ref().map(ComponentName::to_string))]);
        let items = client.list(&format!("/v1/graph?{query}")).await?;
        match self.dot {
            true => output::text(dot(&items).trim_end())?,
            false => self.format.print(&items, |items| tree(items, self.name.as_ref().map(ComponentName::as_str)))?,
        }
        Ok(Exit::Ok)
    }
}

fn nodes(items: &[Value]) -> Nodes<'_> {
    items.iter().filter_map(|item| Some((item.get("component")?.as_str()?, item))).collect()
}

fn uses(node: &Value) -> impl Iterator<Item = &Value> {
    node.get("uses").and_then(Value::as_array).into_iter().flatten()
}

fn provider(one: &Value) -> Option<&str> {
    one.get("provider").and_then(Value::as_str)
}

/// A tree from each component that nobody uses, or from one. What was shown before is not shown again: deployments refuse
/// circles, so that every component is below one of these.
fn tree(items: &[Value], of: Option<&str>) -> String {
    if items.is_empty() {
        return "no component uses another one".to_owned();
    }
    let nodes = nodes(items);
    let used: BTreeSet<&str> = nodes.values().flat_map(|node| uses(node)).filter_map(provider).collect();
    let roots: Vec<&str> = match of {
        Some(name) => vec![name],
        None => nodes.keys().filter(|name| !used.contains(*name)).copied().collect(),
    };
    let (mut text, mut shown) = (String::new(), BTreeSet::new());
    for root in roots {
        let share = nodes.get(root).map(|node| traffic(node)).unwrap_or_default();
        let _ = writeln!(text, "{root} {share}");
        branches(&nodes, root, 1, &mut shown, &mut text);
    }
    text.trim_end().to_owned()
}

fn branches<'a>(nodes: &Nodes<'a>, name: &'a str, depth: usize, shown: &mut BTreeSet<&'a str>, text: &mut String) {
    let Some(&node) = nodes.get(name).filter(|_| shown.insert(name)) else { return };
    for one in uses(node) {
        let indent = "  ".repeat(depth);
        let _ = writeln!(text, "{indent}{}", label(one));
        if let Some(next) = provider(one) {
            branches(nodes, next, depth + 1, shown, text);
        }
    }
}

/// `test:rates 1.2.0 (acme:tax/rates@1.0.0 of 1.0.0)`
fn label(one: &Value) -> String {
    let import = format!("{} of {}", cell(one, "/interface"), cell(one, "/version"));
    let whom = one.get("tenant").and_then(Value::as_str).map(|tenant| format!(", for {tenant}")).unwrap_or_default();
    let Some(provider) = provider(one) else { return format!("NOBODY ({import}{whom})") };
    let versions = one.get("provided").and_then(Value::as_object).into_iter().flatten();
    let versions: Vec<_> = versions.map(|(version, _)| version.as_str()).collect();
    let refused = if one.get("granted") == Some(&Value::Bool(false)) { ", NOT GRANTED" } else { "" };
    format!("{provider} {} ({import}{whom}{refused})", versions.join(", "))
}

fn dot(items: &[Value]) -> String {
    let mut text = "digraph shelf {\n  rankdir=LR;\n  node [shape=box];\n".to_owned();
    for (name, node) in nodes(items) {
        // Names are kebab-case and versions have no quotes: nothing here needs an escape.
        let _ = writeln!(text, "  \"{name}\" [label=\"{name}\\n{}\"];", traffic(node));
        for one in uses(node) {
            let label = cell(one, "/interface");
            let to = provider(one).unwrap_or("nobody");
            let style = if one.get("granted") == Some(&Value::Bool(true)) { "solid" } else { "dashed" };
            let _ = writeln!(text, "  \"{name}\" -> \"{to}\" [label=\"{label}\", style={style}];");
        }
    }
    text.push_str("}\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn items() -> Vec<Value> {
        let one = |interface: &str, provider: Value, granted: bool| {
            json!({"version": "1.0.0", "interface": interface, "provider": provider,
                   "provided": {"1.1.0": interface}, "granted": granted})
        };
        vec![
            json!({"component": "a:top", "traffic": {"1.0.0": 100},
                   "uses": [one("b:mid/x@1.0.0", json!("b:mid"), true), one("d:gone/x", Value::Null, false)]}),
            json!({"component": "b:mid", "traffic": {"1.1.0": 100}, "uses": [one("c:end/x", json!("c:end"), false)]}),
            json!({"component": "c:end", "traffic": {"1.1.0": 100}, "uses": []}),
        ]
    }

    #[test]
    fn a_tree_shows_who_uses_whom() {
        let expected = [
            "a:top 1.0.0",
            "  b:mid 1.1.0 (b:mid/x@1.0.0 of 1.0.0)",
            "    c:end 1.1.0 (c:end/x of 1.0.0, NOT GRANTED)",
            "  NOBODY (d:gone/x of 1.0.0)",
        ];
        assert_eq!(tree(&items(), None).lines().collect::<Vec<_>>(), expected);
        assert_eq!(tree(&items(), Some("c:end")), "c:end 1.1.0");
        assert_eq!(tree(&[], None), "no component uses another one");
    }

    #[test]
    fn graphviz_gets_boxes_and_arrows() {
        let expected = [
            "digraph shelf {",
            "  rankdir=LR;",
            "  node [shape=box];",
            r#"  "a:top" [label="a:top\n1.0.0"];"#,
            r#"  "a:top" -> "b:mid" [label="b:mid/x@1.0.0", style=solid];"#,
            r#"  "a:top" -> "nobody" [label="d:gone/x", style=dashed];"#,
            r#"  "b:mid" [label="b:mid\n1.1.0"];"#,
            r#"  "b:mid" -> "c:end" [label="c:end/x", style=dashed];"#,
            r#"  "c:end" [label="c:end\n1.1.0"];"#,
            "}",
        ];
        assert_eq!(dot(&items()).lines().collect::<Vec<_>>(), expected);
    }
}
