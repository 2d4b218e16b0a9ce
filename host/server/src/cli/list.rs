//! `wares list`: the components on the shelf.

use super::Settings;
use super::components::{cell, traffic, words};
use crate::client::{Access, Role, query};
use crate::exit::Exit;
use crate::output::{Format, table};
use serde_json::Value;

/// Lists components.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Words that name, title, description or keywords have
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// Only those that export this interface, as matching or benefit:match/matching
    #[arg(long)]
    interface: Option<String>,
    /// Only those of this namespace
    #[arg(long)]
    namespace: Option<String>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

impl List {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let wanted = (!self.query.is_empty()).then(|| self.query.join(" "));
        let parameters = [("q", wanted), ("interface", self.interface), ("namespace", self.namespace)];
        let components = client.list(&format!("/v1/components?{}", query(parameters))).await?;
        self.format.print(&components, |components| {
            let rows = components.iter().map(|component| {
                let deployment = component.get("deployment").unwrap_or(&Value::Null);
                let title = component.get("title").unwrap_or(&Value::Null);
                [cell(component, "/name"), cell(component, "/latest"), traffic(deployment), words(title)]
            });
            table(&["name", "latest", "deployed", "title"], rows, "no such components on the shelf")
        })?;
        Ok(Exit::Ok)
    }
}
