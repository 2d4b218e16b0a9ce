//! What a guest's requests do: those that change how much there is, here; the others as wasmtime does them.

use super::Held;
use super::apart::{Apart, Scratch};
use super::change::{Changing, Place, failure, to_the_end};
use super::directories::Directory;
use super::stream::{Reading, Writing};
use super::usage::Quota;
use crate::cpu::Account;
use crate::refusal::Refusal;
use crate::{CallContext, CallLog, OverLimit, Services};
use bytes::Bytes;
use std::fs::File;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use wares_model::grants::{FilesAccess, FilesGrant};
use wares_model::limits::{FILE_DESCRIPTORS_MAX, LISTINGS_MAX};
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};
use wasmtime_wasi::filesystem::{Descriptor, Dir, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::types;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, ReaddirIterator};
use wasmtime_wasi::{FsPerms, OpenMode};

use types::{
    Advice, DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, Filesize, HostDescriptor,
    HostDirectoryEntryStream, MetadataHashValue, NewTimestamp, OpenFlags, PathFlags,
};

/// What files are worked with.
pub(crate) struct FilesView<'a> {
    pub(crate) context: &'a Arc<CallContext>,
    pub(crate) services: &'a Arc<Services>,
    pub(crate) log: &'a CallLog,
    pub(crate) cpu: Account,
    pub(crate) table: &'a mut ResourceTable,
    pub(crate) held: &'a mut Held,
}

type Fd = Resource<Descriptor>;

impl FilesView<'_> {
    fn wasi(&mut self) -> WasiFilesystemCtxView<'_> {
        WasiFilesystemCtxView { ctx: &mut self.held.context, table: self.table }
    }

    /// The call's directory and what it may do there, if it is granted any.
    fn granted(&mut self) -> Option<(Arc<Directory>, FilesGrant)> {
        let grant = self.context.granted.files()?;
        if self.held.directory.is_none() {
            self.held.directory = self.services.files.directory(&self.context.tenant, &self.context.component);
        }
        self.context.note_used(format_args!("files {}", grant.access));
        self.held.directory.clone().map(|directory| (directory, grant))
    }

    /// Says in the call's log why it sees no files.
    fn refuse(&self) {
        let CallContext { component, granted, .. } = &**self.context;
        let access = granted.asked().and_then(|asked| asked.files).unwrap_or(FilesAccess::ReadOnly);
        let refusal = Refusal {
            component,
            is_asked: granted.asked().is_none_or(|asked| asked.files.is_some()),
            is_granted: granted.grants().files.is_some(),
            ask: format!("files = \"{access}\""),
            flags: format!("--files {access}"),
        };
        self.log.say(format_args!("[files] there is no directory: {}", refusal.advice()));
    }

    /// The right to change something in the call's directory.
    fn changing(&mut self) -> FsResult<Changing> {
        let (directory, FilesGrant { bytes_max, files_max, .. }) = self.granted().ok_or(ErrorCode::NotPermitted)?;
        Ok(Changing { directory, quota: Quota { bytes_max, files_max }, apart: self.apart() })
    }

    fn apart(&self) -> Apart {
        Apart { gate: self.services.files.gate(), account: Arc::clone(&self.cpu) }
    }

    /// Has wasmtime do something with a descriptor, apart from the call.
    async fn have<T: Send + 'static>(
        &mut self,
        fd: &Fd,
        work: impl AsyncFnOnce(WasiFilesystemCtxView<'_>, Fd) -> FsResult<T> + Send + 'static,
    ) -> FsResult<T> {
        let descriptor = self.table.get(fd)?.clone();
        let work = async move |scratch: &mut Scratch| {
            let fd = scratch.fd();
            work(scratch.view(), fd).await
        };
        self.apart().with(descriptor, work).await
    }

    fn dir(&self, fd: &Fd) -> FsResult<Dir> {
        match self.table.get(fd)? {
            Descriptor::Dir(dir) => Ok(dir.clone()),
            Descriptor::File(_) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// A directory in which something may be changed.
    fn changeable(&self, fd: &Fd) -> FsResult<Dir> {
        let dir = self.dir(fd)?;
        if dir.perms.write_not_permitted() { Err(ErrorCode::NotPermitted.into()) } else { Ok(dir) }
    }

    /// A file that may be written to.
    fn writable(&self, fd: &Fd) -> FsResult<Arc<File>> {
        match self.table.get(fd)? {
            Descriptor::File(file) if file.perms.write_not_permitted() => Err(ErrorCode::NotPermitted.into()),
            Descriptor::File(file) => Ok(Arc::clone(&file.file)),
            Descriptor::Dir(_) => Err(ErrorCode::BadDescriptor.into()),
        }
    }

    fn permit(&mut self) -> FsResult<OwnedSemaphorePermit> {
        let permit = Arc::clone(self.held.streams()).try_acquire_owned();
        Ok(permit.map_err(|_| ErrorCode::InsufficientMemory)?)
    }

    fn write_from(&mut self, fd: &Fd, place: Place) -> FsResult<Resource<DynOutputStream>> {
        let (file, changing, permit) = (self.writable(fd)?, self.changing()?, self.permit()?);
        let stream: DynOutputStream = Box::new(Writing::new(changing, file, place, permit));
        Ok(self.table.push(stream)?)
    }

    /// Whether one more file or directory may be open.
    fn has_room(&self) -> bool {
        self.held.descriptors < FILE_DESCRIPTORS_MAX
    }

    fn push(&mut self, descriptor: Descriptor) -> Result<Fd, ResourceTableError> {
        let fd = self.table.push(descriptor)?;
        self.held.descriptors += 1;
        Ok(fd)
    }

    /// The directory that the call sees as `/`, if it has one.
    pub(super) async fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        let Some((directory, grant)) = self.granted() else {
            self.refuse();
            return Ok(Vec::new());
        };
        if !self.has_room() {
            let detail = format!("a call may have {FILE_DESCRIPTORS_MAX} files and directories open");
            return Err(wasmtime::Error::new(OverLimit(detail)));
        }
        let (perms, mode) = match grant.access {
            FilesAccess::ReadOnly => (FsPerms::ReadOnly, OpenMode::READ),
            FilesAccess::ReadWrite => (FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE),
        };
        let CallContext { tenant, component, .. } = &**self.context;
        let opened = self.apart().run(move || directory.open()).await.flatten().inspect_err(|error| {
            tracing::error!(%error, %tenant, %component, "the directory for files cannot be opened");
        });
        // What is done with it is done apart.
        let dir = Dir::new(opened?, perms, mode, true);
        Ok(vec![(self.push(Descriptor::Dir(dir))?, "/".to_owned())])
    }
}

