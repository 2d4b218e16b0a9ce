//! The sandbox in this process: a component file checked and called as a host would, without a shelf.

use crate::config::CallLimits;
use crate::output;
use crate::problem::Problem;
use anyhow::Context as _;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use tempfile::TempDir;
use wares_catalog::publish::{asked_by, check_memory};
use wares_catalog::trial::{Candidate, OpenError, Trial, TrialError};
use wares_engine::{
    CompileError, Concurrency, Engine, EngineConfig, Failure, KeepBounds, Lane, LoadError, ReadError, Services,
};
use wares_model::grants::Label;
use wares_model::{Digest, Limits, LimitsAsked, ProblemCode};
use wares_typed::{Description, WriteError};
use zeroize::Zeroizing;

/// Names that an error offers in place of one that is not there.
const NEAREST_MAX: usize = 3;
/// Nobody else is here.
const ALONE: Lane = Lane::Operator(None);

/// An engine whose native code goes when it goes.
pub struct Sandbox {
    engine: Engine,
    limits: CallLimits,
    _native: TempDir,
}

/// Secrets that a component finds in the sandbox, by their names.
pub type Secrets = HashMap<Label, Zeroizing<String>>;

/// A component that can be called.
pub struct Opened(Trial);

/// What a host would say of a component.
pub struct Checked {
    /// What it is, if it can be read.
    pub description: Option<Description>,
    /// The limits of its calls, if they are allowed.
    pub limits: Option<Limits>,
    /// Why a host would refuse it.
    pub errors: Vec<String>,
}

impl Sandbox {
    /// A sandbox under the limits of this configuration.
    pub fn new(limits: &CallLimits) -> anyhow::Result<Self> {
        let native = tempfile::tempdir().context("a folder for native code")?;
        let config = EngineConfig {
            native_dir: native.path().join("native"),
            key_file: native.path().join("native.key"),
            worker: crate::serve::worker()?,
            calls_max: 1,
            memory_bytes_max: limits.ceiling.memory_bytes_max,
            keep: KeepBounds::NONE,
        };
        let engine = Engine::new(config, Services::default())?;
        Ok(Self { engine, limits: limits.clone(), _native: native })
    }

    /// Everything that a host would find wrong, and what it would take.
    pub async fn check(&self, wasm: Vec<u8>) -> Checked {
        let wasm = Bytes::from(wasm);
        let description = match self.engine.reader().describe(&ALONE, &wasm).await {
            Ok(description) => description,
            Err(error) => return Checked { description: None, limits: None, errors: vec![error.to_string()] },
        };
        let mut errors = Vec::new();
        let limits = self.limits_of(&description).map_err(|error| errors.push(error)).ok();
        errors
            .extend(limits.and_then(|limits| check_memory(&description, &limits).err()).map(|error| error.to_string()));
        errors.extend(asked_by(&description).err().map(|error| error.to_string()));
        match self.engine.check_imports(&description) {
            // What is not linked cannot be compiled to its end: one error says enough.
            Err(error) => errors.push(error.to_string()),
            Ok(()) => {
                let concurrency = Concurrency::of(&description);
                let compiled = self.engine.compile(&ALONE, &Digest::of(&wasm), &wasm, concurrency).await;
                errors.extend(compiled.err().map(|error| error.to_string()));
            }
        }
        Checked { description: Some(description), limits, errors }
    }

    /// Makes a component ready to be called. What its calls keep goes with it.
    pub async fn open(&self, wasm: Vec<u8>, secrets: Secrets) -> Result<Opened, Box<Problem>> {
        let refused = |detail: String| Box::new(Problem::new(ProblemCode::InvalidComponent, detail));
        let description = self.engine.reader().describe(&ALONE, &wasm).await.map_err(|error| match error {
            ReadError::Host(_) => Box::new(Problem::new(ProblemCode::HostError, error.to_string())),
            other => refused(other.to_string()),
        })?;
        let limits = self.limits_of(&description).map_err(refused)?;
        let info = description.manifest.as_ref().map(|manifest| &manifest.component);
        let candidate = Candidate {
            lane: ALONE,
            release: info.map(|info| (info.name.clone(), info.version.clone())),
            description: Arc::new(description),
            digest: Digest::of(&wasm),
            wasm: wasm.into(),
            limits,
            secrets,
            hear: |logs| output::note(logs.trim_end()),
        };
        let opened = Trial::open(&self.engine, candidate).await;
        opened.map(Opened).map_err(|error| match error {
            OpenError::Load(LoadError::Compile(CompileError::Host(_))) | OpenError::Place(_) => {
                Box::new(Problem::new(ProblemCode::HostError, error.to_string()))
            }
            other @ OpenError::Load(_) => refused(other.to_string()),
        })
    }

    fn limits_of(&self, description: &Description) -> Result<Limits, String> {
        let asked = description.manifest.as_ref().map_or_else(LimitsAsked::default, |manifest| manifest.limits);
        self.limits.default.asked_within(&asked, &self.limits.ceiling).map_err(|error| error.to_string())
    }
}

