//! The data directory of one host: its layout, its format, and the lock that keeps a second host out.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The layout that this program writes. It goes up when an older program could not read the directory any more.
const FORMAT: u32 = 1;

/// Digits of the largest process number, with room.
const PID_BYTES_MAX: u64 = 20;

/// An open data directory. The lock is held until it is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another host holds it.
    #[error("another host ({holder}) uses the data directory {path}: stop it, or start with another --data-dir")]
    Locked {
        /// The directory.
        path: PathBuf,
        /// The process that holds it, as it wrote itself: `process 4711`.
        holder: String,
    },
    /// A newer program wrote it.
    #[error(
        "a newer version of wares wrote the data directory {path} (format {found}, this one knows up to {FORMAT}): \
         start that version or a newer one"
    )]
    TooNew {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Its format file is damaged.
    #[error(
        "{path} does not hold a number: is this a wares data directory? Choose another one or restore it from a backup"
    )]
    NotOurs {
        /// The format file.
        path: PathBuf,
    },
    /// Its database is gone, and other things of it are there.
    #[error(
        "{path} is missing or empty, and the data directory is not new: a start would make an empty shelf of it. \
         Restore a backup into another directory, or choose another --data-dir"
    )]
    Bereft {
        /// The database.
        path: PathBuf,
    },
    /// The system refused.
    #[error("the data directory cannot be used: {path}: {source}; check that it exists and this user may write there")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl DataDir {
    /// Opens the directory, creating it if it is not there.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let io = |at: &Path| {
            let path = at.to_owned();
            move |source| DataDirError::Io { path, source }
        };
        create(path).map_err(io(path))?;
        let lock = lock(path)?;
        let format = path.join("format");
        match fs::read_to_string(&format) {
            Ok(text) => check_format(path, &format, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_format(path, &format).map_err(io(&format))?;
            }
            Err(error) => return Err(io(&format)(error)),
        }
        let data_dir = Self { path: path.to_owned(), _lock: lock };
        for folder in [data_dir.artifacts(), data_dir.native()] {
            create(&folder).map_err(io(&folder))?;
        }
        data_dir.check_database()?;
        Ok(data_dir)
    }

    /// What is made after the database is there only with it.
    fn check_database(&self) -> Result<(), DataDirError> {
        let path = self.database();
        let is_there = fs::metadata(&path).is_ok_and(|database| database.len() > 0);
        let has_artifacts = fs::read_dir(self.artifacts()).is_ok_and(|mut artifacts| artifacts.next().is_some());
        match is_there || !(has_artifacts || self.native_key().exists()) {
            true => Ok(()),
            false => Err(DataDirError::Bereft { path }),
        }
    }

    /// The SQLite database.
    pub fn database(&self) -> PathBuf {
        self.path.join("wares.sqlite")
    }

    /// The published bytes.
    pub fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }

    /// The files of components.
    pub fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    /// Native code made from them. It can be removed at any time.
    pub fn native(&self) -> PathBuf {
        self.path.join("native")
    }

    /// The key that secrets are sealed with, if the operator names none.
    pub fn secrets_key(&self) -> PathBuf {
        self.path.join("secrets.key")
    }

    /// The key that vouches for native code.
    pub fn native_key(&self) -> PathBuf {
        self.path.join("native.key")
    }
}

fn create(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn lock(path: &Path) -> Result<File, DataDirError> {
    let lock_path = path.join("lock");
    let io = |source| DataDirError::Io { path: lock_path.clone(), source };
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).to_owned();
    let mut file = options.open(&lock_path).map_err(io)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let holder = holder(&file).map_err(io)?;
            return Err(DataDirError::Locked { path: path.to_owned(), holder });
        }
        Err(error) => return Err(io(error.into())),
    }
    file.set_len(0).map_err(io)?;
    file.rewind().map_err(io)?;
    write!(file, "{}", std::process::id()).map_err(io)?;
    Ok(file)
}

/// Who holds the lock. It takes the lock first and writes its number after, so that there may be none yet.
fn holder(lock: &File) -> io::Result<String> {
    let mut text = Vec::new();
    lock.take(PID_BYTES_MAX).read_to_end(&mut text)?;
    let pid = str::from_utf8(&text).ok().and_then(|text| text.parse::<u32>().ok());
    Ok(pid.map_or_else(|| "a process not known yet".to_owned(), |pid| format!("process {pid}")))
}

fn check_format(path: &Path, format: &Path, text: &str) -> Result<(), DataDirError> {
    let found = text.trim().parse().map_err(|_| DataDirError::NotOurs { path: format.to_owned() })?;
    if found > FORMAT {
        return Err(DataDirError::TooNew { path: path.to_owned(), found });
    }
    Ok(())
}

/// Under another name first: a crash must not leave a file without its number, which would be refused ever after.
fn write_format(folder: &Path, format: &Path) -> io::Result<()> {
    let unfinished = folder.join("format.new");
    let mut file = File::create(&unfinished)?;
    write!(file, "{FORMAT}")?;
    file.sync_all()?;
    fs::rename(&unfinished, format)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_second_opener_in_this_process_is_refused_until_the_first_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let held = DataDir::open(dir.path()).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        assert!(error.contains(dir.path().to_str().unwrap()) && error.contains("--data-dir"), "{error}");
        drop(held);
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn what_is_made_is_for_this_user_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/data");
        let data_dir = DataDir::open(&path).unwrap();
        for folder in [&path, &data_dir.artifacts(), &data_dir.native()] {
            assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
        }
        assert_eq!(path.join("lock").metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_start_that_was_cut_short_is_made_good() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("format.new"), "").unwrap();
        fs::write(dir.path().join("lock"), "12").unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        assert_eq!(fs::read_to_string(dir.path().join("format")).unwrap(), FORMAT.to_string());
        DataDir::open(dir.path()).unwrap();
    }

    #[test]
    fn a_database_that_is_gone_is_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(dir.path()).unwrap();
        let (database, key) = (data_dir.database(), data_dir.native_key());
        drop(data_dir);
        fs::write(&database, "").unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        fs::write(&key, "key").unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::Bereft { .. })));
        fs::write(&database, "database").unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        for file in [&database, &key] {
            fs::remove_file(file).unwrap();
        }
        fs::create_dir(dir.path().join("artifacts/sha256")).unwrap();
        let error = DataDir::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("wares.sqlite is missing") && error.contains("Restore"), "{error}");
    }

    #[test]
    fn a_place_that_cannot_be_a_directory_is_an_error_that_names_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().join("data");
        let error = DataDir::open(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
    }

    #[test]
    fn a_newer_format_and_a_foreign_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(DataDir::open(dir.path()).unwrap());
        fs::write(dir.path().join("format"), "2").unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::TooNew { found: 2, .. })));
        fs::write(dir.path().join("format"), "hello").unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::NotOurs { .. })));
    }
}
