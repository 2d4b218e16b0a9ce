//! Why a call has no result: what the caller is told, and what the log is.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::fmt;
use std::sync::Arc;
use wares_catalog::LoadError;
use wares_catalog::ResolveError;
use wares_catalog::ledger::LedgerError;
use wares_catalog::nearest::nearest;
use wares_catalog::snapshot::{Live, VersionEntry};
use wares_engine::{Failure, Spent};
use wares_model::{CallId, JobId, Outcome, ProblemCode};
use wares_typed::{ArgumentError, Description, Function, NoInterface};

/// What a caller is told of a component's own error.
pub(crate) const COMPONENT_ERROR: &str = "the function returned the error case of its result; see `error`";

/// A problem in words, before it belongs to a call.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default = "Explanation::unknown")]
pub struct Explanation {
    /// Its kind.
    pub code: ProblemCode,
    /// What was wrong, where, and what to do.
    pub detail: String,
    /// The place in the arguments (RFC 6901).
    pub pointer: Option<String>,
    /// The JSON of the component's own error.
    pub error: Option<Box<RawValue>>,
    /// Names of the guest's functions, innermost first.
    pub backtrace: Vec<String>,
    /// Names close to one that was not found.
    pub nearest: Vec<String>,
    /// Seconds after which to try again.
    #[serde(skip)]
    pub retry_after: Option<u64>,
    /// What went wrong in the host, for its log alone.
    #[serde(skip)]
    pub fault: Option<String>,
}

/// A call that was refused or failed.
#[derive(Debug)]
pub struct CallError {
    /// The call.
    pub call: CallId,
    /// The version that would have served it or did.
    pub version: Option<Arc<VersionEntry>>,
    /// How it ended, if it was made and counted; none if it was refused.
    pub outcome: Option<Outcome>,
    /// Why. Boxed, so that an answer that is no error is not moved around in its size.
    pub explanation: Box<Explanation>,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.explanation.code, self.explanation.detail)
    }
}

impl std::error::Error for CallError {}

impl Explanation {
    /// A problem of this kind.
    pub fn new(code: ProblemCode, detail: String) -> Self {
        let (pointer, error, retry_after, fault) = (None, None, None, None);
        Self { code, detail, pointer, error, backtrace: Vec::new(), nearest: Vec::new(), retry_after, fault }
    }

    /// What stands for the parts that were not written down.
    fn unknown() -> Self {
        Self::new(ProblemCode::HostError, String::new())
    }

    /// A fault of the host: the caller is told that much, the log has the rest once it is known which call it is.
    pub(crate) fn host(error: &dyn fmt::Display) -> Self {
        let detail = "the host failed; its log says more under the call id".to_owned();
        Self { fault: Some(error.to_string()), ..Self::new(ProblemCode::HostError, detail) }
    }

    /// The same in an attempt at a job that came to no call.
    pub(crate) fn host_of_job(job: JobId, error: &dyn fmt::Display) -> Self {
        tracing::error!(%error, %job, "an attempt at a job failed in the host");
        Self::new(ProblemCode::HostError, "the host failed; its log says more under the job's id".to_owned())
    }

    /// Writes what went wrong in the host, if that is it, to the log.
    pub(crate) fn log_fault(&self, call: CallId) {
        if let Some(error) = &self.fault {
            tracing::error!(%error, %call, "a call failed in the host");
        }
    }

