//! `wares calls`: calls in the ledger.

use super::Settings;
use super::call_args::CallArgs;
use super::components::{cell, number};
use crate::client::{Access, Role, query};
use crate::exit::Exit;
use crate::output::{self, Format, table};
use serde_json::Value;
use wares_model::CallId;

/// Calls.
#[derive(Debug, clap::Subcommand)]
pub enum Calls {
    /// List calls, the newest first
    List {
        #[command(flatten)]
        of: CallArgs,
        /// Older than this call
        #[arg(long, value_name = "ID")]
        before: Option<CallId>,
        /// So many calls at most
        #[arg(long, value_name = "CALLS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Show one call: outcome, usage, what it logged; or why a request was refused a short while ago
    Show {
        /// The call's id, as the header wares-call-id gives it, or the request's (wares-request-id)
        id: CallId,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
}

impl Calls {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::List { of, before, limit, format, access } => {
                let before = ("cursor", before.map(|call| call.to_string()));
                let parameters = query(of.parameters().chain([before]));
                let client = access.client(&data_dir, Role::Admin)?;
                let (calls, next) = client.some(&format!("/v1/calls?{parameters}"), limit as usize).await?;
                format.print(&calls, |calls| list(calls))?;
                if let Some(last) = next {
                    output::note(&format!("older calls: --before {last}"));
                }
            }
            Self::Show { id, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let entry: Value = client.get(&format!("/v1/calls/{id}")).await?;
                format.print(&entry, for_people)?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn list(calls: &[Value]) -> String {
    let rows = calls.iter().map(|call| {
        let at = |pointer: &str| cell(call, pointer);
        let component = format!("{}@{}", at("/component"), at("/version"));
        let wall = output::micros(number(call, "/wall-us"));
        [at("/started"), at("/call"), at("/outcome"), at("/tenant"), component, at("/function"), wall]
    });
    table(&["started", "call", "outcome", "tenant", "component", "function", "wall"], rows, "no such calls")
}

fn for_people(entry: &Value) -> String {
    let at = |pointer: &str| cell(entry, pointer);
    if at("/outcome") == "refused" {
        return refusal(entry);
    }
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

/// A request that was refused: it is in no ledger.
fn refusal(entry: &Value) -> String {
    let at = |pointer: &str| cell(entry, pointer);
    let lines = [
        ("call", at("/call")),
        ("outcome", format!("refused: {} ({})", at("/code"), at("/status"))),
        ("request", format!("{} {}", at("/method"), at("/path"))),
        ("tenant", format!("{} ({})", at("/tenant"), at("/application"))),
        ("started", at("/started")),
        ("detail", at("/detail")),
    ];
    let lines = lines.iter().filter(|(_, value)| !value.starts_with('-'));
    lines.map(|(name, value)| format!("{:<10} {value}", format!("{name}:"))).collect::<Vec<_>>().join("\n")
}
