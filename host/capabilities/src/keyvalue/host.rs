//! What a guest's requests do, the same for every store.

use super::request::{Kind, request};
use super::{Bucket, Error, atomics, batch, store};
use crate::CallState;
use crate::refusal::Refusal;
use crate::state::View;
use std::sync::Arc;
use wares_model::grants::{BucketGrant, Label, ParseLabelError};
use wares_model::limits::{KEY_BYTES_MAX, KEY_PAGE_MAX, KEYS_AT_ONCE_MAX, VALUE_BYTES_MAX, VALUES_BYTES_MAX};
use wares_store::{BucketName, BucketQuota, KeyValueStore};
use wasmtime::component::{HasData, Resource};

/// Bytes of a name in a message.
const SHOWN_BYTES_MAX: usize = 80;

pub(crate) struct HasBuckets;

impl HasBuckets {
    pub(crate) fn of(state: &mut CallState) -> View<'_> {
        state.view()
    }
}

impl HasData for HasBuckets {
    type Data<'a> = View<'a>;
}

type Result<T> = std::result::Result<T, Error>;

impl View<'_> {
    /// The grant of a bucket, or why there is none, in the call's log.
    fn granted(&self, identifier: &str) -> Result<BucketGrant> {
        if let Some(grant) = self.context.granted.bucket(identifier) {
            return Ok(grant.clone());
        }
        let granted = &self.context.granted;
        let shown = identifier.get(..identifier.floor_char_boundary(SHOWN_BYTES_MAX)).unwrap_or_default();
        let refusal = |name: Label| Refusal {
            component: &self.context.component,
            is_asked: granted.asked().is_none_or(|asked| asked.keyvalue.contains(&name)),
            is_granted: granted.grants().keyvalue.iter().any(|grant| grant.bucket == name),
            ask: format!("keyvalue = [\"{name}\"]"),
            flags: format!("--keyvalue {name}"),
        };
        let why =
            identifier.parse().map_or_else(|error: ParseLabelError| error.to_string(), |name| refusal(name).advice());
        self.say(format_args!("bucket {shown:?} cannot be opened: {why}"));
        Err(store::Error::AccessDenied.into())
    }

    fn say(&self, what: std::fmt::Arguments<'_>) {
        self.log.say(format_args!("[keyvalue] {what}"));
    }

    /// An open bucket, which the call uses now.
    fn bucket(&self, bucket: &Resource<Bucket>) -> Result<Bucket> {
        let bucket = self.table.get(bucket)?;
        self.context.note_used(format_args!("keyvalue {}", bucket.name.bucket));
        Ok(bucket.clone())
    }
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Error::other(format!("a key has 1 to {KEY_BYTES_MAX} bytes; this one has {}", key.len())));
    }
    Ok(())
}

fn check_value(value: &[u8]) -> Result<()> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Error::other(format!("a value has at most {VALUE_BYTES_MAX} bytes; this one has {}", value.len())));
    }
    Ok(())
}

fn check_count(count: usize) -> Result<()> {
    if count > KEYS_AT_ONCE_MAX {
        return Err(Error::other(format!("at most {KEYS_AT_ONCE_MAX} keys are taken at once; these are {count}")));
    }
    Ok(())
}

fn check_keys(keys: &[String]) -> Result<()> {
    check_count(keys.len())?;
    keys.iter().try_for_each(|key| check_key(key))
}

impl store::Host for View<'_> {
    async fn open(&mut self, identifier: String) -> Result<Resource<Bucket>> {
        let BucketGrant { bucket, scope, store, bytes_max, keys_max } = self.granted(&identifier)?;
        let Some(kept_in) = self.services.keyvalue.store(store.as_ref()).cloned() else {
            let why = match store {
                None => "key-value pairs are kept on a shelf only; here is none".to_owned(),
                Some(store) => format!(
                    "the host knows no store {store}: its operator sets keyvalue.stores.{store}.url, or grants the bucket in \
                     another store"
                ),
            };
            self.say(format_args!("bucket {bucket} cannot be opened: {why}"));
            return Err(store::Error::NoSuchStore.into());
        };
        let name = BucketName::of(scope, bucket, &self.context.tenant, &self.context.component);
        Ok(self.table.push(Bucket { store: kept_in, name, quota: BucketQuota { bytes_max, keys_max } })?)
    }

    fn convert_error(&mut self, error: Error) -> wasmtime::Result<store::Error> {
        match error {
            Error::Guest(error) => Ok(error),
            Error::Trap(error) => Err(error),
        }
    }
}

