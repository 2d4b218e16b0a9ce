//! Whether a version may run: reviewed, signed by a key of its namespace, and not stopped.
//!
//! What a namespace asks holds for the versions that are published from then on: turning review or signatures on takes
//! nothing out of traffic. A signature is checked when a version is published, deployed and loaded. A signer's revocation
//! takes effect at once for what is published and for versions without traffic; versions that it signed before and that have
//! traffic go on, through restarts and rollouts too, until they are stopped.

use crate::snapshot::{Snapshot, VersionEntry};
use std::collections::BTreeMap;
use std::sync::Arc;
use wares_model::{Namespace, Release, Signature, SignerKey};
use wares_store::{NamespaceRecord, SignerRecord, SubmissionState, Verdict};

/// A namespace: what is asked of its versions, and who may sign them.
#[derive(Debug, Clone, Default)]
pub struct NamespaceEntry {
    /// What an operator set; none: nothing is asked.
    pub policy: Option<NamespaceRecord>,
    /// Signers by their keys, revoked ones included.
    pub signers: BTreeMap<SignerKey, SignerRecord>,
}

/// Why a version may not run.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum StandingError {
    /// Somebody has to decide, or has decided, that it does not.
    #[error("{0}")]
    Held(String),
    /// What is stored of it does not fit what was signed or approved.
    #[error("{0}")]
    Untrusted(String),
}

impl NamespaceEntry {
    /// Whether versions that are published now are reviewed.
    pub fn asks_review(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.review_since.is_some())
    }

    /// Whether versions that are published now must be signed.
    pub fn asks_signature(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.signature_since.is_some())
    }

    /// Checks a signature over a release that is made known now.
    pub(crate) fn verify(&self, release: &Release<'_>, signature: &Signature) -> Result<(), String> {
        let (namespace, key) = (release.component.namespace(), signature.signer());
        match self.signers.get(key) {
            None => Err(format!("{key} is no signer of {namespace}: an operator has to add it first")),
            Some(SignerRecord { revoked: Some(note), .. }) => {
                Err(format!("{key} was revoked as a signer of {namespace} at {}: sign with another key", note.at))
            }
            Some(_) => release.verify(signature).map_err(|error| error.to_string()),
        }
    }
}

impl VersionEntry {
    /// What a signature of it is over.
    pub fn release(&self) -> Release<'_> {
        let record = &self.record;
        Release { component: &record.component, version: &record.version, digest: &record.digest }
    }

    /// Whether a reviewer rejected it.
    pub(crate) fn is_rejected(&self) -> bool {
        let decision = self.trust.submission.as_ref().and_then(|submission| submission.decision.as_ref());
        decision.is_some_and(|decision| decision.verdict == Verdict::Rejected)
    }

    /// Why it takes no calls, if somebody has to decide about it or has stopped it.
    pub fn held(&self) -> Option<String> {
        if let Some(at) = self.record.stopped_at {
            return Some(format!("{self:?} was stopped at {at}"));
        }
        let SubmissionState { id, decision } = self.trust.submission.as_ref()?;
        match decision {
            None => Some(format!("{self:?} awaits review: a reviewer has to approve submission {id} first")),
            Some(decision) => match decision.verdict {
                Verdict::Approved => None,
                Verdict::Rejected => Some(format!("{self:?} was rejected in review: {}", decision.note.reason)),
            },
        }
    }
}

impl Snapshot {
    /// The namespace of this name, if anything was set for it.
    pub fn namespace(&self, name: &str) -> Option<&Arc<NamespaceEntry>> {
        self.namespaces.get(name)
    }

    /// All namespaces for which anything was set, by name.
    pub fn namespaces(&self) -> impl Iterator<Item = (&Namespace, &NamespaceEntry)> {
        self.namespaces.iter().map(|(name, entry)| (name, entry.as_ref()))
    }

    /// Whether the version may be loaded and called.
    pub fn check_runs(&self, version: &VersionEntry) -> Result<(), StandingError> {
        if let Some(reason) = version.held() {
            return Err(StandingError::Held(reason));
        }
        let untrusted = |what: String| Err(StandingError::Untrusted(format!("{version:?} {what}")));
        let nothing = NamespaceEntry::default();
        let namespace =
            self.namespace(version.record.component.namespace()).map_or(&nothing, |namespace| namespace.as_ref());
        let published = version.record.published_at;
        let asked = |since| since <= published;
        let policy = namespace.policy.as_ref();
        if policy.and_then(|policy| policy.review_since).is_some_and(asked) && version.trust.submission.is_none() {
            return untrusted(format!(
                "was published after its namespace was put under review, but no review of it is stored; {RESTORE}"
            ));
        }
        match (&version.summary.signer, &version.trust.signature) {
            (None, None) if policy.and_then(|policy| policy.signature_since).is_some_and(asked) => {
                untrusted(format!("has no signature, which its namespace asked for when it was published; {RESTORE}"))
            }
            (None, None) => Ok(()),
            (Some(signer), Some(signature)) if signer == signature.signer() => {
                still_holds(namespace, version, signature).or_else(untrusted)
            }
            (Some(signer), _) => untrusted(format!("was signed by {signer}, but that signature is gone; {RESTORE}")),
            (None, Some(_)) => untrusted(format!("has a signature now, but was published without one; {RESTORE}")),
        }
    }

    /// Whether the version may be given traffic, having none now.
    pub fn check_deploys(&self, version: &VersionEntry) -> Result<(), StandingError> {
        self.check_runs(version)?;
        let Some(signature) = &version.trust.signature else { return Ok(()) };
        let namespace = self.namespace(version.record.component.namespace());
        let verified = namespace.map_or(Ok(()), |namespace| namespace.verify(&version.release(), signature));
        verified.map_err(|reason| StandingError::Held(format!("{version:?} is given no traffic: {reason}")))
    }
}

/// What an operator does about a store that was changed behind the host's back.
const RESTORE: &str = "the store was changed: restore it from a backup";

/// Checks the stored signature of a version. The key may have been revoked since the version was published.
fn still_holds(namespace: &NamespaceEntry, version: &VersionEntry, signature: &Signature) -> Result<(), String> {
    let key = signature.signer();
    let signer = namespace.signers.get(key);
    let signer = signer.ok_or_else(|| format!("was signed by {key}, which its namespace does not have; {RESTORE}"))?;
    if signer.revoked.as_ref().is_some_and(|note| note.at < version.record.published_at) {
        return Err(format!("was published after its signer {key} was revoked; {RESTORE}"));
    }
    version.release().verify(signature).map_err(|error| format!("does not fit its signature: {error}; {RESTORE}"))
}
