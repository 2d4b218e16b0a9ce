//! Signatures (Ed25519, RFC 8032): of versions by the keys of their namespace, and of reports by those who report.
//!
//! A signature of a version is over a release: the component's full name, the version and the digest of the bytes, under a
//! heading of its own. So it fits no other version, no other component, no other bytes, and nothing that is signed for another
//! purpose. A report's is over the reporter and the bytes, in the same way.

use crate::{ComponentName, Digest, TenantId, Version, hex};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Before the hex digits of a public key and of a signature.
const PREFIX: &str = "ed25519:";
/// Before the hex digits of a private key.
const PRIVATE_PREFIX: &str = "ed25519-private:";
/// What a signature of a version is for, so that one made for anything else does not fit.
const RELEASE_PURPOSE: &str = "wares release 1";
/// What a signature of a report is for.
const REPORT_PURPOSE: &str = "wares usage report 1";
/// Bytes of a public and of a private key.
const KEY_BYTES: usize = 32;
/// Bytes of a signature alone.
const SIGNATURE_BYTES: usize = 64;

/// The public half of a signer's key, written `ed25519:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignerKey([u8; KEY_BYTES]);

/// A signature and the key that made it, written `ed25519:`, the key's 64 hex digits, `:`, and 128 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature {
    signer: SignerKey,
    bytes: [u8; SIGNATURE_BYTES],
}

/// The private half of a signer's key. It is never printed but on purpose.
pub struct PrivateKey(SigningKey);

/// What a signature is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Release<'a> {
    /// Its name, namespace included.
    pub component: &'a ComponentName,
    /// The version.
    pub version: &'a Version,
    /// The digest of its bytes.
    pub digest: &'a Digest,
}

/// What the signature of a report is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report<'a> {
    /// Who reports.
    pub reporter: &'a TenantId,
    /// The report's bytes.
    pub body: &'a [u8],
}

/// Why a text is no key or signature.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ParseSignatureError {
    /// Not a public key.
    #[error("{0:?} is not a signer's key: write ed25519: and the 64 hex digits that `wares keys new-signer` printed")]
    Key(String),
    /// Not a signature.
    #[error("{0:?} is not a signature: write ed25519:KEY:SIGNATURE in hex digits, as `wares publish --sign` sends it")]
    Signature(String),
    /// Not a private key. Its text is not shown.
    #[error("this is not a signer's private key: `wares keys new-signer FILE` makes one")]
    Private,
}

/// A signature that its key did not make over this release.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("{0} did not sign this: the signature is forged, or was made for another version or another report")]
pub struct BadSignature(pub SignerKey);

impl Release<'_> {
    /// No part can hold a line break, so that no two releases have the same message.
    fn message(&self) -> Vec<u8> {
        format!("{RELEASE_PURPOSE}\n{}\n{}\n{}\n", self.component, self.version, self.digest).into_bytes()
    }

    /// Signs it.
    pub fn sign(&self, key: &PrivateKey) -> Signature {
        key.sign(&self.message())
    }

    /// Checks that the signature is over this release and by the key that it names. Whether the key may sign is the caller's
    /// question.
    pub fn verify(&self, signature: &Signature) -> Result<(), BadSignature> {
        signature.verify(&self.message())
    }
}

impl Report<'_> {
    /// A tenant's id has no line break.
    fn message(&self) -> Vec<u8> {
        let heading = format!("{REPORT_PURPOSE}\n{}\n", self.reporter);
        [heading.as_bytes(), self.body].concat()
    }

    /// Signs it.
    pub fn sign(&self, key: &PrivateKey) -> Signature {
        key.sign(&self.message())
    }

    /// Checks that the signature is over this report and by the key that it names. Whether the key may report is the caller's
    /// question.
    pub fn verify(&self, signature: &Signature) -> Result<(), BadSignature> {
        signature.verify(&self.message())
    }
}

impl Signature {
    /// Who made it, as far as the signature says.
    pub fn signer(&self) -> &SignerKey {
        &self.signer
    }

    fn verify(&self, message: &[u8]) -> Result<(), BadSignature> {
        let bad = |_| BadSignature(self.signer);
        let key = VerifyingKey::from_bytes(&self.signer.0).map_err(bad)?;
        key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(&self.bytes)).map_err(bad)
    }
}

impl PrivateKey {
    /// The key of these random bytes.
    pub fn from_random(bytes: [u8; KEY_BYTES]) -> Self {
        Self(SigningKey::from_bytes(&bytes))
    }

