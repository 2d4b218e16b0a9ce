//! Pairs that stay from call to call, over `wasi:keyvalue`, in buckets that the manifest asks for
//! (`[capabilities] keyvalue = ["rates"]`) and the operator grants.
//!
//! ```ignore
//! let rates = wares_sdk::keyvalue::Bucket::open("rates")?;
//! rates.set("2026", "3.1")?;
//! let calls = rates.increment("calls", 1)?;
//! ```
//!
//! Natively buckets are in memory, each test (each thread) has its own, and every name can be opened.

use std::fmt;

#[cfg(not(target_family = "wasm"))]
use native as host;
#[cfg(target_family = "wasm")]
use wasm as host;

/// An open bucket.
pub struct Bucket(host::Bucket);

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The host has no store for the bucket.
    NoSuchStore,
    /// The bucket is not asked for by the manifest, or not granted; the call's log says which.
    AccessDenied,
    /// Anything else, in words: the bucket is full, for instance.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchStore => f.write_str("the host has no store for the bucket"),
            Self::AccessDenied => f.write_str("the bucket is not granted; the call's log says how it would be"),
            Self::Other(detail) => f.write_str(detail),
        }
    }
}

impl std::error::Error for Error {}

impl Bucket {
    /// Opens the bucket of this name.
    pub fn open(name: &str) -> Result<Self, Error> {
        host::Bucket::open(name).map(Self)
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key)
    }

    /// The value of a key as text, if it is there.
    pub fn get_text(&self, key: &str) -> Result<Option<String>, Error> {
        let text = |value| String::from_utf8(value).map_err(|_| Error::Other(format!("{key:?} holds no text")));
        self.get(key)?.map(text).transpose()
    }

    /// Sets the value of a key.
    pub fn set(&self, key: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        self.0.set(key, value.as_ref())
    }

    /// Removes a key, if it is there.
    pub fn delete(&self, key: &str) -> Result<(), Error> {
        self.0.delete(key)
    }

    /// All keys.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        self.0.keys()
    }

    /// Adds to the number that a key holds, 0 if it is not there, and returns the sum: exact, whoever else adds to it.
    pub fn increment(&self, key: &str, delta: u64) -> Result<u64, Error> {
        self.0.increment(key, delta)
    }
}

#[cfg(target_family = "wasm")]
mod wasm {
    use super::Error;
    use crate::bindings::wasi::keyvalue::{atomics, store};

    pub(super) struct Bucket(store::Bucket);

    impl Bucket {
        pub(super) fn open(name: &str) -> Result<Self, Error> {
            Ok(Self(store::open(name)?))
        }

        pub(super) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
            Ok(self.0.get(key)?)
        }

        pub(super) fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
            Ok(self.0.set(key, value)?)
        }

        pub(super) fn delete(&self, key: &str) -> Result<(), Error> {
            Ok(self.0.delete(key)?)
        }

        pub(super) fn keys(&self) -> Result<Vec<String>, Error> {
            let (mut keys, mut cursor) = (Vec::new(), None);
            loop {
                let part = self.0.list_keys(cursor)?;
                keys.extend(part.keys);
                cursor = part.cursor;
                if cursor.is_none() {
                    return Ok(keys);
                }
            }
        }

        pub(super) fn increment(&self, key: &str, delta: u64) -> Result<u64, Error> {
            Ok(atomics::increment(&self.0, key, delta)?)
        }
    }

    impl From<store::Error> for Error {
        fn from(error: store::Error) -> Self {
            match error {
                store::Error::NoSuchStore => Self::NoSuchStore,
                store::Error::AccessDenied => Self::AccessDenied,
                store::Error::Other(detail) => Self::Other(detail),
            }
        }
    }
}

#[cfg(not(target_family = "wasm"))]
mod native {
    use super::Error;
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    type Pairs = BTreeMap<String, Vec<u8>>;

    thread_local! {
        static BUCKETS: RefCell<BTreeMap<String, Pairs>> = const { RefCell::new(BTreeMap::new()) };
    }

    pub(super) struct Bucket(String);

    impl Bucket {
        pub(super) fn open(name: &str) -> Result<Self, Error> {
            Ok(Self(name.to_owned()))
        }

        fn with<T>(&self, work: impl FnOnce(&mut Pairs) -> T) -> T {
            BUCKETS.with_borrow_mut(|buckets| work(buckets.entry(self.0.clone()).or_default()))
        }

        pub(super) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
            Ok(self.with(|pairs| pairs.get(key).cloned()))
        }

        pub(super) fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
            self.with(|pairs| pairs.insert(key.to_owned(), value.to_owned()));
            Ok(())
        }

        pub(super) fn delete(&self, key: &str) -> Result<(), Error> {
            self.with(|pairs| pairs.remove(key));
            Ok(())
        }

        pub(super) fn keys(&self) -> Result<Vec<String>, Error> {
            Ok(self.with(|pairs| pairs.keys().cloned().collect()))
        }

        pub(super) fn increment(&self, key: &str, delta: u64) -> Result<u64, Error> {
            self.with(|pairs| {
                let value = pairs.entry(key.to_owned()).or_insert_with(|| b"0".to_vec());
                let number = str::from_utf8(value).ok().and_then(|text| text.parse::<u64>().ok());
                let sum = number.and_then(|number| number.checked_add(delta));
                let sum = sum.ok_or_else(|| Error::Other(format!("{key:?} holds no number that {delta} fits to")))?;
                *value = sum.to_string().into_bytes();
                Ok(sum)
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_native_bucket_does_what_a_hosts_does() {
        let bucket = Bucket::open("rates").unwrap();
        bucket.set("city", "Shenzhen").unwrap();
        assert_eq!(bucket.get_text("city").unwrap().as_deref(), Some("Shenzhen"));
        assert_eq!((bucket.increment("n", 2).unwrap(), bucket.increment("n", 3).unwrap()), (2, 5));
        assert!(bucket.increment("city", 1).is_err());
        assert_eq!(bucket.keys().unwrap(), ["city", "n"]);
        bucket.delete("city").unwrap();
        assert_eq!(bucket.get("city").unwrap(), None);
        assert_eq!(Bucket::open("other").unwrap().keys().unwrap(), Vec::<String>::new());
    }
}
