//! Sizes of logs: what is kept of them is what is there, whatever adds and removes.

use super::*;
use crate::UpkeepStore as _;

fn logged(tenant: &str, bytes: usize) -> LedgerEntry {
    let tenant = tenant.parse().unwrap();
    LedgerEntry { tenant, logs: Some("x".repeat(bytes)), ..entry("f", Outcome::Ok, 0) }
}

/// The sums are those of the sizes, the sizes are those of the logs; the bytes of all.
async fn consistent(store: &SqliteStore) -> i64 {
    let one = async |sql: &'static str| -> i64 { sqlx::query_scalar(sql).fetch_one(&store.readers).await.unwrap() };
    let wrong = "SELECT COUNT(*) FROM log_sums WHERE bytes <> (SELECT COALESCE(SUM(bytes), 0) FROM log_sizes
        WHERE log_sums.tenant IN (log_sizes.tenant, ''))";
    assert_eq!(one(wrong).await, 0, "sums");
    let wrong =
        "SELECT (SELECT COUNT(*) FROM logs) - (SELECT COUNT(*) FROM log_sizes JOIN logs ON logs.call = log_sizes.call
        WHERE bytes = octet_length(text) + octet_length(marks))";
    assert_eq!(one(wrong).await, 0, "sizes");
    one("SELECT COALESCE(SUM(bytes), 0) FROM log_sizes").await
}

#[tokio::test]
async fn the_oldest_logs_of_who_is_over_a_bound_make_room() {
    let Fixture { store, .. } = &fixture().await;
    store.set_log_bounds(LogBounds { bytes_max: 3_000, tenant_bytes_max: 2_000 });
    let other = logged("south", 500);
    store.append_entries(std::slice::from_ref(&other)).await.unwrap();
    let north: Vec<_> = (0..6).map(|_| logged("north", 500)).collect();
    // In groups, and one that is handed in again.
    store.append_entries(&north[..4]).await.unwrap();
    store.append_entries(&north[2..]).await.unwrap();
    let text =
        async |entry: &LedgerEntry| store.call(entry.call).await.unwrap().unwrap().logs.map_or(0, |text| text.len());
    assert!(consistent(store).await <= 2_000 + 502);
    let mut kept = Vec::new();
    for entry in &north {
        kept.push(text(entry).await);
    }
    assert_eq!(kept, [0, 0, 0, 500, 500, 500], "two bytes of marks each are too many for a fourth");
    assert_eq!(text(&other).await, 500);
    for tenant in ["a", "b", "c"] {
        store.append_entries(&[logged(tenant, 600)]).await.unwrap();
    }
    assert!((2_000..=3_000).contains(&consistent(store).await));
    assert_eq!(text(&other).await, 0, "the oldest of all");

    let size = store.size(2).await.unwrap();
    assert_eq!((size.largest.len(), size.log_bytes), (2, unsigned(consistent(store).await)));
    let bytes = store.remove_oldest_logs(1_000).await.unwrap();
    assert!((1_000..1_700).contains(&bytes) && consistent(store).await == signed(size.log_bytes - bytes));
    assert_eq!(count(store, "entries").await, 10);
    store.prune_entries(Timestamp::now().plus(Duration::from_secs(3_600))).await.unwrap();
    assert_eq!((consistent(store).await, count(store, "entries").await), (0, 0));
    assert_eq!(store.remove_oldest_logs(1_000).await.unwrap(), 0);
}

#[tokio::test]
async fn a_bound_that_is_lowered_is_come_to_in_steps() {
    let Fixture { store, .. } = &fixture().await;
    for _ in 0..8 {
        store.append_entries(&[logged("north", 1 << 20)]).await.unwrap();
    }
    store.set_log_bounds(LogBounds { bytes_max: 0, tenant_bytes_max: u64::MAX });
    let before = consistent(store).await;
    store.append_entries(&[logged("north", 100)]).await.unwrap();
    let gone = before - consistent(store).await;
    assert!((1 << 19..3 << 20).contains(&gone), "one transaction removed {gone} bytes");
}

#[tokio::test]
async fn a_connection_in_which_something_failed_is_not_used_again() {
    let Fixture { store, .. } = &fixture().await;
    // As on a full disk, for as long as these connections are used.
    let full = "PRAGMA max_page_count = 1";
    sqlx::query(full).execute(&store.writer).await.unwrap();
    store.ledger.with(|appender| Ok(appender.connection.query_row(full, [], |_| Ok(()))?)).unwrap();
    let many = [logged("north", 1 << 20)];
    assert!(store.append_entries(&many).await.is_err());
    store.append_entries(&many).await.unwrap();
    let tenant = |id: &str| TenantRecord {
        id: id.parse().unwrap(),
        name: "x".repeat(1 << 20),
        parent: None,
        created_at: Timestamp::from_micros(0),
    };
    assert!(store.insert_tenant(tenant("north")).await.is_err());
    store.insert_tenant(tenant("north")).await.unwrap();
    // What is merely refused costs no connection.
    sqlx::query(full).execute(&store.writer).await.unwrap();
    let quota = crate::BucketQuota { bytes_max: 1, keys_max: 1 };
    let bucket = crate::BucketName { tenant: None, component: None, bucket: "b".parse().unwrap() };
    let set = crate::KeyValueStore::set(store.as_ref(), &bucket, &[("k".to_owned(), vec![0; 10])], quota).await;
    assert!(set.is_err());
    assert!(store.insert_tenant(tenant("south")).await.is_err(), "the same connection");
}