    fn sign(&self, message: &[u8]) -> Signature {
        Signature { signer: self.public(), bytes: self.0.sign(message).to_bytes() }
    }

    /// The public half.
    pub fn public(&self) -> SignerKey {
        SignerKey(self.0.verifying_key().to_bytes())
    }

    /// The text that a key file holds.
    pub fn reveal(&self) -> String {
        format!("{PRIVATE_PREFIX}{}", hex::encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey of {}", self.public())
    }
}

impl FromStr for PrivateKey {
    type Err = ParseSignatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.trim().strip_prefix(PRIVATE_PREFIX).and_then(hex::decode);
        bytes.map(Self::from_random).ok_or(ParseSignatureError::Private)
    }
}

impl fmt::Display for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", hex::encode(&self.0))
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SignerKey {
    type Err = ParseSignatureError;

    /// Points that are none, and those under which one signature fits many messages, are no keys.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = text.strip_prefix(PREFIX).and_then(hex::decode);
        let key = bytes.and_then(|bytes| VerifyingKey::from_bytes(&bytes).ok()).filter(|key| !key.is_weak());
        key.map(|key| Self(key.to_bytes())).ok_or_else(|| ParseSignatureError::Key(shorten(text)))
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.signer, hex::encode(&self.bytes))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Signature {
    type Err = ParseSignatureError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.rsplit_once(':').and_then(|(signer, bytes)| Some((signer.parse().ok()?, hex::decode(bytes)?)));
        let (signer, bytes) = parts.ok_or_else(|| ParseSignatureError::Signature(shorten(text)))?;
        Ok(Self { signer, bytes })
    }
}

macro_rules! as_text {
    ($($ty:ty),*) => {$(
        impl TryFrom<String> for $ty {
            type Error = ParseSignatureError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$ty> for String {
            fn from(value: $ty) -> Self {
                value.to_string()
            }
        }
    )*};
}

as_text!(SignerKey, Signature);

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(ComponentName, Version, Digest);

    impl Named {
        fn release(&self) -> Release<'_> {
            Release { component: &self.0, version: &self.1, digest: &self.2 }
        }
    }

    fn named(component: &str, version: &str, bytes: &[u8]) -> Named {
        Named(component.parse().unwrap(), version.parse().unwrap(), Digest::of(bytes))
    }

    #[test]
    fn a_signature_fits_one_release_and_one_key() {
        let key = PrivateKey::from_random([7; 32]);
        let one = named("a:b", "1.0.0", b"x");
        let signature = one.release().sign(&key);
        assert_eq!(one.release().verify(&signature), Ok(()));
        assert_eq!(signature.signer(), &key.public());
        for other in [
            named("a:c", "1.0.0", b"x"),
            named("b:b", "1.0.0", b"x"),
            named("a:b", "1.0.1", b"x"),
            named("a:b", "1.0.0+1", b"x"),
            named("a:b", "1.0.0", b"y"),
        ] {
            assert!(other.release().verify(&signature).is_err(), "{:?}", other.release());
        }
        let by_another = Signature { signer: PrivateKey::from_random([8; 32]).public(), ..signature };
        assert!(one.release().verify(&by_another).is_err());
        for bit in 0..8 * SIGNATURE_BYTES {
            let mut flipped = signature;
            flipped.bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(one.release().verify(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn texts_round_trip_and_others_are_refused() {
        let key = PrivateKey::from_random([7; 32]);
        let signature = named("a:b", "1.0.0", b"x").release().sign(&key);
        assert_eq!(signature.to_string().parse(), Ok(signature));
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        assert_eq!(key.reveal().parse::<PrivateKey>().unwrap().public(), key.public());
        assert!(!format!("{key:?}").contains(&key.reveal()[PRIVATE_PREFIX.len()..]));
        let zero = format!("{PREFIX}{}", "0".repeat(64));
        let one = format!("{PREFIX}01{}", "0".repeat(62));
        for text in ["", PREFIX, &zero, &one, &key.reveal(), &key.public().to_string().to_uppercase()] {
            assert!(text.parse::<SignerKey>().is_err(), "{text}");
        }
        for text in ["", ":", &key.public().to_string(), &format!("{signature}00"), &format!("{signature}\n")] {
            assert!(text.parse::<Signature>().is_err(), "{text}");
        }
        for text in ["", PRIVATE_PREFIX, &key.public().to_string()] {
            assert!(text.parse::<PrivateKey>().is_err(), "{text}");
        }
    }
}
