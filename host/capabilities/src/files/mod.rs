//! `wasi:filesystem`: a directory for each tenant and component, which a call sees as `/`.
//!
//! *What the operator configures*: where the directories are, [`Files`]; each grant says whether files may be changed, and how
//! much there may be. *What one call holds*: `Held`; directories are opened when a guest asks for them first. Everything that
//! cannot change how much there is goes to wasmtime's implementation as it comes, and so does every path.
//!
//! Invariants: no path leads out of the directory (wasmtime resolves them beneath it: as one step of the kernel by `openat2`,
//! or, where a system has none, part by part), and no guest makes links of any kind. A directory's counters are what is in it:
//! whatever changes it is done by one at a time, to the end even if the call is cancelled (`change`), and after a start of the
//! host they are counted anew.
//!
//! Bounds: bytes and files of a directory, bytes of a path; files, streams and listings that one call has open; how much is worked
//! with files at once (`apart`).

mod apart;
mod change;
mod directories;
mod host;
mod stream;
mod usage;

pub use directories::Files;
pub(crate) use host::FilesView;

use crate::{CallState, Capability, Interface};
use directories::Directory;
use std::io;
use std::sync::Arc;
use tokio::sync::Semaphore;
use wares_model::limits::FILE_STREAMS_MAX;
use wasmtime::StoreContextMut;
use wasmtime::component::{HasData, Linker};
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::p2::bindings::filesystem::types;

pub(crate) struct FileSystem;

const VERSION: &str = "0.2.12";
const INTERFACES: &[Interface] = &[
    Interface::new("wasi:filesystem/types", VERSION, |linker| {
        types::add_to_linker::<CallState, HasFiles>(linker, CallState::files)
    }),
    Interface::new("wasi:filesystem/preopens", VERSION, link_preopens),
];

/// What wasmtime has for this cannot wait while the directory is made and opened.
fn link_preopens(linker: &mut Linker<CallState>) -> wasmtime::Result<()> {
    let mut preopens = linker.instance(&format!("wasi:filesystem/preopens@{VERSION}"))?;
    preopens.func_wrap_async("get-directories", |mut store: StoreContextMut<'_, CallState>, (): ()| {
        Box::new(async move { Ok((store.data_mut().files().get_directories().await?,)) })
    })
}

impl Capability for FileSystem {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }
}

struct HasFiles;

impl HasData for HasFiles {
    type Data<'a> = FilesView<'a>;
}

/// What a call holds of files.
#[derive(Default)]
pub(crate) struct Held {
    directory: Option<Arc<Directory>>,
    /// One permit per stream that may be open.
    streams: Option<Arc<Semaphore>>,
    /// Files and directories that are open.
    descriptors: usize,
    /// Listings that are open.
    listings: usize,
    context: WasiFilesystemCtx,
}

impl Held {
    /// Whether what it holds is still where the tenant's files are.
    pub(crate) fn is_current(&self) -> bool {
        self.directory.as_ref().is_none_or(|directory| !directory.has_ended())
    }

    fn streams(&mut self) -> &Arc<Semaphore> {
        self.streams.get_or_insert_with(|| Arc::new(Semaphore::new(FILE_STREAMS_MAX)))
    }
}

/// Does what may block on a thread that nothing else waits for.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await?
}
