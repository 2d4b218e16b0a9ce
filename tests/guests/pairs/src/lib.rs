//! Every function of `wasi:keyvalue`, for whoever calls.

use exports::test::pairs::pairs::Guest;
use wasi::keyvalue::store::{Bucket, Error, open};
use wasi::keyvalue::{atomics, batch};

wares_sdk::component!(Component);

struct Component;

fn words(error: Error) -> String {
    match error {
        Error::NoSuchStore => "no such store".to_owned(),
        Error::AccessDenied => "access denied".to_owned(),
        Error::Other(detail) => detail,
    }
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8_lossy(&value).into_owned()
}

/// Does something with an open bucket.
fn with<T>(bucket: &str, work: impl FnOnce(&Bucket) -> Result<T, Error>) -> Result<T, String> {
    open(bucket).and_then(|bucket| work(&bucket)).map_err(words)
}

impl Guest for Component {
    fn get(bucket: String, key: String) -> Result<Option<String>, String> {
        with(&bucket, |bucket| Ok(bucket.get(&key)?.map(text)))
    }

    fn set(bucket: String, key: String, value: String) -> Result<(), String> {
        with(&bucket, |bucket| bucket.set(&key, value.as_bytes()))
    }

    fn fill(bucket: String, key: String, bytes: u32) -> Result<(), String> {
        with(&bucket, |bucket| bucket.set(&key, &vec![b'x'; bytes as usize]))
    }

    fn delete(bucket: String, key: String) -> Result<(), String> {
        with(&bucket, |bucket| bucket.delete(&key))
    }

    fn exists(bucket: String, key: String) -> Result<bool, String> {
        with(&bucket, |bucket| bucket.exists(&key))
    }

    fn keys(bucket: String) -> Result<(Vec<String>, u32), String> {
        with(&bucket, |bucket| {
            let (mut keys, mut parts, mut cursor) = (Vec::new(), 0, None);
            loop {
                let part = bucket.list_keys(cursor)?;
                keys.extend(part.keys);
                parts += 1;
                cursor = part.cursor;
                if cursor.is_none() {
                    return Ok((keys, parts));
                }
            }
        })
    }

    fn increment(bucket: String, key: String, delta: u64) -> Result<u64, String> {
        with(&bucket, |bucket| atomics::increment(bucket, &key, delta))
    }

    fn get_many(bucket: String, keys: Vec<String>) -> Result<Vec<Option<(String, String)>>, String> {
        let pairs = with(&bucket, |bucket| batch::get_many(bucket, &keys))?;
        Ok(pairs.into_iter().map(|pair| pair.map(|(key, value)| (key, text(value)))).collect())
    }

    fn set_many(bucket: String, pairs: Vec<(String, String)>) -> Result<(), String> {
        let pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (key, value.into_bytes())).collect();
        with(&bucket, |bucket| batch::set_many(bucket, &pairs))
    }

    fn delete_many(bucket: String, keys: Vec<String>) -> Result<(), String> {
        with(&bucket, |bucket| batch::delete_many(bucket, &keys))
    }
}
