//! Tenants, their applications' keys, and who a request comes from.

use crate::key_uses::KeyUses;
use crate::slots::Slots;
use crate::snapshot::Snapshot;
use crate::{Catalog, Policy};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use wares_model::{KeyId, TenantId, Timestamp};
use wares_store::{KeyRecord, StoreError, TenantRecord};

pub use wares_store::Role;

/// The sha256 of a key's text: all that the host keeps of it. Keys carry 256 random bits, so that a plain hash is enough.
pub(crate) type KeyHash = [u8; 32];

/// Random bytes in a key.
const KEY_BYTES: usize = 32;
/// Characters of an application's name and of a tenant's.
const NAME_CHARS_MAX: usize = 128;
/// Characters of a reason.
const REASON_CHARS_MAX: usize = 1_000;

/// A tenant as calls see it.
pub struct TenantEntry {
    /// What the store says of it.
    pub record: TenantRecord,
    /// Itself, then the tenant above it, up to the top.
    pub line: Arc<[TenantId]>,
    /// One permit per call that may run at once.
    pub slots: Arc<Slots>,
}

impl TenantEntry {
    pub(crate) fn new(record: TenantRecord, policy: &Policy) -> Self {
        let permits = usize::try_from(policy.tenant_concurrency_max).unwrap_or(usize::MAX);
        let line = Arc::from([record.id.clone()]);
        Self { record, line, slots: Arc::new(Slots::new(permits)) }
    }
}

/// A key as requests find it.
#[derive(Clone)]
pub(crate) struct KeyEntry {
    pub(crate) record: Arc<KeyRecord>,
    /// Shared by all snapshots.
    pub(crate) uses: Arc<KeyUses>,
}

/// Why a key opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyRefusal {
    /// It is not known, or was revoked.
    #[error("this shelf does not know the key, or it was revoked")]
    Unknown,
    /// Its time is over.
    #[error("the key expired at {0}: ask the operator for another one")]
    Expired(Timestamp),
}

/// What a key is made for.
#[derive(Debug, Clone, Default)]
pub struct KeyTerms {
    /// What it is for, in words.
    pub label: Option<String>,
    /// From when on it is not valid any more; none: it is until it is revoked.
    pub expires_at: Option<Timestamp>,
}

/// Who a request comes from: a key that is valid now.
#[derive(Clone)]
pub struct Caller {
    /// The key.
    pub key: Arc<KeyRecord>,
    /// The tenant, for a tenant's key.
    pub tenant: Option<Arc<TenantEntry>>,
}

