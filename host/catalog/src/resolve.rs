//! From what a caller names to the version that serves it.

use crate::nearest::nearest;
use crate::places;
use crate::snapshot::{ComponentEntry, Snapshot, VersionEntry};
use std::sync::Arc;
use wares_model::{ComponentName, Stickiness, TenantId, Version, VersionReq};

/// What a call names.
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// What was not found and what to do.
    pub detail: String,
    /// Names that come close.
    pub nearest: Vec<String>,
}

impl Snapshot {
    /// The version that serves this tenant's call of `target` now.
    ///
    /// A component without a requirement is served by its deployment: a version with a share of the traffic, the same one for a
    /// tenant as long as the shares stand, or one drawn for the call if the deployment says so. With a requirement it is the
    /// highest deployed version that satisfies it, or else the highest that an operator deployed before and that is not
    /// yanked, so that pinned callers keep working. A version that awaits review, was rejected or was stopped serves nobody.
    pub fn resolve(&self, target: &Target, tenant: &TenantId) -> Result<Resolved, ResolveError> {
        match target {
            Target::Component { name, requirement } => {
                let component = self.find_entry(name)?;
                match requirement {
                    None => {
                        let version = deployed(name, component, tenant)?;
                        Ok(Resolved { version, interface: None, looked_at: looked_at(component) })
                    }
                    Some(requirement) => {
                        let version = pinned(name, component, requirement)?;
                        Ok(Resolved { version, interface: None, looked_at: None })
                    }
                }
            }
            Target::Interface { package, interface, requirement } => {
                self.provider(package, interface, requirement.as_ref(), tenant)
            }
        }
    }

    /// The component of this name, or an error with the nearest names.
    pub fn find(&self, name: &ComponentName) -> Result<&ComponentEntry, ResolveError> {
        self.find_entry(name).map(Arc::as_ref)
    }

    fn find_entry(&self, name: &ComponentName) -> Result<&Arc<ComponentEntry>, ResolveError> {
        self.component(name).ok_or_else(|| ResolveError {
            detail: format!("there is no component {name} on this shelf"),
            nearest: nearest(name.as_str(), self.components().map(|(name, _)| name.as_str())),
        })
    }

    /// The version of this name, or an error with the versions there are.
    pub fn find_version(&self, name: &ComponentName, version: &Version) -> Result<&Arc<VersionEntry>, ResolveError> {
        let component = self.find(name)?;
        component.versions.get(version).ok_or_else(|| ResolveError {
            detail: format!("there is no version {version} of {name}"),
            nearest: newest(component),
        })
    }

    /// Of the components whose deployed version exports the interface: the one named like the interface's package, else the
    /// first by name.
    fn provider(
        &self,
        package: &ComponentName,
        interface: &str,
        requirement: Option<&VersionReq>,
        tenant: &TenantId,
    ) -> Result<Resolved, ResolveError> {
        let wanted = format!("{package}/{interface}");
        let offer = |(name, component): (&ComponentName, &Arc<ComponentEntry>)| {
            let version = deployed(name, component, tenant).ok()?;
            let full = version.summary.interfaces.iter().find(|full| provides(full, &wanted, requirement))?.clone();
            Some(Resolved { version, interface: Some(full), looked_at: looked_at(component) })
        };
        let like_named = self.component(package).map(|component| (package, component));
        like_named.into_iter().chain(&self.components).find_map(offer).ok_or_else(|| {
            let known = self.components().flat_map(|(_, component)| component.latest());
            let known = known.flat_map(|version| version.summary.interfaces.iter().map(String::as_str));
            ResolveError {
                detail: match requirement {
                    None => format!("no deployed component provides the interface {wanted}"),
                    Some(requirement) => format!("no deployed component provides {wanted} at {requirement}"),
                },
                nearest: nearest(&wanted, known),
            }
        })
    }
}

/// Whether the interface `full` (`ns:pkg/name@1.0.0`) is `wanted` (`ns:pkg/name`) at a version that will do.
fn provides(full: &str, wanted: &str, requirement: Option<&VersionReq>) -> bool {
    let (name, version) = full.split_once('@').map_or((full, None), |(name, version)| (name, Some(version)));
    name == wanted
        && requirement.is_none_or(|requirement| {
            version.and_then(|version| version.parse().ok()).is_some_and(|version| requirement.matches(&version))
        })
}

fn deployed(
    name: &ComponentName,
    component: &ComponentEntry,
    tenant: &TenantId,
) -> Result<Arc<VersionEntry>, ResolveError> {
    let deployment = component.deployment.as_ref().ok_or_else(|| ResolveError {
        detail: format!("{name} has no deployment here: an operator has to deploy a version of it first"),
        nearest: newest(component),
    })?;
    let place = match deployment.stickiness {
        // One version has every place.
        _ if deployment.traffic.len() == 1 => 0,
        Stickiness::Tenant => places::of_tenant(name, tenant),
        Stickiness::Call => component.draws.next(),
    };
    let version = places::owner(deployment, place).and_then(|version| component.versions.get(version));
    version.cloned().ok_or_else(|| ResolveError {
        detail: match &deployment.reason {
            Some(reason) => format!("no version of {name} takes traffic: {reason}"),
            None => format!("no version of {name} takes traffic"),
        },
        nearest: newest(component),
    })
}

fn looked_at(component: &Arc<ComponentEntry>) -> Option<Arc<ComponentEntry>> {
    component.is_looked_at().then(|| Arc::clone(component))
}

fn pinned(
    name: &ComponentName,
    component: &ComponentEntry,
    requirement: &VersionReq,
) -> Result<Arc<VersionEntry>, ResolveError> {
    let fitting = || component.versions.values().rev().filter(|entry| requirement.matches(&entry.record.version));
    let matching = || fitting().filter(|entry| entry.held().is_none());
    let takes_traffic = |entry: &&Arc<VersionEntry>| {
        component.deployment.as_ref().is_some_and(|now| now.traffic.contains_key(&entry.record.version))
    };
    let was_deployed =
        |entry: &&Arc<VersionEntry>| entry.record.deployed_at.is_some() && entry.record.yanked_at.is_none();
    let found = matching().find(takes_traffic).or_else(|| matching().find(was_deployed));
    found.cloned().ok_or_else(|| ResolveError {
        detail: fitting()
            .find_map(|entry| entry.held())
            .unwrap_or_else(|| format!("no version of {name} that satisfies {requirement} was ever deployed here")),
        nearest: newest(component),
    })
}

fn newest(component: &ComponentEntry) -> Vec<String> {
    component.versions.keys().rev().take(3).map(Version::to_string).collect()
}
