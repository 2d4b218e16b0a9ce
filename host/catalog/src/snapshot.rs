//! The immutable picture of the shelf that calls read.

use crate::config::NO_CONFIG;
use crate::places::Draws;
use crate::providers::Choices;
use crate::rollout::Rollout;
use crate::slots::Slots;
use crate::standing::NamespaceEntry;
use crate::tenancy::{KeyEntry, KeyHash, TenantEntry};
use crate::{Policy, Undeployed};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, Notify};
use wares_model::interface::unversioned;
use wares_model::limits::SEARCH_TEXT_BYTES_MAX;
use wares_model::manifest::{Reuse, Text};
use wares_model::{
    Asked, ComponentName, ConfigOverrides, Granted, Grants, KeyId, Limits, Namespace, Retry, Schedule, SignerKey,
    TenantId, Version,
};
use wares_store::{Deployment, GrantsRecord, Store, StoreError, TrustRecord, VersionRecord};
use wares_typed::Description;

/// The next version's serial number in this process.
static SERIALS: AtomicU64 = AtomicU64::new(0);

/// The shelf at one moment. Cloning copies pointers, not entries.
#[derive(Clone, Default)]
pub struct Snapshot {
    pub(crate) components: BTreeMap<ComponentName, Arc<ComponentEntry>>,
    pub(crate) grants: BTreeMap<ComponentName, Arc<GrantsRecord>>,
    pub(crate) config: BTreeMap<ComponentName, Arc<ConfigOverrides>>,
    /// By interface without version: components of which some version exports it.
    pub(crate) offers: HashMap<Arc<str>, Arc<BTreeSet<ComponentName>>>,
    /// By interface without version: who was chosen to provide it.
    pub(crate) choices: HashMap<Arc<str>, Arc<Choices>>,
    pub(crate) namespaces: BTreeMap<Namespace, Arc<NamespaceEntry>>,
    pub(crate) tenants: BTreeMap<TenantId, Arc<TenantEntry>>,
    pub(crate) keys: HashMap<KeyHash, KeyEntry>,
    /// What keys are for, those that were revoked too: histories name them.
    pub(crate) labels: HashMap<KeyId, Arc<str>>,
    pub(crate) undeployed: Undeployed,
}

/// A component: its versions and which of them take traffic.
#[derive(Clone, Default)]
pub struct ComponentEntry {
    /// All versions, by semver order.
    pub versions: BTreeMap<Version, Arc<VersionEntry>>,
    /// The current deployment, if there ever was one.
    pub deployment: Option<Arc<Deployment>>,
    /// The rollout that the deployment is a step of.
    pub rollout: Option<Arc<Rollout>>,
    /// What was drawn of the calls that stick to no version.
    pub(crate) draws: Arc<Draws>,
    /// Calls that are to be made again in another version.
    pub shadows: Arc<Shadows>,
}

/// Of the calls that a deployment's shares serve, those to be made again in another version.
#[derive(Default)]
pub struct Shadows {
    draws: Draws,
    /// How many were not made since the host runs, because it had other things to do.
    pub shed: AtomicU64,
    /// How many were not made since the host runs, because the other version does not take such calls.
    pub refused: AtomicU64,
}

/// One version on the shelf.
pub struct VersionEntry {
    /// What the store says of it.
    pub record: VersionRecord,
    /// What lists and searches show of it.
    pub summary: Summary,
    /// What searches look at.
    searched: Arc<str>,
    /// Its signature and its review.
    pub trust: Arc<TrustRecord>,
    /// What one call of it may use.
    pub limits: Limits,
    /// What its calls may use of the world.
    pub granted: Arc<Granted>,
    /// What is set over the values of its manifest.
    pub config: Arc<ConfigOverrides>,
    /// One permit per call that may run at once.
    pub slots: Arc<Slots>,
    /// Held while it is loaded for calls.
    pub(crate) loading: Arc<Mutex<()>>,
    serial: u64,
}

impl fmt::Debug for VersionEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.record.component, self.record.version)
    }
}

/// A version that can run.
pub struct Live {
    /// Its types.
    pub description: Arc<Description>,
    /// Its native code, linked.
    pub component: Arc<wares_engine::Component>,
}

