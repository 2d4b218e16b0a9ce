//! `wares history`: how a component's traffic came to be as it is.

use super::Settings;
use super::components::{cell, path, traffic};
use crate::client::{Access, Role};
use crate::exit::Exit;
use crate::output::{Format, table};
use wares_model::ComponentName;

/// Shows deployments.
#[derive(Debug, clap::Args)]
pub struct History {
    /// The component
    name: ComponentName,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

impl History {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let deployments = client.list(&format!("{}/deployment/history", path(&self.name))).await?;
        self.format.print(&deployments, |deployments| {
            let rows = deployments.iter().map(|deployment| {
                let [revision, at, actor, reason] =
                    ["/revision", "/at", "/actor", "/reason"].map(|pointer| cell(deployment, pointer));
                [revision, at, traffic(deployment), actor, reason]
            });
            table(&["revision", "at", "traffic", "by", "reason"], rows, "it was never deployed")
        })?;
        Ok(Exit::Ok)
    }
}
