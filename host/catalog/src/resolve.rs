//! From what a caller names to the version that serves it.

use crate::nearest::nearest;
use crate::places;
use crate::providers::{Importer, Wanted};
use crate::snapshot::{ComponentEntry, Snapshot, VersionEntry};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use wares_model::interface::unversioned;
use wares_model::{ComponentName, InterfaceName, ProblemCode, Stickiness, TenantId, Version, VersionReq};
use wares_store::Deployment;

/// What a call names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// A component, at a version that satisfies the requirement.
    Component {
        /// Its name.
        name: ComponentName,
        /// Which versions will do; none: what is deployed.
        requirement: Option<VersionReq>,
    },
    /// An interface, whoever provides it here.
    Interface {
        /// `namespace:package`.
        package: ComponentName,
        /// The interface's short name.
        interface: String,
        /// Which versions of the interface will do.
        requirement: Option<VersionReq>,
    },
}

/// The version that serves a call.
#[derive(Clone)]
pub struct Resolved {
    /// It.
    pub version: Arc<VersionEntry>,
    /// The full name of the interface, when the call named an interface only.
    pub interface: Option<String>,
    /// The component, if its shares chose the version and somebody wants to know how such calls end.
    pub looked_at: Option<Arc<ComponentEntry>>,
}

/// Why nothing serves a call.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{detail}")]
pub struct ResolveError {
    /// [`ProblemCode::NotFound`], [`ProblemCode::Stopped`] if there is such a version and it was stopped, or
    /// [`ProblemCode::BadRequest`] if several things go by this name.
    pub code: ProblemCode,
    /// What was not found and what to do.
    pub detail: String,
    /// Names that come close.
    pub nearest: Vec<String>,
}

impl ResolveError {
    /// What is named is not there.
    pub fn not_found(detail: String, nearest: Vec<String>) -> Self {
        Self { code: ProblemCode::NotFound, detail, nearest }
    }

    /// What is named is several things.
    fn ambiguous(name: &str, version: &VersionEntry, meant: Vec<String>) -> Self {
        let detail = format!("{name} means {} in {version:?}: name one of them in full", meant.join(" and "));
        Self { code: ProblemCode::BadRequest, detail, nearest: meant }
    }

    /// What is named was stopped.
    fn stopped(detail: String, nearest: Vec<String>) -> Self {
        Self { code: ProblemCode::Stopped, detail, nearest }
    }
}

/// Whether callers may name versions that no operator has deployed yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undeployed {
    /// No: what runs was deployed by an operator before.
    #[default]
    Never,
    /// Those who name the one version exactly (`@=1.2.3`).
    Exact,
    /// Those whose requirement no deployed version satisfies.
    Matching,
}

/// Whose place decides among a deployment's shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placing {
    /// Whose the deployment says: the tenant's, or one drawn for the call.
    Deployed,
    /// The tenant's.
    Standing,
}

impl Placing {
    fn stickiness(self, deployment: &Deployment) -> Stickiness {
        match self {
            Self::Deployed => deployment.stickiness,
            Self::Standing => Stickiness::Tenant,
        }
    }
}

impl Snapshot {
    /// The version that serves this tenant's call of `target` now.
    ///
    /// A component without a requirement is served by its deployment: a version with a share of the traffic, the same one for a
    /// tenant as long as the shares stand, or one drawn for the call if the deployment says so. With a requirement it is the
    /// first of these that satisfies it:
    ///
    /// 1. a version that takes traffic: the one that would serve without a requirement, or one by the shares among the others;
    /// 2. the highest that was deployed before and is not yanked;
    /// 3. the highest that was never deployed and is not yanked, where the operator allows it ([`Undeployed`]);
    /// 4. the highest that was deployed before and is yanked now, so that pinned callers keep working.
    ///
    /// A version that was stopped, awaits review or was rejected serves nobody.
    pub fn resolve(&self, target: &Target, tenant: &TenantId) -> Result<Resolved, ResolveError> {
        self.resolve_by(target, tenant, Placing::Deployed)
    }

