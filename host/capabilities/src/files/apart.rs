//! Where work with files is done: on threads that nothing else waits for, only so many at once, at the expense of the call.
//!
//! What wasmtime does with descriptors is done here too, on copies of them, so that it is measured like the rest.

use crate::cpu::{self, Account};
use std::io;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};
use std::thread::available_parallelism;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorStat, HostDescriptor as _, MetadataHashValue, PathFlags,
};
use wasmtime_wasi::p2::{FsError, FsResult};

/// How wasmtime opens what it opens here: to be worked with on the thread that asks.
static CONTEXT: LazyLock<WasiFilesystemCtx> = LazyLock::new(|| {
    let mut context = WasiCtxBuilder::new().allow_blocking_current_thread(true).build();
    context.filesystem().clone()
});

/// How much is worked with files at once on a host. More at once than processors would keep calls from their threads.
#[derive(Clone)]
pub(super) struct Gate(Arc<Semaphore>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(available_parallelism().map_or(1, NonZeroUsize::get))))
    }
}

/// Does one call's work.
#[derive(Clone)]
pub(super) struct Apart {
    pub(super) gate: Gate,
    pub(super) account: Account,
}

impl Apart {
    /// Does something. Once it has begun it is done to its end.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
        let permit = Arc::clone(&self.gate.0).acquire_owned().await.map_err(io::Error::other)?;
        let work = move || {
            let done = work();
            drop(permit);
            done
        };
        Ok(cpu::blocking(&self.account, work).await?)
    }

    /// Does something with a copy of a descriptor.
    pub(super) async fn with<T: Send + 'static>(
        self,
        descriptor: Descriptor,
        work: impl AsyncFnOnce(&mut Scratch) -> FsResult<T> + Send + 'static,
    ) -> FsResult<T> {
        let runtime = Handle::current();
        let work = move || {
            runtime.block_on(async {
                let mut scratch = Scratch::new(descriptor)?;
                work(&mut scratch).await
            })
        };
        self.run(work).await.unwrap_or_else(|error| Err(FsError::trap(error)))
    }
}

/// A table of its own for what wasmtime does beside the call.
pub(super) struct Scratch {
    pub(super) table: ResourceTable,
    context: WasiFilesystemCtx,
    fd: u32,
}

impl Scratch {
    pub(super) fn new(descriptor: Descriptor) -> FsResult<Self> {
        let mut table = ResourceTable::new();
        let fd = table.push(descriptor)?.rep();
        Ok(Self { table, context: CONTEXT.clone(), fd })
    }

    pub(super) fn fd(&self) -> Resource<Descriptor> {
        Resource::new_borrow(self.fd)
    }

    pub(super) fn view(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView { ctx: &mut self.context, table: &mut self.table }
    }

    pub(super) async fn stat_at(&mut self, path_flags: PathFlags, path: &str) -> FsResult<DescriptorStat> {
        let fd = self.fd();
        self.view().stat_at(fd, path_flags, path.to_owned()).await
    }

    /// What tells whether two paths name one file.
    pub(super) async fn identity(&mut self, path: &str) -> FsResult<MetadataHashValue> {
        let fd = self.fd();
        self.view().metadata_hash_at(fd, PathFlags::empty(), path.to_owned()).await
    }
}
