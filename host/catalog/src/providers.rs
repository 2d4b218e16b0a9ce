//! Who provides an interface: what an operator chose for the nearest tenant above, or else whoever has it.

use crate::Catalog;
use crate::nearest::nearest;
use crate::resolve::{Placing, ResolveError, Resolved, looked_at, taking_traffic};
use crate::snapshot::{ComponentEntry, Snapshot, VersionEntry};
use crate::tenancy::{BadReason, check_reason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wares_model::interface::{split, unversioned};
use wares_model::{ComponentName, Grants, InterfaceName, TenantId, Timestamp, Version, VersionReq};
use wares_store::{ProviderRecord, StoreError};

/// Choices for one interface, by tenant; none: for all.
pub(crate) type Choices = BTreeMap<Option<TenantId>, ProviderRecord>;

/// A choice of a provider.
#[derive(Debug, Clone)]
pub struct ProviderRequest {
    /// The interface; a version in it says nothing.
    pub interface: InterfaceName,
    /// For which tenant and those below it; none: for all.
    pub tenant: Option<TenantId>,
    /// Who is to provide it; none: the choice is taken back.
    pub component: Option<ComponentName>,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: Option<String>,
}

/// Why a choice is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// No such component or tenant.
    #[error(transparent)]
    NotFound(#[from] ResolveError),
    /// The component does not provide the interface.
    #[error("{0}")]
    Invalid(String),
    /// The reason is not one.
    #[error(transparent)]
    Reason(#[from] BadReason),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A component that imports an interface, and so wants it of another one.
#[derive(Debug, Clone, Copy)]
pub struct Importer<'a> {
    /// It.
    pub component: &'a ComponentName,
    /// What it is granted.
    pub grants: &'a Grants,
}

/// What is wanted, by whom.
pub(crate) struct Wanted<'a> {
    package: &'a ComponentName,
    /// The interface's full name without a version.
    pub(crate) name: String,
    pub(crate) requirement: Option<&'a VersionReq>,
    /// None: an application wants it.
    importer: Option<Importer<'a>>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn new(
        package: &'a ComponentName,
        interface: &str,
        requirement: Option<&'a VersionReq>,
        importer: Option<Importer<'a>>,
    ) -> Self {
        Self { package, name: format!("{package}/{interface}"), requirement, importer }
    }

    /// The interface as a version exports it at a version that will do; of several the highest.
    fn offered_by<'v>(&self, version: &'v VersionEntry) -> Option<&'v String> {
        let at = |full: &str| split(full).1.and_then(|version| Version::parse(version).ok());
        let mut offered = version.summary.interfaces.iter().filter(|full| provides(full, &self.name, self.requirement));
        let first = offered.next()?;
        Some(offered.fold(first, |best, next| if at(next) > at(best) { next } else { best }))
    }
}

impl Snapshot {
    /// The version that provides an interface for a tenant now.
    ///
    /// The choice of the nearest tenant wins: its own, that of the one above it, and so on, then the one for all. Without any it
    /// is, of the components with traffic for a version that exports the interface, the one named like the interface's package,
    /// else the first by name. Where only some of its versions do, they share the traffic for it.
    ///
    /// No component provides for itself. One that imports an interface which it exports too goes to the next provider: of the
    /// others only those count that it may call, for a choice as well as without one, so that several can stand in a row.
    pub(crate) fn provider(
        &self,
        wanted: &Wanted<'_>,
        tenant: &TenantId,
        placing: Placing,
    ) -> Result<Resolved, ResolveError> {
        let name = &wanted.name;
        let offer = |(name, component): (&ComponentName, &Arc<ComponentEntry>)| {
            let offered = |version: &VersionEntry| wanted.offered_by(version).is_some();
            let version = taking_traffic(name, component, tenant, placing, offered)?;
            let interface = wanted.offered_by(&version).cloned();
            Some(Resolved { version, interface, looked_at: looked_at(component) })
        };
        let at = wanted.requirement.map(|requirement| format!(" at {requirement}")).unwrap_or_default();
        if let Some(chosen) = self.chosen(name, tenant, wanted.importer) {
            let entry = self.component(chosen);
            return entry.and_then(|entry| offer((chosen, entry))).ok_or_else(|| {
                let detail = format!("{chosen}, which is chosen to provide {name} here, does not provide it{at} now");
                ResolveError::not_found(detail, self.offering(name).map(|(name, _)| name.to_string()).collect())
            });
        }
        self.candidates(wanted.package, name, wanted.importer).find_map(offer).ok_or_else(|| {
            let others = if wanted.importer.is_some() { "other " } else { "" };
            let detail = format!("no {others}deployed component provides the interface {name}{at}");
            ResolveError::not_found(detail, self.nearest_interfaces(name))
        })
    }

