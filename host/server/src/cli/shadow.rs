//! `wares shadow`: what came of the calls that another version made again.

use super::Settings;
use super::components::{cell, path};
use crate::client::{Access, Role};
use crate::exit::Exit;
use crate::output::{Format, table};
use serde_json::Value;
use wares_model::ComponentName;

/// Shows the report.
#[derive(Debug, clap::Args)]
pub struct Shadow {
    /// The component
    name: ComponentName,
    /// The revision of the deployment [default: the current one]
    #[arg(long, value_name = "REVISION")]
    revision: Option<u64>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

impl Shadow {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let query = self.revision.map(|revision| format!("?revision={revision}")).unwrap_or_default();
        let report: Value = client.get(&format!("{}/deployment/shadow{query}", path(&self.name))).await?;
        self.format.print(&report, for_people)?;
        Ok(Exit::Ok)
    }
}

fn for_people(report: &Value) -> String {
    let at = |pointer: &str| cell(report, pointer);
    let head = format!(
        "{}: {} made {}% of calls again (revision {}): {} alike, {} otherwise; not made: {} under load, {} refused",
        at("/component"),
        at("/version"),
        at("/percent"),
        at("/revision"),
        at("/matches"),
        at("/mismatches"),
        at("/shed"),
        at("/refused")
    );
    let sample = report.get("sample").and_then(Value::as_array).into_iter().flatten();
    let rows = sample.map(|one| {
        ["/of", "/call", "/difference/served/json", "/difference/shadow/outcome", "/difference/shadow/json"]
            .map(|pointer| cell(one, pointer))
    });
    format!("{head}\n{}", table(&["call", "again as", "served", "outcome", "again"], rows, "no mismatches"))
}
