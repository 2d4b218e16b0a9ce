//! What changes how much is in a directory: done by one at a time, to the end even if the call is cancelled.

use super::apart::{Apart, Scratch};
use super::directories::Directory;
use super::usage::{Quota, Usage, longest_path};
use bytes::Bytes;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;
use wares_model::limits::FILE_PATH_BYTES_MAX;
use wasmtime_wasi::filesystem::{Descriptor, Dir};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, HostDescriptor as _, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{FsError, FsResult};

/// The directory that is changed, and how much it may hold then.
#[derive(Clone)]
pub(super) struct Changing {
    pub(super) directory: Arc<Directory>,
    pub(super) quota: Quota,
    pub(super) apart: Apart,
}

/// Where a write begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// At so many bytes.
    At(u64),
    /// Behind what is there.
    End,
}

/// Does it even if whoever waits for it goes away.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = FsResult<T>> + Send + 'static,
) -> FsResult<T> {
    tokio::spawn(work).await.unwrap_or_else(|error| Err(FsError::trap(error)))
}

/// How a guest is told of a failure.
pub(super) fn failure(error: &io::Error) -> ErrorCode {
    match error.kind() {
        ErrorKind::QuotaExceeded => ErrorCode::Quota,
        _ => error.into(),
    }
}

impl Changing {
    /// The turn to change the directory, with counters that are right.
    async fn turn(&self) -> io::Result<OwnedMutexGuard<Usage>> {
        let mut usage = Arc::clone(&self.directory.usage).lock_owned().await;
        if self.directory.has_ended() {
            return Err(ErrorKind::NotFound.into());
        }
        if usage.is_settled() {
            return Ok(usage);
        }
        let path = self.directory.path.clone();
        self.apart.run(move || usage.settle(&path).map(|()| usage)).await?
    }

