//! `wares test`: a project's unit tests, then its manifest's examples in the sandbox.

use super::Settings;
use crate::exit::Exit;
use crate::output;
use crate::sandbox::{Opened, Sandbox};
use crate::vendor::build::Built;
use crate::vendor::test::OwnTests;
use anyhow::Context as _;
use serde_json::Value;
use std::path::{Path, PathBuf};
use wares_model::ProblemCode;
use wares_model::manifest::Example;

/// Tests components.
#[derive(Debug, clap::Args)]
pub struct Test {
    /// Folder of a project or of several
    #[arg(value_name = "DIR", default_value = ".")]
    folder: PathBuf,
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
        let built = super::build::all(&self.folder)?;
        let wares = std::env::current_exe().context("the path of this program")?;
        let sandbox = Sandbox::new(&config.limits)?;
        let mut tally = Tally::default();
        for component in &built {
            let info = &component.manifest.component;
            output::text(&format!("{} {}", info.name, info.version))?;
            own_tests(component, &wares, &mut tally)?;
            examples(&sandbox, component, &mut tally).await?;
        }
        output::text(&format!("{} passed, {} failed", tally.passed, tally.failed))?;
        Ok(if tally.failed == 0 { Exit::Ok } else { Exit::Failed })
    }
}

fn own_tests(built: &Built, wares: &Path, tally: &mut Tally) -> anyhow::Result<()> {
    let Some(tests) = OwnTests::of(built, wares)? else { return Ok(()) };
    let name = tests.name;
    let status = tests.run()?;
    tally.count(name, status.success().then_some(()).ok_or_else(|| format!("it ended with {status}")))
}

async fn examples(sandbox: &Sandbox, built: &Built, tally: &mut Tally) -> anyhow::Result<()> {
    let wasm = super::publish::read_component(&built.path)?;
    let component = match sandbox.open(wasm).await {
        Ok(component) => component,
        Err(problem) => return tally.count("the sandbox takes it", Err(problem.to_string())),
    };
    for example in &built.manifest.examples {
        let outcome = run(&component, example).await;
        tally.count(&format!("example {:?}", example.name), outcome)?;
    }
    Ok(())
}

/// Runs one example; the error says what is different from what the manifest says.
async fn run(component: &Opened, example: &Example) -> Result<(), String> {
    let arguments = example.arguments.as_bytes();
    let answer = component.call(example.interface.as_deref(), &example.function, arguments).await;
    let (expected, got) = match (&example.result, &example.error, answer) {
        (Some(expected), _, Ok(json)) => (expected, read(&json)?),
        (None, Some(expected), Err(problem)) if problem.code() == Some(ProblemCode::ComponentError) => {
            (expected, problem.error.unwrap_or_default())
        }
        (None, Some(_), Ok(json)) => {
            return Err(format!("the error case is expected, but it returned {}", String::from_utf8_lossy(&json)));
        }
        (None, None, Ok(_)) => return Ok(()),
        (_, _, Err(problem)) => return Err(problem.to_string()),
    };
    let differences = wares_catalog::examples::differences(&read(expected.as_bytes())?, &got);
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

fn read(json: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(json).map_err(|error| format!("not JSON: {error}"))
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
