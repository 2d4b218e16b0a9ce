//! Who uses whom: which components provide what others import, and what a change would break.

use crate::providers::{Importer, Offer};
use crate::snapshot::{ComponentEntry, Live, Snapshot, VersionEntry};
use crate::{Catalog, LoadError};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wares_engine::{OtherType, ShelfImport};
use wares_model::interface::unversioned;
use wares_model::{ComponentName, InterfaceName, TenantId, Timestamp, Version};
use wares_store::{Deployment, NewRevision};

/// Versions whose types are compared with those of their providers after a change; each has to be loaded for that.
const COMPARED_MAX: usize = 50;

/// An import of a version with traffic, and who provides it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Use {
    /// The version that imports.
    pub version: Version,
    /// The interface, as it is imported.
    pub interface: InterfaceName,
    /// For whose calls this holds: a tenant, and those below it without a choice of their own; none: for all others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Who provides it; none: nobody does.
    pub provider: Option<ComponentName>,
    /// The provider's versions that take traffic and provide it, with the interface as they export it.
    pub provided: BTreeMap<Version, String>,
    /// Whether the component may call the provider.
    pub granted: bool,
}

/// A component with traffic and what it uses of others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct GraphNode {
    /// The component.
    pub component: ComponentName,
    /// Its shares.
    pub traffic: BTreeMap<Version, u32>,
    /// What it uses, each import of each version.
    pub uses: Vec<Use>,
}

/// Why a version with imports of other components takes no traffic.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct CompositionError(String);

/// An import with one of those who provide it.
struct Provided<'a> {
    interface: &'a InterfaceName,
    tenant: Option<&'a TenantId>,
    provider: Option<(&'a ComponentName, Vec<Offer>)>,
}

impl Snapshot {
    /// Components with traffic that use others or are used by others, by name; or one of them, with all that it uses. Only
    /// uses that are shown count.
    pub fn graph(&self, of: Option<&ComponentName>, is_shown: impl Fn(&Use) -> bool) -> Vec<GraphNode> {
        let node = |name: &ComponentName, entry: &ComponentEntry| GraphNode {
            component: name.clone(),
            traffic: entry.deployment.as_ref().map(|deployment| deployment.traffic.clone()).unwrap_or_default(),
            uses: entry.with_traffic().flat_map(|version| self.uses(version)).filter(&is_shown).collect(),
        };
        let mut wanted = BTreeSet::new();
        let mut next: Vec<ComponentName> = match of {
            Some(name) => vec![name.clone()],
            None => {
                let imports = |entry: &ComponentEntry| entry.with_traffic().any(|version| version.imports_others());
                self.components().filter(|(_, entry)| imports(entry)).map(|(name, _)| name.clone()).collect()
            }
        };
        let mut nodes = BTreeMap::new();
        while let Some(name) = next.pop() {
            let Some(entry) = self.component(&name).filter(|_| wanted.insert(name.clone())) else { continue };
            let node = node(&name, entry);
            next.extend(node.uses.iter().filter_map(|one| one.provider.clone()));
            nodes.insert(name, node);
        }
        nodes.into_values().collect()
    }

    /// What a version imports of others, with everybody who provides it for someone.
    fn uses(&self, version: &VersionEntry) -> Vec<Use> {
        let uses = self.provided(version).into_iter().map(|one| Use {
            version: version.record.version.clone(),
            interface: one.interface.clone(),
            tenant: one.tenant.cloned(),
            granted: one.provider.as_ref().is_some_and(|(name, _)| version.granted.component(name)),
            provided: one.provider.iter().flat_map(|(_, offers)| offers).map(named).collect(),
            provider: one.provider.map(|(name, _)| name.clone()),
        });
        uses.collect()
    }

    fn provided<'a>(&'a self, version: &'a VersionEntry) -> Vec<Provided<'a>> {
        let component = &version.record.component;
        let grants = self.granted_to(component);
        let importer = Importer { component, grants: &grants };
        let mut all = Vec::new();
        for interface in &version.summary.asked.interfaces {
            let name = interface.unversioned();
            let chosen: Vec<Option<&TenantId>> = self.chosen_for(&name).collect();
            let for_all = if chosen.contains(&None) { None } else { Some(None) };
            for tenant in chosen.into_iter().chain(for_all) {
                let provider = match self.first_chosen(&name, [tenant], Some(importer)) {
                    None if tenant.is_some() => continue,
                    None => self.unchosen_provider(interface, importer),
                    Some(name) => {
                        let offers = self.component(name).map(|entry| entry.offers(interface)).unwrap_or_default();
                        Some((name, offers)).filter(|(_, offers)| !offers.is_empty())
                    }
                };
                all.push(Provided { interface, tenant, provider });
            }
        }
        all
    }

