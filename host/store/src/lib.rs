//! The only place with SQL and artifact storage. It keeps what it is given and decides nothing.
//!
//! [`Store`] is the interface that the rest of the host knows; [`SqliteStore`] is the database of one machine behind it.

mod answers;
mod artifacts;
mod backup;
mod config;
mod data_dir;
mod grants;
mod hashing;
mod jobs;
mod key_file;
mod keyvalue;
mod leftovers;
mod lifecycle;
mod providers;
mod records;
mod redis;
mod rehearsal;
mod reports;
mod restore;
mod rollouts;
mod sealing;
mod secrets;
mod sqlite;
mod trust;
mod upkeep;
mod webhooks;

pub use self::redis::{RedisStore, RedisUrl, RedisUrlError};
pub use answers::{AnswerStore, KeptCall};
pub use artifacts::{ArtifactReader, Artifacts};
pub use backup::{Backup, BackupError, BackupHead, DatabaseCopy, MissingArtifact};
pub use config::{ConfigRecord, ConfigStore};
pub use data_dir::{DataDir, DataDirError};
pub use grants::{GrantStore, GrantsRecord, NewGrants};
pub use jobs::{
    AttemptEnd, AttemptRecord, BegunJob, Due, EnteredAttempt, JobBounds, JobCounts, JobDetail, JobQuery, JobRecord,
    JobRetention, JobStore, NewJob, QueuedJob, RecoveredJobs, ScheduleKey, ScheduleRecord, Then,
};
pub use key_file::{create_key_file, open_key_file};
pub use keyvalue::{BucketName, BucketQuota, Gates, KeyPage, KeyValueError, KeyValueStore};
pub use leftovers::Leftover;
pub use lifecycle::{Deprecation, Transition, VersionChange, VersionEvent};
pub use providers::{ChoicePlace, ProviderRecord, ProviderStore};
pub use records::{
    CallFilter, CallQuery, CallsFound, Deployment, GroupBy, Inserted, KeyRecord, LogQuery, NewRevision, NewVersion,
    ParseGroupByError, Role, TenantRecord, UsageQuery, UsageRow, VersionRecord,
};
pub use rehearsal::{is_rehearsal, rehearse};
pub use reports::{ReportQuery, ReportStore, ReportedUsage, ReporterRecord};
pub use restore::{RestoreError, check_backup, restore_backup};
pub use rollouts::{Mismatch, RolloutChange, RolloutEnd, RolloutRecord, ShadowCounts};
pub use sealing::{SealError, SealingKeys, SealingKeysError, SecretPlace};
pub use secrets::{SealedSecret, SecretRecord, SecretStore};
pub use sqlite::{LogBounds, SqliteOptions, SqliteStore, SqliteSync, damage, open_sqlite};
pub use trust::{
    Decision, NamespaceRecord, NewTrust, Note, SignerRecord, SubmissionQuery, SubmissionRecord, SubmissionState,
    TrustRecord, TrustStore, Verdict,
};
pub use upkeep::{DatabaseSize, UpkeepStore};
pub use webhooks::{WebhookDelivery, WebhookRecord, WebhookStanding, WebhookStore};

use async_trait::async_trait;
use std::path::PathBuf;
use wares_model::{
    CallId, ComponentName, Digest, KeyId, LedgerEntry, SignerKey, SubmissionId, TenantId, Timestamp, Version,
};

/// What the ledger's writer needs of a store.
#[async_trait]
pub trait LedgerStore: Send + Sync + 'static {
    /// Writes entries, their logs, the aggregates per minute, hour and day, the results of the jobs that the calls were made
    /// for, and the answers that are kept under their callers' keys, all in one transaction or not at all.
    ///
    /// An entry whose call is entered already changes nothing and counts nothing, so that a batch whose fate is unknown may be
    /// handed in again. Numbers beyond 63 bits are kept as the largest of 63 bits.
    ///
    /// It may take its thread for as long as the database needs: call it on one that nothing else waits for.
    async fn append_entries(&self, entries: &[LedgerEntry]) -> Result<(), StoreError>;

    /// Finds out whether entries can be written, by a small write on the way that they take. It takes its thread as they do.
    async fn probe(&self) -> Result<(), StoreError>;
}

