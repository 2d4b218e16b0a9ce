//! For a component's own tests: configuration for unit tests, and calls of the built component in the real sandbox.
//!
//! A test in the sandbox stands beside the unit tests and is ignored by a plain `cargo test`, which has no sandbox.
//! `wares test` builds the component and then runs `cargo test -- --include-ignored`:
//!
//! ```no_run
//! use wares_sdk::testing::{Component, json};
//!
//! #[test]
//! #[ignore = "needs the sandbox: run `wares test`"]
//! fn answers_in_the_sandbox() -> Result<(), Box<dyn std::error::Error>> {
//!     let component = Component::under_test()?;
//!     assert_eq!(component.call("greeting", "greet", json!({"name": "Ada"}))?, json!("Hello, Ada!"));
//!     Ok(())
//! }
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::{Command, Output};
use std::{env, fmt, io};

pub use serde_json::{Value, json};

/// Environment variable with the path of the `wares` program. `wares test` sets it.
pub const WARES_BIN: &str = "WARES_BIN";
/// Environment variable with the path of the built component. `wares test` sets it.
pub const WARES_COMPONENT: &str = "WARES_COMPONENT";
/// Exit status of `wares call` when the function returned its error case.
const EXIT_COMPONENT_ERROR: i32 = 3;

thread_local! {
    static CONFIG: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
    static SECRETS: RefCell<BTreeMap<String, String>> = const { RefCell::new(BTreeMap::new()) };
}

/// Replaces what [`config`](crate::config) finds natively, for the test (the thread) that calls it.
pub fn set_config<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let values = values.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    CONFIG.with(|config| config.replace(values));
}

pub(crate) fn config_values() -> Vec<(String, String)> {
    CONFIG.with_borrow(|config| config.clone().into_iter().collect())
}

pub(crate) fn config_value(key: &str) -> Option<String> {
    CONFIG.with_borrow(|config| config.get(key).cloned())
}

/// Replaces what [`secrets`](crate::secrets) finds natively, for the test (the thread) that calls it.
pub fn set_secrets<'a>(values: impl IntoIterator<Item = (&'a str, &'a str)>) {
    let values = values.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    SECRETS.with(|secrets| secrets.replace(values));
}

pub(crate) fn secret_value(name: &str) -> Option<String> {
    SECRETS.with_borrow(|secrets| secrets.get(name).cloned())
}

/// A built component that is called in the sandbox, a fresh instance for each call.
///
/// Each call has what the manifest asks for under `[capabilities]`: key-value buckets and files, which are empty when it begins
/// and gone when it ends, and the secrets that `wares test --secret NAME=FILE` gives. Requests are not sent.
#[derive(Debug, Clone)]
pub struct Component {
    wares: OsString,
    file: OsString,
}

impl Component {
    /// The component that `wares test` has built.
    pub fn under_test() -> Result<Self, CallError> {
        let variable = |name| env::var_os(name).ok_or(CallError::NoSandbox { variable: name });
        Ok(Self { wares: variable(WARES_BIN)?, file: variable(WARES_COMPONENT)? })
    }

    /// Calls a function with a JSON object of its arguments by name, and returns the JSON of its result.
    ///
    /// `interface` is the short or full name of an exported interface, or `None` for a function of the world itself.
    /// It runs `wares call --file FILE [INTERFACE] FUNCTION ARGUMENTS`, which answers on stdout: with exit status 0 the
    /// result; with 3 a problem whose `error` is the function's error case; with any other status another problem.
    pub fn call<'a>(
        &self,
        interface: impl Into<Option<&'a str>>,
        function: &str,
        arguments: impl Into<Value>,
    ) -> Result<Value, CallError> {
        let mut command = Command::new(&self.wares);
        command.arg("call").arg("--file").arg(&self.file).args(interface.into()).arg(function);
        command.arg(arguments.into().to_string());
        read_answer(command.output().map_err(CallError::Start)?)
    }
}

fn read_answer(output: Output) -> Result<Value, CallError> {
    let Ok(mut answer) = serde_json::from_slice::<Value>(&output.stdout) else {
        return Err(CallError::NoAnswer {
            status: output.status.to_string(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        });
    };
    match output.status.code() {
        Some(0) => Ok(answer),
        Some(EXIT_COMPONENT_ERROR) => {
            Err(CallError::Component(answer.get_mut("error").map(Value::take).unwrap_or_default()))
        }
        _ => Err(CallError::Problem(answer)),
    }
}

/// Why a call in the sandbox gave no result.
#[derive(Debug)]
pub enum CallError {
    /// The function returned its error case: its JSON.
    Component(Value),
    /// The host refused the call, or it failed: the problem as the host tells it (`code`, `detail`, …).
    Problem(Value),
    /// The test runs outside `wares test`.
    NoSandbox {
        /// The environment variable that is not set.
        variable: &'static str,
    },
    /// The `wares` program does not start.
    Start(io::Error),
    /// The `wares` program ended without an answer in JSON.
    NoAnswer {
        /// How it ended.
        status: String,
        /// What it wrote.
        stdout: String,
        /// What it wrote as errors.
        stderr: String,
    },
}

impl CallError {
    /// The problem code (`trap`, `limit-cpu`, `bad-arguments`, `component-error`, …) when the host answered.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Component(_) => Some("component-error"),
            Self::Problem(problem) => {
                let code = problem.get("code").and_then(Value::as_str);
                code.or_else(|| problem.get("type")?.as_str()?.strip_prefix("/problems/"))
            }
            _ => None,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Component(error) => write!(f, "the function returned its error case: {error}"),
            Self::Problem(problem) => write!(f, "the call failed: {problem:#}"),
            Self::NoSandbox { variable } => {
                write!(f, "{variable} is not set: tests in the sandbox are run by `wares test`")
            }
            Self::Start(error) => write!(f, "{WARES_BIN} does not start: {error}"),
            Self::NoAnswer { status, stdout, stderr } => {
                write!(f, "`wares call` ended with {status} and no JSON\nstdout: {stdout}\nstderr: {stderr}")
            }
        }
    }
}

impl std::error::Error for CallError {}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::ExitStatus;

    fn answer(code: i32, stdout: &str) -> Result<Value, CallError> {
        read_answer(Output {
            status: ExitStatus::from_raw(code << 8),
            stdout: stdout.as_bytes().to_vec(),
            stderr: b"said".to_vec(),
        })
    }

    #[test]
    fn exit_status_and_json_tell_how_a_call_ended() {
        assert_eq!(answer(0, "{\"cents\":1}\n").unwrap(), json!({"cents": 1}));
        let error = answer(3, r#"{"type":"/problems/component-error","error":{"too-heavy":2}}"#).unwrap_err();
        assert!(matches!(&error, CallError::Component(value) if *value == json!({"too-heavy": 2})), "{error}");
        assert_eq!(error.code(), Some("component-error"));
        let error = answer(7, r#"{"type":"/problems/limit-cpu","detail":"over 1 s"}"#).unwrap_err();
        assert_eq!(error.code(), Some("limit-cpu"));
        assert!(error.to_string().contains("over 1 s"), "{error}");
    }

    #[test]
    fn an_answer_that_is_not_json_is_shown_whole() {
        let error = answer(101, "panicked").unwrap_err().to_string();
        for part in ["exit status: 101", "panicked", "said"] {
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
    }

    #[test]
    fn outside_wares_test_the_error_says_what_to_run() {
        let error = CallError::NoSandbox { variable: WARES_BIN }.to_string();
        assert!(error.contains("`wares test`"), "{error}");
    }
}