    /// The shelf as it would be with this revision in place.
    fn after(&self, revision: &NewRevision) -> Self {
        let NewRevision { component, traffic, stickiness, places, shadow, actor, reason, .. } = revision.clone();
        let (at, rollout, evidence, rejects) = (Timestamp::now(), None, None, Vec::new());
        let mut next = self.clone();
        next.put_deployment(Deployment {
            component,
            revision: 0,
            traffic,
            stickiness,
            places,
            shadow,
            at,
            actor,
            reason,
            rollout,
            evidence,
            rejects,
        });
        next
    }

    /// Checks that a component does not come to wait for itself by versions that a revision gives traffic to.
    pub(crate) fn check_circle(&self, revision: &NewRevision) -> Result<(), CompositionError> {
        let component = &revision.component;
        let now = self.component(component).and_then(|entry| entry.deployment.as_ref());
        let is_new = |version| now.is_none_or(|now| !now.traffic.contains_key(version));
        if !revision.traffic.keys().any(is_new) {
            return Ok(());
        }
        let Some(way) = self.after(revision).cycle(component) else { return Ok(()) };
        let way = way.iter().map(ComponentName::as_str).collect::<Vec<_>>().join(" -> ");
        Err(CompositionError(format!("{component} would wait for itself: {way}")))
    }

    /// A way from a component over what its versions with traffic use back to itself.
    fn cycle(&self, component: &ComponentName) -> Option<Vec<ComponentName>> {
        let mut ways = vec![vec![component.clone()]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            let Some(last) = way.last() else { continue };
            if way.len() > 1 && last == component {
                return Some(way);
            }
            let Some(entry) = self.component(last).filter(|_| seen.insert(last.clone())) else { continue };
            let used = entry.with_traffic().flat_map(|version| self.provided(version));
            let next: BTreeSet<_> = used.filter_map(|one| Some(one.provider?.0)).collect();
            ways.extend(next.into_iter().map(|next| way.iter().chain([next]).cloned().collect()));
        }
        None
    }

    /// Interfaces, without their versions, that some version of a component exports.
    fn exported_by(&self, component: &ComponentName) -> BTreeSet<&str> {
        let versions = self.component(component).into_iter().flat_map(|entry| entry.versions.values());
        versions.flat_map(|version| &version.summary.interfaces).map(|full| unversioned(full)).collect()
    }

    /// Versions with traffic that import an interface of which some version of this component exports one.
    fn consumers(&self, of: &ComponentName) -> Vec<&Arc<VersionEntry>> {
        let exported = self.exported_by(of);
        let is_exported = |interface: &InterfaceName| exported.contains(interface.unversioned().as_str());
        let versions = self.components.values().flat_map(|component| component.with_traffic());
        versions.filter(|version| version.summary.asked.interfaces.iter().any(is_exported)).collect()
    }

    /// Who is served by this version, and would have to do without it.
    pub fn users_of(&self, version: &VersionEntry) -> Vec<String> {
        let (component, number) = (&version.record.component, &version.record.version);
        let mut users = Vec::new();
        for consumer in self.consumers(component) {
            for one in self.uses(consumer) {
                if one.provider.as_ref() == Some(component) && one.provided.contains_key(number) {
                    users.push(format!("{consumer:?} uses {} of {version:?}", one.interface));
                }
            }
        }
        users.dedup();
        users
    }
}

impl VersionEntry {
    /// Whether it imports interfaces of other components.
    pub fn imports_others(&self) -> bool {
        !self.summary.asked.interfaces.is_empty()
    }
}