    /// The version that stands for what serves this tenant's calls of `target`: the same one as long as the shares stand, also
    /// where each call's is drawn. For asking what a call would be; no draw is used up for it.
    pub fn standing(&self, target: &Target, tenant: &TenantId) -> Result<Resolved, ResolveError> {
        self.resolve_by(target, tenant, Placing::Standing)
    }

    fn resolve_by(&self, target: &Target, tenant: &TenantId, placing: Placing) -> Result<Resolved, ResolveError> {
        match target {
            Target::Component { name, requirement } => {
                let component = self.find_entry(name)?;
                match requirement {
                    None => {
                        let version = deployed(name, component, tenant, placing)?;
                        Ok(Resolved { version, interface: None, looked_at: looked_at(component) })
                    }
                    Some(requirement) => {
                        let version = pinned(name, component, requirement, tenant, placing, self.undeployed)?;
                        Ok(Resolved { version, interface: None, looked_at: None })
                    }
                }
            }
            Target::Interface { package, interface, requirement } => {
                let wanted = Wanted::new(package, interface, requirement.as_ref(), None);
                let resolved = self.provider(&wanted, tenant, placing)?;
                check_meaning(&wanted, &resolved.version)?;
                Ok(resolved)
            }
        }
    }

    /// The version that provides what a component imports, for this tenant's calls now.
    pub fn provider_for(
        &self,
        importer: Importer<'_>,
        interface: &InterfaceName,
        tenant: &TenantId,
    ) -> Result<Resolved, ResolveError> {
        let InterfaceName { package, interface: name, .. } = interface;
        let requirement = interface.requirement();
        let wanted = Wanted::new(package, name, requirement.as_ref(), Some(importer));
        self.provider(&wanted, tenant, Placing::Deployed)
    }

    /// The component of this name, or an error with the nearest names.
    pub fn find(&self, name: &ComponentName) -> Result<&ComponentEntry, ResolveError> {
        self.find_entry(name).map(Arc::as_ref)
    }

    fn find_entry(&self, name: &ComponentName) -> Result<&Arc<ComponentEntry>, ResolveError> {
        self.component(name).ok_or_else(|| {
            let nearest = nearest(name.as_str(), self.components().map(|(name, _)| name.as_str()));
            ResolveError::not_found(format!("there is no component {name} on this shelf"), nearest)
        })
    }

    /// The version of this name, or an error with the versions there are.
    pub fn find_version(&self, name: &ComponentName, version: &Version) -> Result<&Arc<VersionEntry>, ResolveError> {
        let component = self.find(name)?;
        component.versions.get(version).ok_or_else(|| {
            ResolveError::not_found(format!("there is no version {version} of {name}"), newest(component))
        })
    }
}

/// Refuses a name without a version that means several interfaces of the version that would serve it.
fn check_meaning(wanted: &Wanted<'_>, version: &VersionEntry) -> Result<(), ResolveError> {
    let meant = || version.summary.interfaces.iter().filter(|full| unversioned(full) == wanted.name);
    match wanted.requirement {
        None if meant().nth(1).is_some() => {
            Err(ResolveError::ambiguous(&wanted.name, version, meant().cloned().collect()))
        }
        _ => Ok(()),
    }
}

fn deployed(
    name: &ComponentName,
    component: &ComponentEntry,
    tenant: &TenantId,
    placing: Placing,
) -> Result<Arc<VersionEntry>, ResolveError> {
    let deployment = component.deployment.as_ref().ok_or_else(|| {
        let detail = format!("{name} has no deployment here: an operator has to deploy a version of it first");
        ResolveError::not_found(detail, newest(component))
    })?;
    let version =
        owner(name, component, deployment, tenant, placing).and_then(|version| component.versions.get(version));
    version.cloned().ok_or_else(|| {
        let detail = format!("{name} was stopped here: no version of it takes traffic until an operator deploys one");
        ResolveError::stopped(detail, newest(component))
    })
}

/// The version that the shares choose.
fn owner<'a>(
    name: &ComponentName,
    component: &ComponentEntry,
    deployment: &'a Deployment,
    tenant: &TenantId,
    placing: Placing,
) -> Option<&'a Version> {
    let place = match placing.stickiness(deployment) {
        // One version has every place.
        _ if deployment.traffic.len() == 1 => 0,
        Stickiness::Tenant => places::of_tenant(name, tenant),
        Stickiness::Call => component.draws.next(),
    };
    places::owner(deployment, place)
}

