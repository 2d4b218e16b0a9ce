//! Tenants and keys.

use super::*;
use crate::Role;
use wares_model::TenantId;

fn tenant(id: &str, parent: Option<&str>) -> TenantRecord {
    TenantRecord {
        id: id.parse().unwrap(),
        parent: parent.map(|parent| parent.parse().unwrap()),
        name: "光明区".into(),
        created_at: Timestamp::from_micros(1),
    }
}

fn key(role: Role, hash: u8) -> KeyRecord {
    KeyRecord {
        id: KeyId::generate(),
        role,
        hash: [hash; 32],
        label: Some(format!("key {hash}")),
        created_at: Timestamp::from_micros(1),
        expires_at: Some(Timestamp::from_micros(9)),
        used_at: None,
        revoked_at: None,
    }
}

fn role(tenant: &str) -> Role {
    Role::Tenant { tenant: tenant.parse().unwrap(), application: "系统".into() }
}

#[tokio::test]
async fn tenants_form_a_tree() {
    let Fixture { dir: _dir, data_dir, store } = fixture().await;
    // Names whose alphabetical order is not that of the tree.
    let tree = [tenant("z", None), tenant("m", Some("z")), tenant("a", Some("m")), tenant("b", Some("z"))];
    for one in &tree {
        store.insert_tenant(one.clone()).await.unwrap();
    }
    let nobody: &TenantId = &"nobody".parse().unwrap();
    let error = store.insert_tenant(tenant("street", Some("nobody"))).await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownTenant(id) if id == nobody), "{error}");
    let error = store.insert_tenant(tenant("own", Some("own"))).await.unwrap_err();
    assert!(matches!(error, StoreError::UnknownTenant(_)), "its own parent: {error}");
    for parent in [None, Some("a"), Some("nobody")] {
        let error = store.insert_tenant(tenant("m", parent)).await.unwrap_err();
        assert!(matches!(&error, StoreError::TenantExists(id) if id.as_str() == "m"), "{parent:?}: {error}");
    }
    drop(store);
    assert_eq!(open(&data_dir).await.unwrap().tenants().await.unwrap(), tree);
}

#[tokio::test]
async fn keys_come_back_as_they_were_put() {
    let Fixture { store, .. } = &fixture().await;
    store.insert_tenant(tenant("district", None)).await.unwrap();
    let publisher = Role::Publisher { namespace: "benefit".parse().unwrap() };
    let keys = [key(Role::Admin, 1), key(role("district"), 2), key(publisher, 4), key(Role::Reviewer, 5)];
    for one in &keys {
        store.insert_key(one.clone()).await.unwrap();
    }
    let error = store.insert_key(key(role("nobody"), 3)).await.unwrap_err();
    assert!(matches!(&error, StoreError::UnknownTenant(id) if id.as_str() == "nobody"), "{error}");
    let same_hash = key(Role::Admin, 2);
    let same_id = KeyRecord { hash: [9; 32], ..keys[0].clone() };
    for one in [same_hash, same_id] {
        assert!(matches!(store.insert_key(one).await, Err(StoreError::KeyExists)));
    }
    assert_eq!(store.keys().await.unwrap(), keys);
}

#[tokio::test]
async fn a_key_is_revoked_once() {
    let Fixture { store, .. } = &fixture().await;
    let (one, other) = (key(Role::Admin, 1), key(Role::Admin, 2));
    store.insert_key(one.clone()).await.unwrap();
    store.insert_key(other.clone()).await.unwrap();
    assert!(!store.revoke_key(KeyId::generate()).await.unwrap());
    assert!(store.revoke_key(one.id).await.unwrap());
    let revoked = store.keys().await.unwrap();
    assert!(revoked[0].revoked_at.is_some());
    assert_eq!(revoked[1], other);
    assert!(store.revoke_key(one.id).await.unwrap());
    assert_eq!(store.keys().await.unwrap(), revoked, "the first time stays");
}

#[tokio::test]
async fn a_damaged_key_is_never_read_as_an_operators() {
    let Fixture { store, .. } = &fixture().await;
    store.insert_tenant(tenant("district", None)).await.unwrap();
    store.insert_key(key(role("district"), 1)).await.unwrap();
    for damage in [
        "UPDATE keys SET application = NULL",
        "UPDATE keys SET tenant = NULL, application = 'app'",
        "UPDATE keys SET role = 'admin'",
        "UPDATE keys SET tenant = 'district', role = NULL",
    ] {
        sqlx::query(damage).execute(&store.writer).await.unwrap();
        assert!(matches!(store.keys().await, Err(StoreError::Corrupt(_))), "{damage}");
    }
}

#[tokio::test]
async fn uses_of_keys_are_noted_and_never_go_back() {
    let Fixture { store, .. } = &fixture().await;
    let keys = [key(Role::Admin, 1), key(Role::Reviewer, 2)];
    for key in &keys {
        store.insert_key(key.clone()).await.unwrap();
    }
    let at = Timestamp::from_micros;
    store.note_key_uses(&[(keys[0].id, at(7)), (KeyId::generate(), at(7))]).await.unwrap();
    store.note_key_uses(&[(keys[0].id, at(5))]).await.unwrap();
    let used = async || store.keys().await.unwrap().into_iter().map(|key| (key.id, key.used_at)).collect::<Vec<_>>();
    assert_eq!(used().await, [(keys[0].id, Some(at(7))), (keys[1].id, None)]);
}
