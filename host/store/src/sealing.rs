//! Sealing: secrets are encrypted so that whoever has the database without the key has nothing.
//!
//! XChaCha20-Poly1305 with a random nonce. Component, tenant, name and revision are bound to the sealed bytes, so that a row
//! opens in its own place only.

use crate::{SealedSecret, create_key_file, open_key_file};
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, Read as _};
use std::path::Path;
use wares_model::grants::Label;
use wares_model::{ComponentName, TenantId, hex};
use zeroize::Zeroizing;

/// Bytes of a key.
const KEY_BYTES: usize = 32;
/// Bytes of a key's id.
const ID_BYTES: usize = 8;
/// Bytes of a nonce.
const NONCE_BYTES: usize = 24;
/// Keys that are known at once.
const KEYS_MAX: usize = 64;
/// Bytes of the text of all keys.
const TEXT_BYTES_MAX: u64 = 16 << 10;

/// The keys that a host opens secrets with; it seals with the first. There may be none.
#[derive(Clone, Default)]
pub struct SealingKeys(Vec<SealingKey>);

#[derive(Clone)]
struct SealingKey {
    id: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

/// What a sealed value stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretPlace {
    /// Whose.
    pub component: ComponentName,
    /// Its name.
    pub name: Label,
    /// For which tenant and those below it; none: for all.
    pub tenant: Option<TenantId>,
    /// Counts its values, from 1.
    pub revision: u64,
}

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum SealError {
    /// There is no key to seal with.
    #[error("the host has no key to seal secrets with")]
    NoKey,
    /// The key that it was sealed with is not known.
    #[error("it was encrypted with the key {0}, which the host does not have")]
    UnknownKey(String),
    /// It was changed, moved, or sealed as something else.
    #[error("it is damaged, or was not sealed as what it stands for")]
    Damaged,
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(String),
}

/// Keys that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SealingKeysError {
    /// The text holds no keys.
    #[error("line {0} is no key: write 64 lower-case hexadecimal digits, the key to seal with first")]
    Line(usize),
    /// There is no text.
    #[error("there is no key: write 64 lower-case hexadecimal digits, or remove the file if no secret was ever set")]
    None,
    /// The text is too long.
    #[error("there are more than {KEYS_MAX} keys, or more than {TEXT_BYTES_MAX} bytes")]
    TooMany,
    /// The file cannot be read or made.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

impl SealingKeys {
    /// The keys of a text: one of 64 hexadecimal digits in each line; what follows `#` is a remark.
    pub fn parse(text: &str) -> Result<Self, SealingKeysError> {
        let mut keys = Vec::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if !line.is_empty() {
                let key = hex::decode(line).ok_or(SealingKeysError::Line(at + 1))?;
                keys.push(SealingKey::new(Zeroizing::new(key)));
            }
        }
        match keys.len() {
            0 => Err(SealingKeysError::None),
            count if count > KEYS_MAX => Err(SealingKeysError::TooMany),
            _ => Ok(Self(keys)),
        }
    }

    /// The keys of a file, which nobody but its owner may read.
    pub fn read(path: &Path) -> Result<Self, SealingKeysError> {
        let file = open_key_file(path)?;
        // With room for all of it: a text that grows leaves a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(TEXT_BYTES_MAX as usize + 1));
        file.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > TEXT_BYTES_MAX {
            return Err(SealingKeysError::TooMany);
        }
        Self::parse(&text)
    }

    /// Makes a key and a file with it that only this user may read.
    pub fn create(path: &Path) -> Result<Self, SealingKeysError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(key.as_mut_slice()).map_err(io::Error::from)?;
        // With room for all of it: a text that grows leaves a copy behind.
        let mut line = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
        line.push_str(&Zeroizing::new(hex::encode(key.as_slice())));
        line.push('\n');
        create_key_file(path, line.as_bytes())?;
        Ok(Self(vec![SealingKey::new(key)]))
    }

    /// The id of the key that is sealed with.
    pub fn current(&self) -> Option<&str> {
        self.0.first().map(|key| key.id.as_str())
    }

    /// Seals a value as the secret of this place.
    pub fn seal(&self, place: SecretPlace, value: &str) -> Result<SealedSecret, SealError> {
        let key = self.0.first().ok_or(SealError::NoKey)?;
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| SealError::Random(error.to_string()))?;
        let payload = Payload { msg: value.as_bytes(), aad: &place.bound() };
        let sealed = key.cipher().encrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Damaged)?;
        Ok(SealedSecret { place, key: key.id.clone(), nonce: nonce.to_vec(), sealed })
    }

    /// Opens what was sealed as the secret of its place.
    pub fn open(&self, secret: &SealedSecret) -> Result<Zeroizing<String>, SealError> {
        let key = self.0.iter().find(|key| key.id == secret.key);
        let key = key.ok_or_else(|| SealError::UnknownKey(secret.key.chars().take(80).collect()))?;
        let nonce: [u8; NONCE_BYTES] = secret.nonce.as_slice().try_into().map_err(|_| SealError::Damaged)?;
        let payload = Payload { msg: &secret.sealed, aad: &secret.place.bound() };
        let opened = key.cipher().decrypt(&XNonce::from(nonce), payload).map_err(|_| SealError::Damaged)?;
        match String::from_utf8(opened) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(SealError::Damaged)
            }
        }
    }
}

