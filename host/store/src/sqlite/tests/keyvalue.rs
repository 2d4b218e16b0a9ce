//! Buckets that go part by part.

use super::*;
use crate::keyvalue::{BucketName, BucketQuota, KeyValueStore as _};
use wares_model::grants::BucketScope;

const QUOTA: BucketQuota = BucketQuota { bytes_max: 1 << 20, keys_max: 10_000 };

fn bucket(tenant: &str) -> BucketName {
    BucketName::of(BucketScope::Tenant, "counts".parse().unwrap(), &tenant.parse().unwrap(), &"a:b".parse().unwrap())
}

#[tokio::test]
async fn a_wipe_goes_part_by_part_with_counters_that_are_right() {
    let Fixture { store, dir: _dir, .. } = fixture().await;
    let pairs: Vec<_> = (0..1_200).map(|number| (format!("key{number}"), vec![b'x'; number % 7])).collect();
    for tenant in ["north", "south"] {
        store.set(&bucket(tenant), &pairs, QUOTA).await.unwrap();
    }
    let id = sqlx::query_scalar("SELECT id FROM buckets WHERE tenant = 'north'");
    let id: i64 = id.fetch_one(&store.readers).await.unwrap();
    assert_eq!(store.wipe_part(id).await.unwrap(), 500);
    let counted: (i64, i64) = sqlx::query_as("SELECT bytes, keys FROM buckets WHERE id = ?")
        .bind(id)
        .fetch_one(&store.readers)
        .await
        .unwrap();
    let there = sqlx::query_as("SELECT SUM(LENGTH(key) + LENGTH(value)), COUNT(*) FROM pairs WHERE bucket = ?");
    assert_eq!(counted, there.bind(id).fetch_one(&store.readers).await.unwrap());
    assert_eq!(counted.1, 700);

    assert_eq!(store.wipe(&"north".parse().unwrap()).await.unwrap(), 700);
    assert_eq!((count(&store, "buckets").await, count(&store, "pairs").await), (1, 1_200));
    assert_eq!(store.wipe(&"north".parse().unwrap()).await.unwrap(), 0);
    assert!(store.exists(&bucket("south"), "key7").await.unwrap());
}
