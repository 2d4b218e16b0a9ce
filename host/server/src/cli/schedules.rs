//! `wares schedules`: calls at set times, and for whom they are made.

use super::Settings;
use super::components::cell;
use crate::client::{Access, Body, Changing, Role, encode};
use crate::exit::Exit;
use crate::output::{self, Format, table};
use reqwest::Method;
use serde_json::Value;
use wares_model::{ComponentName, TenantId};

/// Schedules of the components that are deployed for a tenant.
#[derive(Debug, clap::Subcommand)]
pub enum Schedules {
    /// List a tenant's schedules, and which of them run
    List {
        /// The tenant
        tenant: TenantId,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Have a schedule run for a tenant from now on
    Enable(One),
    /// Have it not run any more
    Disable(One),
}

/// One schedule of a tenant.
#[derive(Debug, clap::Args)]
pub struct One {
    /// The tenant
    tenant: TenantId,
    /// The component
    component: ComponentName,
    /// The schedule's name in the component's manifest
    schedule: String,
    #[command(flatten)]
    access: Changing,
}

impl Schedules {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::List { tenant, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let found = client.list(&format!("/v1/tenants/{tenant}/schedules")).await?;
                format.print(&found, |found| {
                    let rows = found.iter().map(row);
                    table(&["component", "schedule", "cron", "zone", "runs", "next", "last job"], rows, "no schedules")
                })?;
            }
            Self::Enable(one) => {
                let client = one.access.client(&data_dir, Role::Admin)?;
                let enabled: Value = client.send(Method::PUT, &one.path(), Body::None).await?.json()?;
                output::text(&format!("enabled {}; due next at {}", one.schedule, cell(&enabled, "/next-at")))?;
            }
            Self::Disable(one) => {
                let client = one.access.client(&data_dir, Role::Admin)?;
                client.send(Method::DELETE, &one.path(), Body::None).await?;
                output::text(&format!("disabled {}", one.schedule))?;
            }
        }
        Ok(Exit::Ok)
    }
}

impl One {
    fn path(&self) -> String {
        let Self { tenant, component, schedule, .. } = self;
        format!("/v1/tenants/{tenant}/schedules/{}/{}", component.path(), encode(schedule))
    }
}

fn row(schedule: &Value) -> [String; 7] {
    let at = |pointer: &str| cell(schedule, pointer);
    let runs = match (schedule.get("enabled"), schedule.get("version")) {
        (Some(Value::Bool(true)), Some(_)) => "yes",
        (Some(Value::Bool(true)), None) => "not in the deployed version",
        _ => "no",
    };
    let runs = runs.to_owned();
    [at("/component"), at("/name"), at("/cron"), at("/time-zone"), runs, at("/next-at"), at("/last-job")]
}