    /// The component that an operator chose for this tenant.
    fn chosen(&self, interface: &str, tenant: &TenantId, importer: Option<Importer<'_>>) -> Option<&ComponentName> {
        let line = self.tenants.get(tenant).into_iter().flat_map(|tenant| tenant.line.iter());
        self.first_chosen(interface, line.map(Some).chain([None]), importer)
    }

    /// The first of these tenants' choices that counts; no tenant: for all.
    pub(crate) fn first_chosen<'t>(
        &self,
        interface: &str,
        tenants: impl IntoIterator<Item = Option<&'t TenantId>>,
        importer: Option<Importer<'_>>,
    ) -> Option<&ComponentName> {
        let choices = self.choices.get(interface)?;
        let chosen = |tenant: Option<&TenantId>| choices.get(&tenant.cloned())?.component.as_ref();
        let counts = |chosen: &&ComponentName| {
            let Some(importer) = importer.filter(|importer| self.exports(importer, interface)) else { return true };
            *chosen != importer.component && importer.grants.components.contains(chosen)
        };
        tenants.into_iter().find_map(|tenant| chosen(tenant).filter(counts))
    }

    /// Whether it is one that provides what it imports.
    fn exports(&self, importer: &Importer<'_>, interface: &str) -> bool {
        self.offers.get(interface).is_some_and(|names| names.contains(importer.component))
    }

    /// Who might provide an interface where nobody chose, the best one first. To a decorator those that it may not call come
    /// last, so that somebody is named who could be granted.
    fn candidates<'s, 'i>(
        &'s self,
        package: &'i ComponentName,
        interface: &'i str,
        importer: Option<Importer<'i>>,
    ) -> impl Iterator<Item = (&'s ComponentName, &'s Arc<ComponentEntry>)> + use<'s, 'i> {
        let decorator = importer.filter(|importer| self.exports(importer, interface));
        let is_other = move |name: &ComponentName| decorator.is_none_or(|decorator| name != decorator.component);
        let is_first =
            move |name: &ComponentName| decorator.is_none_or(|decorator| decorator.grants.components.contains(name));
        let all = move || self.components.get_key_value(package).into_iter().chain(self.offering(interface));
        let first = all().filter(move |(name, _)| is_other(name) && is_first(name));
        first.chain(all().filter(move |(name, _)| is_other(name) && !is_first(name)))
    }

    /// Choices of providers, by interface and tenant.
    pub fn choices(&self) -> impl Iterator<Item = &ProviderRecord> {
        self.choices.values().flat_map(|choices| choices.values())
    }

    /// The tenants for whom an operator chose who provides an interface; none: for all.
    pub(crate) fn chosen_for(&self, interface: &str) -> impl Iterator<Item = Option<&TenantId>> {
        let choices = self.choices.get(interface).into_iter().flat_map(|choices| choices.keys());
        choices.map(Option::as_ref)
    }

    /// Who provides an interface where nobody chose: a component, and each version of it that takes traffic and provides it.
    pub(crate) fn unchosen_provider(
        &self,
        interface: &InterfaceName,
        importer: Importer<'_>,
    ) -> Option<(&ComponentName, Vec<Offer>)> {
        let name = interface.unversioned();
        let all = self.candidates(&interface.package, &name, Some(importer));
        let mut offers = all.map(|(name, entry)| (name, entry.offers(interface)));
        offers.find(|(_, offers)| !offers.is_empty())
    }

    /// Components of which some version exports an interface, by name.
    pub(crate) fn offering(&self, interface: &str) -> impl Iterator<Item = (&ComponentName, &Arc<ComponentEntry>)> {
        let names = self.offers.get(interface).into_iter().flat_map(|names| names.iter());
        names.filter_map(|name| self.components.get_key_value(name))
    }

    /// Interfaces on the shelf whose names are most like the wanted one, with the version in which they are offered.
    pub(crate) fn nearest_interfaces(&self, wanted: &str) -> Vec<String> {
        let names = nearest(wanted, self.offers.keys().map(AsRef::as_ref));
        names.into_iter().map(|name| self.versioned(&name).unwrap_or(name)).collect()
    }

    fn versioned(&self, interface: &str) -> Option<String> {
        let latest = self.offering(interface).find_map(|(_, entry)| entry.latest())?;
        latest.summary.interfaces.iter().find(|full| unversioned(full) == interface).cloned()
    }

    pub(crate) fn put_choice(&mut self, choice: ProviderRecord) {
        let choices = Arc::make_mut(self.choices.entry(choice.interface.as_str().into()).or_default());
        match choice.component {
            Some(_) => drop(choices.insert(choice.tenant.clone(), choice)),
            None => drop(choices.remove(&choice.tenant)),
        }
    }

    /// Notes what a version exports.
    pub(crate) fn put_offers(&mut self, version: &VersionEntry) {
        for full in &version.summary.interfaces {
            let names = self.offers.entry(unversioned(full).into()).or_default();
            if !names.contains(&version.record.component) {
                Arc::make_mut(names).insert(version.record.component.clone());
            }
        }
    }
}