impl types::Host for FilesView<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        let error = self.table.get(&error)?;
        Ok(error.downcast_ref::<std::io::Error>().map(failure))
    }
}

impl HostDescriptor for FilesView<'_> {
    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let (dir, changing) = (self.changeable(&fd)?, self.changing()?);
        to_the_end(changing.create_directory(dir, path)).await
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Fd> {
        let (dir, changing) = (self.dir(&fd)?, self.changing()?);
        if !self.has_room() {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let opened = to_the_end(changing.open(dir, path_flags, path, open_flags, flags)).await?;
        Ok(self.push(opened)?)
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let (dir, changing) = (self.changeable(&fd)?, self.changing()?);
        to_the_end(changing.unlink_file(dir, path)).await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        let (dir, changing) = (self.changeable(&fd)?, self.changing()?);
        to_the_end(changing.remove_directory(dir, path)).await
    }

    async fn rename_at(&mut self, fd: Fd, old: String, new_fd: Fd, new: String) -> FsResult<()> {
        let (old_dir, new_dir, changing) = (self.changeable(&fd)?, self.changeable(&new_fd)?, self.changing()?);
        to_the_end(changing.rename(old_dir, old, new_dir, new)).await
    }

    async fn link_at(&mut self, _: Fd, _: PathFlags, _: String, _: Fd, _: String) -> FsResult<()> {
        // A file with two names would count twice.
        Err(ErrorCode::NotPermitted.into())
    }

    async fn symlink_at(&mut self, _: Fd, _: String, _: String) -> FsResult<()> {
        // Nobody who looks at the directory from outside, an operator or a backup, is led out of it.
        Err(ErrorCode::NotPermitted.into())
    }

    async fn set_size(&mut self, fd: Fd, size: Filesize) -> FsResult<()> {
        let (file, changing) = (self.writable(&fd)?, self.changing()?);
        to_the_end(changing.set_size(file, size)).await
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: Filesize) -> FsResult<Filesize> {
        let (file, changing) = (self.writable(&fd)?, self.changing()?);
        let count = bytes.len() as Filesize;
        let write = changing.write(file, Bytes::from(bytes), Place::At(offset));
        to_the_end(async move { Ok(write.await.map_err(|error| failure(&error))?) }).await?;
        Ok(count)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynOutputStream>> {
        self.write_from(&fd, Place::At(offset))
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        self.write_from(&fd, Place::End)
    }

    fn read_via_stream(&mut self, fd: Fd, offset: Filesize) -> FsResult<Resource<DynInputStream>> {
        let permit = self.permit()?;
        let file = match self.table.get(&fd)? {
            Descriptor::File(file) => Arc::clone(&file.file),
            Descriptor::Dir(_) => return Err(ErrorCode::IsDirectory.into()),
        };
        let stream: DynInputStream = Box::new(Reading::new(self.apart(), file, offset, permit));
        Ok(self.table.push(stream)?)
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Resource<ReaddirIterator>> {
        if self.held.listings >= LISTINGS_MAX {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        let work = async move |scratch: &mut Scratch| {
            let fd = scratch.fd();
            let listing = scratch.view().read_directory(fd).await?;
            Ok(scratch.table.delete(listing)?)
        };
        let dir = self.table.get(&fd)?.clone();
        let listing = self.apart().with(dir, work).await?;
        let listing = self.table.push(listing)?;
        self.held.listings += 1;
        Ok(listing)
    }

    async fn advise(&mut self, fd: Fd, offset: Filesize, length: Filesize, advice: Advice) -> FsResult<()> {
        self.have(&fd, async move |mut wasi, fd| wasi.advise(fd, offset, length, advice).await).await
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.have(&fd, async move |mut wasi, fd| wasi.sync_data(fd).await).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.have(&fd, async move |mut wasi, fd| wasi.sync(fd).await).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<DescriptorFlags> {
        self.have(&fd, async move |mut wasi, fd| wasi.get_flags(fd).await).await
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<DescriptorType> {
        self.have(&fd, async move |mut wasi, fd| wasi.get_type(fd).await).await
    }

    async fn set_times(&mut self, fd: Fd, accessed: NewTimestamp, modified: NewTimestamp) -> FsResult<()> {
        self.have(&fd, async move |mut wasi, fd| wasi.set_times(fd, accessed, modified).await).await
    }

    async fn read(&mut self, fd: Fd, length: Filesize, offset: Filesize) -> FsResult<(Vec<u8>, bool)> {
        self.have(&fd, async move |mut wasi, fd| wasi.read(fd, length, offset).await).await
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<DescriptorStat> {
        self.have(&fd, async move |mut wasi, fd| wasi.stat(fd).await).await
    }

    async fn stat_at(&mut self, fd: Fd, path_flags: PathFlags, path: String) -> FsResult<DescriptorStat> {
        self.have(&fd, async move |mut wasi, fd| wasi.stat_at(fd, path_flags, path).await).await
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        path_flags: PathFlags,
        path: String,
        accessed: NewTimestamp,
        modified: NewTimestamp,
    ) -> FsResult<()> {
        self.have(&fd, async move |mut wasi, fd| wasi.set_times_at(fd, path_flags, path, accessed, modified).await)
            .await
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        self.have(&fd, async move |mut wasi, fd| wasi.readlink_at(fd, path).await).await
    }

    async fn is_same_object(&mut self, one: Fd, other: Fd) -> wasmtime::Result<bool> {
        let other = self.table.get(&other)?.clone();
        let same = async move |scratch: &mut Scratch| {
            let (one, other) = (scratch.fd(), scratch.table.push(other)?);
            scratch.view().is_same_object(one, other).await.map_err(FsError::trap)
        };
        let one = self.table.get(&one)?.clone();
        self.apart().with(one, same).await.map_err(|error| match error.downcast() {
            Ok(code) => code.into(),
            Err(error) => error,
        })
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<MetadataHashValue> {
        self.have(&fd, async move |mut wasi, fd| wasi.metadata_hash(fd).await).await
    }

    async fn metadata_hash_at(&mut self, fd: Fd, path_flags: PathFlags, path: String) -> FsResult<MetadataHashValue> {
        self.have(&fd, async move |mut wasi, fd| wasi.metadata_hash_at(fd, path_flags, path).await).await
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        self.held.descriptors = self.held.descriptors.saturating_sub(1);
        HostDescriptor::drop(&mut self.wasi(), fd)
    }
}

impl HostDirectoryEntryStream for FilesView<'_> {
    async fn read_directory_entry(&mut self, listing: Resource<ReaddirIterator>) -> FsResult<Option<DirectoryEntry>> {
        self.wasi().read_directory_entry(listing).await
    }

    fn drop(&mut self, listing: Resource<ReaddirIterator>) -> wasmtime::Result<()> {
        self.held.listings = self.held.listings.saturating_sub(1);
        HostDirectoryEntryStream::drop(&mut self.wasi(), listing)
    }
}
