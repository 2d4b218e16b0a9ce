//! `wares jobs`: calls that are made later, and what became of them.

use super::Settings;
use super::components::cell;
use crate::client::{Access, Body, Changing, Client, Role};
use crate::exit::Exit;
use crate::output::{self, Format, table};
use reqwest::Method;
use serde_json::Value;
use wares_model::{JobId, JobState, TenantId};

/// Jobs; `wares call --async` makes one.
#[derive(Debug, clap::Subcommand)]
pub enum Jobs {
    /// List jobs, newest first
    List {
        /// Those in one state: queued, running, succeeded, dead or cancelled
        #[arg(long)]
        state: Option<JobState>,
        /// Those of one tenant
        #[arg(long)]
        tenant: Option<TenantId>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Show a job: its state, its attempts, its result or what went wrong
    Show(One),
    /// End a job that waits or runs
    Cancel(One),
    /// Queue a job again that is dead or was cancelled
    Replay(One),
}

/// One job.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The job's id
    id: JobId,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Changing,
}

impl Jobs {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        let client = |access: &Changing| access.client(&data_dir, Role::Admin);
        match self {
            Self::List { state, tenant, format, access } => {
                let state = state.map(|state| format!("&state={state}")).unwrap_or_default();
                let tenant = tenant.map(|tenant| format!("&tenant={tenant}")).unwrap_or_default();
                let found =
                    access.client(&data_dir, Role::Admin)?.list(&format!("/v1/jobs?limit=1000{state}{tenant}")).await?;
                format.print(&found, |found| {
                    let rows = found.iter().map(row);
                    table(&["id", "state", "tenant", "function", "attempts", "created", "problem"], rows, "no jobs")
                })?;
            }
            Self::Show(One { id, format, access }) => {
                let job: Value = client(&access)?.get(&format!("/v1/jobs/{id}")).await?;
                format.print(&job, for_people)?;
            }
            Self::Cancel(one) => one.change(&client(&one.access)?, "cancel").await?,
            Self::Replay(one) => one.change(&client(&one.access)?, "replay").await?,
        }
        Ok(Exit::Ok)
    }
}

impl One {
    async fn change(&self, client: &Client, what: &str) -> anyhow::Result<()> {
        let at = format!("/v1/jobs/{}/{what}", self.id);
        let job: Value = client.send(Method::POST, &at, Body::None).await?.json()?;
        self.format.print(&job, |job| match job.get("cancel-requested") {
            Some(Value::Bool(true)) if cell(job, "/state") == "running" => format!("{}: ends now", cell(job, "/id")),
            _ => format!("{}: {}", cell(job, "/id"), cell(job, "/state")),
        })
    }
}

fn row(job: &Value) -> [String; 7] {
    let at = |pointer: &str| cell(job, pointer);
    let attempts = format!("{} of {}", at("/attempts"), at("/attempts-max"));
    [at("/id"), at("/state"), at("/tenant"), function(job), attempts, at("/created-at"), kind(job)]
}

/// What is called, as it was named.
fn function(job: &Value) -> String {
    let part = |pointer: &str| job.pointer(pointer).and_then(Value::as_str);
    let component = part("/component").or(part("/package")).unwrap_or_default();
    let requirement = part("/requirement").map(|requirement| format!("@{requirement}")).unwrap_or_default();
    let names = [part("/interface"), part("/function")].into_iter().flatten().collect::<Vec<_>>();
    format!("{component}{requirement} {}", names.join(" "))
}

/// The code of what went wrong last.
fn kind(job: &Value) -> String {
    let kind = job.pointer("/problem/type").and_then(Value::as_str);
    kind.and_then(|kind| kind.rsplit('/').next()).unwrap_or("-").to_owned()
}

fn for_people(job: &Value) -> String {
    let at = |pointer: &str| cell(job, pointer);
    let mut lines = vec![
        format!("job:      {}", at("/id")),
        format!("state:    {}", at("/state")),
        format!("function: {}", function(job)),
        format!("tenant:   {} ({})", at("/tenant"), at("/application")),
        format!("created:  {}", at("/created-at")),
        format!("attempts: {} of {}, until {}", at("/attempts"), at("/attempts-max"), at("/deadline-at")),
    ];
    for (title, pointer) in [("next:    ", "/next-at"), ("finished:", "/finished-at"), ("due:     ", "/due-at")] {
        lines.extend(job.pointer(pointer).and_then(Value::as_str).map(|time| format!("{title} {time}")));
    }
    for call in job.get("calls").and_then(Value::as_array).into_iter().flatten() {
        lines.push(format!("call:     {}  {}", cell(call, "/call"), cell(call, "/outcome")));
    }
    lines.push(format!("arguments:\n{}", at("/arguments")));
    match job.get("result") {
        Some(result) => lines.push(format!("result:\n{result}")),
        None if job.get("result-bytes").is_some_and(Value::is_u64) => {
            let size = super::components::number(job, "/result-bytes");
            lines.push(format!("result:   {}, too large to be kept", output::bytes(size)));
        }
        None => {}
    }
    if job.get("problem").is_some_and(Value::is_object) {
        lines.push(format!("problem:\n{}: {}", kind(job), at("/problem/detail")));
        lines.extend(job.pointer("/problem/error").map(ToString::to_string));
    }
    lines.join("\n")
}
