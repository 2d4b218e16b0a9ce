//! A component's imports, checked against [`ALL`] capabilities and linked to them.

use crate::{ALL, CallState, Capability, Interface, Prepare, VersionConfig, wasi3};
use semver::Version;
use std::fmt;
use wares_model::InterfaceName;
use wasmtime::component::Linker;

/// Letters by which a known name may differ to be suggested: a slip of the fingers.
const SUGGESTION_LETTERS_MAX: usize = 1;
/// Bytes of a name that is compared with known ones.
const COMPARED_BYTES_MAX: usize = 100;

/// Imports that this host does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportError {
    /// Each of them, with what to do about it.
    pub refused: Vec<RefusedImport>,
}

/// One import that is not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedImport {
    /// The name as the component has it.
    pub import: String,
    /// Why not, and what to do.
    pub advice: String,
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the component imports what this host does not give: ")?;
        for (at, RefusedImport { import, advice }) in self.refused.iter().enumerate() {
            write!(f, "{}`{import}` ({advice})", if at > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

impl std::error::Error for ImportError {}

/// Checks that every import is one that this host gives, or that another component may provide.
pub fn check_imports(imports: &[String]) -> Result<(), ImportError> {
    let refused: Vec<_> = imports
        .iter()
        .filter(|import| find(import).is_none() && InterfaceName::of_shelf(import).is_none())
        .map(|import| RefusedImport { import: import.clone(), advice: advice(import) })
        .collect();
    if refused.is_empty() { Ok(()) } else { Err(ImportError { refused }) }
}

/// Whether some import is of interfaces whose functions wait for each other, as those of WASI 0.3 do.
pub fn are_asynchronous(imports: &[String]) -> bool {
    let given = imports.iter().filter_map(|import| find(import));
    given.into_iter().any(|interface| interface.version == wasi3::VERSION)
}

/// Why a version cannot be linked.
#[derive(Debug, thiserror::Error)]
pub enum WiringError {
    /// It imports what is not given.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A capability cannot be had as the version asks for it.
    #[error("{0}")]
    Configure(#[from] crate::ConfigureError),
    /// An interface is imported as what it is not.
    #[error("the component imports what this host gives in another form; build it with the interface's own WIT: {0:#}")]
    Link(wasmtime::Error),
}

/// The capabilities of one loaded version.
pub struct Wiring {
    prepare: Vec<Prepare>,
}

impl Wiring {
    /// Links what is imported, and nothing else, and configures the capabilities that give it.
    pub fn new(
        linker: &mut Linker<CallState>,
        imports: &[String],
        version: &VersionConfig,
    ) -> Result<Self, WiringError> {
        check_imports(imports)?;
        let mut prepare = Vec::new();
        for capability in ALL {
            let interfaces = capability.interfaces().iter();
            let imported: Vec<_> = interfaces.filter(|one| imports.iter().any(|import| gives(one, import))).collect();
            for interface in &imported {
                (interface.link)(linker).map_err(WiringError::Link)?;
            }
            if !imported.is_empty() {
                prepare.extend(capability.configure(version)?);
            }
        }
        Ok(Self { prepare })
    }

    /// Gives a new call its part of every capability that the version uses.
    pub fn prepare(&self, state: &mut CallState) {
        for prepare in &self.prepare {
            prepare(state);
        }
    }
}

fn known() -> impl Iterator<Item = &'static Interface> {
    ALL.iter().flat_map(|capability: &&dyn Capability| capability.interfaces())
}

fn find(import: &str) -> Option<&'static Interface> {
    known().find(|interface| gives(interface, import))
}

/// Whether the interface satisfies the import: the rule by which wasmtime's linker resolves names.
fn gives(interface: &Interface, import: &str) -> bool {
    let Some((name, version)) = import.split_once('@') else { return false };
    name == interface.name
        && match (Version::parse(interface.version), Version::parse(version)) {
            (Ok(given), Ok(asked)) => compatible(&given, &asked),
            _ => false,
        }
}

fn compatible(given: &Version, asked: &Version) -> bool {
    let track = |version: &Version| match version {
        Version { major: 0, minor: 0, patch, .. } => (0, 0, *patch),
        Version { major: 0, minor, .. } => (0, *minor, 0),
        Version { major, .. } => (*major, 0, 0),
    };
    match given.pre.is_empty() && asked.pre.is_empty() {
        true => track(given) == track(asked),
        false => given == asked,
    }
}

fn advice(import: &str) -> String {
    let name = import.split('@').next().unwrap_or(import);
    if name.starts_with("wasi_snapshot_preview1") || name.starts_with("wasi_unstable") {
        return "that is preview 1: build for wasm32-wasip2".to_owned();
    }
    if ["wasi:http/handler", "wasi:http/incoming-handler"].contains(&name) {
        return "no component passes a request on to another one here: send it with wasi:http/outgoing-handler or \
                wasi:http/client"
            .to_owned();
    }
    let given = known().filter(|interface| interface.name == name).map(|interface| interface.version);
    let given: Vec<_> = given.collect();
    if !given.is_empty() {
        return format!("given is version {}: build against that", given.join(" and "));
    }
    let comparable = known().filter(|_| name.len() <= COMPARED_BYTES_MAX);
    let mut near = comparable.filter(|known| strsim::osa_distance(name, known.name) <= SUGGESTION_LETTERS_MAX);
    match near.next() {
        Some(interface) => format!("unknown; did you mean {}@{}?", interface.name, interface.version),
        None if !name.contains(':') => {
            "not the name of an interface: what is imported is named in full, as namespace:package/interface@version; a function \
             of the world itself, or an interface under a name of its own, is given by nobody"
                .to_owned()
        }
        None => "unknown; build the component without it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(import: &str) -> Option<String> {
        check_imports(&[import.to_owned()]).err().map(|error| error.to_string())
    }

    #[test]
    fn every_compatible_version_is_given() {
        for import in [
            "wasi:cli/stdout@0.2.0",
            "wasi:io/poll@0.2.6",
            "wasi:http/outgoing-handler@0.2.4",
            "wasi:filesystem/types@0.2.12",
            "wasi:random/random@0.2.99",
        ] {
            assert_eq!(refusal(import), None);
        }
        for import in
            ["tcp", "udp", "network", "instance-network", "tcp-create-socket", "udp-create-socket", "ip-name-lookup"]
        {
            assert_eq!(refusal(&format!("wasi:sockets/{import}@0.2.3")), None);
        }
        assert_eq!(refusal("wasi:sockets/types@0.3.0"), None);
        assert_eq!(refusal("wasi:clocks/system-clock@0.3.2"), None);
        assert_eq!(refusal("wasi:http/client@0.3.2"), None);
        assert_eq!(refusal("wasi:config/store@0.2.0-rc.1"), None);
        assert_eq!(refusal("wasi:logging/logging@0.1.0-draft"), None);
    }

    #[test]
    fn interfaces_of_others_are_left_to_the_shelf() {
        assert_eq!(refusal("acme:tax/rates@1.0.0"), None);
        assert_eq!(refusal("acme:tax/rates"), None);
        assert!(refusal("wares:unheard/of@1.0.0").is_some());
    }

    #[test]
    fn refusals_name_the_import_and_the_way_out() {
        for (import, advice) in [
            ("wasi:cli/stdout@0.4.0", "given is version 0.2.12 and 0.3.0"),
            ("wasi:cli/stdout", "given is version 0.2.12 and 0.3.0"),
            ("wasi:config/store@0.2.0", "given is version 0.2.0-rc.1"),
            ("wasi:cli/stdot@0.2.6", "did you mean wasi:cli/stdout@0.2.12?"),
            ("wasi:cli/stduot@0.2.6", "did you mean wasi:cli/stdout@0.2.12?"),
            ("wasi:http/handler@0.3.0", "send it with wasi:http/outgoing-handler or wasi:http/client"),
            ("wasi:nn/tensor@0.2.0", "unknown; build the component without it"),
            ("wasi:cli/stdlog@0.2.6", "unknown; build the component without it"),
            ("do-something", "named in full, as namespace:package/interface@version"),
            ("wasi_snapshot_preview1", "wasm32-wasip2"),
        ] {
            let refusal = refusal(import).unwrap();
            assert!(refusal.contains(&format!("`{import}`")) && refusal.contains(advice), "{refusal}");
        }
    }

    #[test]
    fn no_interface_is_given_twice() {
        let mut names: Vec<_> = known().map(|interface| (interface.name, interface.version)).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