pub(crate) fn looked_at(component: &Arc<ComponentEntry>) -> Option<Arc<ComponentEntry>> {
    component.is_looked_at().then(|| Arc::clone(component))
}

fn pinned(
    name: &ComponentName,
    component: &ComponentEntry,
    requirement: &VersionReq,
    tenant: &TenantId,
    placing: Placing,
    undeployed: Undeployed,
) -> Result<Arc<VersionEntry>, ResolveError> {
    let highest = |fits: &dyn Fn(&VersionEntry) -> bool| {
        let mut highest_first = component.versions.values().rev();
        highest_first.find(|entry| requirement.matches(&entry.record.version) && fits(entry)).cloned()
    };
    let may_be_new = match undeployed {
        Undeployed::Never => false,
        Undeployed::Exact => is_exact(requirement),
        Undeployed::Matching => true,
    };
    let serves = |entry: &VersionEntry| entry.held().is_none();
    let usable = |entry: &VersionEntry| serves(entry) && entry.record.yanked_at.is_none();
    let was_deployed = |entry: &VersionEntry| entry.record.deployed_at.is_some();
    let found = taking_traffic(name, component, tenant, placing, |entry| requirement.matches(&entry.record.version))
        .or_else(|| highest(&|entry| usable(entry) && was_deployed(entry)))
        .or_else(|| highest(&|entry| usable(entry) && may_be_new))
        .or_else(|| highest(&|entry| serves(entry) && was_deployed(entry)));
    found.ok_or_else(|| match highest(&|entry| !serves(entry)) {
        Some(entry) if entry.record.stopped_at.is_some() => {
            let detail = format!("{name}@{}, which {requirement} asks for, was stopped", entry.record.version);
            ResolveError::stopped(detail, usable_names(component))
        }
        Some(entry) => ResolveError::not_found(entry.held().unwrap_or_default(), newest(component)),
        None => {
            let detail = format!("no version of {name} that satisfies {requirement} was ever deployed here");
            ResolveError::not_found(detail, newest(component))
        }
    })
}

/// Of the versions that take traffic and will do: the one that would serve the tenant if all did, or one by shares.
pub(crate) fn taking_traffic(
    name: &ComponentName,
    component: &ComponentEntry,
    tenant: &TenantId,
    placing: Placing,
    will_do: impl Fn(&VersionEntry) -> bool,
) -> Option<Arc<VersionEntry>> {
    let deployment = component.deployment.as_ref()?;
    let will_do = |version: &Version| component.versions.get(version).is_some_and(|entry| will_do(entry));
    let own = owner(name, component, deployment, tenant, placing).filter(|version| will_do(version));
    let version = own.or_else(|| {
        let matching = || deployment.traffic.iter().filter(|(version, _)| will_do(version));
        let total = matching().map(|(_, share)| u64::from(*share)).sum();
        let place = match placing.stickiness(deployment) {
            Stickiness::Tenant => places::again_of_tenant(name, tenant),
            Stickiness::Call => component.draws.next(),
        };
        places::owner_by_order(matching(), place.checked_rem(total)?)
    })?;
    component.versions.get(version).cloned()
}

/// Whether only one version satisfies the requirement: `=1.2.3`.
fn is_exact(requirement: &VersionReq) -> bool {
    match requirement.comparators.as_slice() {
        [only] => only.op == semver::Op::Exact && only.minor.is_some() && only.patch.is_some(),
        _ => false,
    }
}

fn newest(component: &ComponentEntry) -> Vec<String> {
    component.versions.keys().rev().take(3).map(Version::to_string).collect()
}

/// The newest versions that callers may begin with.
fn usable_names(component: &ComponentEntry) -> Vec<String> {
    let usable = component.versions.values().rev().filter(|entry| entry.record.yanked_at.is_none());
    usable.take(3).map(|entry| entry.record.version.to_string()).collect()
}

#[cfg(test)]
mod tests;