/// What lists show of a version without loading it. Stored as JSON beside the version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    /// From the manifest.
    #[serde(default)]
    pub title: Text,
    /// From the manifest.
    #[serde(default)]
    pub description: Text,
    /// From the manifest.
    #[serde(default)]
    pub keywords: Vec<String>,
    /// Full names of the exported interfaces.
    #[serde(default)]
    pub interfaces: Vec<String>,
    /// Limits that the version runs with.
    pub limits: Limits,
    /// What it asks for of the world.
    #[serde(default)]
    pub asked: Asked,
    /// From the manifest.
    #[serde(default)]
    pub reuse: Reuse,
    /// From the manifest.
    #[serde(default)]
    pub pure: bool,
    /// From the manifest.
    #[serde(default)]
    pub retry: Retry,
    /// From the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schedules: Vec<Schedule>,
    /// Whose signature it was published with, so that one that is lost is missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<SignerKey>,
}

impl Summary {
    /// Whether it exports the interface, named `ns:pkg/name`, `ns:pkg/name@1.0.0` or `name`.
    pub fn exports(&self, wanted: &str) -> bool {
        self.interfaces.iter().any(|full| {
            let unversioned = unversioned(full);
            full == wanted || unversioned == wanted || unversioned.rsplit('/').next() == Some(wanted)
        })
    }

    /// All that a reader would search, in lower case, a line each.
    fn folded(&self, name: &ComponentName) -> Arc<str> {
        let texts = [&self.title.en, &self.title.zh, &self.description.en, &self.description.zh];
        let texts = texts.into_iter().chain(&self.keywords).chain(&self.interfaces).map(String::as_str);
        let mut folded = name.as_str().to_owned();
        for text in texts.filter(|text| !text.is_empty()) {
            let room = SEARCH_TEXT_BYTES_MAX.saturating_sub(folded.len());
            let kept = text.get(..text.floor_char_boundary(room)).unwrap_or_default();
            folded.push('\n');
            folded.push_str(&kept.to_lowercase());
        }
        folded.into()
    }
}

impl Snapshot {
    pub(crate) async fn read(store: &dyn Store, policy: &Policy, tending: &Arc<Notify>) -> Result<Self, StoreError> {
        let mut snapshot = Self { undeployed: policy.undeployed, ..Self::default() };
        for grants in store.grants().await? {
            snapshot.put_grants(grants);
        }
        for value in store.config(None).await? {
            snapshot.put_config(value);
        }
        for choice in store.providers().await? {
            snapshot.put_choice(choice);
        }
        for record in store.versions().await? {
            snapshot.put_version(Arc::new(VersionEntry::new(record)?));
        }
        for (component, version, trust) in store.trust().await? {
            let entry = snapshot.version(&component, &version).map(|entry| Arc::new(entry.with_trust(trust)));
            entry.into_iter().for_each(|entry| snapshot.put_version(entry));
        }
        for namespace in store.namespaces().await? {
            snapshot.put_namespace(namespace);
        }
        for signer in store.signers().await? {
            snapshot.put_signer(signer);
        }
        for deployment in store.deployments().await? {
            snapshot.put_deployment(deployment);
        }
        for record in store.running_rollouts().await? {
            let component = record.component.clone();
            snapshot.put_rollout(&component, Some(Arc::new(Rollout::resume(record, tending))));
        }
        for tenant in store.tenants().await? {
            snapshot.put_tenant(TenantEntry::new(tenant, policy));
        }
        for key in store.keys().await? {
            snapshot.put_key(key);
        }
        Ok(snapshot)
    }

    /// The component of this name.
    pub fn component(&self, name: &ComponentName) -> Option<&Arc<ComponentEntry>> {
        self.components.get(name)
    }

    /// The version of this name.
    pub fn version(&self, name: &ComponentName, version: &Version) -> Option<&Arc<VersionEntry>> {
        self.components.get(name)?.versions.get(version)
    }

