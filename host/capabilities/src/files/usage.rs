//! How much is in one directory.

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Weak};

/// How much a directory may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Quota {
    /// Bytes of all files, holes in them included.
    pub(super) bytes_max: u64,
    /// Files and directories.
    pub(super) files_max: u64,
}

/// How much a directory holds, files that were removed while they are open included: they take their place until they are
/// closed.
#[derive(Debug, Default)]
pub(super) struct Usage {
    bytes: u64,
    files: u64,
    is_measured: bool,
    /// Open files by inode. Those that are closed are dropped now and then.
    open: Vec<(u64, Weak<File>)>,
    open_kept_max: usize,
    /// Files that were removed and are still open.
    removed: Vec<Removed>,
}

#[derive(Debug)]
struct Removed {
    inode: u64,
    bytes: u64,
}

impl Usage {
    /// Brings the counters up to date, by looking at every file if this has not been done since the host started.
    pub(super) fn settle(&mut self, directory: &Path) -> io::Result<()> {
        if !self.is_measured {
            (self.bytes, self.files) = measure(directory)?;
            self.is_measured = true;
        }
        self.release_closed();
        Ok(())
    }

    /// Gives back what removed files took that are closed by now.
    fn release_closed(&mut self) {
        let Self { bytes, files, open, removed, .. } = self;
        removed.retain(|file| {
            let is_open = open.iter().any(|(inode, open)| *inode == file.inode && open.strong_count() > 0);
            if !is_open {
                *bytes = bytes.saturating_sub(file.bytes);
                *files = files.saturating_sub(1);
            }
            is_open
        });
    }

    /// Whether the counters are right as they are.
    pub(super) fn is_settled(&self) -> bool {
        self.is_measured && self.removed.is_empty()
    }

    /// Checks that there is room for one more file or directory.
    pub(super) fn check_room(&self, quota: Quota) -> io::Result<()> {
        if self.files >= quota.files_max { Err(ErrorKind::QuotaExceeded.into()) } else { Ok(()) }
    }

    pub(super) fn add(&mut self) {
        self.files = self.files.saturating_add(1);
    }

    /// A directory, or a file that cannot be open, is gone.
    pub(super) fn remove(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.files = self.files.saturating_sub(1);
    }

    /// A file of so many bytes is gone from its directory.
    pub(super) fn remove_file(&mut self, bytes: u64) {
        let known = &self.removed;
        let removed = self.open.iter().find(|(inode, file)| {
            let metadata = file.upgrade().and_then(|file| file.metadata().ok());
            metadata.is_some_and(|metadata| metadata.nlink() == 0) && !known.iter().any(|file| file.inode == *inode)
        });
        match removed {
            Some(&(inode, _)) => self.removed.push(Removed { inode, bytes }),
            None => self.remove(bytes),
        }
    }

    /// A file was cut to nothing as it was opened.
    pub(super) fn cut(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// A file is open from now on.
    pub(super) fn opened(&mut self, file: &Arc<File>) -> io::Result<()> {
        let inode = file.metadata()?.ino();
        // The inode may be that of a removed file that was closed since: what is counted for that one is not this one's.
        self.release_closed();
        if self.open.len() >= self.open_kept_max {
            self.open.retain(|(_, file)| file.strong_count() > 0);
            self.open_kept_max = (self.open.len() * 2).max(64);
        }
        self.open.push((inode, Arc::downgrade(file)));
        Ok(())
    }

    /// Does something to a file that makes it so long as `wanted` says of its length, if there is room.
    pub(super) fn resize<T>(
        &mut self,
        file: &File,
        quota: Quota,
        wanted: impl FnOnce(u64) -> u64,
        work: impl FnOnce(u64) -> io::Result<T>,
    ) -> io::Result<T> {
        let before = file.metadata()?;
        let growth = wanted(before.len()).saturating_sub(before.len());
        if growth > 0 && growth > quota.bytes_max.saturating_sub(self.bytes) {
            return Err(ErrorKind::QuotaExceeded.into());
        }
        let done = work(before.len());
        // What failed may have been done in part.
        let after = file.metadata()?;
        self.changed(&before, &after);
        done
    }

    fn changed(&mut self, before: &Metadata, after: &Metadata) {
        let change = |bytes: &mut u64| *bytes = bytes.saturating_sub(before.len()).saturating_add(after.len());
        change(&mut self.bytes);
        if let Some(removed) = self.removed.iter_mut().find(|file| file.inode == before.ino()) {
            change(&mut removed.bytes);
        }
    }
}

/// Bytes of all files below a directory, and how many files and directories there are. Paths are short enough for the kernel:
/// see [`FILE_PATH_BYTES_MAX`](wares_model::limits::FILE_PATH_BYTES_MAX).
fn measure(directory: &Path) -> io::Result<(u64, u64)> {
    let (mut bytes, mut files) = (0_u64, 0_u64);
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            files = files.saturating_add(1);
            if metadata.is_dir() {
                folders.push(entry.path());
            } else if metadata.is_file() {
                bytes = bytes.saturating_add(metadata.len());
            }
        }
    }
    Ok((bytes, files))
}

/// Bytes of the longest path below a directory, counted from there.
pub(super) fn longest_path(directory: &Path) -> io::Result<usize> {
    let mut longest = 0;
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            let below = path.as_os_str().len().saturating_sub(directory.as_os_str().len());
            longest = longest.max(below);
            if entry.file_type()?.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_file_that_is_closed_lends_its_inode_to_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let open = |name: &str| Arc::new(File::create(dir.path().join(name)).unwrap());
        let quota = Quota { bytes_max: 1_000, files_max: 10 };
        let mut usage = Usage::default();
        usage.settle(dir.path()).unwrap();
        let write =
            |usage: &mut Usage, file: &Arc<File>, bytes| usage.resize(file, quota, |_| bytes, |_| file.set_len(bytes));
        let first = open("first");
        usage.add();
        usage.opened(&first).unwrap();
        write(&mut usage, &first, 600).unwrap();
        fs::remove_file(dir.path().join("first")).unwrap();
        usage.remove_file(600);
        assert_eq!((usage.bytes, usage.files), (600, 1), "it is open still");

        // As if it had got the inode that became free.
        drop(first);
        let second = open("second");
        usage.add();
        usage.removed[0].inode = second.metadata().unwrap().ino();
        usage.opened(&second).unwrap();
        assert_eq!((usage.bytes, usage.files), (0, 1));
        write(&mut usage, &second, 1_000).unwrap();
        drop(second);
        usage.settle(dir.path()).unwrap();
        assert_eq!((usage.bytes, usage.files), (1_000, 1), "it is there still");
    }
}
