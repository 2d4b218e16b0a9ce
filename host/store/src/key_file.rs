//! Files that hold a key: made whole or not at all, and read by their owner alone.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use tempfile::NamedTempFile;

/// Makes a file that only this user may read. It is complete, on the disk too, from the moment it has its name. One that is
/// there already stays as it is: [`io::ErrorKind::AlreadyExists`].
pub fn create_key_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// Opens a file that holds a key. One that others than its owner may read or write is refused: [`io::ErrorKind::PermissionDenied`].
pub fn open_key_file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        let detail = format!("{} can be read by others: run `chmod 600` on it", path.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, detail));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_key_file_is_for_this_user_only_and_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some.key");
        create_key_file(&path, b"key").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create_key_file(&path, b"other").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"key");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing unfinished is left");
    }

    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some.key");
        create_key_file(&path, b"key").unwrap();
        for (mode, is_taken) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match open_key_file(&path) {
                Ok(_) => assert!(is_taken, "{mode:o}"),
                Err(error) => {
                    assert!(!is_taken && error.kind() == io::ErrorKind::PermissionDenied, "{mode:o}: {error}");
                    assert!(error.to_string().contains("some.key can be read by others: run `chmod 600`"), "{error}");
                }
            }
        }
    }
}
