//! Exit codes: what the program's end tells a script.

use crate::client::{ClientError, DownloadError};
use crate::config::ConfigError;
use std::process::ExitCode;
use wares_model::ProblemCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Ok = 0,
    /// It did not, for a reason that has no code of its own.
    Failed = 1,
    /// The command line, the settings or the arguments of a call are wrong.
    Usage = 2,
    /// The called function returned its error case.
    ComponentError = 3,
    /// There is no such component, version, function or record.
    NotFound = 4,
    /// No key, an unknown one, or one that may not do that.
    Refused = 5,
    /// It conflicts with what is there.
    Conflict = 6,
    /// The call trapped or went over a limit.
    Stopped = 7,
    /// The host cannot be reached or cannot take the request now.
    Unavailable = 8,
}

/// The table of exit codes, as `wares --help` shows it.
pub const TABLE: &str = "\
Exit codes:
  0  done
  1  failed, for a reason without a code of its own (a component that is not taken, a failed test)
  2  the command line, the settings or the arguments of a call are wrong
  3  the called function returned its error case
  4  no such component, version, function or record, or the version was stopped
  5  no key, an unknown one, or one that may not do that
  6  it conflicts with what is there
  7  the call trapped or went over a limit
  8  the host cannot be reached or cannot take the request now; try again later";

/// A failure whose exit code is known where it arises.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
struct Failure {
    exit: Exit,
    message: String,
}

impl Exit {
    /// An error that ends the program with this code.
    pub fn error(self, message: impl Into<String>) -> anyhow::Error {
        Failure { exit: self, message: message.into() }.into()
    }

    /// The code for what went wrong.
    pub fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Failed)
    }

    fn of_cause(cause: &(dyn std::error::Error + 'static)) -> Option<Self> {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return Some(failure.exit);
        }
        if cause.is::<ConfigError>() {
            return Some(Self::Usage);
        }
        // Its cause is not in the chain: it is shown as if it were the error itself.
        if let Some(DownloadError::Client(error)) = cause.downcast_ref() {
            return Self::of_cause(error);
        }
        match cause.downcast_ref::<ClientError>()? {
            ClientError::Problem(problem) => Some(problem.code().map_or(Self::Failed, Self::of_code)),
            ClientError::Unreachable { .. } => Some(Self::Unavailable),
            ClientError::NoKey { .. } => Some(Self::Refused),
            ClientError::BadUrl { .. } => Some(Self::Usage),
            ClientError::NotWares { .. } => Some(Self::Failed),
        }
    }

    /// The code for a kind of problem.
    pub fn of_code(code: ProblemCode) -> Self {
        match code {
            ProblemCode::BadRequest | ProblemCode::BadArguments => Self::Usage,
            ProblemCode::ComponentError => Self::ComponentError,
            ProblemCode::NotFound | ProblemCode::Stopped => Self::NotFound,
            ProblemCode::Unauthenticated | ProblemCode::Forbidden | ProblemCode::Untrusted => Self::Refused,
            ProblemCode::Conflict | ProblemCode::KeyReused => Self::Conflict,
            ProblemCode::Trap
            | ProblemCode::LimitCpu
            | ProblemCode::LimitWall
            | ProblemCode::LimitMemory
            | ProblemCode::LimitOutput
            | ProblemCode::TooLarge
            | ProblemCode::Expired => Self::Stopped,
            ProblemCode::RateLimited
            | ProblemCode::Overloaded
            | ProblemCode::LedgerUnavailable
            | ProblemCode::Draining => Self::Unavailable,
            ProblemCode::Unsupported | ProblemCode::InvalidComponent | ProblemCode::HostError => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
