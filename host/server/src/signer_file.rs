//! The file of a signer's private key: made once, read to sign, for its owner's eyes only.

use crate::exit::Exit;
use anyhow::Context as _;
use std::io::Read as _;
use std::path::Path;
use wares_model::{PrivateKey, SignerKey};
use wares_store::{create_key_file, open_key_file};

/// Bytes of such a file, with room.
const FILE_BYTES_MAX: u64 = 1 << 10;

/// Makes a key and writes it to a file that is not there yet. Returns its public half.
pub fn create(path: &Path) -> anyhow::Result<SignerKey> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).context("no random bytes for a new key")?;
    let key = PrivateKey::from_random(random);
    match create_key_file(path, format!("{}\n", key.reveal()).as_bytes()) {
        Ok(()) => Ok(key.public()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(Exit::Conflict
                .error(format!("{} exists; a key is never overwritten: name another file", path.display())))
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Reads a key. A file that others may read is refused.
pub fn read(path: &Path) -> anyhow::Result<PrivateKey> {
    let file = open_key_file(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::PermissionDenied => Exit::Refused.error(error.to_string()),
        _ => Exit::NotFound.error(format!("{}: {error}", path.display())),
    })?;
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    read.with_context(|| path.display().to_string())?;
    text.parse().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_written_once_for_its_owner_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("signer.key");
        let public = create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().public(), public);
        assert!(create(&path).unwrap_err().to_string().contains("never overwritten"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "nothing").unwrap();
        assert!(format!("{:#}", read(&path).unwrap_err()).contains("private key"));
    }
}
