//! `wares calls`: single calls in the ledger.

use super::Settings;
use super::components::{cell, number};
use crate::client::{Access, Role};
use crate::exit::Exit;
use crate::output::{self, Format};
use serde_json::Value;
use wares_model::CallId;

/// Single calls.
#[derive(Debug, clap::Subcommand)]
pub enum Calls {
    /// Show one call: outcome, usage, what it logged
    Show {
        /// The call's id, as the header wares-call-id gives it
        id: CallId,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
}

impl Calls {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let Self::Show { id, format, access } = self;
        let client = access.client(&settings.load()?.data_dir, Role::Admin)?;
        let entry: Value = client.get(&format!("/v1/calls/{id}")).await?;
        format.print(&entry, for_people)?;
        Ok(Exit::Ok)
    }
}

fn for_people(entry: &Value) -> String {
    let at = |pointer: &str| cell(entry, pointer);
    let interface = Some(at("/interface")).filter(|interface| !interface.is_empty());
    let function = interface.map_or_else(|| at("/function"), |interface| format!("{interface}#{}", at("/function")));
    let mut lines = vec![
        format!("call:      {}", at("/call")),
        format!("outcome:   {}", at("/outcome")),
        format!("component: {}@{}", at("/component"), at("/version")),
        format!("function:  {function}"),
        format!("tenant:    {} ({})", at("/tenant"), at("/application")),
        format!("started:   {}", at("/started")),
        format!(
            "cpu, wall: {}, {}",
            output::micros(number(entry, "/cpu-us")),
            output::micros(number(entry, "/wall-us"))
        ),
        format!("memory:    {}", output::bytes(number(entry, "/memory-peak-bytes"))),
        format!(
            "in, out:   {}, {}",
            output::bytes(number(entry, "/bytes-in")),
            output::bytes(number(entry, "/bytes-out"))
        ),
    ];
    for (title, pointer) in [("detail", "/detail"), ("logs", "/logs")] {
        let text = entry.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
        lines.extend(text.map(|text| format!("{title}:\n{text}")));
    }
    lines.join("\n")
}
