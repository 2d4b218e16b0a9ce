//! What components are granted, checked against what their versions ask for.

use crate::Catalog;
use crate::snapshot::{Snapshot, VersionEntry};
use crate::tenancy::{BadReason, check_reason};
use std::sync::Arc;
use wares_model::grants::{GrantsError, Missing};
use wares_model::{ComponentName, Grants, Version};
use wares_store::{GrantsRecord, NewGrants, StoreError};

/// A change of a component's grants.
#[derive(Debug, Clone)]
pub struct GrantsRequest {
    /// Whose.
    pub component: ComponentName,
    /// All that is granted from now on.
    pub grants: Grants,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
    /// The revision that it builds on, 0 for none. Another one current: it is refused.
    pub expected: Option<u64>,
}

/// Why grants stay as they are.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// They make no sense.
    #[error(transparent)]
    Invalid(#[from] GrantsError),
    /// The reason is not one.
    #[error(transparent)]
    Reason(#[from] BadReason),
    /// Somebody else changed them first.
    #[error("the grants are at revision {current}, not at {expected}: read them again, then decide")]
    Conflict {
        /// What is current.
        current: u64,
        /// What the request was built on.
        expected: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// What a version asks for and is not granted.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{}", explain(component, version, missing))]
pub struct Ungranted {
    /// Which component.
    pub component: ComponentName,
    /// Which version.
    pub version: Version,
    /// Each thing, with what would grant it.
    pub missing: Vec<Missing>,
}

fn explain(component: &ComponentName, version: &Version, missing: &[Missing]) -> String {
    let words: Vec<_> = missing.iter().map(|one| format!("`{}`", one.capability)).collect();
    let flags: Vec<_> = missing.iter().map(|one| one.flags.as_str()).collect();
    format!(
        "{component}@{version} asks for {}, which it is not granted: `wares grants add {component} {}` would grant it",
        words.join(", "),
        flags.join(" ")
    )
}

impl VersionEntry {
    /// What it asks for and these grants do not give.
    pub fn missing(&self, grants: &Grants) -> Vec<Missing> {
        self.summary.asked.missing(grants)
    }
}

impl Snapshot {
    /// What a component is granted, if anything was ever said of that.
    pub fn grants(&self, component: &ComponentName) -> Option<&Arc<GrantsRecord>> {
        self.grants.get(component)
    }

    /// What it is granted; nothing if nothing was said.
    pub(crate) fn granted_to(&self, component: &ComponentName) -> Arc<Grants> {
        self.grants(component).map(|record| Arc::clone(&record.grants)).unwrap_or_default()
    }

    /// Checks that a version is granted what it asks for.
    pub fn check_granted(&self, version: &VersionEntry) -> Result<(), Ungranted> {
        let component = &version.record.component;
        let missing = version.missing(&self.granted_to(component));
        match missing.is_empty() {
            true => Ok(()),
            false => {
                let (component, version) = (component.clone(), version.record.version.clone());
                Err(Ungranted { component, version, missing })
            }
        }
    }

    pub(crate) fn put_grants(&mut self, record: GrantsRecord) {
        let component = record.component.clone();
        self.grants.insert(component.clone(), Arc::new(record));
        let versions = self.component(&component).map(|entry| entry.versions.values().cloned().collect::<Vec<_>>());
        versions.into_iter().flatten().for_each(|version| self.put_version(version));
    }
}

impl Catalog {
    /// Sets what a component is granted. It holds for every call that begins from now on, also of versions that have traffic
    /// and ask for more: see [`Catalog::lacking`].
    pub async fn set_grants(&self, request: GrantsRequest) -> Result<(), GrantError> {
        let GrantsRequest { component, grants, actor, reason, expected } = request;
        grants.check()?;
        reason.as_deref().map_or(Ok(()), check_reason)?;
        let changing = self.change().await;
        let new = NewGrants { component, grants: Arc::new(grants), actor, reason, expected };
        let record = self.store().set_grants(new).await.map_err(|error| match error {
            StoreError::RevisionConflict { current } => {
                GrantError::Conflict { current, expected: expected.unwrap_or_default() }
            }
            other => GrantError::Store(other),
        })?;
        self.publish_snapshot(&changing, |next| next.put_grants(record));
        Ok(())
    }

    /// Versions with traffic that ask for more than they are granted.
    pub fn lacking(&self, component: &ComponentName) -> Vec<Ungranted> {
        let snapshot = self.snapshot();
        let Some(entry) = snapshot.component(component) else { return Vec::new() };
        let with_traffic = entry.deployment.iter().flat_map(|deployment| deployment.traffic.keys());
        let versions = with_traffic.filter_map(|version| entry.versions.get(version));
        versions.filter_map(|version| snapshot.check_granted(version).err()).collect()
    }
}
