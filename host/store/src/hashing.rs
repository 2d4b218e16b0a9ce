//! The digest of bytes that come in pieces.

use sha2::{Digest as _, Sha256};
use std::io::{self, Write};
use wares_model::Digest;

/// Hashes and counts what is written to it.
#[derive(Default)]
pub(crate) struct Hasher {
    sha256: Sha256,
    bytes: u64,
}

impl Hasher {
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        self.bytes += piece.len() as u64;
    }

    /// The digest of all that was written, and its length.
    pub(crate) fn finish(self) -> (Digest, u64) {
        (Digest::from_bytes(self.sha256.finalize().into()), self.bytes)
    }
}

impl Write for Hasher {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.update(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
