//! The settings of a host: built-in defaults, then one TOML file, then `WARES_*` variables, then flags; the later wins.

mod sources;

pub use sources::{ConfigError, Sources};

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use wares_catalog::Undeployed;
use wares_model::Limits;
use wares_model::limits::{
    COMPOSED_CALLS_MAX, HOST_CONCURRENCY_MAX, LOADED_VERSIONS_MAX, QUEUE_LENGTH_MAX, QUEUE_MS_MAX,
    REUSE_AGE_SECONDS_MAX, REUSE_CALLS_MAX, REUSE_INSTANCES_MAX, REUSE_MEMORY_BYTES_MAX, SHADOWS_MAX,
    TENANT_CONCURRENCY_MAX,
};
use wares_store::SqliteSync;

/// All settings of a host, as they take effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the host keeps everything; relative to the working directory.
    pub data_dir: PathBuf,
    /// Seconds that running requests have to end once the host is told to stop.
    pub drain_seconds_max: u64,
    /// What the host logs.
    pub log: Log,
    /// How calls are recorded.
    pub ledger: Ledger,
    /// What one call may use.
    pub limits: CallLimits,
    /// How many calls the host takes.
    pub calls: Calls,
    /// Whether instances serve several calls of one tenant, where a component's manifest asks for it.
    pub reuse: Reuse,
    /// Bounds of HTTP connections.
    pub http: Http,
}

/// Section `log`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Log {
    /// Which events, as `info` or `info,wares_engine=debug`.
    pub filter: String,
    /// How they are written.
    pub format: LogFormat,
}

/// How a log event is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Section `ledger`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Ledger {
    /// What an answered call's entry survives.
    pub sync: LedgerSync,
    /// Days that single entries are kept; sums are kept for good.
    pub retention_days: u32,
}

/// What an answered call's entry survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LedgerSync {
    /// The end of the host's process, however it comes.
    Normal,
    /// Loss of power as well.
    Full,
}

/// Section `limits`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct CallLimits {
    /// For a component whose manifest asks for nothing else.
    pub default: Limits,
    /// What a manifest may ask for.
    pub ceiling: Limits,
}

/// Section `calls`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Calls {
    /// Calls running at once on the host.
    pub concurrency_max: usize,
    /// Calls of one tenant running at once.
    pub tenant_concurrency_max: u64,
    /// Calls waiting for a slot.
    pub queue_length_max: usize,
    /// Milliseconds that one waits in a burst; under lasting overload calls wait much shorter.
    pub queue_ms_max: u64,
    /// Versions loaded at once; beyond it the one that was not called for longest is unloaded.
    pub loaded_versions_max: u64,
    /// Calls made again in another version, to compare, running at once beside the others; 0 makes none.
    pub shadows_max: usize,
    /// Of the calls running at once, those that may call other components; each keeps room for all the calls within it.
    pub composed_max: usize,
    /// Whether callers may name versions that were never deployed: `never`, `exact` (`@=1.2.3`), or `matching` (whatever no
    /// deployed version satisfies).
    pub undeployed: Undeployed,
}

/// Section `reuse`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Reuse {
    /// Instances kept at once on the host; 0 keeps none, and every call gets a fresh one.
    pub instances_max: u32,
    /// Calls that one instance serves.
    pub calls_max: u64,
    /// Seconds that one instance serves.
    pub age_seconds_max: u64,
    /// Bytes of memory with which an instance is still kept.
    pub memory_bytes_max: u64,
}

/// Section `http`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Http {
    /// Connections open at once.
    pub connections_max: usize,
    /// Seconds for the head of a request to arrive; an idle connection ends after it too.
    pub head_seconds_max: u64,
    /// Seconds between two pieces of a request's body.
    pub body_seconds_max: u64,
}

/// The inclusive range of every number that is not free.
const RANGES: &[(&str, u64, u64)] = &[
    ("drain-seconds-max", 0, 3_600),
    ("ledger.retention-days", 1, 36_500),
    ("calls.concurrency-max", 1, 2_000),
    ("calls.tenant-concurrency-max", 1, 10_000),
    ("calls.queue-length-max", 0, 1_000_000),
    ("calls.queue-ms-max", 0, 60_000),
    ("calls.loaded-versions-max", 1, 1_000_000),
    ("calls.shadows-max", 0, 100),
    ("calls.composed-max", 1, 200),
    ("reuse.instances-max", 0, 1_000),
    ("reuse.calls-max", 1, 1_000_000_000),
    ("reuse.age-seconds-max", 1, 86_400),
    ("reuse.memory-bytes-max", 0, 4 << 30),
    ("http.connections-max", 1, 1_000_000),
    ("http.head-seconds-max", 1, 3_600),
    ("http.body-seconds-max", 1, 3_600),
];

