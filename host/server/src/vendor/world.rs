//! The world that a project's component is for.

use anyhow::{Context as _, Result};
use std::path::Path;
use wit_parser::{Resolve, WorldId, WorldKey};

/// A world with everything that it is made of.
pub(crate) struct World {
    pub(crate) resolve: Resolve,
    pub(crate) id: WorldId,
}

impl World {
    /// Reads the world in the folder: the named one, or the only one.
    pub(crate) fn read(wit: &Path, name: Option<&str>) -> Result<Self> {
        let read = || {
            let mut resolve = Resolve::default();
            let (package, _) = resolve.push_path(wit)?;
            let id = resolve.select_world(&[package], name)?;
            anyhow::Ok(Self { resolve, id })
        };
        read().with_context(|| wit.display().to_string())
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        self.resolve.worlds.get(self.id).map_or("", |world| &world.name)
    }

    /// Whether it imports or exports the interface of this name, in whatever version.
    pub(crate) fn names(&self, interface: &str) -> bool {
        let Some(world) = self.resolve.worlds.get(self.id) else { return false };
        let is = |key: &WorldKey| {
            let name = self.resolve.name_world_key(key);
            name.split('@').next() == Some(interface)
        };
        world.imports.keys().chain(world.exports.keys()).any(is)
    }
}