/// Catalog, deployments, tenants, keys and ledger of one shelf.
#[async_trait]
pub trait Store:
    LedgerStore
    + AnswerStore
    + TrustStore
    + ReportStore
    + GrantStore
    + ProviderStore
    + JobStore
    + SecretStore
    + ConfigStore
    + UpkeepStore
    + WebhookStore
{
    /// Adds a version. The same digest again changes nothing; another digest is a [`StoreError::VersionConflict`].
    async fn insert_version(&self, new: NewVersion) -> Result<Inserted, StoreError>;

    /// Adds a version and a revision that gives it traffic: both or neither. A version that is there already, with whatever
    /// bytes, is a [`StoreError::VersionConflict`]; see also [`Store::set_deployment`].
    async fn launch_version(&self, new: NewVersion, revision: NewRevision) -> Result<Deployment, StoreError>;

    /// All versions, in the order they were published.
    async fn versions(&self) -> Result<Vec<VersionRecord>, StoreError>;

    /// The detail text that a version was inserted with.
    async fn version_detail(&self, component: &ComponentName, version: &Version) -> Result<Option<String>, StoreError>;

    /// Does something to versions and notes it in their histories, together with the deployments that go with it: all or
    /// nothing. The answer is the versions, in order, and the deployments as they are then. A version that is not there is a
    /// [`StoreError::UnknownVersion`]; see also [`Store::set_deployment`].
    async fn change_versions(&self, change: VersionChange)
    -> Result<(Vec<VersionRecord>, Vec<Deployment>), StoreError>;

    /// What was done to a version, newest first.
    async fn version_events(
        &self,
        component: &ComponentName,
        version: &Version,
    ) -> Result<Vec<VersionEvent>, StoreError>;

    /// Adds a revision of a deployment and notes the time of the first deployment at its versions, both or neither. A version
    /// that is not there is a [`StoreError::UnknownVersion`], another revision than expected a
    /// [`StoreError::RevisionConflict`]. What the revision means to a rollout is written with it; a step or the end of one
    /// that does not run is a [`StoreError::RolloutEnded`].
    async fn set_deployment(&self, new: NewRevision) -> Result<Deployment, StoreError>;

    /// The current deployment of every component that has one, by component.
    async fn deployments(&self) -> Result<Vec<Deployment>, StoreError>;

    /// Revisions of one component below `before`, newest first.
    async fn deployment_history(
        &self,
        component: &ComponentName,
        limit: u32,
        before: Option<u64>,
    ) -> Result<Vec<Deployment>, StoreError>;

    /// The rollouts that run, at most one per component.
    async fn running_rollouts(&self) -> Result<Vec<RolloutRecord>, StoreError>;

    /// The newest rollout of a component, running or ended.
    async fn latest_rollout(&self, component: &ComponentName) -> Result<Option<RolloutRecord>, StoreError>;

    /// Ends a running rollout and leaves the deployment as it is. One that has ended already is a
    /// [`StoreError::RolloutEnded`].
    async fn end_rollout(&self, end: RolloutEnd) -> Result<RolloutRecord, StoreError>;

    /// What came of the calls that repeated others for this revision of a deployment, as far as their entries are kept, with
    /// `sample_max` mismatches.
    async fn shadow_counts(
        &self,
        component: &ComponentName,
        revision: u64,
        sample_max: u32,
    ) -> Result<ShadowCounts, StoreError>;

    /// Adds a tenant below a parent that is there already, so that tenants always form trees.
    async fn insert_tenant(&self, tenant: TenantRecord) -> Result<(), StoreError>;

    /// All tenants, parents before their children.
    async fn tenants(&self) -> Result<Vec<TenantRecord>, StoreError>;

    /// Adds a key. Ids and hashes are unique.
    async fn insert_key(&self, key: KeyRecord) -> Result<(), StoreError>;

    /// All keys, revoked ones included.
    async fn keys(&self) -> Result<Vec<KeyRecord>, StoreError>;

    /// Notes when keys were used last.
    async fn note_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError>;

    /// Revokes a key; the answer is whether there is such a key. A revoked key keeps its first time of revocation.
    async fn revoke_key(&self, id: KeyId) -> Result<bool, StoreError>;

    /// The entry of one call, while it is kept.
    async fn call(&self, id: CallId) -> Result<Option<LedgerEntry>, StoreError>;

    /// Calls, the newest first. One search looks through so many calls and no more, and says where the next one goes on.
    async fn calls(&self, query: CallQuery) -> Result<CallsFound, StoreError>;

    /// Calls that wrote a log, with it, as [`Store::calls`].
    async fn logged_calls(&self, query: LogQuery) -> Result<CallsFound, StoreError>;

    /// Sums over the aggregates, ordered by what they are grouped by. Ends of the period count by their minute: see
    /// [`UsageQuery`].
    async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, StoreError>;

    /// A copy of the database as of one moment. Calls and changes go on meanwhile.
    async fn copy_database(&self) -> Result<DatabaseCopy, StoreError>;

    /// Removes entries and logs of calls whose id was made before, to the millisecond; aggregates stay. It goes in small
    /// steps, between which entries are appended. Returns how many entries went.
    async fn prune_entries(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The version exists with other bytes.
    #[error("the version exists with digest {existing}")]
    VersionConflict {
        /// The digest that is stored.
        existing: Digest,
    },
    /// What is changed is not at the revision that the change was built on.
    #[error("it is at revision {current}")]
    RevisionConflict {
        /// The revision that is stored; 0 when there is none.
        current: u64,
    },
    /// The rollout does not run any more.
    #[error("rollout {id} of {component} has ended")]
    RolloutEnded {
        /// Of which component.
        component: ComponentName,
        /// Which.
        id: u64,
    },
    /// The deployment names a version that is not there.
    #[error("there is no version {version} of {component}; publish it first")]
    UnknownVersion {
        /// Of which component.
        component: ComponentName,
        /// The version.
        version: Version,
    },
    /// There is a tenant of this id.
    #[error("tenant {0} exists already; choose another id")]
    TenantExists(TenantId),
    /// The tenant that is referred to is not there.
    #[error("there is no tenant {0}; add it first")]
    UnknownTenant(TenantId),
    /// There is a key of this id or with this hash.
    #[error("the key exists already; make another one")]
    KeyExists,
    /// The namespace has this signer.
    #[error("{0} is a signer of the namespace already; a revoked key is not taken again, make a new one")]
    SignerExists(SignerKey),
    /// The submission is decided, or was never made.
    #[error("submission {0} is decided already; see what was said of it")]
    SubmissionDecided(SubmissionId),
    /// What is stored cannot be read back.
    #[error("the database holds something unreadable: {0}; restore it from a backup")]
    Corrupt(String),
    /// A newer version of the program wrote the database.
    #[error(
        "a newer version of wares wrote this database (its schema has step {0}); start that version or a newer one"
    )]
    TooNew(i64),
    /// An artifact's bytes do not have its digest.
    #[error("the artifact {0} is corrupt: its bytes have another digest; restore it from a backup")]
    CorruptArtifact(Digest),
    /// The database cannot be opened.
    #[error("the database {path} cannot be opened: {source}; check that it is a wares database this user may write")]
    Open {
        /// Its file.
        path: PathBuf,
        /// What the database said.
        source: sqlx::Error,
    },
    /// A file of the artifact storage could not be read or removed.
    #[error("artifact files: {0}")]
    Files(#[source] std::io::Error),
    /// The database could not be copied.
    #[error("copying the database: {0}")]
    Copy(String),
    /// The artifact storage failed.
    #[error("artifact storage: {0}")]
    Artifacts(#[from] object_store::Error),
    /// The database failed.
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    /// The ledger could not be written.
    #[error("the ledger's database: {0}")]
    Ledger(#[source] rusqlite::Error),
    /// The schema could not be brought up to date.
    #[error("bringing the database's schema up to date: {0}")]
    Schema(#[source] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        sqlite::notice(&error);
        Self::Database(error)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        sqlite::notice_of_ledger(&error);
        Self::Ledger(error)
    }
}
