//! `wasi:keyvalue`: pairs in buckets, each of which a component is granted by its name.
//!
//! *What the operator configures*: [`Buckets`], the stores that there are; each grant of a bucket names one of them and a quota.
//! *What one call holds*: the buckets that it opened, as handles. Invariant: the name of a bucket in a store is made of what the
//! host knows of the call, by the scope of the grant, so that nothing a guest says leads to pairs of another tenant or
//! component.
//!
//! Bounds: bytes of a key, of a value, and of the values of one request; keys of one request and of one part of a list; time for
//! a request, and how many of them a store serves at once.

mod error;
mod host;
mod request;

pub use error::Error;

use crate::{Capability, Interface};
use host::HasBuckets;
use std::collections::HashMap;
use std::sync::Arc;
use wares_model::grants::Label;
use wares_store::{BucketName, BucketQuota, KeyValueStore};

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "wasi:keyvalue/imports",
        imports: { default: async | trappable },
        with: { "wasi:keyvalue/store.bucket": super::Bucket },
        trappable_error_type: { "wasi:keyvalue/store.error" => super::Error },
    });
}
use bindings::wasi::keyvalue::{atomics, batch, store};

/// Where the pairs of a host are kept.
#[derive(Clone, Default)]
pub struct Buckets {
    /// For grants that name no store.
    pub own: Option<Arc<dyn KeyValueStore>>,
    /// For those that name one.
    pub named: HashMap<Label, Arc<dyn KeyValueStore>>,
}

impl Buckets {
    fn store(&self, name: Option<&Label>) -> Option<&Arc<dyn KeyValueStore>> {
        match name {
            None => self.own.as_ref(),
            Some(name) => self.named.get(name),
        }
    }

    /// All stores.
    pub fn stores(&self) -> impl Iterator<Item = &Arc<dyn KeyValueStore>> {
        self.own.iter().chain(self.named.values())
    }
}

/// An open bucket.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn KeyValueStore>,
    name: BucketName,
    quota: BucketQuota,
}

pub(crate) struct KeyValue;

const VERSION: &str = "0.2.0-draft";
const INTERFACES: &[Interface] = &[
    Interface::new("wasi:keyvalue/store", VERSION, |linker| {
        store::add_to_linker::<_, HasBuckets>(linker, HasBuckets::of)
    }),
    Interface::new("wasi:keyvalue/atomics", VERSION, |linker| {
        atomics::add_to_linker::<_, HasBuckets>(linker, HasBuckets::of)
    }),
    Interface::new("wasi:keyvalue/batch", VERSION, |linker| {
        batch::add_to_linker::<_, HasBuckets>(linker, HasBuckets::of)
    }),
];

impl Capability for KeyValue {
    fn interfaces(&self) -> &'static [Interface] {
        INTERFACES
    }
}
