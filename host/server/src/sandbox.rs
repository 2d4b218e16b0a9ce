//! The sandbox in this process: a component file checked and called as a host would, without a shelf.

use crate::config::CallLimits;
use crate::output;
use crate::problem::Problem;
use anyhow::Context as _;
use std::convert::Infallible;
use std::sync::Arc;
use tempfile::TempDir;
use wares_engine::{
    CallContext, CallReport, CompileError, Component, Concurrency, Engine, EngineConfig, Failure, Invocation,
    KeepBounds, LoadError, Meter, Services,
};
use wares_model::{Digest, Limits, LimitsAsked, ProblemCode};
use wares_typed::{Answer, Description, Function, Val, WriteError};

/// Names that an error offers in place of one that is not there.
const NEAREST_MAX: usize = 3;

/// An engine whose native code goes when it goes.
pub struct Sandbox {
    engine: Engine,
    limits: CallLimits,
    _native: TempDir,
}

/// A component that can be called.
pub struct Opened {
    component: Arc<Component>,
    description: Arc<Description>,
    limits: Limits,
}

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
        let description = match wares_typed::describe(&wasm) {
            Ok(description) => description,
            Err(error) => return Checked { description: None, limits: None, errors: vec![error.to_string()] },
        };
        let mut errors = Vec::new();
        let limits = self.limits_of(&description).map_err(|error| errors.push(error)).ok();
        match self.engine.check_imports(&description) {
            // What is not linked cannot be compiled to its end: one error says enough.
            Err(error) => errors.push(error.to_string()),
            Ok(()) => {
                let concurrency = Concurrency::of(&description);
                let compiled = self.engine.compile(&Digest::of(&wasm), wasm.into(), concurrency).await;
                errors.extend(compiled.err().map(|error| error.to_string()));
            }
        }
        Checked { description: Some(description), limits, errors }
    }

    /// Makes a component ready to be called.
    pub async fn open(&self, wasm: Vec<u8>) -> Result<Opened, Box<Problem>> {
        let refused = |detail: String| Box::new(Problem::new(ProblemCode::InvalidComponent, detail));
        let description = wares_typed::describe(&wasm).map_err(|error| refused(error.to_string()))?;
        let limits = self.limits_of(&description).map_err(refused)?;
        let config = description.manifest.as_ref().map(|manifest| manifest.config.clone()).unwrap_or_default();
        let (digest, description) = (Digest::of(&wasm), Arc::new(description));
        let wasm = async || Ok::<_, Infallible>(wasm.into());
        let loaded = self.engine.load(&digest, wasm, Arc::clone(&description), Arc::new(config)).await;
        let component = loaded.map_err(|error| match error {
            LoadError::Compile(CompileError::Host(_)) => {
                Box::new(Problem::new(ProblemCode::HostError, error.to_string()))
            }
            other => refused(other.to_string()),
        })?;
        Ok(Opened { component, description, limits })
    }

    fn limits_of(&self, description: &Description) -> Result<Limits, String> {
        let asked = description.manifest.as_ref().map_or_else(LimitsAsked::default, |manifest| manifest.limits);
        self.limits.default.asked_within(&asked, &self.limits.ceiling).map_err(|error| error.to_string())
    }
}

impl Opened {
    /// All functions with their interfaces.
    pub fn functions(&self) -> Vec<(Option<String>, String)> {
        let interfaces = self.description.interfaces.iter();
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
        let (interface, called) = self.find(interface, function)?;
        let arguments = self.read(called, arguments)?;
        let meter = Arc::new(Meter::default());
        let (context, limits) = (Arc::new(CallContext::unshelved()), &self.limits);
        let invocation =
            Invocation { interface, function, arguments: arguments.into(), limits, meter, context, owner: None };
        let CallReport { result, logs, .. } = self.component.call(invocation).await;
        if !logs.text.is_empty() {
            output::note(logs.text.trim_end());
        }
        let value = result.map_err(of_failure)?;
        self.write(called, value.as_ref())
    }

    /// The function and the full name of its interface.
    fn find(&self, interface: Option<&str>, function: &str) -> Result<(Option<&str>, &Function), Box<Problem>> {
        let unknown = || {
            let name = interface.map_or_else(|| function.to_owned(), |interface| format!("{interface}#{function}"));
            not_found(&self.functions(), function, format!("the component exports no function {name}"))
        };
        let full = match interface {
            None => None,
            Some(name) => {
                let found = self.description.interface(name).and_then(|found| found.name.as_deref());
                Some(found.ok_or_else(unknown)?)
            }
        };
        let called = self.description.function(full, function).ok_or_else(unknown)?;
        match &called.not_callable {
            None => Ok((full, called)),
            Some(reason) => {
                let detail = format!("{function} cannot be called with JSON: {reason}");
                Err(Problem::new(ProblemCode::BadRequest, detail).into())
            }
        }
    }

    fn read(&self, called: &Function, arguments: &[u8]) -> Result<Vec<Val>, Box<Problem>> {
        let most = self.limits.body_bytes_max;
        if arguments.len() as u64 > most {
            let detail = format!("the arguments are over {most} bytes (body-bytes-max)");
            return Err(Problem::new(ProblemCode::TooLarge, detail).into());
        }
        let read = wares_typed::read_arguments(&self.description, called, arguments);
        Ok(read.map_err(|error| {
            let pointer = Some(error.pointer);
            Problem { pointer, ..Problem::new(ProblemCode::BadArguments, error.message) }
        })?)
    }

    fn write(&self, called: &Function, value: Option<&Val>) -> Result<Vec<u8>, Box<Problem>> {
        let most = usize::try_from(self.limits.result_bytes_max).unwrap_or(usize::MAX);
        let problem = match wares_typed::write_result(&self.description, called, value, most) {
            Ok(Answer::Ok(json)) => return Ok(json),
            Ok(Answer::ComponentError(json)) => component_error(&json),
            Err(error @ WriteError::TooLarge { .. }) => Problem::new(ProblemCode::LimitOutput, error.to_string()),
            Err(error) => Problem::new(ProblemCode::HostError, error.to_string()),
        };
        Err(problem.into())
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
