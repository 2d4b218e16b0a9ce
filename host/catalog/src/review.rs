//! Review: what a submitter states, what a reviewer sees, and what is decided.

use crate::snapshot::{ComponentEntry, VersionEntry};
use crate::wit_diff::wit_diff;
use crate::{Catalog, LoadError, PublishError, tenancy};
use serde::Serialize;
use std::sync::Arc;
use wares_model::{KeyId, Limits, SubmissionId, Timestamp, Version};
use wares_store::{Decision, Note, StoreError, SubmissionRecord, SubmissionState, TrustRecord, Verdict};

/// Characters of a statement: kind, method, basis.
const KIND_CHARS_MAX: usize = 100;
const METHOD_CHARS_MAX: usize = 1_000;
const BASIS_CHARS_MAX: usize = 4_000;

/// What a submitter states of a change. A namespace that is reviewed wants all three.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// What kind of change it is: a fix, a new rule, a first version.
    pub kind: Option<String>,
    /// How it was made: by whom or with what, and how it was tested.
    pub method: Option<String>,
    /// What it rests on: the regulation, the decision, the report.
    pub basis: Option<String>,
}

/// The same, complete.
pub(crate) struct Statement {
    pub(crate) kind: String,
    pub(crate) method: String,
    pub(crate) basis: String,
}

/// A version beside the one that it follows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Comparison {
    /// The highest version below it that was not refused; none for a first one.
    pub against: Option<Version>,
    /// Bytes of that one.
    pub size_bytes_before: Option<u64>,
    /// The difference of the two WIT texts.
    pub wit_diff: String,
    /// What it imports and that one did not.
    pub imports_added: Vec<String>,
    /// What that one imported and it does not.
    pub imports_removed: Vec<String>,
    /// Limits that are not what they were; for a first version, not this host's default.
    pub limits: Vec<LimitChange>,
}

/// A limit that is not what it was.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LimitChange {
    /// Its name.
    pub name: String,
    /// What it was.
    pub before: Option<u64>,
    /// What it is.
    pub after: Option<u64>,
}

/// Why a decision is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// There is no such submission.
    #[error("there is no submission {0}; `GET /v1/submissions` lists them")]
    NoSubmission(SubmissionId),
    /// Four eyes are wanted.
    #[error("submission {0} was made with this key: another one has to decide on it")]
    OwnSubmission(SubmissionId),
    /// It is decided already.
    #[error("submission {id} was {verdict} by {by}; a decision is not changed: publish another version")]
    Decided {
        /// Which.
        id: SubmissionId,
        /// How.
        verdict: Verdict,
        /// By whom.
        by: String,
    },
    /// The reason is empty or too long.
    #[error(transparent)]
    Reason(#[from] tenancy::BadReason),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Change {
    /// All of it, or what is missing.
    pub(crate) fn complete(self, namespace: &str) -> Result<Statement, PublishError> {
        let stated = |what: &str, text: Option<String>, chars_max: usize| {
            let text = text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
            let invalid = |detail: String| Err(PublishError::Statement(detail));
            match text {
                None => invalid(format!(
                    "versions of {namespace} are reviewed: state the kind of change, its method and its basis \
                     (?kind=&method=&basis=); the {what} is missing"
                )),
                Some(text) if text.chars().count() > chars_max => {
                    invalid(format!("the {what} is over {chars_max} characters"))
                }
                Some(text) => Ok(text),
            }
        };
        Ok(Statement {
            kind: stated("kind", self.kind, KIND_CHARS_MAX)?,
            method: stated("method", self.method, METHOD_CHARS_MAX)?,
            basis: stated("basis", self.basis, BASIS_CHARS_MAX)?,
        })
    }
}

impl Catalog {
    /// Takes a decision on a submission that waits. The key that made it may not.
    pub async fn decide(
        &self,
        id: SubmissionId,
        verdict: Verdict,
        reviewer: KeyId,
        reason: String,
    ) -> Result<SubmissionRecord, ReviewError> {
        tenancy::check_reason(&reason)?;
        let changing = self.change().await;
        let submission = self.store().submission(id).await?.ok_or(ReviewError::NoSubmission(id))?;
        if submission.submitter == reviewer {
            return Err(ReviewError::OwnSubmission(id));
        }
        if let Some(Decision { verdict, note }) = submission.decision {
            return Err(ReviewError::Decided { id, verdict, by: note.by });
        }
        let note = Note { at: Timestamp::now(), by: self.snapshot().actor(reviewer), reason };
        let decision = Decision { verdict, note };
        self.store().decide(id, decision.clone()).await?;
        self.publish_snapshot(&changing, |next| {
            let version = next.version(&submission.component, &submission.version);
            let decided = version.map(|version| {
                let state = SubmissionState { id, decision: Some(decision.clone()) };
                version.with_trust(TrustRecord { submission: Some(state), ..(*version.trust).clone() })
            });
            decided.into_iter().for_each(|version| next.put_version(Arc::new(version)));
        });
        Ok(SubmissionRecord { decision: Some(decision), ..submission })
    }

    /// A version beside the one that it follows.
    pub async fn compare(&self, version: &VersionEntry) -> Result<Comparison, LoadError> {
        let component = &version.record.component;
        let former =
            self.snapshot().component(component).and_then(|entry| former(entry, &version.record.version)).cloned();
        let after = self.description(component, &version.record.version).await?;
        let before = match &former {
            None => None,
            Some(former) => Some(self.description(component, &former.record.version).await?),
        };
        let imports_before = before.as_ref().map(|before| before.imports.as_slice()).unwrap_or_default();
        let missing_in = |imports: &[String], others: &[String]| {
            imports.iter().filter(|import| !others.contains(import)).cloned().collect()
        };
        let wits = (before.as_ref().map_or_else(String::new, |before| before.wit().to_owned()), after.wit().to_owned());
        let wit_diff = tokio::task::spawn_blocking(move || wit_diff(&wits.0, &wits.1)).await;
        let wit_diff = wit_diff.map_err(|error| LoadError::Engine(format!("comparing two interfaces: {error}")))?;
        let limits_before = former.as_ref().map_or(self.policy().limits_default, |former| former.limits);
        Ok(Comparison {
            size_bytes_before: former.as_ref().map(|former| former.record.size_bytes),
            wit_diff,
            imports_added: missing_in(&after.imports, imports_before),
            imports_removed: missing_in(imports_before, &after.imports),
            limits: limit_changes(&limits_before, &version.limits),
            against: former.map(|former| former.record.version.clone()),
        })
    }
}

/// The highest version below this one that was not held back.
fn former<'a>(component: &'a ComponentEntry, version: &Version) -> Option<&'a Arc<VersionEntry>> {
    component.versions.range(..version).rev().map(|(_, entry)| entry).find(|entry| entry.held().is_none())
}

fn limit_changes(before: &Limits, after: &Limits) -> Vec<LimitChange> {
    let fields = |limits: &Limits| match serde_json::to_value(limits) {
        Ok(serde_json::Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let before = fields(before);
    let after = fields(after).into_iter().map(|(name, value)| {
        let before = before.get(&name).and_then(serde_json::Value::as_u64);
        LimitChange { name, before, after: value.as_u64() }
    });
    after.filter(|change| change.before != change.after).collect()
}
