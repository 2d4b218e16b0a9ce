//! `wares providers`: who provides an interface for whom.

use super::Settings;
use super::components::cell;
use super::deploy::with_warnings;
use crate::client::{Access, Body, Changing, Role, encode, query};
use crate::exit::Exit;
use crate::output::{Format, table};
use reqwest::Method;
use serde_json::{Value, json};
use wares_model::{ComponentName, InterfaceName, TenantId};

/// Providers of interfaces.
#[derive(Debug, clap::Subcommand)]
pub enum Providers {
    /// List what was chosen; where nothing was, any component that is deployed provides what it exports
    List {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Choose who provides an interface, for a tenant and those below it, or for all
    Choose {
        /// The interface, as form:report/report
        interface: InterfaceName,
        /// The component
        component: ComponentName,
        #[command(flatten)]
        whom: Whom,
    },
    /// Take a choice back
    Unchoose {
        /// The interface
        interface: InterfaceName,
        #[command(flatten)]
        whom: Whom,
    },
    /// Show who was chosen for an interface, newest first
    History {
        /// The interface
        interface: InterfaceName,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
}

/// For whom, and why.
#[derive(Debug, clap::Args)]
pub struct Whom {
    /// The tenant [default: all]
    #[arg(long)]
    tenant: Option<TenantId>,
    /// Why, for the record
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Changing,
}

impl Providers {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::List { format, access } => {
                let choices = access.client(&data_dir, Role::Admin)?.list("/v1/providers").await?;
                format.print(&choices, |choices| shown(choices, "nothing was chosen"))?;
            }
            Self::Choose { interface, component, whom } => {
                let client = whom.access.client(&data_dir, Role::Admin)?;
                let body = json!({"component": component, "tenant": whom.tenant, "reason": whom.reason});
                let chosen: Value = client.send(Method::PUT, &path(&interface), Body::Json(body)).await?.json()?;
                whom.format.print(&chosen, |chosen| {
                    let [component, interface] = ["/component", "/interface"].map(|pointer| cell(chosen, pointer));
                    with_warnings(format!("{component} provides {interface} for {}", tenant(chosen)), chosen)
                })?;
            }
            Self::Unchoose { interface, whom } => {
                let client = whom.access.client(&data_dir, Role::Admin)?;
                let query = query([("tenant", whom.tenant.map(|tenant| tenant.to_string())), ("reason", whom.reason)]);
                let at = format!("{}?{query}", path(&interface));
                let taken: Value = client.send(Method::DELETE, &at, Body::None).await?.json()?;
                whom.format.print(&taken, |taken| {
                    let interface = cell(taken, "/interface");
                    with_warnings(format!("nobody is chosen to provide {interface} for {}", tenant(taken)), taken)
                })?;
            }
            Self::History { interface, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let choices = client.list(&format!("{}/history", path(&interface))).await?;
                format.print(&choices, |choices| shown(choices, "nobody was ever chosen"))?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn path(interface: &InterfaceName) -> String {
    format!("/v1/providers/{}/{}", encode(interface.package.as_str()), encode(&interface.interface))
}

fn shown(choices: &[Value], nothing: &str) -> String {
    let row = |choice: &Value| {
        let columns = ["/interface", "/component", "/at", "/actor", "/reason"].map(|pointer| cell(choice, pointer));
        let [interface, component, at, actor, reason] = columns;
        [interface, tenant(choice), component, at, actor, reason]
    };
    table(&["interface", "tenant", "component", "at", "by", "reason"], choices.iter().map(row), nothing)
}

fn tenant(choice: &Value) -> String {
    choice.get("tenant").and_then(Value::as_str).unwrap_or("all").to_owned()
}
