//! `wares deprecate`, `wares yank` and `wares stop`: what becomes of a version.

use super::Settings;
use super::components::{NameAt, cell, path, version_path};
use super::deploy::with_warnings;
use super::sure::Sure;
use crate::client::{Body, Changing, Role};
use crate::exit::Exit;
use crate::output::Format;
use reqwest::Method;
use serde_json::{Map, Value, json};
use wares_model::{Timestamp, Version};

/// Tells callers to go on to another version.
#[derive(Debug, clap::Args)]
pub struct Deprecate {
    #[command(flatten)]
    what: What,
    /// Since when, or from when on, as 2026-11-24 or 2026-11-24T08:00:00Z [default: now]
    #[arg(long, value_name = "TIME", conflicts_with = "undo")]
    at: Option<Timestamp>,
    /// When the version is to stop answering; stopping it then is up to you
    #[arg(long, value_name = "TIME", conflicts_with = "undo")]
    sunset: Option<Timestamp>,
}

/// Lets nobody begin with a version; those who use it go on.
#[derive(Debug, clap::Args)]
pub struct Yank {
    #[command(flatten)]
    what: What,
}

/// Ends a version: it is yanked, leaves the deployment, and its calls are refused.
#[derive(Debug, clap::Args)]
pub struct Stop {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    sure: Sure,
}

#[derive(Debug, clap::Args)]
struct What {
    /// The version, as benefit/match@1.2.3
    #[arg(value_name = "NAME@VERSION")]
    target: NameAt<Version>,
    /// Why, for callers and the version's history
    #[arg(long)]
    reason: Option<String>,
    /// Take it back
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Changing,
}

impl Deprecate {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let times = [("at", self.at), ("sunset", self.sunset)];
        let times = times.into_iter().filter_map(|(name, time)| Some((name.to_owned(), json!(time?))));
        self.what.change(settings, "deprecate", ["deprecated", "deprecated no more"], times.collect()).await
    }
}

impl Yank {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        self.what.change(settings, "yank", ["yanked", "yanked no more"], Map::new()).await
    }
}

impl Stop {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        if !self.what.undo && !self.what.access.is_dry_run() {
            self.confirm(settings).await?;
        }
        self.what.change(settings, "stop", ["stopped", "stopped no more"], Map::new()).await
    }

    /// The last version that takes traffic leaves the component without any.
    async fn confirm(&self, settings: &Settings) -> anyhow::Result<()> {
        let (NameAt { name, at }, data_dir) = (&self.what.target, settings.load()?.data_dir);
        let Some(version) = at else { return Ok(()) };
        let component: Value = self.what.access.client(&data_dir, Role::Admin)?.get(&path(name)).await?;
        let taking = component.pointer("/deployment/traffic").and_then(Value::as_object);
        match taking.is_some_and(|taking| taking.len() == 1 && taking.contains_key(&version.to_string())) {
            true => self.sure.confirm(&format!("{name}@{version} has all traffic: nobody can call {name} after that")),
            false => Ok(()),
        }
    }
}

impl What {
    async fn change(
        self,
        settings: &Settings,
        action: &str,
        [done, undone]: [&str; 2],
        mut body: Map<String, Value>,
    ) -> anyhow::Result<Exit> {
        let NameAt { name, at } = &self.target;
        let version = at
            .as_ref()
            .ok_or_else(|| Exit::Usage.error(format!("{name} names no version: write it as {}@1.2.3", name.path())))?;
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        body.extend(self.reason.map(|reason| ("reason".to_owned(), json!(reason))));
        let is_undone = self.undo;
        let (method, done) = if self.undo { (Method::DELETE, undone) } else { (Method::POST, done) };
        let at = format!("{}/{action}", version_path(name, version));
        let shown: Value = client.send(method, &at, Body::Json(body.into())).await?.json()?;
        self.format.print(&shown, |shown| {
            let is_yanked = shown.get("yanked-at").is_some_and(|at| !at.is_null());
            let still = if action == "stop" && is_undone && is_yanked { ", still yanked" } else { "" };
            with_warnings(format!("{}@{}: {done}{still}", cell(shown, "/component"), cell(shown, "/version")), shown)
        })?;
        Ok(Exit::Ok)
    }
}