    /// Components by name, those after this one if there is one.
    pub fn components_after(
        &self,
        name: Option<&ComponentName>,
    ) -> impl Iterator<Item = (&ComponentName, &ComponentEntry)> {
        let after = (name.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        self.components.range::<ComponentName, _>(after).map(|(name, entry)| (name, entry.as_ref()))
    }

    /// All components by name.
    pub fn components(&self) -> impl Iterator<Item = (&ComponentName, &ComponentEntry)> {
        self.components.iter().map(|(name, entry)| (name, entry.as_ref()))
    }

    /// All rollouts that run.
    pub(crate) fn rollouts(&self) -> impl Iterator<Item = &Arc<Rollout>> {
        self.components.values().filter_map(|component| component.rollout.as_ref())
    }

    pub(crate) fn put_version(&mut self, version: Arc<VersionEntry>) {
        let component = &version.record.component;
        let version = version.with_grants(self.granted_to(component), self.config_of(component));
        self.put_offers(&version);
        let component = Arc::make_mut(self.components.entry(version.record.component.clone()).or_default());
        component.versions.insert(version.record.version.clone(), Arc::new(version));
    }

    pub(crate) fn put_deployment(&mut self, deployment: Deployment) {
        let component = Arc::make_mut(self.components.entry(deployment.component.clone()).or_default());
        component.deployment = Some(Arc::new(deployment));
    }

    pub(crate) fn put_rollout(&mut self, component: &ComponentName, rollout: Option<Arc<Rollout>>) {
        let component = Arc::make_mut(self.components.entry(component.clone()).or_default());
        component.rollout = rollout;
    }
}

impl ComponentEntry {
    /// The version in which a call that `served` has answered is to be made again, if it is to be. Each question is a draw.
    pub fn shadow(&self, served: &VersionEntry) -> Option<&Arc<VersionEntry>> {
        let shadow = self.deployment.as_ref()?.shadow.as_ref()?;
        if shadow.version == served.record.version || self.shadows.draws.next() >= u64::from(shadow.percent) {
            return None;
        }
        self.versions.get(&shadow.version)
    }

    /// Whether anybody wants to know how calls end that the shares serve.
    pub(crate) fn is_looked_at(&self) -> bool {
        self.rollout.is_some() || self.deployment.as_ref().is_some_and(|deployment| deployment.shadow.is_some())
    }

    /// The version that stands for the component in lists: the highest that is neither yanked nor held back, releases before
    /// pre-releases.
    pub fn latest(&self) -> Option<&Arc<VersionEntry>> {
        let fits = |version: &&Arc<VersionEntry>| version.record.yanked_at.is_none() && version.held().is_none();
        let usable = || self.versions.values().rev().filter(fits);
        usable().find(|version| version.record.version.pre.is_empty()).or_else(|| usable().next())
    }
}

impl VersionEntry {
    pub(crate) fn new(record: VersionRecord) -> Result<Self, StoreError> {
        let summary: Summary = serde_json::from_str(&record.summary).map_err(|error| {
            StoreError::Corrupt(format!("summary of {}@{}: {error}", record.component, record.version))
        })?;
        let (limits, searched) = (summary.limits, summary.folded(&record.component));
        let slots = Arc::new(Slots::new(usize::try_from(limits.concurrency_max).unwrap_or(usize::MAX)));
        let granted = Arc::new(Granted::new(&summary.asked, Arc::default()));
        Ok(Self {
            record,
            summary,
            searched,
            trust: Arc::default(),
            limits,
            granted,
            config: Arc::clone(&NO_CONFIG),
            slots,
            loading: Arc::default(),
            serial: SERIALS.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Whether a lower-case word occurs in anything that a reader would search.
    pub fn mentions(&self, word: &str) -> bool {
        self.searched.contains(word)
    }

    /// Tells this version from all others in this process.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// The same version with another record; what is loaded and who runs in it carries over.
    pub(crate) fn with_record(&self, record: VersionRecord) -> Self {
        let (summary, trust, slots) = (self.summary.clone(), Arc::clone(&self.trust), Arc::clone(&self.slots));
        let (granted, config) = (Arc::clone(&self.granted), Arc::clone(&self.config));
        let (loading, limits, serial) = (Arc::clone(&self.loading), self.limits, self.serial);
        let searched = Arc::clone(&self.searched);
        Self { record, summary, searched, trust, limits, granted, config, slots, loading, serial }
    }

    /// The same version under these grants and values; what is loaded and who runs in it carries over.
    fn with_grants(&self, grants: Arc<Grants>, config: Arc<ConfigOverrides>) -> Self {
        let unchanged = *self.granted.grants() == *grants;
        let granted = match unchanged {
            true => Arc::clone(&self.granted),
            false => Arc::new(Granted::new(&self.summary.asked, grants)),
        };
        Self { granted, config, ..self.with_record(self.record.clone()) }
    }

    /// The same version in another standing; what is loaded and who runs in it carries over.
    pub(crate) fn with_trust(&self, trust: TrustRecord) -> Self {
        Self { trust: Arc::new(trust), ..self.with_record(self.record.clone()) }
    }
}
