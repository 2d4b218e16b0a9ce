//! Namespaces: what an operator asks of their versions, and the keys that sign them.

use crate::lifecycle::Changed;
use crate::snapshot::{Snapshot, VersionEntry};
use crate::standing::NamespaceEntry;
use crate::{Catalog, tenancy};
use std::sync::Arc;
use wares_model::{Namespace, SignerKey, Timestamp};
use wares_registry::OciSource;
use wares_store::{NamespaceRecord, Note, SignerRecord, StoreError, Transition};

/// Signers of one namespace, revoked ones included.
const SIGNERS_MAX: usize = 100;

/// What is asked of the versions of a namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Whether they are reviewed before they take traffic.
    pub review: bool,
    /// Whether they must be signed.
    pub signature: bool,
    /// Where they may be pulled from.
    pub source: Option<OciSource>,
}

/// Why a change to a namespace is refused.
#[derive(Debug, thiserror::Error)]
pub enum NamespaceError {
    /// The namespace has no such signer.
    #[error("{key} is no signer of {namespace}; `GET /v1/namespaces/{namespace}/signers` lists them")]
    NoSigner {
        /// The namespace.
        namespace: Namespace,
        /// The key.
        key: SignerKey,
    },
    /// The signer is still trusted.
    #[error("{0} is not revoked: revoke it first, so that nothing more is taken from it")]
    NotRevoked(SignerKey),
    /// Too many signers.
    #[error("{0} has {SIGNERS_MAX} signers already, which is the most")]
    TooManySigners(Namespace),
    /// The reason is empty or too long.
    #[error(transparent)]
    Reason(#[from] tenancy::BadReason),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Catalog {
    /// Sets what is asked of the versions that are published into a namespace from now on.
    pub async fn set_namespace(
        &self,
        name: Namespace,
        asked: Asked,
        actor: String,
    ) -> Result<NamespaceRecord, NamespaceError> {
        let changing = self.change().await;
        let now = Timestamp::now();
        let before = self.snapshot().namespace(name.as_str()).and_then(|entry| entry.policy.clone());
        let since = |asked: bool, before: Option<Timestamp>| asked.then(|| before.unwrap_or(now));
        let record = NamespaceRecord {
            name,
            review_since: since(asked.review, before.as_ref().and_then(|before| before.review_since)),
            signature_since: since(asked.signature, before.as_ref().and_then(|before| before.signature_since)),
            source: asked.source.as_ref().map(OciSource::to_string),
            changed_at: now,
            changed_by: actor,
        };
        self.store().put_namespace(record.clone()).await?;
        self.publish_snapshot(&changing, |next| next.put_namespace(record.clone()));
        Ok(record)
    }

    /// Adds a key that signs versions of a namespace, beside those that it has.
    pub async fn add_signer(
        &self,
        namespace: Namespace,
        key: SignerKey,
        actor: String,
    ) -> Result<SignerRecord, NamespaceError> {
        let changing = self.change().await;
        let signers = self.snapshot().namespace(namespace.as_str()).map_or(0, |entry| entry.signers.len());
        if signers >= SIGNERS_MAX {
            return Err(NamespaceError::TooManySigners(namespace));
        }
        let record = SignerRecord { namespace, key, added_at: Timestamp::now(), added_by: actor, revoked: None };
        self.store().insert_signer(record.clone()).await?;
        self.publish_snapshot(&changing, |next| next.put_signer(record.clone()));
        Ok(record)
    }

    /// Takes nothing more from a signer: no version that it signed is published or given traffic from now on. What it signed
    /// before keeps the traffic that it has, see [`Catalog::stop_signed`].
    pub async fn revoke_signer(
        &self,
        namespace: &Namespace,
        key: &SignerKey,
        actor: String,
        reason: String,
    ) -> Result<SignerRecord, NamespaceError> {
        tenancy::check_reason(&reason)?;
        let changing = self.change().await;
        let record = self.signer(namespace, key)?;
        if record.revoked.is_some() {
            return Ok(record);
        }
        let note = Note { at: Timestamp::now(), by: actor, reason };
        self.store().revoke_signer(namespace, key, note.clone()).await?;
        let record = SignerRecord { revoked: Some(note), ..record };
        self.publish_snapshot(&changing, |next| next.put_signer(record.clone()));
        Ok(record)
    }

    /// Stops every version that a revoked signer signed: takes them out of traffic, gives their shares to the other versions
    /// of their deployments, and refuses calls that pin them. Calls that have begun end. A component all of whose traffic
    /// they had takes no calls until another version is deployed. A rollout of such a component ends.
    pub async fn stop_signed(
        &self,
        namespace: &Namespace,
        key: &SignerKey,
        actor: String,
        reason: String,
    ) -> Result<Changed, NamespaceError> {
        tenancy::check_reason(&reason)?;
        let changing = self.change().await;
        if self.signer(namespace, key)?.revoked.is_none() {
            return Err(NamespaceError::NotRevoked(*key));
        }
        let mut versions = self.snapshot().signed_by(namespace, key);
        versions.retain(|version| version.record.stopped_at.is_none());
        Ok(self.transition(&changing, versions, Transition::Stop, actor, Some(reason)).await?)
    }

    fn signer(&self, namespace: &Namespace, key: &SignerKey) -> Result<SignerRecord, NamespaceError> {
        let snapshot = self.snapshot();
        let signer = snapshot.namespace(namespace.as_str()).and_then(|entry| entry.signers.get(key));
        signer.cloned().ok_or_else(|| NamespaceError::NoSigner { namespace: namespace.clone(), key: *key })
    }
}

impl Snapshot {
    /// The versions that carry a signature by this key, by component and version.
    pub fn signed_by(&self, namespace: &Namespace, key: &SignerKey) -> Vec<Arc<VersionEntry>> {
        let of_namespace = self.components().filter(|(name, _)| name.namespace() == namespace.as_str());
        let versions = of_namespace.flat_map(|(_, component)| component.versions.values());
        let by_key =
            |version: &&Arc<VersionEntry>| version.trust.signature.is_some_and(|signature| signature.signer() == key);
        versions.filter(by_key).cloned().collect()
    }

    pub(crate) fn put_namespace(&mut self, record: NamespaceRecord) {
        let entry = self.namespaces.entry(record.name.clone()).or_default();
        Arc::make_mut(entry).policy = Some(record);
    }

    pub(crate) fn put_signer(&mut self, record: SignerRecord) {
        let entry: &mut Arc<NamespaceEntry> = self.namespaces.entry(record.namespace.clone()).or_default();
        Arc::make_mut(entry).signers.insert(record.key, record);
    }
}
