//! The directories of all tenants and components, each open once.

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

/// What the names of directories begin with that are being removed. No tenant's name does.
const WIPED: &str = ".wiped-";

/// The files that components keep on a host. Clones share everything; by default there is no place for files.
#[derive(Clone, Default)]
pub struct Files(Option<Arc<Directories>>);

struct Directories {
    root: PathBuf,
    open: Mutex<HashMap<(TenantId, ComponentName), Arc<Directory>>>,
}

/// The directory of one tenant and component.
pub(crate) struct Directory {
    /// Where it is, without links.
    pub(super) path: PathBuf,
    pub(super) file: File,
    /// How much is in it. Whoever changes that holds the lock from before it looks until what it did is counted.
    pub(super) usage: Arc<tokio::sync::Mutex<Usage>>,
    has_ended: AtomicBool,
}

impl Directory {
    /// Whether it is not the place for this tenant's files any more. It changes while nobody has the turn.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Acquire)
    }

    async fn end(&self) {
        let _turn = self.usage.lock().await;
        self.has_ended.store(true, Ordering::Release);
    }
}

impl Files {
    /// Files below this folder, which is made if it is not there. What a wipe left half removed goes.
    pub fn open(root: &Path) -> io::Result<Self> {
        make(root)?;
        let root = fs::canonicalize(root)?;
        for entry in fs::read_dir(&root)? {
            let entry = entry?;
            if entry.file_name().as_encoded_bytes().starts_with(WIPED.as_bytes()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self(Some(Arc::new(Directories { root, open: Mutex::default() }))))
    }

    /// The directory of a tenant and component, which is made if it is not there; none: there is no place for files.
    pub(super) fn directory(&self, tenant: &TenantId, component: &ComponentName) -> io::Result<Option<Arc<Directory>>> {
        let Some(directories) = &self.0 else { return Ok(None) };
        let mut open = directories.open.lock();
        let name = (tenant.clone(), component.clone());
        if let Some(directory) = open.get(&name) {
            return Ok(Some(Arc::clone(directory)));
        }
        if open.len() >= DIRECTORIES_KEPT_MAX {
            open.retain(|_, directory| Arc::strong_count(directory) > 1);
        }
        // Names are words in kebab-case: safe as names of folders.
        let path = directories.root.join(tenant.as_str()).join(component.namespace()).join(component.name());
        make(&path)?;
        let file = File::open(&path)?;
        let directory = Arc::new(Directory { path, file, usage: Arc::default(), has_ended: AtomicBool::new(false) });
        open.insert(name, Arc::clone(&directory));
        Ok(Some(directory))
    }

    /// Removes all files of a tenant. Calls that have some of them open change nothing any more.
    pub async fn wipe(&self, tenant: &TenantId) -> io::Result<()> {
        let Some(directories) = self.0.clone() else { return Ok(()) };
        let owner = tenant.clone();
        let moved = blocking(move || directories.move_away(&owner)).await?;
        let Some((wiped, gone)) = moved else { return Ok(()) };
        for directory in gone {
            directory.end().await;
        }
        blocking(move || fs::remove_dir_all(wiped)).await
    }
}

impl Directories {
    /// Takes a tenant's folder out of the place where directories are opened, if it has one, in one step.
    fn move_away(&self, tenant: &TenantId) -> io::Result<Option<(PathBuf, Vec<Arc<Directory>>)>> {
        let mut open = self.open.lock();
        let wiped = self.root.join(format!("{WIPED}{}", CallId::generate()));
        match fs::rename(self.root.join(tenant.as_str()), &wiped) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            moved => moved?,
        }
        let gone = open.extract_if(|(owner, _), _| owner == tenant).map(|(_, directory)| directory).collect();
        Ok(Some((wiped, gone)))
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await?
}
