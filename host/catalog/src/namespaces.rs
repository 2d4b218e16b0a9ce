//! Namespaces: what an operator asks of their versions, and the keys that sign them.

use crate::deploy::SHARES_TOTAL;
use crate::places;
use crate::snapshot::{Snapshot, VersionEntry};
use crate::standing::NamespaceEntry;
use crate::{Catalog, tenancy};
use std::collections::BTreeMap;
use std::sync::Arc;
use wares_model::{Namespace, SignerKey, Timestamp, Version};
use wares_store::{Deployment, NamespaceRecord, NewRevision, NewStop, Note, RolloutChange, SignerRecord, StoreError};

/// Signers of one namespace, revoked ones included.
const SIGNERS_MAX: usize = 100;

/// What is asked of the versions of a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Whether they are reviewed before they take traffic.
    pub review: bool,
    /// Whether they must be signed.
    pub signature: bool,
}

/// Versions that were stopped, and what that did to the traffic.
#[derive(Debug)]
pub struct Stopped {
    /// Those that ran until now.
    pub versions: Vec<Arc<VersionEntry>>,
    /// New deployments, of those components that gave them traffic.
    pub deployments: Vec<Deployment>,
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
    ) -> Result<Stopped, NamespaceError> {
        tenancy::check_reason(&reason)?;
        let changing = self.change().await;
        if self.signer(namespace, key)?.revoked.is_none() {
            return Err(NamespaceError::NotRevoked(*key));
        }
        let mut versions = self.snapshot().signed_by(namespace, key);
        versions.retain(|version| version.trust.stop.is_none());
        let revisions = self.snapshot().revisions_without(&versions, &actor, &reason);
        let note = Note { at: Timestamp::now(), by: actor, reason };
        let named = |version: &Arc<VersionEntry>| (version.record.component.clone(), version.record.version.clone());
        let stop = NewStop { versions: versions.iter().map(named).collect(), note: note.clone(), revisions };
        let deployments = self.store().stop_versions(stop).await?;
        self.publish_snapshot(&changing, |next| {
            for version in &versions {
                let trust = wares_store::TrustRecord { stop: Some(note.clone()), ..(*version.trust).clone() };
                next.put_version(Arc::new(version.with_trust(trust)));
            }
            for deployment in &deployments {
                next.put_rollout(&deployment.component, None);
                next.put_deployment(deployment.clone());
            }
        });
        for version in &versions {
            self.unload(version).await;
        }
        Ok(Stopped { versions, deployments })
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

    /// A revision for every deployment that gives traffic to one of these versions, or shadows it, without them.
    fn revisions_without(&self, stopped: &[Arc<VersionEntry>], actor: &str, reason: &str) -> Vec<NewRevision> {
        let deployments = self.components().filter_map(|(_, component)| component.deployment.as_ref());
        let revisions = deployments.filter_map(|now| {
            let is_stopped = |version: &Version| {
                stopped.iter().any(|entry| entry.record.component == now.component && entry.record.version == *version)
            };
            let shadow = now.shadow.clone().filter(|shadow| !is_stopped(&shadow.version));
            let traffic = without(&now.traffic, is_stopped);
            if traffic == now.traffic && shadow == now.shadow {
                return None;
            }
            Some(NewRevision {
                component: now.component.clone(),
                places: (!traffic.is_empty()).then(|| places::allot(&now.component, Some(now), &traffic)),
                traffic,
                stickiness: now.stickiness,
                shadow,
                actor: actor.to_owned(),
                reason: Some(format!("stopped: {reason}")),
                expected: Some(now.revision),
                rollout: RolloutChange::Supersede,
                evidence: None,
            })
        });
        revisions.collect()
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

/// The shares of the versions that stay, in the same proportions, adding up to the whole; nothing if none stays.
fn without(traffic: &BTreeMap<Version, u32>, stopped: impl Fn(&Version) -> bool) -> BTreeMap<Version, u32> {
    let staying: Vec<_> = traffic.iter().filter(|(version, _)| !stopped(version)).collect();
    let total: u32 = staying.iter().map(|(_, share)| **share).sum();
    let scaled = |share: u32| u64::from(share) * u64::from(SHARES_TOTAL);
    let whole = |share: u32| scaled(share).checked_div(u64::from(total)).unwrap_or_default() as u32;
    let mut shares: BTreeMap<_, _> =
        staying.iter().map(|(version, share)| ((*version).clone(), whole(**share))).collect();
    // What rounding left over goes to the largest remainders.
    let left = SHARES_TOTAL.saturating_sub(shares.values().sum());
    let mut by_remainder = staying;
    by_remainder
        .sort_by_key(|(_, share)| std::cmp::Reverse(scaled(**share).checked_rem(u64::from(total)).unwrap_or_default()));
    for (version, _) in by_remainder.into_iter().take(left as usize) {
        if let Some(share) = shares.get_mut(version) {
            *share += 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_keeps_its_proportions_and_adds_up() {
        let cases: [(&[u32], usize, &[u32]); 5] = [
            (&[100], 0, &[]),
            (&[90, 10], 0, &[100]),
            (&[40, 30, 30], 0, &[50, 50]),
            (&[1, 33, 33, 33], 0, &[34, 33, 33]),
            (&[97, 1, 2], 0, &[33, 67]),
        ];
        for (shares, stopped, expected) in cases {
            let version = |index: usize| Version::new(index as u64, 0, 0);
            let traffic = shares.iter().enumerate().map(|(index, share)| (version(index), *share)).collect();
            let rest = without(&traffic, |one| *one == version(stopped));
            assert_eq!(rest.into_values().collect::<Vec<_>>(), expected, "{shares:?}");
        }
    }
}