/// The same for each limit of a call, in both tables.
const LIMIT_RANGES: &[(&str, u64, u64)] = &[
    ("memory-bytes-max", 1 << 16, 4 << 30),
    ("table-elements-max", 1, Limits::CEILING.table_elements_max),
    ("cpu-ms-max", 1, 600_000),
    ("wall-ms-max", 1, 3_600_000),
    ("body-bytes-max", 1, 1 << 30),
    ("result-bytes-max", 1, 1 << 30),
    ("host-memory-bytes-max", 1 << 10, 1 << 30),
    ("log-bytes-max", 0, 64 << 20),
    ("concurrency-max", 1, 10_000),
];

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8787)),
            data_dir: PathBuf::from("wares-data"),
            drain_seconds_max: 30,
            log: Log::default(),
            ledger: Ledger::default(),
            limits: CallLimits::default(),
            calls: Calls::default(),
            reuse: Reuse::default(),
            http: Http::default(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self { sync: LedgerSync::Normal, retention_days: 90 }
    }
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { default: Limits::DEFAULT, ceiling: Limits::CEILING }
    }
}

impl Default for Calls {
    fn default() -> Self {
        let count = |bound: u64| usize::try_from(bound).unwrap_or(usize::MAX);
        Self {
            concurrency_max: count(HOST_CONCURRENCY_MAX),
            tenant_concurrency_max: TENANT_CONCURRENCY_MAX,
            queue_length_max: count(QUEUE_LENGTH_MAX),
            queue_ms_max: QUEUE_MS_MAX,
            loaded_versions_max: LOADED_VERSIONS_MAX,
            shadows_max: count(SHADOWS_MAX),
            composed_max: count(COMPOSED_CALLS_MAX),
            undeployed: Undeployed::Never,
        }
    }
}

impl Default for Reuse {
    fn default() -> Self {
        Self {
            instances_max: REUSE_INSTANCES_MAX,
            calls_max: REUSE_CALLS_MAX,
            age_seconds_max: REUSE_AGE_SECONDS_MAX,
            memory_bytes_max: REUSE_MEMORY_BYTES_MAX,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { connections_max: 4_096, head_seconds_max: 30, body_seconds_max: 30 }
    }
}

impl From<LedgerSync> for SqliteSync {
    fn from(sync: LedgerSync) -> Self {
        match sync {
            LedgerSync::Normal => Self::Normal,
            LedgerSync::Full => Self::Full,
        }
    }
}

impl Config {
    /// The settings as a TOML file that would give the same.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }

    /// The first setting whose value makes no sense, and what is allowed.
    fn fault(&self) -> Option<Fault> {
        let tree = serde_json::to_value(self).unwrap_or_default();
        let number = |name: &str| tree.pointer(&format!("/{}", name.replace('.', "/")))?.as_u64();
        let limit_ranges = ["limits.default", "limits.ceiling"].into_iter().flat_map(|table| {
            LIMIT_RANGES.iter().map(move |(name, least, most)| (format!("{table}.{name}"), *least, *most))
        });
        let ranges = RANGES.iter().map(|(name, least, most)| ((*name).to_owned(), *least, *most));
        for (name, least, most) in ranges.chain(limit_ranges) {
            if let Some(value) = number(&name).filter(|value| !(least..=most).contains(value)) {
                return Some(Fault { message: format!("{name} = {value} is not from {least} to {most}"), name });
            }
        }
        for (limit, ..) in LIMIT_RANGES {
            let (default, ceiling) = (format!("limits.default.{limit}"), format!("limits.ceiling.{limit}"));
            let (Some(given), Some(most)) = (number(&default), number(&ceiling)) else { continue };
            if given > most {
                let message =
                    format!("{default} = {given} is above {ceiling} = {most}: lower the one or raise the other");
                return Some(Fault { name: default, message });
            }
        }
        let filter = self.log.filter.parse::<tracing_subscriber::EnvFilter>().err()?;
        let message =
            format!("log.filter = {:?}: {filter}; write a level or target=level, comma-separated", self.log.filter);
        Some(Fault { name: "log.filter".to_owned(), message })
    }
}

/// A setting whose value makes no sense.
struct Fault {
    name: String,
    message: String,
}
