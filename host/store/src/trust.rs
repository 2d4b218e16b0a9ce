//! What the store keeps of namespaces, signatures and reviews, and the interface to it.

use crate::StoreError;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use wares_model::{ComponentName, KeyId, Namespace, Signature, SignerKey, SubmissionId, Timestamp, Version};

/// What an operator asks of the versions of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRecord {
    /// Its name.
    pub name: Namespace,
    /// Since when its versions are reviewed; none: they are not.
    pub review_since: Option<Timestamp>,
    /// Since when its versions must be signed; none: they need not.
    pub signature_since: Option<Timestamp>,
    /// Where its components may be pulled from, a place in a registry; the store does not look into it.
    pub source: Option<String>,
    /// When this was set last.
    pub changed_at: Timestamp,
    /// By whom.
    pub changed_by: String,
}

/// Who did something, when, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// A key that signs versions of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerRecord {
    /// Whose versions.
    pub namespace: Namespace,
    /// The key.
    pub key: SignerKey,
    /// When it was added.
    pub added_at: Timestamp,
    /// By whom.
    pub added_by: String,
    /// Its revocation, if it was revoked.
    pub revoked: Option<Note>,
}

/// What a reviewer decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The version may take traffic.
    Approved,
    /// It may not, ever.
    Rejected,
}

impl Verdict {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no verdict.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is neither approved nor rejected")]
pub struct ParseVerdictError(String);

impl FromStr for Verdict {
    type Err = ParseVerdictError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = [Self::Approved, Self::Rejected].into_iter().find(|verdict| verdict.as_str() == text);
        found.ok_or_else(|| ParseVerdictError(text.chars().take(80).collect()))
    }
}

/// A verdict with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// Who decided, when, and why.
    pub note: Note,
}

/// A version that was put up for review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionRecord {
    /// Its id.
    pub id: SubmissionId,
    /// Of which component.
    pub component: ComponentName,
    /// The version.
    pub version: Version,
    /// What kind of change it is, in the submitter's words.
    pub kind: String,
    /// How the change was made.
    pub method: String,
    /// What it rests on.
    pub basis: String,
    /// The key that submitted it.
    pub submitter: KeyId,
    /// When.
    pub submitted_at: Timestamp,
    /// JSON of how the component's examples came out; the store does not look into it.
    pub examples: String,
    /// What was decided; none while it waits.
    pub decision: Option<Decision>,
}

/// Which submissions to list.
#[derive(Debug, Clone, Default)]
pub struct SubmissionQuery {
    /// Of one namespace.
    pub namespace: Option<Namespace>,
    /// Those that wait, or all.
    pub waiting_only: bool,
    /// So many at most.
    pub limit: u32,
    /// Older than this one.
    pub before: Option<SubmissionId>,
}

/// What comes with a version that is inserted.
#[derive(Debug, Clone, Default)]
pub struct NewTrust {
    /// Its signature.
    pub signature: Option<Signature>,
    /// Its submission.
    pub submission: Option<SubmissionRecord>,
}

/// What bears on whether a version may run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustRecord {
    /// Its signature.
    pub signature: Option<Signature>,
    /// Its submission, if it was put up for review.
    pub submission: Option<SubmissionState>,
}

/// Where a submission stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubmissionState {
    /// Which.
    pub id: SubmissionId,
    /// What was decided; none while it waits.
    pub decision: Option<Decision>,
}

/// Namespaces, their signers, and what bears on whether versions may run.
#[async_trait]
pub trait TrustStore: Send + Sync + 'static {
    /// All namespaces for which something was set, by name.
    async fn namespaces(&self) -> Result<Vec<NamespaceRecord>, StoreError>;

    /// Sets what is asked of a namespace.
    async fn put_namespace(&self, namespace: NamespaceRecord) -> Result<(), StoreError>;

    /// All signers, revoked ones included.
    async fn signers(&self) -> Result<Vec<SignerRecord>, StoreError>;

    /// Adds a signer; one that the namespace has already is a [`StoreError::SignerExists`].
    async fn insert_signer(&self, signer: SignerRecord) -> Result<(), StoreError>;

    /// Revokes a signer; the answer is whether there is one. A revoked one keeps its first revocation.
    async fn revoke_signer(&self, namespace: &Namespace, key: &SignerKey, note: Note) -> Result<bool, StoreError>;

    /// What bears on whether versions may run, for those versions for which anything does.
    async fn trust(&self) -> Result<Vec<(ComponentName, Version, TrustRecord)>, StoreError>;

    /// Submissions, newest first.
    async fn submissions(&self, query: SubmissionQuery) -> Result<Vec<SubmissionRecord>, StoreError>;

    /// One submission.
    async fn submission(&self, id: SubmissionId) -> Result<Option<SubmissionRecord>, StoreError>;

    /// Notes what was decided. A submission that is decided already is a [`StoreError::SubmissionDecided`].
    async fn decide(&self, id: SubmissionId, decision: Decision) -> Result<(), StoreError>;
}
