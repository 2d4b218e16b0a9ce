//! `wares logs`: what calls wrote.

use super::Settings;
use super::components::cell;
use crate::client::{Access, Client, PAGE_ITEMS_MAX, Role, encode, query};
use crate::exit::Exit;
use crate::output::Format;
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::collections::HashSet;
use std::ops::ControlFlow;
use wares_model::{CallId, ComponentName, TenantId};

/// Shows what calls wrote.
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// Of this component
    name: Option<ComponentName>,
    /// Go on with each call as it ends, until interrupted
    #[arg(long)]
    follow: bool,
    /// Of calls of this tenant
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Of this call
    #[arg(long, value_name = "ID")]
    call: Option<CallId>,
    /// Of so many calls, the last ones
    #[arg(long, value_name = "CALLS", default_value_t = 100, conflicts_with = "follow", value_parser = clap::value_parser!(u32).range(1..))]
    last: u32,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

impl Logs {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let Self { name, follow, tenant, call, last, format, access } = self;
        let client = access.client(&settings.load()?.data_dir, Role::Admin)?;
        let parameters = query([
            ("component", name.map(|name| name.to_string())),
            ("tenant", tenant.map(|tenant| tenant.to_string())),
            ("call", call.map(|call| call.to_string())),
            ("follow", follow.then(|| "true".to_owned())),
        ]);
        let path = format!("/v1/logs?{parameters}");
        if !follow {
            let items = logged(&client, &path, last as usize).await?;
            format.print(&items, |items| match items.is_empty() {
                true => "no such logs".to_owned(),
                false => items.iter().map(for_people).collect::<Vec<_>>().join("\n"),
            })?;
            return Ok(Exit::Ok);
        }
        let shown = client.follow(&path, |line| {
            let value: Value = serde_json::from_slice(line).context("a line of the answer")?;
            if let Some(why) = value.get("cut-off").and_then(Value::as_str) {
                bail!("{why}; start again, or narrow it down with a component or --tenant");
            }
            format.print_on(&value, for_people)
        });
        tokio::select! {
            ended = shown => match ended? {
                ControlFlow::Break(()) => Ok(Exit::Ok),
                ControlFlow::Continue(()) => Err(Exit::Unavailable.error("the host sends no more lines: does it still run?")),
            },
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted.map(|()| Exit::Ok)?),
        }
    }
}

/// The lines of so many calls, the last ones, in the order they were written.
async fn logged(client: &Client, path: &str, calls_max: usize) -> anyhow::Result<Vec<Value>> {
    // A page has the lines of some calls, and the next page those of calls before them.
    let (mut pages, mut calls, mut cursor) = (Vec::new(), HashSet::new(), None::<String>);
    loop {
        let wanted = (calls_max - calls.len()).min(PAGE_ITEMS_MAX);
        let after = cursor.map(|cursor| format!("&cursor={}", encode(&cursor))).unwrap_or_default();
        let mut page: Value = client.get(&format!("{path}&limit={wanted}{after}")).await?;
        let items = page.get_mut("items").map(Value::take);
        let items: Vec<Value> = serde_json::from_value(items.context("the answer has no items")?)?;
        calls.extend(items.iter().map(|line| cell(line, "/call")));
        pages.push(items);
        cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
        if cursor.is_none() || calls.len() >= calls_max {
            return Ok(pages.into_iter().rev().flatten().collect());
        }
    }
}

/// When, which call, how important, and what.
fn for_people(line: &Value) -> String {
    let at = |pointer: &str| cell(line, pointer);
    let level = if line.get("level").is_some() { at("/level") } else { at("/stream") };
    let part = line.get("context").and_then(Value::as_str).map(|part| format!("{part}: "));
    let (part, component) = (part.unwrap_or_default(), format!("{}@{}", at("/component"), at("/version")));
    format!("{} {} {} {component} {level} {part}{}", at("/at"), at("/call"), at("/tenant"), at("/message"))
}