    /// Does something with the directory when it is this one's turn, with counters that are right.
    async fn in_turn<T: Send + 'static>(
        self,
        dir: Dir,
        work: impl AsyncFnOnce(&Self, &mut Usage, &mut Scratch) -> FsResult<T> + Send + 'static,
    ) -> FsResult<T> {
        let mut usage = self.turn().await.map_err(|error| failure(&error))?;
        let apart = self.apart.clone();
        let work = async move |scratch: &mut Scratch| work(&self, &mut usage, scratch).await;
        apart.with(Descriptor::Dir(dir), work).await
    }

    /// Makes a directory.
    pub(super) async fn create_directory(self, dir: Dir, path: String) -> FsResult<()> {
        let work = async move |this: &Self, usage: &mut Usage, scratch: &mut Scratch| {
            this.check_path(scratch, &path, 0)?;
            usage.check_room(this.quota).map_err(|error| failure(&error))?;
            let fd = scratch.fd();
            scratch.view().create_directory_at(fd, path).await?;
            usage.add();
            Ok(())
        };
        self.in_turn(dir, work).await
    }

    /// Opens a file or directory, and makes or cuts it if that is asked for.
    pub(super) async fn open(
        self,
        dir: Dir,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Descriptor> {
        let work = async move |this: &Self, usage: &mut Usage, scratch: &mut Scratch| {
            let before = scratch.stat_at(path_flags, &path).await.ok();
            if before.is_none() && open_flags.contains(OpenFlags::CREATE) {
                this.check_path(scratch, &path, 0)?;
                usage.check_room(this.quota).map_err(|error| failure(&error))?;
            }
            let fd = scratch.fd();
            let opened = scratch.view().open_at(fd, path_flags, path, open_flags, flags).await?;
            let opened = scratch.table.delete(opened)?;
            if let Descriptor::File(file) = &opened {
                match before {
                    None => usage.add(),
                    Some(before) if open_flags.contains(OpenFlags::TRUNCATE) => usage.cut(before.size),
                    Some(_) => {}
                }
                usage.opened(&file.file).map_err(|error| failure(&error))?;
            }
            Ok(opened)
        };
        self.in_turn(dir, work).await
    }

    /// Removes a file.
    pub(super) async fn unlink_file(self, dir: Dir, path: String) -> FsResult<()> {
        let work = async move |_: &Self, usage: &mut Usage, scratch: &mut Scratch| {
            let before = scratch.stat_at(PathFlags::empty(), &path).await?;
            let fd = scratch.fd();
            scratch.view().unlink_file_at(fd, path).await?;
            usage.remove_file(bytes_of(&before));
            Ok(())
        };
        self.in_turn(dir, work).await
    }

    /// Removes a directory.
    pub(super) async fn remove_directory(self, dir: Dir, path: String) -> FsResult<()> {
        let work = async move |_: &Self, usage: &mut Usage, scratch: &mut Scratch| {
            let fd = scratch.fd();
            scratch.view().remove_directory_at(fd, path).await?;
            usage.remove(0);
            Ok(())
        };
        self.in_turn(dir, work).await
    }

    /// Moves a file or directory, perhaps over another one.
    pub(super) async fn rename(self, old_dir: Dir, old: String, new_dir: Dir, new: String) -> FsResult<()> {
        let work = async move |this: &Self, usage: &mut Usage, scratch: &mut Scratch| {
            let mut target = Scratch::new(Descriptor::Dir(new_dir.clone()))?;
            let moved = scratch.stat_at(PathFlags::empty(), &old).await?;
            let below = match moved.type_ {
                DescriptorType::Directory => this.longest_path_below(scratch, &old)?,
                _ => 0,
            };
            this.check_path(&target, &new, below)?;
            let replaced = target.stat_at(PathFlags::empty(), &new).await.ok();
            let is_itself = replaced.is_some() && is_same(scratch, &old, &mut target, &new).await?;
            let (fd, new_fd) = (scratch.fd(), scratch.table.push(Descriptor::Dir(new_dir))?);
            scratch.view().rename_at(fd, old, new_fd, new).await?;
            match replaced {
                Some(_) if is_itself => {}
                Some(DescriptorStat { type_: DescriptorType::Directory, .. }) => usage.remove(0),
                Some(file) => usage.remove_file(bytes_of(&file)),
                None => {}
            }
            Ok(())
        };
        self.in_turn(old_dir, work).await
    }

    /// Makes a file so long, with nothing in what is new of it.
    pub(super) async fn set_size(self, file: Arc<File>, bytes: u64) -> FsResult<()> {
        let mut usage = self.turn().await.map_err(|error| failure(&error))?;
        let quota = self.quota;
        let set = self.apart.run(move || usage.resize(&file, quota, |_| bytes, |_| file.set_len(bytes))).await;
        Ok(set.flatten().map_err(|error| failure(&error))?)
    }

    /// Writes all of it, or nothing if there is no room.
    pub(super) async fn write(self, file: Arc<File>, bytes: Bytes, place: Place) -> io::Result<()> {
        let mut usage = self.turn().await?;
        let quota = self.quota;
        let offset = move |length| match place {
            Place::At(offset) => offset,
            Place::End => length,
        };
        let end = {
            let count = bytes.len() as u64;
            move |length: u64| if count == 0 { length } else { length.max(offset(length).saturating_add(count)) }
        };
        let write = move || usage.resize(&file, quota, end, |length| file.write_all_at(&bytes, offset(length)));
        self.apart.run(write).await?
    }

    /// Where a directory is now, counted from the one that the call sees as `/`.
    fn place_of(&self, scratch: &Scratch) -> FsResult<PathBuf> {
        let Descriptor::Dir(dir) = scratch.table.get(&scratch.fd())? else {
            return Err(ErrorCode::NotDirectory.into());
        };
        let path = fs::read_link(format!("/proc/self/fd/{}", dir.dir.as_raw_fd())).map_err(|error| failure(&error))?;
        Ok(path.strip_prefix(&self.directory.path).map_err(|_| ErrorCode::NoEntry)?.to_owned())
    }

    /// Checks that a path that is new, and what is `below` it, is not too long.
    fn check_path(&self, scratch: &Scratch, path: &str, below: usize) -> FsResult<()> {
        let bytes = self.place_of(scratch)?.as_os_str().len() + 1 + path.len() + below;
        if bytes > FILE_PATH_BYTES_MAX { Err(ErrorCode::NameTooLong.into()) } else { Ok(()) }
    }

    fn longest_path_below(&self, scratch: &Scratch, path: &str) -> FsResult<usize> {
        let path = self.directory.path.join(self.place_of(scratch)?).join(path);
        Ok(longest_path(&path).map_err(|error| failure(&error))?)
    }
}

/// Whether two paths name one file.
async fn is_same(scratch: &mut Scratch, path: &str, other: &mut Scratch, other_path: &str) -> FsResult<bool> {
    let (one, two) = (scratch.identity(path).await?, other.identity(other_path).await?);
    Ok((one.lower, one.upper) == (two.lower, two.upper))
}

fn bytes_of(stat: &DescriptorStat) -> u64 {
    if stat.type_ == DescriptorType::RegularFile { stat.size } else { 0 }
}
