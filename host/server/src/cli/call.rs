//! `wares call`: one function of a component, on a host or in the sandbox of this process.

use super::Settings;
use super::components::{NameAt, version_for, version_path};
use super::secret_file::{self, SecretFile};
use crate::client::{Access, Answer, Body, Client, ClientError, Role, encode};
use crate::exit::Exit;
use crate::output;
use crate::problem::Problem;
use crate::sandbox::{Sandbox, Secrets, pick};
use crate::vendor::test::SECRETS_VARIABLE;
use anyhow::Context as _;
use reqwest::Method;
use serde_json::Value;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use wares_model::{ProblemCode, VersionReq};

/// Bytes of arguments that are read from a file or standard input.
const ARGUMENTS_BYTES_MAX: u64 = 1 << 30;

/// Calls a function and prints the JSON of its result. If there is none, the problem is printed as JSON instead, and the exit
/// code says of which kind it is.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "wares call [OPTIONS] NAME[@REQUIREMENT] [INTERFACE] FUNCTION [ARGUMENTS]\n       \
                      wares call [OPTIONS] --file FILE [INTERFACE] FUNCTION [ARGUMENTS]",
    after_help = "Examples:\n  wares call form/report collect '{\"id\": \"7\"}'\n  \
                  wares call benefit/match@^1 matching evaluate @company.json\n  \
                  wares call --file target/wares/form-report.wasm collect '{\"id\": \"7\"}'"
)]
pub struct Call {
    /// The component, as form/report or form/report@^1.2; the interface, if several have the function; the function; its
    /// arguments as JSON (an object by name, or an array in order), - for standard input, @FILE for a file [default: {}]
    #[arg(required = true, num_args = 1..=4, value_name = "WORD", allow_hyphen_values = false)]
    words: Vec<String>,
    /// Run this component in the sandbox of this process; no host is needed
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// With --file, give the component this secret, which a file holds; may be given several times
    #[arg(long = "secret", requires = "file", value_name = "NAME=FILE")]
    #[arg(env = SECRETS_VARIABLE, hide_env = true, value_delimiter = secret_file::DELIMITER)]
    secrets: Vec<SecretFile>,
    /// Say on standard error which version answered and where the time went
    #[arg(short, long, conflicts_with = "file")]
    verbose: bool,
    /// Have the host make the call later, as a job, and print the job; `wares jobs show` has its result
    #[arg(long = "async", conflicts_with = "file")]
    is_async: bool,
    /// A name of your own for the call: the same call under the same name again is not made again, and has the same answer, or
    /// with --async is the same job
    #[arg(long, conflicts_with = "file", value_name = "TEXT")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    access: Access,
}

/// What follows the component's name.
#[derive(Debug, PartialEq, Eq)]
struct Words {
    interface: Option<String>,
    function: String,
    arguments: Option<String>,
}

impl Call {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let config = settings.load()?;
        let outcome = match &self.file {
            Some(file) => {
                let words = Words::read(&self.words)?;
                let sandbox = Sandbox::new(&config.limits)?;
                in_sandbox(&sandbox, file, &words, secret_file::read(&self.secrets)?).await?
            }
            None => {
                let (name, rest) = self.words.split_first().context("a component's name")?;
                let target = name.parse().map_err(|error: String| Exit::Usage.error(error))?;
                let words = Words::read(rest)?;
                let client = self.access.client(&config.data_dir, Role::Tenant)?;
                self.on_host(&client, &target, &words).await?
            }
        };
        answer(outcome)
    }

    async fn on_host(
        &self,
        client: &Client,
        target: &NameAt<VersionReq>,
        words: &Words,
    ) -> anyhow::Result<Result<Vec<u8>, Box<Problem>>> {
        let body = match (self.is_async, self.idempotency_key.clone()) {
            (true, key) => Body::Job(words.arguments()?, key),
            (false, Some(key)) => Body::Once(words.arguments()?, key),
            (false, None) => Body::RawJson(words.arguments()?),
        };
        let called = match call_path(client, target, words).await {
            Ok(Ok(path)) => client.send(Method::POST, &path, body).await,
            Ok(Err(problem)) => return Ok(Err(problem)),
            Err(error) => Err(error),
        };
        match called {
            Ok(answer) => {
                if self.verbose {
                    output::note(&about(&answer));
                }
                Ok(Ok(answer.body))
            }
            Err(ClientError::Problem(problem)) => Ok(Err(problem)),
            Err(error) => Err(error.into()),
        }
    }
}

async fn in_sandbox(
    sandbox: &Sandbox,
    file: &Path,
    words: &Words,
    secrets: Secrets,
) -> anyhow::Result<Result<Vec<u8>, Box<Problem>>> {
    let wasm = super::publish::read_component(file)?;
    let arguments = words.arguments()?;
    let component = match sandbox.open(wasm, secrets).await {
        Ok(component) => component,
        Err(problem) => return Ok(Err(problem)),
    };
    let interface = match &words.interface {
        Some(interface) => Some(interface.clone()),
        None => match pick(component.functions(), &words.function) {
            Ok(interface) => interface,
            Err(problem) => return Ok(Err(problem)),
        },
    };
    Ok(component.call(interface.as_deref(), &words.function, &arguments).await)
}

