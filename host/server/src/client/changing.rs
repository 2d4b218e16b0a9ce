//! Flags of commands that change something on a host.

use super::{Access, Client, Role};
use crate::output;
use std::path::Path;

/// Which host, with which key, and whether anything is to be changed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Changing {
    #[command(flatten)]
    access: Access,
    /// Say what would be, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Changing {
    /// A client as [`Access::client`]; what it asks to be changed is not, in a dry run.
    pub fn client(&self, data_dir: &Path, role: Role) -> anyhow::Result<Client> {
        let client = self.access.client(data_dir, role)?;
        if !self.dry_run {
            return Ok(client);
        }
        output::note("a dry run: nothing is changed, this is what would be");
        Ok(client.rehearsing())
    }

    /// Whether nothing is to be changed.
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }
}
