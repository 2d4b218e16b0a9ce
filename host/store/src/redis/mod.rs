//! Key-value pairs on a Redis or Valkey server.
//!
//! A bucket is three keys of the server: the values, the order in which their keys came, and the counters. Each change is one
//! script, which the server runs alone. The names of the three have the bucket's part in braces, so that they are in one place
//! when the server is a cluster.

mod url;

pub use url::{RedisUrl, RedisUrlError};

use crate::keyvalue::{BucketName, BucketQuota, Gates, KeyPage, KeyValueError, KeyValueStore};
use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, FromRedisValue, RedisError, Script, ScriptInvocation};
use std::time::Duration;
use wares_model::TenantId;
use wares_model::grants::Label;
use wares_model::limits::KEYVALUE_MS_MAX;

/// Keys of the server that it is asked to look at in one step of a wipe.
const SCAN_KEYS: u32 = 1_000;
/// Times that a lost connection is made again for one request.
const RETRIES: usize = 2;
/// Requests of guests at once, of those that read and of those that change something.
const REQUESTS_MAX: usize = 64;
/// CPU time in nanoseconds that a call is charged for a request: about what the server, and the task that holds the connection,
/// take for a small one.
const REQUEST_CPU_NS: u64 = 50_000;

/// A server, and which of its keys are ours.
pub struct RedisStore {
    connection: ConnectionManager,
    prefix: Label,
    gates: Gates,
    get: Script,
    set: Script,
    delete: Script,
    increment: Script,
}

impl RedisStore {
    /// A store whose keys begin with `prefix`. It connects when it is first used, and again whenever that is needed.
    pub fn new(url: &RedisUrl, prefix: &Label) -> Result<Self, KeyValueError> {
        let client = Client::open(url.secret())?;
        let patience = Some(Duration::from_millis(KEYVALUE_MS_MAX));
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(patience)
            .set_response_timeout(patience)
            .set_number_of_retries(RETRIES);
        Ok(Self {
            connection: ConnectionManager::new_lazy_with_config(client, config)?,
            prefix: prefix.clone(),
            gates: Gates::new(REQUESTS_MAX, REQUESTS_MAX),
            get: Script::new(include_str!("get.lua")),
            set: Script::new(include_str!("set.lua")),
            delete: Script::new(include_str!("delete.lua")),
            increment: Script::new(include_str!("increment.lua")),
        })
    }

    /// What keys begin with unless the operator says otherwise.
    #[expect(clippy::expect_used, reason = "a constant that is a name")]
    pub fn prefix() -> Label {
        "wares".parse().expect("a name")
    }

    /// The server's key for a part of a bucket. None of the names in it has a `/`, `:` or brace.
    fn key(&self, name: &BucketName, part: &str) -> String {
        let BucketName { tenant, component, bucket } = name;
        let place = match (tenant, component) {
            (Some(tenant), Some(component)) => format!("tenant/{tenant}/{}/{bucket}", component.path()),
            (None, Some(component)) => format!("component/{}/{bucket}", component.path()),
            (Some(tenant), None) => format!("tenant/{tenant}//{bucket}"),
            (None, None) => format!("shared/{bucket}"),
        };
        format!("{}:{{{place}}}:{part}", self.prefix)
    }

    fn values(&self, name: &BucketName) -> String {
        self.key(name, "values")
    }

    fn order(&self, name: &BucketName) -> String {
        self.key(name, "order")
    }

    /// A script on all parts of a bucket.
    fn on<'a>(&self, script: &'a Script, name: &BucketName) -> ScriptInvocation<'a> {
        let mut invocation = script.prepare_invoke();
        invocation.key(self.values(name)).key(self.order(name)).key(self.key(name, "counters"));
        invocation
    }

    /// Runs a script that changes a bucket. Returns what it says beside that it was done.
    async fn change(&self, script: &ScriptInvocation<'_>, quota: Option<BucketQuota>) -> Result<String, KeyValueError> {
        let mut connection = self.connection.clone();
        let (outcome, answer): (String, String) = script.invoke_async(&mut connection).await?;
        match (outcome.as_str(), quota) {
            ("ok", _) => Ok(answer),
            ("bytes", Some(quota)) => Err(KeyValueError::Bytes(quota.bytes_max)),
            ("keys", Some(quota)) => Err(KeyValueError::Keys(quota.keys_max)),
            ("number", _) => Err(KeyValueError::NotANumber),
            ("overflow", _) => Err(KeyValueError::Overflow),
            (other, _) => Err(KeyValueError::Failed(format!("Redis: a script returned {other:?}"))),
        }
    }

    async fn query<T: FromRedisValue>(&self, command: &redis::Cmd) -> Result<T, KeyValueError> {
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }
}

