//! Problem documents (RFC 9457) as the command line reads, makes and prints them.

use crate::language::spoken;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use wares_model::{Language, ProblemCode};

/// Why something was refused or failed, in the shape that the API answers with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Problem {
    /// `/problems/<code>`.
    pub r#type: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status that goes with it.
    pub status: u16,
    /// What was wrong, where, and what to do.
    pub detail: String,
    /// The call.
    #[serde(rename = "call_id", skip_serializing_if = "Option::is_none")]
    pub call_id: Option<String>,
    /// The request, if it came to no call.
    #[serde(rename = "request_id", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The place in the arguments (RFC 6901).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The component's own error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Value>,
    /// Names of the guest's functions, innermost first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// Names close to one that was not found.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nearest: Vec<String>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            r#type: format!("/problems/{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            ..Self::default()
        }
    }

    /// Its kind, if this program knows it.
    pub fn code(&self) -> Option<ProblemCode> {
        self.r#type.rsplit('/').next()?.parse().ok()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code() {
            Some(code) => write!(f, "{code}: {}", self.detail)?,
            None => write!(f, "{} ({}): {}", self.title, self.status, self.detail)?,
        }
        if let Some(pointer) = self.pointer.as_deref().filter(|pointer| !pointer.is_empty()) {
            write!(f, "\n  at {pointer} of the arguments")?;
        }
        if let Some(error) = &self.error {
            write!(f, "\n  error: {error}")?;
        }
        for frame in &self.backtrace {
            write!(f, "\n  in {frame}")?;
        }
        if !self.nearest.is_empty() {
            let names = self.nearest.join(", ");
            match spoken() {
                Language::English => write!(f, "\n  did you mean {names}?")?,
                Language::Chinese => write!(f, "\n  您是不是要找 {names}？")?,
            }
        }
        if let Some(call) = &self.call_id {
            write!(f, "\n  call {call}")?;
        }
        // Of what was wrong with the request all is said; of a fault of the host its log says more.
        if let Some(request) = self.request_id.as_ref().filter(|_| self.status >= 500) {
            write!(f, "\n  request {request}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_what_where_and_next() {
        let mut problem = Problem::new(ProblemCode::BadArguments, "expected a number");
        problem.pointer = Some("/rows/3".to_owned());
        problem.nearest = vec!["a".to_owned(), "b".to_owned()];
        let text = problem.to_string();
        assert_eq!(text, "bad-arguments: expected a number\n  at /rows/3 of the arguments\n  did you mean a, b?");
    }

    #[test]
    fn a_problem_of_a_newer_host_is_still_readable() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"/problems/quota-exceeded","title":"Quota","status":429,"detail":"d","x":1}"#,
        )
        .unwrap();
        assert_eq!(problem.code(), None);
        assert_eq!(problem.to_string(), "Quota (429): d");
    }
}