impl store::HostBucket for View<'_> {
    async fn get(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>> {
        check_key(&key)?;
        let Bucket { store, name, .. } = self.bucket(&bucket)?;
        let values =
            request(&self.cpu, store, Kind::Read, async move |store| store.get(&name, &[key], VALUES_BYTES_MAX).await)
                .await?;
        Ok(values.into_iter().next().flatten())
    }

    async fn set(&mut self, bucket: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<()> {
        check_key(&key)?;
        check_value(&value)?;
        let Bucket { store, name, quota } = self.bucket(&bucket)?;
        request(&self.cpu, store, Kind::Change, async move |store| store.set(&name, &[(key, value)], quota).await).await
    }

    async fn delete(&mut self, bucket: Resource<Bucket>, key: String) -> Result<()> {
        check_key(&key)?;
        let Bucket { store, name, .. } = self.bucket(&bucket)?;
        request(&self.cpu, store, Kind::Change, async move |store| store.delete(&name, &[key]).await).await
    }

    async fn exists(&mut self, bucket: Resource<Bucket>, key: String) -> Result<bool> {
        check_key(&key)?;
        let Bucket { store, name, .. } = self.bucket(&bucket)?;
        request(&self.cpu, store, Kind::Read, async move |store| store.exists(&name, &key).await).await
    }

    async fn list_keys(&mut self, bucket: Resource<Bucket>, cursor: Option<u64>) -> Result<store::KeyResponse> {
        let Bucket { store, name, .. } = self.bucket(&bucket)?;
        let after = cursor.unwrap_or_default();
        let page =
            request(&self.cpu, store, Kind::Read, async move |store| store.list(&name, after, KEY_PAGE_MAX).await)
                .await?;
        Ok(store::KeyResponse { keys: page.keys, cursor: page.next })
    }

    async fn drop(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }
}

impl atomics::Host for View<'_> {
    async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Result<u64> {
        check_key(&key)?;
        let Bucket { store, name, quota } = self.bucket(&bucket)?;
        request(&self.cpu, store, Kind::Change, async move |store| store.increment(&name, &key, delta, quota).await)
            .await
    }
}

impl batch::Host for View<'_> {
    async fn get_many(
        &mut self,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>> {
        check_keys(&keys)?;
        let Bucket { store, name, .. } = self.bucket(&bucket)?;
        let work = async move |store: Arc<dyn KeyValueStore>| {
            let values = store.get(&name, &keys, VALUES_BYTES_MAX).await?;
            Ok(keys.into_iter().zip(values).map(|(key, value)| Some((key, value?))).collect())
        };
        request(&self.cpu, store, Kind::Read, work).await
    }

    async fn set_many(&mut self, bucket: Resource<Bucket>, pairs: Vec<(String, Vec<u8>)>) -> Result<()> {
        check_count(pairs.len())?;
        for (key, value) in &pairs {
            check_key(key)?;
            check_value(value)?;
        }
        let bytes = pairs.iter().map(|(_, value)| value.len() as u64).sum::<u64>();
        if bytes > VALUES_BYTES_MAX {
            return Err(Error::other(format!("at most {VALUES_BYTES_MAX} bytes of values are taken at once")));
        }
        let Bucket { store, name, quota } = self.bucket(&bucket)?;
        request(&self.cpu, store, Kind::Change, async move |store| store.set(&name, &pairs, quota).await).await
    }

    async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<()> {
        check_keys(&keys)?;
        let Bucket { store, name, .. } = self.bucket(&bucket)?;
        request(&self.cpu, store, Kind::Change, async move |store| store.delete(&name, &keys).await).await
    }
}
