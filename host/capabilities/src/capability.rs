//! The contract that every capability keeps.

use crate::CallState;
use std::collections::BTreeMap;
use std::sync::Arc;
use wasmtime::component::Linker;

/// An interface that guests may import.
pub struct Interface {
    /// Its name without version, as `wasi:cli/stdout`.
    pub name: &'static str,
    /// The version that is implemented. Imports of every version that semver calls compatible are satisfied by it.
    pub version: &'static str,
    /// Defines it in a linker.
    pub link: Link,
}

type Link = fn(&mut Linker<CallState>) -> wasmtime::Result<()>;

impl Interface {
    /// Unit tests look at names alone, and what links is most of what takes time to compile: they are spared it.
    pub(crate) const fn new(name: &'static str, version: &'static str, link: Link) -> Self {
        let link = if cfg!(test) { link_nothing } else { link };
        Self { name, version, link }
    }
}

fn link_nothing(_: &mut Linker<CallState>) -> wasmtime::Result<()> {
    Ok(())
}

/// Something of the host that guests may use.
pub trait Capability: Sync {
    /// *Init*: the interfaces it gives, each with the function that links it.
    fn interfaces(&self) -> &'static [Interface];

    /// *Configure*: checks what a version that imports one of the interfaces brings with it. Runs once per loaded
    /// version. What it returns runs at the start of every call (*prepare*); most need nothing there.
    fn configure(&self, _version: &VersionConfig) -> Result<Option<Prepare>, ConfigureError> {
        Ok(None)
    }
}

/// *Prepare*: gives a new call its part of a capability. Must be cheap.
pub type Prepare = Box<dyn Fn(&mut CallState) + Send + Sync>;

/// What a version brings with it.
pub struct VersionConfig {
    /// The values that `wasi:config/store` answers with.
    pub config: Arc<BTreeMap<String, String>>,
}

/// Why a version cannot have a capability as it asks for it.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct ConfigureError(pub String);
