//! `wares usage`: what calls used, summed up.

use super::Settings;
use super::components::{cell, number};
use crate::client::{Access, Role, query};
use crate::exit::Exit;
use crate::output::{self, Format};
use serde_json::Value;
use wares_model::{TenantId, Timestamp};
use wares_store::GroupBy;

/// Sums up usage.
#[derive(Debug, clap::Args)]
pub struct Usage {
    /// From this time or day on, in UTC, as 2026-11-24 or 2026-11-24T08:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Up to this time or day, without it
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// What to sum by, comma-separated: tenant, application, component, version, interface, function, outcome, day, hour
    #[arg(long, value_delimiter = ',', value_name = "WHAT", default_value = "component")]
    by: Vec<GroupBy>,
    /// One tenant only
    #[arg(long)]
    tenant: Option<TenantId>,
    /// What other shelves reported of their copies, by day
    #[arg(long, conflicts_with = "by")]
    reported: bool,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

impl Usage {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let by: Vec<_> = match self.reported {
            true => vec!["tenant", "component", "version", "day", "outcome"],
            false => self.by.iter().map(|by| by.as_str()).collect(),
        };
        let parameters = [
            ("group_by", (!self.reported).then(|| by.join(","))),
            ("from", self.from.map(|from| from.to_string())),
            ("to", self.to.map(|to| to.to_string())),
            ("tenant", self.tenant.map(|tenant| tenant.to_string())),
        ];
        let of = if self.reported { "usage-reports" } else { "usage" };
        let usage: Value = client.get(&format!("/v1/{of}?{}", query(parameters))).await?;
        self.format.print(&usage, |usage| for_people(usage, &by))?;
        Ok(Exit::Ok)
    }
}

fn for_people(usage: &Value, by: &[&str]) -> String {
    let rows = usage.get("items").and_then(Value::as_array).into_iter().flatten().map(|row| {
        let sums = [
            cell(row, "/calls"),
            output::micros(number(row, "/cpu-us")),
            output::micros(number(row, "/wall-us")),
            output::bytes(number(row, "/bytes-in")),
            output::bytes(number(row, "/bytes-out")),
            output::bytes(number(row, "/memory-peak-bytes")),
        ];
        by.iter().map(|by| cell(row, &format!("/{by}"))).chain(sums).collect::<Vec<_>>()
    });
    let head: Vec<_> = by.iter().copied().chain(["calls", "cpu", "wall", "in", "out", "memory peak"]).collect();
    output::table(&head, rows, "no calls in that time")
}
