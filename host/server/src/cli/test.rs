//! `wares test`: a project's unit tests, then its manifest's examples in the sandbox.

use super::Settings;
use super::secret_file::{self, SecretFile};
use crate::exit::Exit;
use crate::output;
use crate::sandbox::{Sandbox, Secrets};
use crate::vendor::build::Built;
use crate::vendor::test::OwnTests;
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use wares_catalog::examples::run_one;

/// Tests components.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// Folder of a project or of several
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
    /// Give the components this secret, which a file holds, in the sandbox; may be given several times
    #[arg(long = "secret", value_name = "NAME=FILE")]
    secrets: Vec<SecretFile>,
}

/// How many tests ended how.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
}

impl Test {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let config = settings.load()?;
        let secrets = secret_file::read(&self.secrets)?;
        let secret_files = secret_file::for_tests(&self.secrets)?;
        let built = super::build::all(&self.folder)?;
        let wares = std::env::current_exe().context("the path of this program")?;
        let sandbox = Sandbox::new(&config.limits)?;
        let mut tally = Tally::default();
        for component in &built {
            let info = &component.manifest.component;
            output::text(&format!("{} {}", info.name, info.version))?;
            own_tests(component, &wares, &secret_files, &mut tally)?;
            examples(&sandbox, component, secrets.clone(), &mut tally).await?;
        }
        output::text(&format!("{} passed, {} failed", tally.passed, tally.failed))?;
        Ok(if tally.failed == 0 { Exit::Ok } else { Exit::Failed })
    }
}

fn own_tests(built: &Built, wares: &Path, secret_files: &str, tally: &mut Tally) -> anyhow::Result<()> {
    let Some(tests) = OwnTests::of(built, wares, secret_files)? else { return Ok(()) };
    let name = tests.name;
    let status = tests.run()?;
    tally.count(name, status.success().then_some(()).ok_or_else(|| format!("it ended with {status}")))
}

async fn examples(sandbox: &Sandbox, built: &Built, secrets: Secrets, tally: &mut Tally) -> anyhow::Result<()> {
    let wasm = super::publish::read_component(&built.path)?;
    let component = match sandbox.open(wasm, secrets).await {
        Ok(component) => component,
        Err(problem) => return tally.count("the sandbox takes it", Err(problem.to_string())),
    };
    for example in &built.manifest.examples {
        let outcome = run_one(component.trial(), example).await;
        tally.count(&format!("example {:?}", example.name), outcome)?;
    }
    Ok(())
}

impl Tally {
    fn count(&mut self, name: &str, outcome: Result<(), String>) -> anyhow::Result<()> {
        match outcome {
            Ok(()) => {
                self.passed += 1;
                output::text(&format!("  ok      {name}"))
            }
            Err(why) => {
                self.failed += 1;
                output::text(&format!("  FAILED  {name}\n    {}", why.replace('\n', "\n    ")))
            }
        }
    }
}