    pub(crate) fn with_error(self, error: Box<RawValue>) -> Self {
        Self { error: Some(error), ..self }
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    fn nearest(self, nearest: Vec<String>) -> Self {
        Self { nearest, ..self }
    }

    /// Bytes of the component's own error.
    pub(crate) fn error_bytes(&self) -> usize {
        self.error.as_ref().map_or(0, |json| json.get().len())
    }

    /// What the ledger keeps of it: the component's own error or the words, and the backtrace.
    pub(crate) fn for_the_record(&self, bytes_max: usize) -> String {
        let mut text = self.error.as_ref().map_or_else(|| self.detail.clone(), |error| error.get().to_owned());
        for frame in &self.backtrace {
            text.push_str(FRAME);
            text.push_str(frame);
        }
        text.truncate(text.floor_char_boundary(bytes_max));
        text
    }

    /// What a call's entry tells of its failure; none if it did not fail.
    pub(crate) fn of_record(outcome: Outcome, detail: &str) -> Option<Self> {
        let code = match outcome {
            Outcome::Ok => return None,
            Outcome::ComponentError => ProblemCode::ComponentError,
            Outcome::Trap => ProblemCode::Trap,
            Outcome::LimitCpu => ProblemCode::LimitCpu,
            Outcome::LimitWall => ProblemCode::LimitWall,
            Outcome::LimitMemory => ProblemCode::LimitMemory,
            Outcome::LimitOutput => ProblemCode::LimitOutput,
            Outcome::Cancelled | Outcome::HostError => ProblemCode::HostError,
        };
        // One that was cut off is no JSON any more.
        if let (ProblemCode::ComponentError, Ok(error)) = (code, RawValue::from_string(detail.to_owned())) {
            return Some(Self::new(code, COMPONENT_ERROR.to_owned()).with_error(error));
        }
        let mut parts = detail.split(FRAME).map(str::to_owned);
        let detail = parts.next().unwrap_or_default();
        Some(Self { backtrace: parts.collect(), ..Self::new(code, detail) })
    }
}

/// Between the words of an entry and the frames of a backtrace.
const FRAME: &str = "\n  at ";

impl CallError {
    pub(crate) fn new(call: CallId, explanation: impl Into<Box<Explanation>>) -> Self {
        Self { call, version: None, outcome: None, explanation: explanation.into() }
    }

    /// Of a call that is in the ledger.
    pub(crate) fn ended(self, outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    pub(crate) fn of(self, version: &Arc<VersionEntry>) -> Self {
        Self { version: Some(Arc::clone(version)), ..self }
    }

    pub(crate) fn unresolved(call: CallId, error: ResolveError) -> Self {
        Self::new(call, Explanation::new(error.code, error.detail).nearest(error.nearest))
    }

    pub(crate) fn host(call: CallId, error: &dyn fmt::Display) -> Self {
        let explanation = Explanation::host(error);
        explanation.log_fault(call);
        Self::new(call, explanation)
    }

    /// A version that does not load: the caller is told why if it may not run, and that the host failed otherwise.
    pub(crate) fn load(call: CallId, error: &LoadError) -> Self {
        let LoadError::Refused(refused) = error else { return Self::host(call, error) };
        tracing::error!(%error, %call, "a call was refused: its version may not run");
        Self::new(call, Explanation::new(ProblemCode::Untrusted, refused.to_string()))
    }

    pub(crate) fn ledger(call: CallId, error: &LedgerError) -> Self {
        tracing::error!(%error, %call, "a call was refused because it cannot be counted");
        let detail = "the ledger cannot be written now, and calls are not served uncounted".to_owned();
        Self::new(call, Explanation::new(ProblemCode::LedgerUnavailable, detail).retry_after(1))
    }

    pub(crate) fn bad_arguments(call: CallId, error: ArgumentError) -> Self {
        let mut explanation = Explanation::new(ProblemCode::BadArguments, error.message);
        explanation.pointer = Some(error.pointer);
        Self::new(call, explanation)
    }
}

/// The exported function of this name, with its interface's full name.
pub(crate) fn find_function<'a>(
    description: &'a Description,
    interface: Option<&str>,
    function: &str,
) -> Result<(Option<&'a str>, &'a Function), Box<Explanation>> {
    let not_found = |detail, nearest| Explanation::new(ProblemCode::NotFound, detail).nearest(nearest).into();
    let names = || description.interfaces.iter().filter_map(|interface| interface.name.as_deref());
    let found = match interface {
        None => description.interfaces.iter().find(|candidate| candidate.name.is_none()).ok_or_else(|| {
            let exported = exported(names());
            not_found(
                format!("the component's world exports no functions of its own{exported}: name an interface"),
                Vec::new(),
            )
        }),
        Some(name) => description.interface(name).map_err(|error| match error {
            NoInterface::Unknown => {
                let exported = exported(names());
                not_found(format!("the component exports no interface {name}{exported}"), nearest(name, names()))
            }
            NoInterface::Ambiguous(meant) => {
                let detail = format!("{name} means {}: name one of them in full", meant.join(" and "));
                Explanation::new(ProblemCode::BadRequest, detail).nearest(meant).into()
            }
        }),
    }?;
    let Some(function) = found.functions.iter().find(|candidate| candidate.name == function) else {
        let where_ = found.name.as_deref().unwrap_or("the component's world");
        let known = found.functions.iter().map(|candidate| candidate.name.as_str());
        return Err(not_found(format!("{where_} has no function {function}"), nearest(function, known)));
    };
    match &function.not_callable {
        None => Ok((found.name.as_deref(), function)),
        Some(reason) => {
            let detail = format!("{} cannot be called with JSON: {reason}", function.name);
            Err(Explanation::new(ProblemCode::BadRequest, detail).into())
        }
    }
}

/// Interfaces that are named to one who asks for another one.
const EXPORTED_MAX: usize = 3;

/// What there is instead, in words.
fn exported<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    match names.get(..names.len().min(EXPORTED_MAX)) {
        None | Some([]) => String::new(),
        Some(first) => {
            let more = if names.len() > first.len() { " and others" } else { "" };
            format!(", but {}{more}", first.join(", "))
        }
    }
}

