//! `wares usage`: what calls used, summed up.

use super::Settings;
use super::call_args::CallArgs;
use super::components::{cell, number};
use crate::client::{Access, Role, query};
use crate::exit::Exit;
use crate::output::{self, Format};
use serde_json::Value;
use wares_model::Zone;
use wares_store::GroupBy;

/// Sums up usage.
#[derive(Debug, clap::Args)]
pub struct Usage {
    /// What to sum by, comma-separated: tenant, application, component, version, interface, function, outcome, month, day, hour
    #[arg(long, value_delimiter = ',', value_name = "WHAT", default_value = "component")]
    by: Vec<GroupBy>,
    #[command(flatten)]
    of: CallArgs,
    /// Count months, days and hours in this time zone, as UTC [default: that of the shelf]
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<Zone>,
    /// What other shelves reported of their copies, by day in UTC
    #[arg(long, conflicts_with_all = ["by", "application", "version", "function", "outcome", "time_zone"])]
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
        let zone = self.time_zone.map(|zone| zone.to_string());
        let own = [("group_by", (!self.reported).then(|| by.join(","))), ("time_zone", zone)];
        let parameters = query(own.into_iter().chain(self.of.parameters()));
        let of = if self.reported { "usage-reports" } else { "usage" };
        let usage: Value = client.get(&format!("/v1/{of}?{parameters}")).await?;
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
    output::table(&head, rows, "no such calls")
}
