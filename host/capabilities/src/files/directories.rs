//! The directories of all tenants and components, each known once.

use super::apart::Gate;
use super::blocking;
use super::usage::Usage;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use wares_model::limits::DIRECTORIES_KEPT_MAX;
use wares_model::{CallId, ComponentName, TenantId};

/// What the names of folders begin with that are being removed: then come the tenant, a dot and an id. No tenant's name begins
/// so or has a dot.
const WIPED: &str = ".wiped-";

/// The files that components keep on a host. Clones share everything; by default there is no place for files.
#[derive(Clone, Default)]
pub struct Files(Option<Arc<Directories>>);

struct Directories {
    root: PathBuf,
    gate: Gate,
    known: Mutex<HashMap<(TenantId, ComponentName), Arc<Directory>>>,
    /// Held by whoever wipes, so that nobody says that all is gone while another one is still removing it.
    wiping: tokio::sync::Mutex<()>,
}

/// The directory of one tenant and component.
pub(crate) struct Directory {
    /// Where it is, without links.
    pub(super) path: PathBuf,
    /// How much is in it. Whoever changes that holds the lock from before it looks until what it did is counted.
    pub(super) usage: Arc<tokio::sync::Mutex<Usage>>,
    has_ended: AtomicBool,
}

impl Directory {
    /// Whether it is not the place for this tenant's files any more. Whoever has the turn by then finishes what he does there, and
    /// a wipe waits for him.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    /// Opens it; it is made if it is not there.
    pub(super) fn open(&self) -> io::Result<File> {
        if self.has_ended() {
            return Err(io::ErrorKind::NotFound.into());
        }
        make(&self.path)?;
        File::open(&self.path)
    }
}

impl Files {
    /// Files below this folder, which is made if it is not there. What a wipe left half removed goes.
    pub fn open(root: &Path) -> io::Result<Self> {
        make(root)?;
        let root = fs::canonicalize(root)?;
        remove_beginning(&root, WIPED)?;
        let (known, wiping) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self(Some(Arc::new(Directories { root, gate: Gate::default(), known, wiping }))))
    }

    /// What work with files passes.
    pub(super) fn gate(&self) -> Gate {
        self.0.as_ref().map_or_else(Gate::default, |directories| directories.gate.clone())
    }

    /// The directory of a tenant and component; none: there is no place for files.
    pub(super) fn directory(&self, tenant: &TenantId, component: &ComponentName) -> Option<Arc<Directory>> {
        let directories = self.0.as_ref()?;
        let mut known = directories.known.lock();
        let name = (tenant.clone(), component.clone());
        if let Some(directory) = known.get(&name) {
            return Some(Arc::clone(directory));
        }
        if known.len() >= DIRECTORIES_KEPT_MAX {
            known.retain(|_, directory| Arc::strong_count(directory) > 1);
        }
        // Names are words in kebab-case: safe as names of folders.
        let path = directories.root.join(tenant.as_str()).join(component.namespace()).join(component.name());
        let directory = Arc::new(Directory { path, usage: Arc::default(), has_ended: AtomicBool::new(false) });
        known.insert(name, Arc::clone(&directory));
        Some(directory)
    }

    /// Removes all files of a tenant, those included that an earlier wipe left. Calls that have some of them open change nothing
    /// any more.
    pub async fn wipe(&self, tenant: &TenantId) -> io::Result<()> {
        let Some(directories) = self.0.clone() else { return Ok(()) };
        let _wiping = directories.wiping.lock().await;
        let wiped = format!("{WIPED}{tenant}.");
        let moving = (Arc::clone(&directories), tenant.clone(), format!("{wiped}{}", CallId::generate()));
        let gone = blocking(move || moving.0.move_away(&moving.1, &moving.2)).await?;
        for directory in gone {
            // What was begun there ends first.
            let _turn = directory.usage.lock().await;
        }
        let root = directories.root.clone();
        blocking(move || remove_beginning(&root, &wiped)).await
    }
}

impl Directories {
    /// Takes a tenant's folder, if it has one, out of the place where directories are opened, and ends those, all in one step.
    fn move_away(&self, tenant: &TenantId, name: &str) -> io::Result<Vec<Arc<Directory>>> {
        let mut known = self.known.lock();
        match fs::rename(self.root.join(tenant.as_str()), self.root.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let gone: Vec<_> = known.extract_if(|(owner, _), _| owner == tenant).map(|(_, directory)| directory).collect();
        gone.iter().for_each(|directory| directory.has_ended.store(true, Ordering::Release));
        Ok(gone)
    }
}

/// Removes the folders whose names begin so, with all that is in them.
fn remove_beginning(root: &Path, name: &str) -> io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(name.as_bytes()) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