/// The names of the interface and the function that a call by JSON is of.
pub(crate) fn names_of_function(
    live: &Live,
    interface: Option<&str>,
    function: &str,
) -> Result<(Arc<str>, Arc<str>), Box<Explanation>> {
    let (interface, found) = find_function(&live.description, interface, function)?;
    Ok((interface.unwrap_or_default().into(), found.name.as_str().into()))
}

/// What a guest's failure means to the caller and to the ledger.
pub(crate) fn of_failure(failure: Failure) -> (Outcome, Box<Explanation>) {
    let (outcome, explanation) = match failure {
        Failure::Trap { reason, backtrace } => {
            let explanation = Explanation { backtrace, ..Explanation::new(ProblemCode::Trap, reason) };
            (Outcome::Trap, explanation)
        }
        Failure::LimitCpu => {
            let detail = "the call was stopped: it used up its CPU time (cpu-ms-max)".to_owned();
            (Outcome::LimitCpu, Explanation::new(ProblemCode::LimitCpu, detail))
        }
        Failure::LimitWall => {
            let detail = "the call was stopped: it used up its wall time (wall-ms-max)".to_owned();
            (Outcome::LimitWall, Explanation::new(ProblemCode::LimitWall, detail))
        }
        Failure::SpentBelow { spent: Spent::Cpu, what } => {
            (Outcome::LimitCpu, Explanation::new(ProblemCode::LimitCpu, what))
        }
        Failure::SpentBelow { spent: Spent::Wall, what } => {
            (Outcome::LimitWall, Explanation::new(ProblemCode::LimitWall, what))
        }
        Failure::LimitMemory { what } => (Outcome::LimitMemory, Explanation::new(ProblemCode::LimitMemory, what)),
        Failure::Host(error) => (Outcome::HostError, Explanation::host(&error)),
    };
    (outcome, Box::new(explanation))
}

/// JSON that the host wrote itself, to be embedded in a problem document.
pub(crate) fn raw_json(json: Vec<u8>) -> Result<Box<RawValue>, Arc<str>> {
    let text = String::from_utf8(json).map_err(|error| Arc::from(error.to_string()))?;
    RawValue::from_string(text).map_err(|error| Arc::from(error.to_string()))
}
