//! `wares new`: a component project to start from.

use crate::exit::Exit;
use crate::{output, shell, vendor};
use std::path::PathBuf;
use wares_model::ComponentName;
use wares_model::manifest::Language;

/// Starts a project.
#[derive(Debug, clap::Args)]
pub struct New {
    /// The component's name, as bureau/greeting
    #[arg(value_name = "NAMESPACE/NAME")]
    name: ComponentName,
    /// Language to write it in: rust, python, js or c
    #[arg(long, value_name = "LANGUAGE", default_value_t)]
    lang: Language,
    /// Folder in which the project's folder is made
    #[arg(long, value_name = "DIR", default_value = ".")]
    into: PathBuf,
}

impl New {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let folder = vendor::new::create(&self.into, &self.name, self.lang)?;
        output::text(&folder.display().to_string())?;
        output::note(&format!("made; next: cd {} && wares test", shell::quote(&folder.display().to_string())));
        Ok(Exit::Ok)
    }
}