impl SealingKey {
    fn new(key: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        // The key is random: its hash tells it from others and gives nothing of it away.
        let hash = Sha256::new().chain_update(b"wares sealing key").chain_update(key.as_slice()).finalize();
        let id = hex::encode(hash.get(..ID_BYTES).unwrap_or_default());
        Self { id, key }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }
}

impl SecretPlace {
    /// The place as bytes that no other place has: every part after its length.
    fn bound(&self) -> Vec<u8> {
        let mut bytes = b"wares secret 1".to_vec();
        let tenant = self.tenant.as_ref().map_or("", TenantId::as_str);
        for part in [self.component.as_str(), self.name.as_str(), tenant] {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(&self.revision.to_le_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str, tenant: Option<&str>, revision: u64) -> SecretPlace {
        let tenant = tenant.map(|tenant| tenant.parse().unwrap());
        SecretPlace { component: "a:b".parse().unwrap(), name: name.parse().unwrap(), tenant, revision }
    }

    fn key(digit: char) -> String {
        digit.to_string().repeat(2 * KEY_BYTES)
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let keys = SealingKeys::parse(&key('1')).unwrap();
        let sealed = keys.seal(place("token", Some("north"), 2), "hush").unwrap();
        assert_eq!(keys.open(&sealed).unwrap().as_str(), "hush");
        assert!(!sealed.sealed.windows(4).any(|part| part == b"hush"));
        let others = [
            place("token", Some("north"), 1),
            place("token", Some("south"), 2),
            place("token", None, 2),
            place("other", Some("north"), 2),
            SecretPlace { component: "a:c".parse().unwrap(), ..place("token", Some("north"), 2) },
        ];
        for place in others {
            let moved = SealedSecret { place, ..sealed.clone() };
            assert_eq!(keys.open(&moved), Err(SealError::Damaged), "{moved:?}");
        }
        for at in 0..sealed.sealed.len() {
            let mut changed = sealed.clone();
            changed.sealed[at] ^= 1;
            assert_eq!(keys.open(&changed), Err(SealError::Damaged));
        }
        let short = SealedSecret { nonce: vec![0; 3], ..sealed };
        assert_eq!(keys.open(&short), Err(SealError::Damaged));
    }

    #[test]
    fn older_keys_open_and_the_first_one_seals() {
        let old = SealingKeys::parse(&key('1')).unwrap();
        let both = SealingKeys::parse(&format!("# new\n{}\n{} # old\n", key('2'), key('1'))).unwrap();
        let new = SealingKeys::parse(&key('2')).unwrap();
        let sealed = old.seal(place("token", None, 1), "hush").unwrap();
        assert_eq!(both.open(&sealed).unwrap().as_str(), "hush");
        assert_eq!(new.open(&sealed), Err(SealError::UnknownKey(old.current().unwrap().to_owned())));
        assert_eq!(both.seal(place("token", None, 1), "hush").unwrap().key, new.current().unwrap());
        assert_eq!(SealingKeys::default().seal(place("token", None, 1), "hush"), Err(SealError::NoKey));
    }

    #[test]
    fn texts_that_hold_no_keys_are_refused_without_showing_them() {
        for (text, line) in [("abc", 1), (&*format!("{}\nZZ", key('1')), 2), (&key('A'), 1)] {
            let error = SealingKeys::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("line {line}")) && !error.contains(text), "{error}");
        }
        for text in ["", "\n", "# no key\n"] {
            assert!(matches!(SealingKeys::parse(text), Err(SealingKeysError::None)), "{text:?}");
        }
        assert!(matches!(SealingKeys::parse(&format!("{}\n", key('1')).repeat(65)), Err(SealingKeysError::TooMany)));
        assert!(!format!("{:?}", SealingKeys::parse(&key('1'))).contains("1111"));
    }

    #[test]
    fn a_new_key_is_written_as_it_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secrets.key");
        let made = SealingKeys::create(&path).unwrap();
        assert_eq!(SealingKeys::read(&path).unwrap().current(), made.current());
        assert!(SealingKeys::create(&path).is_err());
    }
}