/// Where the function is called; the interface is looked up if it was left out.
async fn call_path(
    client: &Client,
    target: &NameAt<VersionReq>,
    words: &Words,
) -> Result<Result<String, Box<Problem>>, ClientError> {
    let interface = match &words.interface {
        Some(interface) => Some(interface.clone()),
        None => match look_up(client, target, &words.function).await? {
            Ok(interface) => interface,
            Err(problem) => return Ok(Err(problem)),
        },
    };
    let requirement = target.at.as_ref().map(|at| format!("@{}", encode(&at.to_string()))).unwrap_or_default();
    let interface = interface.map(|interface| format!("/{}", encode(&interface))).unwrap_or_default();
    Ok(Ok(format!("/v1/call/{}{requirement}{interface}/{}", target.name.path(), encode(&words.function))))
}

async fn look_up(
    client: &Client,
    target: &NameAt<VersionReq>,
    function: &str,
) -> Result<Result<Option<String>, Box<Problem>>, ClientError> {
    let Some(version) = version_for(client, target).await? else {
        let requirement = target.at.as_ref().map(ToString::to_string).unwrap_or_default();
        let detail = format!("{} has no version {requirement}", target.name);
        return Ok(Err(Problem::new(ProblemCode::NotFound, detail).into()));
    };
    let shown: Value = client.get(&version_path(&target.name, &version)).await?;
    let functions = shown.get("functions").and_then(Value::as_array).into_iter().flatten();
    let text = |function: &Value, key: &str| function.get(key).and_then(Value::as_str).map(str::to_owned);
    let functions = functions.filter_map(|function| Some((text(function, "interface"), text(function, "name")?)));
    Ok(pick(functions.collect(), function))
}

/// Prints the result or the problem.
fn answer(outcome: Result<Vec<u8>, Box<Problem>>) -> anyhow::Result<Exit> {
    match outcome {
        Ok(json) => output::encoded(&json).map(|()| Exit::Ok),
        Err(problem) => {
            output::json(&problem)?;
            output::note(&format!("error: {problem}"));
            Ok(problem.code().map_or(Exit::Failed, Exit::of_code))
        }
    }
}

fn about(answer: &Answer) -> String {
    let headers = ["wares-component", "wares-version", "wares-call-id", "server-timing"];
    let header = |name| answer.header(name).map(|value| format!("{name}: {value}"));
    headers.into_iter().filter_map(header).collect::<Vec<_>>().join("\n")
}

impl Words {
    fn read(words: &[String]) -> anyhow::Result<Self> {
        let own = |text: &String| Some(text.clone());
        let (interface, function, arguments) = match words {
            [function] => (None, function, None),
            [function, arguments] if !is_name(arguments) => (None, function, own(arguments)),
            [interface, function] => (own(interface), function, None),
            [interface, function, arguments] => (own(interface), function, own(arguments)),
            _ => {
                let message = "write the component's name (or --file FILE), the function, and its arguments; see `wares call --help`";
                return Err(Exit::Usage.error(message));
            }
        };
        Ok(Self { interface, function: function.clone(), arguments })
    }

    /// The JSON of the arguments, from where it is.
    fn arguments(&self) -> anyhow::Result<Vec<u8>> {
        match self.arguments.as_deref() {
            None => Ok(b"{}".to_vec()),
            Some("-") => read_bounded(std::io::stdin().lock(), "standard input"),
            Some(text) => match text.strip_prefix('@') {
                None => Ok(text.as_bytes().to_vec()),
                Some(path) => {
                    let failed = |error: std::io::Error| Exit::Usage.error(format!("{path}: {error}"));
                    read_bounded(std::fs::File::open(path).map_err(failed)?, path)
                }
            },
        }
    }
}

fn read_bounded(source: impl std::io::Read, name: &str) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(ARGUMENTS_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| name.to_owned())?;
    if bytes.len() as u64 > ARGUMENTS_BYTES_MAX {
        return Err(Exit::Usage.error(format!("{name}: more than {ARGUMENTS_BYTES_MAX} bytes of arguments")));
    }
    Ok(bytes)
}

/// Whether the word can be a function's name; else it is arguments.
fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic() || c == '%')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_find_their_places() {
        type Case = (&'static [&'static str], (Option<&'static str>, &'static str, Option<&'static str>));
        let cases: [Case; 8] = [
            (&["collect"], (None, "collect", None)),
            (&["collect", "{\"a\": 1}"], (None, "collect", Some("{\"a\": 1}"))),
            (&["collect", " [1]"], (None, "collect", Some(" [1]"))),
            (&["collect", "-"], (None, "collect", Some("-"))),
            (&["collect", "@file"], (None, "collect", Some("@file"))),
            (&["report", "collect"], (Some("report"), "collect", None)),
            (&["report", "collect", "{}"], (Some("report"), "collect", Some("{}"))),
            (&["ns:form/report@1.0.0", "collect", "{}"], (Some("ns:form/report@1.0.0"), "collect", Some("{}"))),
        ];
        for (words, (interface, function, arguments)) in cases {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            let expected = Words {
                interface: interface.map(str::to_owned),
                function: function.to_owned(),
                arguments: arguments.map(str::to_owned),
            };
            assert_eq!(Words::read(&words).unwrap(), expected);
        }
        assert!(Words::read(&[]).is_err());
    }

    #[test]
    fn arguments_come_from_the_word_or_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[1]").unwrap();
        let read = |arguments: Option<String>| Words { interface: None, function: "f".into(), arguments }.arguments();
        assert_eq!(read(None).unwrap(), b"{}");
        assert_eq!(read(Some("{\"a\":1}".into())).unwrap(), b"{\"a\":1}");
        assert_eq!(read(Some(format!("@{}", file.path().display()))).unwrap(), b"[1]");
        assert!(read(Some("@/nowhere".into())).unwrap_err().to_string().contains("/nowhere"));
    }
}