/// A version with traffic that provides an interface, and the interface's full name there.
pub(crate) type Offer = (Arc<VersionEntry>, String);

impl ComponentEntry {
    /// Versions with traffic that provide an interface.
    pub(crate) fn offers(&self, interface: &InterfaceName) -> Vec<Offer> {
        let requirement = interface.requirement();
        let wanted = Wanted::new(&interface.package, &interface.interface, requirement.as_ref(), None);
        let offer = |version: &Arc<VersionEntry>| Some((Arc::clone(version), wanted.offered_by(version)?.clone()));
        self.with_traffic().filter_map(offer).collect()
    }

    /// Versions with traffic.
    pub(crate) fn with_traffic(&self) -> impl Iterator<Item = &Arc<VersionEntry>> {
        let versions = self.deployment.iter().flat_map(|deployment| deployment.traffic.keys());
        versions.filter_map(|version: &Version| self.versions.get(version))
    }
}

impl Catalog {
    /// Chooses who provides an interface, for calls that begin from now on.
    pub async fn choose_provider(&self, request: ProviderRequest) -> Result<ProviderRecord, ProviderError> {
        let ProviderRequest { interface, tenant, component, actor, reason } = request;
        reason.as_deref().map_or(Ok(()), check_reason)?;
        let interface = interface.unversioned();
        let changing = self.change().await;
        {
            let snapshot = self.snapshot();
            if let Some(tenant) = tenant.as_ref().filter(|tenant| !snapshot.has_tenant(tenant)) {
                return Err(ResolveError::not_found(format!("there is no tenant {tenant}"), Vec::new()).into());
            }
            if let Some(component) = &component {
                check_offers(snapshot.find(component)?, component, &interface)?;
            }
        }
        let at = Timestamp::now();
        let choice = ProviderRecord { interface, tenant, revision: 0, component, actor, reason, at };
        let choice = self.store().choose_provider(choice).await?;
        self.publish_snapshot(&changing, |next| next.put_choice(choice.clone()));
        Ok(choice)
    }
}

fn check_offers(entry: &ComponentEntry, component: &ComponentName, interface: &str) -> Result<(), ProviderError> {
    let mut exported = entry.with_traffic().flat_map(|version| &version.summary.interfaces);
    if exported.any(|full| unversioned(full) == interface) {
        return Ok(());
    }
    let known: BTreeSet<&str> =
        entry.with_traffic().flat_map(|version| &version.summary.interfaces).map(String::as_str).collect();
    let known = match known.is_empty() {
        true => "no version of it is deployed, or none exports an interface".to_owned(),
        false => format!("what is deployed of it exports {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    };
    Err(ProviderError::Invalid(format!("{component} does not provide {interface}: {known}")))
}

/// Whether the interface `full` (`ns:pkg/name@1.0.0`) is `wanted` (`ns:pkg/name`) at a version that will do.
fn provides(full: &str, wanted: &str, requirement: Option<&VersionReq>) -> bool {
    let (name, version) = split(full);
    name == wanted
        && requirement.is_none_or(|requirement| {
            version.and_then(|version| version.parse().ok()).is_some_and(|version| requirement.matches(&version))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::TenantEntry;
    use crate::{Policy, Undeployed};
    use wares_model::{Limits, Zone};
    use wares_store::TenantRecord;

    #[test]
    fn a_choice_holds_however_far_below() {
        let policy = Policy {
            limits_default: Limits::DEFAULT,
            limits_ceiling: Limits::DEFAULT,
            tenant_concurrency_max: 1,
            loaded_max: 1,
            undeployed: Undeployed::Never,
            time_zone: Zone::default(),
        };
        let mut snapshot = Snapshot::default();
        let tenant = |level: usize| -> TenantId { format!("level{level}").parse().unwrap() };
        for level in 0..70_usize {
            let parent = level.checked_sub(1).map(tenant);
            let created_at = Timestamp::from_micros(0);
            let record = TenantRecord { id: tenant(level), parent, name: String::new(), created_at };
            snapshot.put_tenant(TenantEntry::new(record, &policy));
        }
        let mut choose = |tenant: Option<TenantId>, component: &str| {
            snapshot.put_choice(ProviderRecord {
                interface: "a:b/c".to_owned(),
                tenant,
                revision: 1,
                component: Some(component.parse().unwrap()),
                actor: String::new(),
                reason: None,
                at: Timestamp::from_micros(0),
            });
        };
        choose(None, "for:all");
        choose(Some(tenant(0)), "for:top");
        choose(Some(tenant(69)), "for:bottom");
        let chosen = |tenant: &TenantId| snapshot.chosen("a:b/c", tenant, None).unwrap().as_str();
        assert_eq!(chosen(&tenant(69)), "for:bottom");
        assert_eq!(chosen(&tenant(68)), "for:top");
        assert_eq!(chosen(&"elsewhere".parse().unwrap()), "for:all");
    }
}
