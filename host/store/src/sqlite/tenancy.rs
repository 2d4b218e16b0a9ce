//! Tables `tenants` and `keys`.

use super::{SqliteStore, parse, violates};
use crate::{KeyRecord, Role, StoreError, TenantRecord};
use sqlx::Row as _;
use sqlx::error::ErrorKind;
use sqlx::sqlite::SqliteRow;
use wares_model::{KeyId, TenantId, Timestamp};

/// Uses of keys that are written in one transaction, so that calls never wait long for it.
const USES_AT_ONCE: usize = 500;

impl SqliteStore {
    pub(super) async fn insert_tenant_row(&self, tenant: TenantRecord) -> Result<(), StoreError> {
        let TenantRecord { id, parent, name, created_at } = tenant;
        // The one cycle that the foreign key lets pass: a row may refer to itself.
        if parent.as_ref() == Some(&id) {
            return Err(StoreError::UnknownTenant(id));
        }
        let mut writing = self.write().await?;
        let inserted = sqlx::query("INSERT INTO tenants (id, parent, name, created_at) VALUES (?, ?, ?, ?)")
            .bind(id.as_str())
            .bind(parent.as_ref().map(TenantId::as_str))
            .bind(name)
            .bind(created_at.as_micros())
            .execute(&mut *writing)
            .await;
        match (inserted, parent) {
            (Ok(_), _) => Ok(writing.commit().await?),
            (Err(error), _) if violates(&error, ErrorKind::UniqueViolation) => Err(StoreError::TenantExists(id)),
            (Err(error), Some(parent)) if violates(&error, ErrorKind::ForeignKeyViolation) => {
                Err(StoreError::UnknownTenant(parent))
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    pub(super) async fn tenant_rows(&self) -> Result<Vec<TenantRecord>, StoreError> {
        // In the order of insertion, whatever the clock said; a parent is inserted before its children.
        let rows = sqlx::query("SELECT id, parent, name, created_at FROM tenants ORDER BY rowid")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(tenant).collect()
    }

    pub(super) async fn insert_key_row(&self, key: KeyRecord) -> Result<(), StoreError> {
        let (role, tenant, application, namespace) = match &key.role {
            Role::Admin => ("admin", None, None, None),
            Role::Reviewer => ("reviewer", None, None, None),
            Role::Publisher { namespace } => ("publisher", None, None, Some(namespace.as_str())),
            Role::Tenant { tenant, application } => ("tenant", Some(tenant.as_str()), Some(application.as_str()), None),
        };
        let mut writing = self.write().await?;
        let inserted = sqlx::query(
            "INSERT INTO keys
             (id, role, tenant, application, namespace, hash, label, created_at, expires_at, used_at, revoked_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(key.id.to_string())
        .bind(role)
        .bind(tenant)
        .bind(application)
        .bind(namespace)
        .bind(key.hash.as_slice())
        .bind(key.label)
        .bind(key.created_at.as_micros())
        .bind(key.expires_at.map(Timestamp::as_micros))
        .bind(key.used_at.map(Timestamp::as_micros))
        .bind(key.revoked_at.map(Timestamp::as_micros))
        .execute(&mut *writing)
        .await;
        match (inserted, key.role) {
            (Ok(_), _) => Ok(writing.commit().await?),
            (Err(error), _) if violates(&error, ErrorKind::UniqueViolation) => Err(StoreError::KeyExists),
            (Err(error), Role::Tenant { tenant, .. }) if violates(&error, ErrorKind::ForeignKeyViolation) => {
                Err(StoreError::UnknownTenant(tenant))
            }
            (Err(error), _) => Err(error.into()),
        }
    }

    pub(super) async fn key_rows(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let rows = sqlx::query(
            "SELECT id, role, tenant, application, namespace, hash, label, created_at, expires_at, used_at, revoked_at
             FROM keys ORDER BY created_at, id",
        )
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(key).collect()
    }

    pub(super) async fn write_key_uses(&self, uses: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        for some in uses.chunks(USES_AT_ONCE) {
            let mut writing = self.write().await?;
            for (id, at) in some {
                sqlx::query("UPDATE keys SET used_at = MAX(COALESCE(used_at, ?1), ?1) WHERE id = ?2")
                    .bind(at.as_micros())
                    .bind(id.to_string())
                    .execute(&mut *writing)
                    .await?;
            }
            writing.commit().await?;
        }
        Ok(())
    }

    pub(super) async fn revoke_key_row(&self, id: KeyId) -> Result<bool, StoreError> {
        let mut writing = self.write().await?;
        let done = sqlx::query("UPDATE keys SET revoked_at = COALESCE(revoked_at, ?) WHERE id = ?")
            .bind(Timestamp::now().as_micros())
            .bind(id.to_string())
            .execute(&mut *writing)
            .await?;
        writing.commit().await?;
        Ok(done.rows_affected() > 0)
    }
}

fn tenant(row: &SqliteRow) -> Result<TenantRecord, StoreError> {
    let parent: Option<&str> = row.try_get("parent")?;
    Ok(TenantRecord {
        id: parse("tenant", row.try_get("id")?)?,
        parent: parent.map(|parent| parse("parent", parent)).transpose()?,
        name: row.try_get("name")?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
    })
}

fn key(row: &SqliteRow) -> Result<KeyRecord, StoreError> {
    let (role, namespace): (Option<&str>, Option<&str>) = (row.try_get("role")?, row.try_get("namespace")?);
    let (tenant, application): (Option<&str>, Option<String>) = (row.try_get("tenant")?, row.try_get("application")?);
    let role = match (role, tenant, application, namespace) {
        (Some("tenant"), Some(tenant), Some(application), None) => {
            Role::Tenant { tenant: parse("tenant", tenant)?, application }
        }
        (Some("publisher"), None, None, Some(namespace)) => {
            Role::Publisher { namespace: parse("namespace", namespace)? }
        }
        (Some("reviewer"), None, None, None) => Role::Reviewer,
        (Some("admin"), None, None, None) => Role::Admin,
        // Half a role must never turn into an operator's.
        _ => return Err(StoreError::Corrupt("a key with half a role".to_owned())),
    };
    let hash: Vec<u8> = row.try_get("hash")?;
    let time = |column: &str| row.try_get::<Option<i64>, _>(column).map(|time| time.map(Timestamp::from_micros));
    Ok(KeyRecord {
        id: parse("key", row.try_get("id")?)?,
        role,
        hash: hash.try_into().map_err(|_| StoreError::Corrupt("a key's hash".to_owned()))?,
        label: row.try_get("label")?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        expires_at: time("expires_at")?,
        used_at: time("used_at")?,
        revoked_at: time("revoked_at")?,
    })
}