impl Catalog {
    /// Checks that with this revision in place on this shelf what these versions of it import of others would be provided, with the same
    /// types, and granted, and that nobody would wait for himself.
    pub(crate) async fn check_composition(
        &self,
        snapshot: &Snapshot,
        revision: &NewRevision,
        versions: &[Arc<VersionEntry>],
    ) -> Result<(), CompositionError> {
        snapshot.check_circle(revision)?;
        let next = snapshot.after(revision);
        let mut faults = Vec::new();
        for version in versions {
            if !version.imports_others() {
                continue;
            }
            let live = self.live(version).await.map_err(|error| CompositionError(error.to_string()))?;
            for one in next.provided(version) {
                faults.extend(self.fault(&next, version, Some(&live), &one).await);
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(CompositionError(faults.join("; "))) }
    }

    /// Why an import is not served. Without the version loaded, types are not compared.
    async fn fault(
        &self,
        snapshot: &Snapshot,
        version: &VersionEntry,
        live: Option<&Live>,
        one: &Provided<'_>,
    ) -> Option<String> {
        let Provided { interface, tenant, provider } = one;
        let import = match live {
            None => None,
            // Types alone need nobody who provides them.
            Some(live) => Some(live.component.shelf_imports().iter().find(|import| *import.interface == **interface)?),
        };
        let whom = tenant.map(|tenant| format!(" for {tenant}")).unwrap_or_default();
        let imports = format!("{version:?} imports {interface}");
        let Some((provider, offers)) = provider else {
            let nearest = snapshot.nearest_interfaces(&interface.unversioned());
            let nearest = match nearest.is_empty() {
                true => String::new(),
                false => format!(" (nearest: {})", nearest.join(", ")),
            };
            return Some(format!(
                "{imports}, which no deployed component provides{whom}{nearest}: deploy one that does"
            ));
        };
        if let Some(import) = import {
            for (offering, full) in offers {
                if let Err(why) = self.fits(import, offering, full).await {
                    return Some(format!("{imports}, which {offering:?} provides{whom} as {full}, but {why}"));
                }
            }
        }
        (!snapshot.granted_to(&version.record.component).components.contains(provider)).then(|| {
            let component = &version.record.component;
            format!(
                "{imports}, which {provider} provides{whom}, and may not call it: \
                 `wares grants add {component} --component {provider}` would allow it"
            )
        })
    }

    /// Whether a version exports every function of an import, with the same type.
    async fn fits(&self, import: &ShelfImport, provider: &VersionEntry, full: &str) -> Result<(), String> {
        let live = self.live(provider).await.map_err(|error: Arc<LoadError>| format!("it does not load: {error}"))?;
        for (name, ty) in &import.functions {
            live.component.check_function(full, name, ty).map_err(|other| match other {
                OtherType::Missing => format!("without the function {name}"),
                OtherType::Differs => format!("its function {name} has other parameters or another result"),
            })?;
        }
        Ok(())
    }

    /// Whose calls of others fail after a deployment of this component, and why: among those who import what it exports, in
    /// whichever version.
    pub async fn broken_by_deployment(&self, component: &ComponentName) -> Vec<String> {
        let snapshot = Arc::clone(&self.snapshot());
        let exported = snapshot.exported_by(component);
        self.broken(&snapshot, |_, interface| exported.contains(interface.unversioned().as_str())).await
    }

    /// The same after a choice of who provides this interface, named without a version.
    pub async fn broken_by_choice(&self, interface: &str) -> Vec<String> {
        let snapshot = Arc::clone(&self.snapshot());
        self.broken(&snapshot, |_, imported| imported.unversioned() == interface).await
    }

    /// Which calls of others by this component fail, and why.
    pub async fn broken_imports(&self, component: &ComponentName) -> Vec<String> {
        let snapshot = Arc::clone(&self.snapshot());
        self.broken(&snapshot, |version, _| version.record.component == *component).await
    }

    /// Why calls of others by versions with traffic fail, of the imports that are meant.
    async fn broken(
        &self,
        snapshot: &Snapshot,
        is_meant: impl Fn(&VersionEntry, &InterfaceName) -> bool,
    ) -> Vec<String> {
        let (mut broken, mut consumers) = (Vec::new(), 0usize);
        let versions: Vec<_> = snapshot.components.values().flat_map(|component| component.with_traffic()).collect();
        for version in versions {
            let mut meant = snapshot.provided(version);
            meant.retain(|one| is_meant(version, one.interface));
            if meant.is_empty() {
                continue;
            }
            consumers += 1;
            let live = if consumers <= COMPARED_MAX { self.live(version).await.ok() } else { None };
            for one in &meant {
                broken.extend(self.fault(snapshot, version, live.as_deref(), one).await);
            }
        }
        if let Some(others) = consumers.checked_sub(COMPARED_MAX).filter(|others| *others > 0) {
            broken
                .push(format!("{others} more versions import it; whether their types are the same was not looked at"));
        }
        broken
    }
}

fn named((version, full): &Offer) -> (Version, String) {
    (version.record.version.clone(), full.clone())
}
