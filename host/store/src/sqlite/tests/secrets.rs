//! Secrets: the nearest place counts, and what was changed meanwhile is not overwritten.

use super::*;
use crate::{SealedSecret, SealingKeys, SecretPlace, SecretStore as _};
use wares_model::TenantId;

fn keys(digit: &str) -> SealingKeys {
    SealingKeys::parse(&digit.repeat(64)).unwrap()
}

fn place(tenant: Option<&str>, revision: u64) -> SecretPlace {
    let tenant = tenant.map(|tenant| tenant.parse().unwrap());
    SecretPlace { component: "a:b".parse().unwrap(), name: "token".parse().unwrap(), tenant, revision }
}

fn sealed(tenant: Option<&str>, revision: u64) -> SealedSecret {
    keys("1").seal(place(tenant, revision), &format!("{tenant:?} {revision}")).unwrap()
}

#[tokio::test]
async fn the_first_tenant_of_a_line_that_has_a_value_counts() {
    let Fixture { store, .. } = &fixture().await;
    for tenant in [None, Some("city"), Some("street")] {
        store.put_secret(sealed(tenant, 1), "tests").await.unwrap();
    }
    let name = "token".parse().unwrap();
    for (line, expected) in [
        (&["street", "city"][..], Some("street")),
        (&["district", "city"], Some("city")),
        (&["city"], Some("city")),
        (&["elsewhere"], None),
        (&[], None),
    ] {
        let line: Vec<TenantId> = line.iter().map(|tenant| tenant.parse().unwrap()).collect();
        let found = store.sealed_secret(&"a:b".parse().unwrap(), &name, &line).await.unwrap().unwrap();
        assert_eq!(found.place, place(expected, 1), "{line:?}");
        let none = store.sealed_secret(&"a:other".parse().unwrap(), &name, &line).await.unwrap();
        assert_eq!(none, None);
    }
}

#[tokio::test]
async fn revisions_follow_one_another() {
    let Fixture { store, .. } = &fixture().await;
    store.put_secret(sealed(None, 1), "tests").await.unwrap();
    let error = store.put_secret(sealed(None, 1), "tests").await.unwrap_err();
    assert!(matches!(error, StoreError::RevisionConflict { current: 1 }), "{error}");
    let stale = keys("2").seal(place(None, 1), "stale").unwrap();
    store.put_secret(sealed(None, 2), "tests").await.unwrap();
    store.reseal_secrets(&[stale]).await.unwrap();
    let all = store.sealed_secrets(None, 10).await.unwrap();
    assert_eq!(keys("1").open(&all[0]).unwrap().as_str(), "None 2");
    assert_eq!(store.sealed_secrets(Some(&all[0].place), 10).await.unwrap(), []);
    assert!(store.remove_secret(&all[0].place.component, &all[0].place.name, None).await.unwrap());
    assert!(!store.remove_secret(&all[0].place.component, &all[0].place.name, None).await.unwrap());
}
