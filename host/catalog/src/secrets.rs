//! The secrets of components: set by operators, sealed before they are stored, opened for calls that are granted them.

use crate::Catalog;
use crate::rehearsal::is_rehearsal;
use arc_swap::ArcSwap;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Mutex;
use wares_engine::{CallContext, SecretError, SecretReader};
use wares_model::grants::Label;
use wares_model::limits::{SECRET_BYTES_MAX, SECRETS_MAX};
use wares_model::{ComponentName, TenantId};
use wares_store::{
    SealError, SealedSecret, SealingKeys, SealingKeysError, SecretPlace, SecretRecord, Store, StoreError,
};
use zeroize::Zeroizing;

/// Secrets that are brought under another key in one transaction.
const RESEALED_AT_ONCE: u32 = 200;

/// Where the keys are that secrets are sealed with.
pub enum KeySource {
    /// In a file that the operator names.
    File(PathBuf),
    /// In a text that the operator gives, as that of a file.
    Text(Zeroizing<String>),
    /// In a file that the host makes when it has no secrets yet.
    OwnFile(PathBuf),
}

/// Why the secrets are as they were.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// There is no such tenant.
    #[error("there is no tenant {0}; `GET /v1/tenants` lists them")]
    NoTenant(TenantId),
    /// It is empty or too long.
    #[error("a secret must have 1 to {SECRET_BYTES_MAX} bytes")]
    Length,
    /// There are too many.
    #[error("{0} has {SECRETS_MAX} secrets; no component has more")]
    TooMany(ComponentName),
    /// Nothing is set there.
    #[error("{component} has no secret {name} set for {}", tenant.as_ref().map_or("all tenants".to_owned(), |tenant| format!("tenant {tenant}")))]
    NotSet {
        /// Of which component.
        component: ComponentName,
        /// Which.
        name: Label,
        /// For whom.
        tenant: Option<TenantId>,
    },
    /// It cannot be sealed.
    #[error("{0}: set `secrets.key-file` or WARES_SECRETS_KEY")]
    Seal(#[from] SealError),
    /// The keys cannot be read.
    #[error("the keys of secrets{}: {source}", path.as_ref().map_or(String::new(), |path| format!(" in {}", path.display())))]
    Keys {
        /// Where they are, if in a file.
        path: Option<PathBuf>,
        /// Why not.
        source: SealingKeysError,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of bringing all secrets under the first key.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Resealed {
    /// The id of that key.
    pub key: String,
    /// Secrets that were under another one.
    pub resealed: u64,
    /// Secrets that do not open, and were left as they are.
    pub unreadable: u64,
}

/// The secrets of a shelf. What it logs names secrets and never holds one.
pub struct Vault {
    store: Arc<dyn Store>,
    source: KeySource,
    keys: ArcSwap<SealingKeys>,
    changing: Mutex<()>,
}

impl Vault {
    /// The vault over a store. Without a key it opens too: secrets are refused then, and everything else goes on.
    pub async fn open(store: Arc<dyn Store>, source: KeySource) -> Result<Self, SecretsError> {
        let keys = match &source {
            KeySource::OwnFile(path) if !path.exists() => match store.sealed_secrets(None, 1).await?.is_empty() {
                true => SealingKeys::create(path)
                    .map_err(|source| SecretsError::Keys { path: Some(path.clone()), source })?,
                false => {
                    tracing::error!(
                        file = %path.display(),
                        "the key of the stored secrets is not there: none can be read; give the file back"
                    );
                    SealingKeys::default()
                }
            },
            source => source.read()?,
        };
        Ok(Self { store, source, keys: ArcSwap::from_pointee(keys), changing: Mutex::default() })
    }

    /// Sets a secret for a tenant and those below it, or for all. The next call that asks for it gets it.
    async fn set(
        &self,
        component: ComponentName,
        name: Label,
        tenant: Option<TenantId>,
        value: &str,
        actor: &str,
    ) -> Result<SecretRecord, SecretsError> {
        if value.is_empty() || value.len() > SECRET_BYTES_MAX {
            return Err(SecretsError::Length);
        }
        let _changing = self.changing.lock().await;
        let known = self.store.secrets(&component).await?;
        let current = known.iter().find(|record| record.name == name && record.tenant == tenant);
        if current.is_none() && known.len() >= SECRETS_MAX {
            return Err(SecretsError::TooMany(component));
        }
        let revision = current.map_or(1, |record| record.revision.saturating_add(1));
        let sealed = self.keys.load().seal(SecretPlace { component, name, tenant, revision }, value)?;
        Ok(self.store.put_secret(sealed, actor).await?)
    }

    /// A secret of the host's own that is set for a tenant.
    pub(crate) async fn secret_for(
        &self,
        component: &ComponentName,
        name: &Label,
        tenant: &TenantId,
    ) -> Result<Zeroizing<String>, String> {
        let sealed = self.store.sealed_secret(component, name, std::slice::from_ref(tenant)).await;
        let sealed = sealed.map_err(|error| error.to_string())?.ok_or("its secret is gone: set it anew")?;
        self.keys.load().open(&sealed).map_err(|error| {
            log_unopened(&sealed, &error);
            error.to_string()
        })
    }

    /// Reads the keys again and brings all secrets under the first of them.
    pub async fn reseal(&self) -> Result<Resealed, SecretsError> {
        let _changing = self.changing.lock().await;
        let keys = self.source.read()?;
        let key = keys.current().ok_or(SealError::NoKey)?.to_owned();
        if !is_rehearsal() {
            self.keys.store(Arc::new(keys.clone()));
        }
        let mut done = Resealed { key, resealed: 0, unreadable: 0 };
        let mut after = None;
        loop {
            let secrets = self.store.sealed_secrets(after.as_ref(), RESEALED_AT_ONCE).await?;
            let Some(last) = secrets.last() else { return Ok(done) };
            after = Some(last.place.clone());
            let mut resealed = Vec::new();
            for secret in secrets.iter().filter(|secret| secret.key != done.key) {
                match keys.open(secret) {
                    Ok(value) => resealed.push(keys.seal(secret.place.clone(), &value)?),
                    Err(error) => {
                        done.unreadable += 1;
                        log_unopened(secret, &error);
                    }
                }
            }
            self.store.reseal_secrets(&resealed).await?;
            done.resealed += resealed.len() as u64;
        }
    }
}

impl KeySource {
    fn read(&self) -> Result<SealingKeys, SecretsError> {
        match self {
            Self::File(path) | Self::OwnFile(path) => {
                SealingKeys::read(path).map_err(|source| SecretsError::Keys { path: Some(path.clone()), source })
            }
            Self::Text(text) => SealingKeys::parse(text).map_err(|source| SecretsError::Keys { path: None, source }),
        }
    }
}

fn log_unopened(secret: &SealedSecret, error: &SealError) {
    let SecretPlace { component, name, tenant, revision } = &secret.place;
    let tenant = tenant.as_ref().map_or("", TenantId::as_str);
    tracing::error!(%component, %name, tenant, revision, %error, "a secret does not open");
}

#[async_trait]
impl SecretReader for Vault {
    async fn read(&self, context: &CallContext, name: &Label) -> Result<Option<Zeroizing<String>>, SecretError> {
        let sealed = self.store.sealed_secret(&context.component, name, context.line()).await.map_err(|error| {
            tracing::error!(component = %context.component, %name, %error, "a secret could not be read");
            SecretError::Unavailable
        })?;
        let Some(sealed) = sealed else { return Ok(None) };
        self.keys.load().open(&sealed).map(Some).map_err(|error| {
            log_unopened(&sealed, &error);
            match error {
                SealError::NoKey | SealError::UnknownKey(_) => SecretError::Locked,
                SealError::Damaged | SealError::Random(_) => SecretError::Damaged,
            }
        })
    }
}

impl Catalog {
    /// Sets a secret for a tenant and those below it, or for all.
    pub async fn set_secret(
        &self,
        component: ComponentName,
        name: Label,
        tenant: Option<TenantId>,
        value: &str,
        actor: &str,
    ) -> Result<SecretRecord, SecretsError> {
        if let Some(tenant) = tenant.as_ref().filter(|tenant| !self.snapshot().has_tenant(tenant)) {
            return Err(SecretsError::NoTenant(tenant.clone()));
        }
        self.vault().set(component, name, tenant, value, actor).await
    }

    /// Removes a secret; what stands for a tenant further up, or for all, counts again.
    pub async fn remove_secret(
        &self,
        component: &ComponentName,
        name: &Label,
        tenant: Option<&TenantId>,
    ) -> Result<(), SecretsError> {
        match self.store().remove_secret(component, name, tenant).await? {
            true => Ok(()),
            false => {
                let (component, name, tenant) = (component.clone(), name.clone(), tenant.cloned());
                Err(SecretsError::NotSet { component, name, tenant })
            }
        }
    }

    /// What may be told of one secret.
    pub async fn secret(
        &self,
        component: &ComponentName,
        name: &Label,
        tenant: Option<&TenantId>,
    ) -> Result<SecretRecord, SecretsError> {
        let known = self.store().secrets(component).await?;
        let found = known.into_iter().find(|record| record.name == *name && record.tenant.as_ref() == tenant);
        found.ok_or_else(|| SecretsError::NotSet {
            component: component.clone(),
            name: name.clone(),
            tenant: tenant.cloned(),
        })
    }
}