#[async_trait]
impl KeyValueStore for RedisStore {
    fn gates(&self) -> &Gates {
        &self.gates
    }

    fn cpu_ns_elsewhere(&self) -> u64 {
        REQUEST_CPU_NS
    }

    async fn get(
        &self,
        bucket: &BucketName,
        keys: &[String],
        bytes_max: u64,
    ) -> Result<Vec<Option<Vec<u8>>>, KeyValueError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut script = self.get.key(self.values(bucket));
        script.arg(bytes_max);
        keys.iter().for_each(|key| {
            script.arg(key);
        });
        let values: Option<Vec<Option<Vec<u8>>>> = script.invoke_async(&mut self.connection.clone()).await?;
        values.ok_or(KeyValueError::TooLarge(bytes_max))
    }

    async fn exists(&self, bucket: &BucketName, key: &str) -> Result<bool, KeyValueError> {
        self.query(redis::cmd("HEXISTS").arg(self.values(bucket)).arg(key)).await
    }

    async fn list(&self, bucket: &BucketName, after: u64, limit: u32) -> Result<KeyPage, KeyValueError> {
        let mut command = redis::cmd("ZRANGEBYSCORE");
        command.arg(self.order(bucket)).arg(format!("({after}")).arg("+inf").arg("WITHSCORES");
        command.arg("LIMIT").arg(0).arg(u64::from(limit) + 1);
        let mut keys: Vec<(String, u64)> = self.query(&command).await?;
        let is_last = keys.len() <= limit as usize;
        keys.truncate(limit as usize);
        let next = keys.last().map(|(_, place)| *place).filter(|_| !is_last);
        Ok(KeyPage { keys: keys.into_iter().map(|(key, _)| key).collect(), next })
    }

    async fn set(
        &self,
        bucket: &BucketName,
        pairs: &[(String, Vec<u8>)],
        quota: BucketQuota,
    ) -> Result<(), KeyValueError> {
        let mut script = self.on(&self.set, bucket);
        script.arg(quota.bytes_max).arg(quota.keys_max);
        pairs.iter().for_each(|(key, value)| {
            script.arg(key).arg(value.as_slice());
        });
        self.change(&script, Some(quota)).await.map(drop)
    }

    async fn delete(&self, bucket: &BucketName, keys: &[String]) -> Result<(), KeyValueError> {
        let mut script = self.on(&self.delete, bucket);
        keys.iter().for_each(|key| {
            script.arg(key);
        });
        self.change(&script, None).await.map(drop)
    }

    async fn increment(
        &self,
        bucket: &BucketName,
        key: &str,
        delta: u64,
        quota: BucketQuota,
    ) -> Result<u64, KeyValueError> {
        let delta = i64::try_from(delta).map_err(|_| KeyValueError::Overflow)?;
        let mut script = self.on(&self.increment, bucket);
        script.arg(quota.bytes_max).arg(quota.keys_max).arg(key).arg(delta);
        let sum = self.change(&script, Some(quota)).await?;
        sum.parse().map_err(|_| KeyValueError::NotANumber)
    }

    async fn count(&self, tenant: &TenantId) -> Result<u64, KeyValueError> {
        self.each_of(tenant, false).await
    }

    async fn wipe(&self, tenant: &TenantId) -> Result<u64, KeyValueError> {
        self.each_of(tenant, true).await
    }
}

impl RedisStore {
    /// Counts the pairs in the buckets that are a tenant's alone, and removes these buckets if they are to go.
    async fn each_of(&self, tenant: &TenantId, goes: bool) -> Result<u64, KeyValueError> {
        let pattern = format!("{}:{{tenant/{tenant}/*", self.prefix);
        let (mut cursor, mut pairs) = (0_u64, 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_KEYS);
            let (next, keys): (u64, Vec<String>) = self.query(&scan).await?;
            for key in keys {
                if key.ends_with(":values") {
                    pairs += self.query::<u64>(redis::cmd("HLEN").arg(&key)).await?;
                }
                if goes {
                    self.query::<()>(redis::cmd("UNLINK").arg(&key)).await?;
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(pairs);
            }
        }
    }
}

impl From<RedisError> for KeyValueError {
    fn from(error: RedisError) -> Self {
        Self::Failed(format!("Redis: {error}"))
    }
}