impl Opened {
    /// The component, to try its examples.
    pub fn trial(&self) -> &Trial {
        &self.0
    }

    /// All functions with their interfaces.
    pub fn functions(&self) -> Vec<(Option<String>, String)> {
        let interfaces = self.0.description().interfaces.iter();
        let of_one = interfaces.flat_map(|interface| {
            interface.functions.iter().map(|function| (interface.name.clone(), function.name.clone()))
        });
        of_one.collect()
    }

    /// Calls a function; the answer is the JSON of its result. What the component logs goes to standard error.
    pub async fn call(
        &self,
        interface: Option<&str>,
        function: &str,
        arguments: &[u8],
    ) -> Result<Vec<u8>, Box<Problem>> {
        let answer = self.0.call(interface, function, arguments).await;
        answer.map_err(|error| {
            let detail = error.to_string();
            Box::new(match error {
                TrialError::Unknown(_) => not_found(&self.functions(), function, detail),
                TrialError::NotCallable { .. } | TrialError::Ambiguous(..) => {
                    Problem::new(ProblemCode::BadRequest, detail)
                }
                TrialError::TooLarge(_) => Problem::new(ProblemCode::TooLarge, detail),
                TrialError::Arguments(error) => {
                    let pointer = Some(error.pointer);
                    Problem { pointer, ..Problem::new(ProblemCode::BadArguments, error.message) }
                }
                TrialError::Failed(failure) => of_failure(failure),
                TrialError::ComponentError(json) => component_error(&json),
                TrialError::Result(WriteError::TooLarge { .. }) => Problem::new(ProblemCode::LimitOutput, detail),
                TrialError::Result(_) => Problem::new(ProblemCode::HostError, detail),
            })
        })
    }
}

/// The interface of the only function of this name; several or none are a problem.
pub fn pick(functions: Vec<(Option<String>, String)>, name: &str) -> Result<Option<String>, Box<Problem>> {
    let mut found: Vec<_> = functions.iter().filter(|(_, function)| function == name).collect();
    match (found.pop(), found.len()) {
        (Some((interface, _)), 0) => Ok(interface.clone()),
        (None, _) => Err(not_found(&functions, name, format!("the component exports no function {name}")).into()),
        (Some(last), _) => {
            let interfaces =
                found.into_iter().chain([last]).map(|(interface, _)| interface.as_deref().unwrap_or("the world"));
            let interfaces = interfaces.collect::<Vec<_>>().join(", ");
            let detail = format!("several interfaces have a function {name}: name one of {interfaces}");
            Err(Problem::new(ProblemCode::BadRequest, detail).into())
        }
    }
}

fn not_found(functions: &[(Option<String>, String)], name: &str, detail: String) -> Problem {
    let mut nearest: Vec<_> = functions.iter().map(|(_, function)| function.clone()).collect();
    nearest.sort_by_cached_key(|function| (strsim::levenshtein(function, name), function.clone()));
    nearest.dedup();
    nearest.truncate(NEAREST_MAX);
    Problem { nearest, ..Problem::new(ProblemCode::NotFound, detail) }
}

fn of_failure(failure: Failure) -> Problem {
    match failure {
        Failure::Trap { reason, backtrace } => Problem { backtrace, ..Problem::new(ProblemCode::Trap, reason) },
        Failure::LimitCpu => Problem::new(ProblemCode::LimitCpu, "the call used up its CPU time (cpu-ms-max)"),
        Failure::LimitWall => Problem::new(ProblemCode::LimitWall, "the call used up its wall time (wall-ms-max)"),
        Failure::LimitMemory { what } => Problem::new(ProblemCode::LimitMemory, what),
        Failure::SpentBelow { what, .. } => Problem::new(ProblemCode::Trap, what),
        Failure::Host(error) => Problem::new(ProblemCode::HostError, error),
    }
}

fn component_error(json: &[u8]) -> Problem {
    match serde_json::from_slice(json) {
        Ok(error) => {
            let detail = "the function returned the error case of its result; see `error`";
            Problem { error: Some(error), ..Problem::new(ProblemCode::ComponentError, detail) }
        }
        Err(error) => Problem::new(ProblemCode::HostError, format!("the error case is not JSON: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_found_without_its_interface_if_there_is_only_one() {
        let own = |interface: &str, name: &str| (Some(interface.to_owned()), name.to_owned());
        let functions =
            || vec![own("a:b/x", "one"), own("a:b/x", "both"), own("a:b/y", "both"), (None, "free".to_owned())];
        assert_eq!(pick(functions(), "one").unwrap().as_deref(), Some("a:b/x"));
        assert_eq!(pick(functions(), "free").unwrap(), None);
        let several = pick(functions(), "both").unwrap_err();
        assert_eq!(several.detail, "several interfaces have a function both: name one of a:b/x, a:b/y");
        let none = pick(functions(), "bot").unwrap_err();
        assert_eq!(
            (none.code(), none.nearest.first().map(String::as_str)),
            (Some(ProblemCode::NotFound), Some("both"))
        );
    }
}
