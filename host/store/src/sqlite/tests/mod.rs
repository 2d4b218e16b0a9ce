//! The store on real SQLite files. Here is what the tests share.

mod answers;
mod crash;
mod jobs;
mod keyvalue;
mod ledger;
mod lifecycle;
mod logs;
mod rollouts;
mod secrets;
mod shelf;
mod tenancy;
mod trust;
mod usage;

use super::*;
use std::sync::Arc;
use wares_model::{Digest, Outcome, Usage};

/// A store of its own in a folder of its own.
struct Fixture {
    dir: tempfile::TempDir,
    data_dir: DataDir,
    store: Arc<SqliteStore>,
}

async fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(dir.path()).unwrap();
    let store = Arc::new(open(&data_dir).await.unwrap());
    Fixture { dir, data_dir, store }
}

async fn open(data_dir: &DataDir) -> Result<SqliteStore, StoreError> {
    open_sqlite(data_dir, SqliteOptions::default()).await
}

/// An entry of one function, with small numbers that differ from each other.
fn entry(function: &str, outcome: Outcome, started: i64) -> LedgerEntry {
    LedgerEntry {
        call: CallId::generate(),
        tenant: "district".parse().unwrap(),
        application: "app".into(),
        component: "a:b".parse().unwrap(),
        version: "1.0.0".parse().unwrap(),
        interface: "a:b/c@1.0.0".into(),
        function: function.into(),
        outcome,
        detail: None,
        started: Timestamp::from_micros(started),
        usage: Usage { cpu_us: 1, wall_us: 2, memory_peak_bytes: 3, bytes_in: 4, bytes_out: 5 },
        parent: None,
        logs: None,
        log_marks: Vec::new(),
        shadow: None,
        request_id: None,
        answer: None,
        kept: None,
    }
}

/// How many rows a table has.
async fn count(store: &SqliteStore, table: &'static str) -> i64 {
    let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
    sqlx::query_scalar(sql).fetch_one(&store.readers).await.unwrap()
}

/// The sums over all calls.
async fn total(store: &SqliteStore) -> UsageRow {
    store.usage(UsageQuery::default()).await.unwrap().pop().unwrap_or_default()
}
