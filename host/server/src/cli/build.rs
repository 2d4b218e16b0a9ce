//! `wares build`: components from source.

use crate::exit::Exit;
use crate::output;
use crate::vendor::build::{Built, WithoutCompiler};
use std::path::{Path, PathBuf};

/// Builds components.
#[derive(Debug, clap::Args)]
pub struct Build {
    /// Folder of a project or of several
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
}

impl Build {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        for built in all(&self.folder)? {
            output::text(&built.path.display().to_string())?;
        }
        Ok(Exit::Ok)
    }
}

/// Builds what is in the folder and says how it goes, as the compiler does.
pub(super) fn all(folder: &Path) -> anyhow::Result<Vec<Built>> {
    crate::vendor::build::build(folder, WithoutCompiler::Fail, &output::note)
}

/// The same without the projects whose compilers cannot be had here.
pub(super) fn all_that_can_be(folder: &Path) -> anyhow::Result<Vec<Built>> {
    crate::vendor::build::build(folder, WithoutCompiler::LeaveOut, &output::note)
}
