//! `wares submissions`: versions that wait for review.

use super::Settings;
use super::components::{cell, number};
use crate::client::{Access, Body, Changing, Role};
use crate::exit::Exit;
use crate::output::{self, Format, table};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::Path;
use wares_model::{Namespace, SubmissionId};

/// Submissions.
#[derive(Debug, clap::Subcommand)]
pub enum Submissions {
    /// List submissions that wait, newest first
    List {
        /// Those of one namespace
        #[arg(long)]
        namespace: Option<Namespace>,
        /// Decided ones too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Show what there is to judge a submission by
    Show {
        /// The submission's id
        id: SubmissionId,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Let a version take traffic
    Approve(Decide),
    /// Keep a version from ever taking traffic
    Reject(Decide),
}

/// A decision.
#[derive(Debug, clap::Args)]
pub struct Decide {
    /// The submission's id
    id: SubmissionId,
    /// Why, for the record
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Changing,
}

impl Submissions {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::List { namespace, all, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let state = if all { "all" } else { "waiting" };
                let namespace = namespace.map(|namespace| format!("&namespace={namespace}")).unwrap_or_default();
                let found = client.list(&format!("/v1/submissions?state={state}{namespace}")).await?;
                format.print(&found, |found| {
                    let columns = ["/id", "/component", "/version", "/kind", "/state", "/submitted-at"];
                    let rows = found.iter().map(|submission| columns.map(|pointer| cell(submission, pointer)));
                    table(&["id", "component", "version", "kind", "state", "submitted"], rows, "nothing waits")
                })?;
            }
            Self::Show { id, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                format.print(&client.get::<Value>(&format!("/v1/submissions/{id}")).await?, for_people)?;
            }
            Self::Approve(decide) => decide.run(&data_dir, "approve").await?,
            Self::Reject(decide) => decide.run(&data_dir, "reject").await?,
        }
        Ok(Exit::Ok)
    }
}

impl Decide {
    async fn run(self, data_dir: &Path, what: &str) -> anyhow::Result<()> {
        let client = self.access.client(data_dir, Role::Admin)?;
        let at = format!("/v1/submissions/{}/{what}", self.id);
        let decided: Value =
            client.send(Method::POST, &at, Body::Json(json!({"reason": self.reason}))).await?.json()?;
        self.format.print(&decided, |decided| {
            let [state, component, version] =
                ["/state", "/component", "/version"].map(|pointer| cell(decided, pointer));
            format!("{state} {component}@{version}")
        })
    }
}

fn for_people(submission: &Value) -> String {
    let at = |pointer: &str| cell(submission, pointer);
    let mut lines = vec![
        format!("{}@{}  {}", at("/component"), at("/version"), at("/state")),
        format!("submitted: {} by {}", at("/submitted-at"), at("/submitter")),
        format!("kind:      {}", at("/kind")),
        format!("method:    {}", at("/method")),
        format!("basis:     {}", at("/basis")),
    ];
    if at("/decided-at") != "-" {
        lines.push(format!("decided:   {} by {}: {}", at("/decided-at"), at("/decided-by"), at("/reason")));
    }
    lines.push(String::new());
    lines.push(format!("digest:    {}", at("/digest")));
    lines.push(format!("signed by: {}", at("/provenance/signer")));
    lines.push(match at("/comparison/against").as_str() {
        "-" => format!("size:      {}; the first version", output::bytes(number(submission, "/size-bytes"))),
        against => format!(
            "size:      {}, {} at {against}",
            output::bytes(number(submission, "/size-bytes")),
            output::bytes(number(submission, "/comparison/size-bytes-before"))
        ),
    });
    for (title, pointer) in
        [("newly imports", "/comparison/imports-added"), ("no longer imports", "/comparison/imports-removed")]
    {
        lines.extend(list(submission, pointer, title, |import| import.as_str().unwrap_or_default().to_owned()));
    }
    let limit =
        |limit: &Value| format!("{}: {} -> {}", cell(limit, "/name"), cell(limit, "/before"), cell(limit, "/after"));
    lines.extend(list(submission, "/comparison/limits", "limits", limit));
    lines.extend(super::show::provenance(submission.get("provenance").unwrap_or(&Value::Null)));
    lines.extend(list(submission, "/examples", "examples", example));
    lines.push("WIT:".to_owned());
    lines.push(match at("/comparison/wit-diff") {
        same if same.is_empty() => "  no change".to_owned(),
        diff => diff,
    });
    lines.join("\n")
}

fn example(example: &Value) -> String {
    match example.get("passed") == Some(&Value::Bool(true)) {
        true => format!("ok      {}", cell(example, "/name")),
        false => {
            format!("FAILED  {}\n    {}", cell(example, "/name"), cell(example, "/detail").replace('\n', "\n    "))
        }
    }
}

fn list(value: &Value, pointer: &str, title: &str, line: impl Fn(&Value) -> String) -> Vec<String> {
    let items = value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let head = (!items.is_empty()).then(|| format!("{title}:"));
    head.into_iter().chain(items.iter().map(|item| format!("  {}", line(item)))).collect()
}