/// Why a change to tenants or keys is refused.
#[derive(Debug, thiserror::Error)]
pub enum TenancyError {
    /// There is a tenant of this id.
    #[error("tenant {0} exists already; choose another id")]
    TenantExists(TenantId),
    /// There is no tenant of this id.
    #[error("there is no tenant {0}; `GET /v1/tenants` lists them")]
    NoTenant(TenantId),
    /// There is no key of this id.
    #[error("there is no key {0}")]
    NoKey(KeyId),
    /// A key would never be valid.
    #[error("expires-at = {0} is past: a key expires in the future, or never")]
    Past(Timestamp),
    /// A name is empty or too long.
    #[error("{0} must have 1 to {NAME_CHARS_MAX} characters, none of them control characters")]
    BadName(&'static str),
    /// The operating system gave no random bytes.
    #[error("no random bytes for a new key: {0}")]
    Random(String),
    /// What components keep for the tenant could not be removed, or only in part.
    #[error("what components keep for tenant {tenant} is not all removed: {reason}; try again")]
    Wipe {
        /// Whose it is.
        tenant: TenantId,
        /// What failed.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A key just made; its text is shown this once.
pub struct NewKey {
    /// What the host keeps.
    pub record: Arc<KeyRecord>,
    /// The key itself.
    pub text: String,
}

impl NewKey {
    /// A key that nobody knows yet.
    pub fn generate(role: Role, terms: KeyTerms) -> Result<Self, TenancyError> {
        let prefix = match &role {
            Role::Admin => "wares_admin_",
            Role::Reviewer => "wares_reviewer_",
            Role::Publisher { .. } => "wares_publisher_",
            Role::Tenant { application, .. } => {
                check_name("application", application)?;
                "wares_tenant_"
            }
        };
        let mut random = [0; KEY_BYTES];
        getrandom::fill(&mut random).map_err(|error| TenancyError::Random(error.to_string()))?;
        Self::of(role, format!("{prefix}{}", encode(&random)), terms)
    }

    fn of(role: Role, text: String, terms: KeyTerms) -> Result<Self, TenancyError> {
        let KeyTerms { label, expires_at } = terms;
        label.as_deref().map_or(Ok(()), |label| check_name("label", label))?;
        let created_at = Timestamp::now();
        if let Some(at) = expires_at.filter(|at| *at <= created_at) {
            return Err(TenancyError::Past(at));
        }
        let hash = Sha256::digest(text.as_bytes()).into();
        let (used_at, revoked_at) = (None, None);
        let id = KeyId::generate();
        let record = KeyRecord { id, role, hash, label, created_at, expires_at, used_at, revoked_at };
        Ok(Self { record: Arc::new(record), text })
    }
}

impl Snapshot {
    /// Who holds the key with this text.
    ///
    /// The look-up compares hashes of the text: how long it takes tells nothing about a key.
    pub fn authenticate(&self, key: &str) -> Result<Caller, KeyRefusal> {
        let hash: KeyHash = Sha256::digest(key.as_bytes()).into();
        let entry = self.keys.get(&hash).ok_or(KeyRefusal::Unknown)?;
        let now = Timestamp::now();
        if let Some(at) = entry.record.expires_at.filter(|at| *at <= now) {
            return Err(KeyRefusal::Expired(at));
        }
        let tenant = match &entry.record.role {
            Role::Admin | Role::Reviewer | Role::Publisher { .. } => None,
            Role::Tenant { tenant, .. } => Some(Arc::clone(self.tenants.get(tenant).ok_or(KeyRefusal::Unknown)?)),
        };
        entry.uses.note(now);
        Ok(Caller { key: Arc::clone(&entry.record), tenant })
    }

    /// How histories name a key, one that was revoked too.
    pub fn actor(&self, key: KeyId) -> String {
        actor(key, self.labels.get(&key).map(|label| &**label))
    }

    /// When keys that are valid were used last, as far as this host knows.
    pub fn key_uses(&self) -> HashMap<KeyId, Timestamp> {
        self.keys.values().filter_map(|entry| Some((entry.record.id, entry.uses.last()?))).collect()
    }

    /// All tenants by id.
    pub fn tenants(&self) -> impl Iterator<Item = &TenantRecord> {
        self.tenants.values().map(|tenant| &tenant.record)
    }

    /// The tenant of this id.
    pub fn tenant(&self, id: &TenantId) -> Option<&Arc<TenantEntry>> {
        self.tenants.get(id)
    }

    /// Whether there is such a tenant.
    pub fn has_tenant(&self, id: &TenantId) -> bool {
        self.tenants.contains_key(id)
    }

    /// Whether any key with the admin role is valid.
    pub fn has_admin(&self) -> bool {
        let now = Timestamp::now();
        let is_valid = |key: &KeyRecord| key.expires_at.is_none_or(|at| at > now);
        self.keys.values().any(|entry| entry.record.role == Role::Admin && is_valid(&entry.record))
    }

    /// Puts a tenant below its parent, which is there.
    pub(crate) fn put_tenant(&mut self, mut tenant: TenantEntry) {
        let parent = tenant.record.parent.as_ref().and_then(|parent| self.tenants.get(parent));
        let above = parent.iter().flat_map(|parent| parent.line.iter());
        tenant.line = std::iter::once(&tenant.record.id).chain(above).cloned().collect();
        self.tenants.insert(tenant.record.id.clone(), Arc::new(tenant));
    }

    pub(crate) fn put_key(&mut self, key: KeyRecord) {
        if let Some(label) = &key.label {
            self.labels.insert(key.id, label.as_str().into());
        }
        if key.revoked_at.is_none() {
            let uses = Arc::new(KeyUses::new(key.used_at));
            self.keys.insert(key.hash, KeyEntry { record: Arc::new(key), uses });
        }
    }
}

impl Catalog {
    /// Adds a tenant.
    pub async fn create_tenant(
        &self,
        id: TenantId,
        name: String,
        parent: Option<TenantId>,
    ) -> Result<TenantRecord, TenancyError> {
        check_name("name", &name)?;
        let changing = self.change().await;
        if self.snapshot().has_tenant(&id) {
            return Err(TenancyError::TenantExists(id));
        }
        if let Some(parent) = parent.as_ref().filter(|parent| !self.snapshot().has_tenant(parent)) {
            return Err(TenancyError::NoTenant(parent.clone()));
        }
        let record = TenantRecord { id, parent, name, created_at: Timestamp::now() };
        self.store().insert_tenant(record.clone()).await?;
        let entry = TenantEntry::new(record.clone(), &self.policy());
        self.publish_snapshot(&changing, |next| next.put_tenant(entry));
        Ok(record)
    }

    /// Makes a key.
    pub async fn create_key(&self, role: Role, terms: KeyTerms) -> Result<NewKey, TenancyError> {
        if let Role::Tenant { tenant, .. } = &role
            && !self.snapshot().has_tenant(tenant)
        {
            return Err(TenancyError::NoTenant(tenant.clone()));
        }
        self.add(NewKey::generate(role, terms)?).await
    }

    async fn add(&self, key: NewKey) -> Result<NewKey, TenancyError> {
        let changing = self.change().await;
        self.store().insert_key((*key.record).clone()).await?;
        self.publish_snapshot(&changing, |next| next.put_key((*key.record).clone()));
        Ok(key)
    }

    /// Makes a key invalid for every request that starts from now on.
    pub async fn revoke_key(&self, id: KeyId) -> Result<(), TenancyError> {
        let changing = self.change().await;
        if !self.store().revoke_key(id).await? {
            return Err(TenancyError::NoKey(id));
        }
        self.publish_snapshot(&changing, |next| next.keys.retain(|_, entry| entry.record.id != id));
        Ok(())
    }
}

/// A reason that is empty or too long.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("the reason must have 1 to {REASON_CHARS_MAX} characters")]
pub struct BadReason;

pub(crate) fn check_reason(reason: &str) -> Result<(), BadReason> {
    let fits = !reason.trim().is_empty() && reason.chars().count() <= REASON_CHARS_MAX;
    if fits { Ok(()) } else { Err(BadReason) }
}

/// How histories name a key: by its label, and by what never changes.
pub fn actor(key: KeyId, label: Option<&str>) -> String {
    match label {
        Some(label) => format!("{label} (key {key})"),
        None => format!("key {key}"),
    }
}

fn check_name(what: &'static str, name: &str) -> Result<(), TenancyError> {
    let fits = !name.trim().is_empty() && name.chars().count() <= NAME_CHARS_MAX && !name.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(TenancyError::BadName(what)) }
}

/// base64url without padding.
fn encode(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}
