//! Who uses whom: which components provide what others import, and what a change would break.

use crate::providers::Offer;
use crate::snapshot::{ComponentEntry, Live, Snapshot, VersionEntry};
use crate::{Catalog, LoadError};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wares_engine::{OtherType, ShelfImport};
use wares_model::{ComponentName, InterfaceName, TenantId, Version};

/// Versions of consumers whose types are compared with those of a new provider.
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
    /// Components with traffic that use others or are used by others, by name; or one of them, with all that it uses.
    pub fn graph(&self, of: Option<&ComponentName>) -> Vec<GraphNode> {
        let node = |name: &ComponentName, entry: &ComponentEntry| GraphNode {
            component: name.clone(),
            traffic: entry.deployment.as_ref().map(|deployment| deployment.traffic.clone()).unwrap_or_default(),
            uses: entry.with_traffic().flat_map(|version| self.uses(version)).collect(),
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
        let mut all = Vec::new();
        for interface in &version.summary.asked.interfaces {
            let mut is_for_all = false;
            for (tenant, name) in self.choices_for(&interface.unversioned()) {
                is_for_all |= tenant.is_none();
                let offers = self.component(name).map(|entry| entry.offers(interface)).unwrap_or_default();
                let provider = Some((name, offers)).filter(|(_, offers)| !offers.is_empty());
                all.push(Provided { interface, tenant, provider });
            }
            if !is_for_all {
                all.push(Provided { interface, tenant: None, provider: self.unchosen_provider(interface) });
            }
        }
        all
    }

    /// A way from a component over what these versions of it use back to itself.
    fn cycle(&self, component: &ComponentName, versions: &[Arc<VersionEntry>]) -> Option<Vec<ComponentName>> {
        let providers = |version: &VersionEntry| {
            let all = self.provided(version).into_iter();
            all.filter_map(|one| Some(one.provider?.0.clone())).collect::<BTreeSet<_>>()
        };
        let mut ways: Vec<Vec<ComponentName>> = versions
            .iter()
            .flat_map(|version| providers(version))
            .map(|first| vec![component.clone(), first])
            .collect();
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            let Some(last) = way.last() else { continue };
            if last == component {
                return Some(way);
            }
            let Some(entry) = self.component(last).filter(|_| seen.insert(last.clone())) else { continue };
            let further = entry.with_traffic().flat_map(|version| providers(version));
            ways.extend(further.map(|next| way.iter().cloned().chain([next]).collect()));
        }
        None
    }

    /// Versions with traffic that import an interface of which some version of this component exports one.
    fn consumers(&self, of: &ComponentName) -> Vec<&Arc<VersionEntry>> {
        let Some(entry) = self.component(of) else { return Vec::new() };
        let exported = |interface: &InterfaceName| {
            let wanted = interface.unversioned();
            entry.versions.values().any(|version| version.summary.exports(&wanted))
        };
        let versions = self.components.values().flat_map(|component| component.with_traffic());
        versions.filter(|version| version.summary.asked.interfaces.iter().any(exported)).collect()
    }

    /// Who lacks a provider now for what some version of this component exports.
    pub fn left_without(&self, component: &ComponentName) -> Vec<String> {
        let mut broken = Vec::new();
        for consumer in self.consumers(component) {
            for Provided { interface, tenant, provider } in self.provided(consumer) {
                if provider.is_none() {
                    let whom = tenant.map(|tenant| format!(" for {tenant}")).unwrap_or_default();
                    broken.push(format!(
                        "{consumer:?} has no provider of {interface}{whom} any more: its calls of it fail"
                    ));
                }
            }
        }
        broken
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
    /// Checks that what these versions import of others is provided, with the same types, and granted, and that nobody would wait
    /// for himself.
    pub(crate) async fn check_composition(
        &self,
        component: &ComponentName,
        versions: &[Arc<VersionEntry>],
    ) -> Result<(), CompositionError> {
        if versions.iter().all(|version| !version.imports_others()) {
            return Ok(());
        }
        let snapshot = Arc::clone(&self.snapshot());
        if let Some(way) = snapshot.cycle(component, versions) {
            let way = way.iter().map(ComponentName::as_str).collect::<Vec<_>>().join(" -> ");
            return Err(CompositionError(format!("{component} would wait for itself: {way}")));
        }
        let mut faults = Vec::new();
        for version in versions {
            let live = self.live(version).await.map_err(|error| CompositionError(error.to_string()))?;
            for one in snapshot.provided(version) {
                faults.extend(self.fault(&snapshot, version, &live, &one).await);
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(CompositionError(faults.join("; "))) }
    }

    /// Why an import is not served.
    async fn fault(
        &self,
        snapshot: &Snapshot,
        version: &VersionEntry,
        live: &Live,
        one: &Provided<'_>,
    ) -> Option<String> {
        let Provided { interface, tenant, provider } = one;
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
        for (offering, full) in offers {
            if let Err(why) = self.fits(live, interface, offering, full).await {
                return Some(format!("{imports}, which {offering:?} provides{whom} as {full}, but {why}"));
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
    async fn fits(
        &self,
        consumer: &Live,
        interface: &InterfaceName,
        provider: &VersionEntry,
        full: &str,
    ) -> Result<(), String> {
        let live = self.live(provider).await.map_err(|error: Arc<LoadError>| format!("it does not load: {error}"))?;
        let imports = consumer.component.shelf_imports().iter();
        for import in imports.filter(|import| *import.interface == *interface) {
            let ShelfImport { functions, .. } = import;
            for (name, ty) in functions {
                live.component.check_function(full, name, ty).map_err(|other| match other {
                    OtherType::Missing => format!("without the function {name}"),
                    OtherType::Differs => format!("its function {name} has other parameters or another result"),
                })?;
            }
        }
        Ok(())
    }

    /// Who cannot go on after a deployment of this component: its export is gone, or is of other types.
    pub async fn broken_by_deployment(&self, component: &ComponentName) -> Vec<String> {
        let snapshot = Arc::clone(&self.snapshot());
        let mut broken = snapshot.left_without(component);
        for consumer in snapshot.consumers(component).into_iter().take(COMPARED_MAX) {
            let Ok(live) = self.live(consumer).await else { continue };
            for one in snapshot.provided(consumer) {
                let Some((provider, offers)) = &one.provider else { continue };
                for (version, full) in offers.iter().filter(|_| *provider == component) {
                    if let Err(why) = self.fits(&live, one.interface, version, full).await {
                        let interface = one.interface;
                        broken.push(format!("{consumer:?} uses {interface}, which {version:?} provides, but {why}"));
                    }
                }
            }
        }
        broken
    }
}

fn named((version, full): &Offer) -> (Version, String) {
    (version.record.version.clone(), full.clone())
}
