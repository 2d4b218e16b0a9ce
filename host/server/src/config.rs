//! The settings of a host: built-in defaults, then one TOML file, then `WARES_*` variables, then flags; the later wins.

mod sources;

pub use sources::{ConfigError, SECRETS_KEY, Sources};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wares_call::jobs::JobPolicy;
use wares_catalog::Undeployed;
use wares_engine::OutboundConfig;
use wares_model::grants::Label;
use wares_model::limits::{
    BODY_BYTES_PER_SECOND_MIN, COMPOSED_CALLS_MAX, CONNECTIONS_MAX, HELD_BYTES_MAX, HOST_CONCURRENCY_MAX,
    JOB_DEADLINE_SECONDS_MAX, KEY_REQUESTS_MAX, LOADED_VERSIONS_MAX, OPERATOR_CONNECTIONS_MIN,
    OUTBOUND_BETWEEN_BYTES_MS_MAX, OUTBOUND_CONNECT_MS_MAX, OUTBOUND_CONNECTIONS_MAX, OUTBOUND_FIRST_BYTE_MS_MAX,
    PEER_CONNECTIONS_MAX, QUEUE_LENGTH_MAX, QUEUE_MS_MAX, RETRY_ATTEMPTS_MAX, REUSE_AGE_SECONDS_MAX, REUSE_CALLS_MAX,
    REUSE_INSTANCES_MAX, REUSE_MEMORY_BYTES_MAX, SHADOWS_MAX, TENANT_CONCURRENCY_MAX, TENANT_HELD_BYTES_MAX,
};
use wares_model::{Limits, Zone};
use wares_store::{JobBounds, JobRetention, LogBounds, RedisStore, RedisUrl, SqliteSync};

/// All settings of a host, as they take effect.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Config {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where the host keeps everything; relative to the working directory.
    pub data_dir: PathBuf,
    /// The time zone that months, days and hours of usage are counted in, and in which a day without a time begins.
    pub time_zone: Zone,
    /// Seconds from the moment the host is told to stop in which it says that it is not ready and still takes what comes, so that
    /// a load balancer notices before anybody is turned away; twice as long as it takes to notice is enough.
    pub drain_delay_seconds: u64,
    /// Seconds after that in which the host ends, whatever still runs. What does not end in time is cut off.
    pub drain_seconds_max: u64,
    /// What the host logs.
    pub log: Log,
    /// How calls are recorded.
    pub ledger: Ledger,
    /// How much is kept of what components write.
    pub logs: Logs,
    /// What one call may use.
    pub limits: CallLimits,
    /// How many calls the host takes.
    pub calls: Calls,
    /// Calls that are made later.
    pub jobs: Jobs,
    /// Whether instances serve several calls of one tenant, where a component's manifest asks for it.
    pub reuse: Reuse,
    /// Bounds of HTTP connections.
    pub http: Http,
    /// HTTP requests that components send.
    pub outbound: Outbound,
    /// Where key-value pairs of components are kept beside the host's own store.
    pub keyvalue: KeyValue,
    /// How secrets are sealed.
    pub secrets: Secrets,
    /// Encryption of connections.
    pub tls: Tls,
    /// Where traces of calls go.
    pub traces: Traces,
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
    /// Bytes of the whole database. Beyond them the oldest logs of calls make room; entries are never removed for it, and the
    /// operator is warned in metrics and by `/readyz`.
    pub bytes_max: u64,
}

/// Section `logs`: what components write during calls. It is kept as long as the entries of these calls, within these bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Logs {
    /// Bytes of all tenants together; the oldest go first.
    pub bytes_max: u64,
    /// Bytes of one tenant; its oldest go first.
    pub tenant_bytes_max: u64,
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

/// Section `jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Jobs {
    /// Attempts running at once on the host; each is a call and takes the slots of one.
    pub concurrency_max: usize,
    /// Of these, for one tenant.
    pub tenant_concurrency_max: usize,
    /// Jobs of one tenant that wait or run.
    pub waiting_max: u64,
    /// Bytes of their arguments.
    pub waiting_bytes_max: u64,
    /// Attempts at one job; a manifest that asks for more gets this many.
    pub attempts_max: u32,
    /// Seconds until no further attempt is made; a manifest that asks for more gets this many.
    pub deadline_seconds_max: u64,
    /// Bytes of one job's arguments, where the limits of its call allow as many.
    pub arguments_bytes_max: u64,
    /// Bytes of a result that is kept; of a larger one only the size is.
    pub result_bytes_max: u64,
    /// Hours that jobs are kept that succeeded or were cancelled.
    pub kept_hours: u64,
    /// Hours that dead jobs are kept.
    pub dead_kept_hours: u64,
    /// Jobs of one tenant kept after their end; the oldest go first.
    pub kept_max: u64,
    /// Bytes of their arguments and results.
    pub kept_bytes_max: u64,
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
    /// Of these, from one address, or one network of 64 bits of IPv6. Behind a proxy that all clients come through, as many as
    /// are open at once.
    pub peer_connections_max: usize,
    /// Connections, of all, on which only operators and probes are served when all others are busy.
    pub operator_connections_min: usize,
    /// Requests open at once with one key: from their head until their answer is taken.
    pub key_requests_max: usize,
    /// Bytes that the host holds for open requests: bodies, the values made of them, answers and downloads that are not taken
    /// yet. A quarter of them is for small requests. What operators' requests hold is counted apart.
    pub held_bytes_max: u64,
    /// Of these, for the requests of one tenant.
    pub tenant_held_bytes_max: u64,
    /// Seconds for the head of a request to arrive; an idle connection ends after it too.
    pub head_seconds_max: u64,
    /// Seconds between two pieces of a request's body, and for a client to take a piece of what it is sent.
    pub body_seconds_max: u64,
    /// Bytes for each second that a client is waited for beyond that, over a whole body or answer; 0: any pace will do.
    pub body_bytes_per_second_min: u64,
}

/// Section `outbound`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Outbound {
    /// The DNS server to ask, as `127.0.0.1:53`; none: those of the system, and its hosts file.
    pub dns: Option<SocketAddr>,
    /// A PEM file of certificates that are trusted besides the system's; relative to the working directory.
    pub extra_roots: Option<PathBuf>,
    /// Milliseconds in which a connection must be made, DNS and TLS included.
    pub connect_ms_max: u64,
    /// Milliseconds from there to the beginning of the response.
    pub first_byte_ms_max: u64,
    /// Milliseconds between two pieces of the response.
    pub between_bytes_ms_max: u64,
    /// Connections open at once. One tenant has a quarter of them, but as many as one call with the usual limits may open.
    pub connections_max: usize,
}

/// Section `keyvalue`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct KeyValue {
    /// Stores by the names that grants of buckets have for them.
    pub stores: BTreeMap<Label, KeyValueStore>,
}

/// Section `keyvalue.stores.NAME`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct KeyValueStore {
    /// A Redis or Valkey server.
    pub url: RedisUrl,
    /// What the names of all its keys begin with; another one for each shelf that has its pairs there.
    #[serde(default = "redis_prefix")]
    pub prefix: Label,
}

fn redis_prefix() -> Label {
    RedisStore::prefix()
}

/// Section `secrets`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Secrets {
    /// The file with the keys that secrets are sealed with, one of 64 hexadecimal digits per line, the current one first.
    /// Nobody but its owner may read it. Empty: the keys are in WARES_SECRETS_KEY, or else in a file that the host makes in its data directory.
    pub key_file: String,
}

/// Section `tls`. Read again on SIGHUP, for connections that begin after it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Tls {
    /// A PEM file: this host's certificate, then those between it and one that clients trust. Empty: connections are not encrypted.
    pub certificate_file: PathBuf,
    /// A PEM file with its private key, which not everybody may read.
    pub key_file: PathBuf,
}

impl Tls {
    /// The files of certificate and key, if connections are encrypted.
    pub fn files(&self) -> Option<(&Path, &Path)> {
        let is_set = |path: &Path| !path.as_os_str().is_empty();
        is_set(&self.certificate_file).then_some((&*self.certificate_file, &*self.key_file))
    }

    fn fault(&self) -> Option<Fault> {
        let (certificate, key) = (self.certificate_file.as_os_str(), self.key_file.as_os_str());
        let name = match (certificate.is_empty(), key.is_empty()) {
            (true, false) => "tls.certificate-file",
            (false, true) => "tls.key-file",
            _ => return None,
        };
        let message = "tls.certificate-file and tls.key-file belong together: set both or neither".to_owned();
        Some(Fault { name: name.to_owned(), message })
    }
}

/// Section `traces`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Traces {
    /// The URL of a collector that takes OTLP over HTTP, as `http://127.0.0.1:4318/v1/traces`. Empty: no traces.
    pub endpoint: String,
    /// Of so many traces that begin here one is exported. A trace that a caller began is exported if the caller says so.
    pub sample_one_in: u64,
}

/// The inclusive range of every number that is not free.
const RANGES: &[(&str, u64, u64)] = &[
    ("drain-delay-seconds", 0, 600),
    ("drain-seconds-max", 0, 3_600),
    ("ledger.retention-days", 1, 36_500),
    ("ledger.bytes-max", 1 << 20, 1 << 50),
    ("logs.bytes-max", 0, 1 << 50),
    ("logs.tenant-bytes-max", 0, 1 << 50),
    ("calls.concurrency-max", 1, 2_000),
    ("calls.tenant-concurrency-max", 1, 10_000),
    ("calls.queue-length-max", 0, 1_000_000),
    ("calls.queue-ms-max", 0, 60_000),
    ("calls.loaded-versions-max", 1, 1_000_000),
    ("calls.shadows-max", 0, 100),
    ("calls.composed-max", 1, 200),
    ("jobs.concurrency-max", 1, 2_000),
    ("jobs.tenant-concurrency-max", 1, 2_000),
    ("jobs.waiting-max", 0, 100_000),
    ("jobs.waiting-bytes-max", 0, 1 << 40),
    ("jobs.attempts-max", 1, RETRY_ATTEMPTS_MAX as u64),
    ("jobs.deadline-seconds-max", 1, JOB_DEADLINE_SECONDS_MAX),
    ("jobs.arguments-bytes-max", 1, 1 << 30),
    ("jobs.result-bytes-max", 0, 1 << 30),
    ("jobs.kept-hours", 1, 87_600),
    ("jobs.dead-kept-hours", 1, 87_600),
    ("jobs.kept-max", 1, 10_000_000),
    ("jobs.kept-bytes-max", 1, 1 << 40),
    ("reuse.instances-max", 0, 1_000),
    ("reuse.calls-max", 1, 1_000_000_000),
    ("reuse.age-seconds-max", 1, 86_400),
    ("reuse.memory-bytes-max", 0, 4 << 30),
    ("http.connections-max", 1, 1_000_000),
    ("http.peer-connections-max", 1, 1_000_000),
    ("http.operator-connections-min", 0, 10_000),
    ("http.key-requests-max", 1, 1_000_000),
    ("http.held-bytes-max", 1 << 20, 1 << 40),
    ("http.tenant-held-bytes-max", 1 << 20, 1 << 40),
    ("http.head-seconds-max", 1, 3_600),
    ("http.body-seconds-max", 1, 3_600),
    ("http.body-bytes-per-second-min", 0, 1 << 30),
    ("outbound.connect-ms-max", 1, 600_000),
    ("outbound.first-byte-ms-max", 1, 3_600_000),
    ("outbound.between-bytes-ms-max", 1, 3_600_000),
    ("outbound.connections-max", 0, 100_000),
    ("traces.sample-one-in", 1, 1_000_000_000),
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
    ("outbound-requests-max", 0, 10_000),
    ("outbound-bytes-max", 1, 1 << 30),
    ("concurrency-max", 1, 10_000),
];

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8787)),
            data_dir: PathBuf::from("wares-data"),
            time_zone: Zone::default(),
            drain_delay_seconds: 0,
            drain_seconds_max: 30,
            log: Log::default(),
            ledger: Ledger::default(),
            logs: Logs::default(),
            limits: CallLimits::default(),
            calls: Calls::default(),
            jobs: Jobs::default(),
            reuse: Reuse::default(),
            http: Http::default(),
            outbound: Outbound::default(),
            keyvalue: KeyValue::default(),
            secrets: Secrets::default(),
            tls: Tls::default(),
            traces: Traces::default(),
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
        Self { sync: LedgerSync::Normal, retention_days: 90, bytes_max: 64 << 30 }
    }
}

impl Default for Logs {
    /// A tenant's share holds what 16,384 calls may write, each as much as a call may by default.
    fn default() -> Self {
        Self { bytes_max: 8 << 30, tenant_bytes_max: 1 << 30 }
    }
}

impl From<&Logs> for LogBounds {
    fn from(logs: &Logs) -> Self {
        Self { bytes_max: logs.bytes_max, tenant_bytes_max: logs.tenant_bytes_max }
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

impl Default for Jobs {
    fn default() -> Self {
        Self {
            concurrency_max: 32,
            tenant_concurrency_max: 8,
            waiting_max: 1_000,
            waiting_bytes_max: 256 << 20,
            attempts_max: RETRY_ATTEMPTS_MAX,
            deadline_seconds_max: 7 * 86_400,
            arguments_bytes_max: Limits::CEILING.body_bytes_max,
            result_bytes_max: Limits::CEILING.result_bytes_max,
            kept_hours: 72,
            dead_kept_hours: 720,
            kept_max: 10_000,
            kept_bytes_max: 1 << 30,
        }
    }
}

impl From<&Jobs> for JobPolicy {
    fn from(jobs: &Jobs) -> Self {
        let hours = |count: u64| Duration::from_secs(count * 3_600);
        Self {
            concurrency_max: jobs.concurrency_max,
            tenant_concurrency_max: jobs.tenant_concurrency_max,
            waiting: JobBounds { jobs_max: jobs.waiting_max, bytes_max: jobs.waiting_bytes_max },
            attempts_max: jobs.attempts_max,
            deadline_seconds_max: jobs.deadline_seconds_max,
            arguments_bytes_max: jobs.arguments_bytes_max,
            result_bytes_max: jobs.result_bytes_max,
            retention: JobRetention {
                finished: hours(jobs.kept_hours),
                dead: hours(jobs.dead_kept_hours),
                jobs_max: jobs.kept_max,
                bytes_max: jobs.kept_bytes_max,
            },
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
        let count = |bound: u64| usize::try_from(bound).unwrap_or(usize::MAX);
        Self {
            connections_max: count(CONNECTIONS_MAX),
            peer_connections_max: count(PEER_CONNECTIONS_MAX),
            operator_connections_min: count(OPERATOR_CONNECTIONS_MIN),
            key_requests_max: count(KEY_REQUESTS_MAX),
            held_bytes_max: HELD_BYTES_MAX,
            tenant_held_bytes_max: TENANT_HELD_BYTES_MAX,
            head_seconds_max: 30,
            body_seconds_max: 30,
            body_bytes_per_second_min: BODY_BYTES_PER_SECOND_MIN,
        }
    }
}

impl Default for Outbound {
    fn default() -> Self {
        Self {
            dns: None,
            extra_roots: None,
            connect_ms_max: OUTBOUND_CONNECT_MS_MAX,
            first_byte_ms_max: OUTBOUND_FIRST_BYTE_MS_MAX,
            between_bytes_ms_max: OUTBOUND_BETWEEN_BYTES_MS_MAX,
            connections_max: usize::try_from(OUTBOUND_CONNECTIONS_MAX).unwrap_or(usize::MAX),
        }
    }
}

impl From<&Outbound> for OutboundConfig {
    fn from(outbound: &Outbound) -> Self {
        Self {
            dns: outbound.dns,
            extra_roots: outbound.extra_roots.clone(),
            connect_max: Duration::from_millis(outbound.connect_ms_max),
            first_byte_max: Duration::from_millis(outbound.first_byte_ms_max),
            between_bytes_max: Duration::from_millis(outbound.between_bytes_ms_max),
            connections_max: outbound.connections_max,
        }
    }
}

impl Default for Traces {
    fn default() -> Self {
        Self { endpoint: String::new(), sample_one_in: 1 }
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
        if let Some(fault) = self.traces.fault().or_else(|| self.tls.fault()) {
            return Some(fault);
        }
        let filter = self.log.filter.parse::<tracing_subscriber::EnvFilter>().err()?;
        let message =
            format!("log.filter = {:?}: {filter}; write a level or target=level, comma-separated", self.log.filter);
        Some(Fault { name: "log.filter".to_owned(), message })
    }
}

impl Traces {
    fn fault(&self) -> Option<Fault> {
        let is_url = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if self.endpoint.is_empty() || self.endpoint.parse::<reqwest::Url>().is_ok_and(|url| is_url(&url)) {
            return None;
        }
        let message = format!(
            "traces.endpoint = {:?} is not the URL of a collector: write it as http://127.0.0.1:4318/v1/traces",
            self.endpoint
        );
        Some(Fault { name: "traces.endpoint".to_owned(), message })
    }
}

/// A setting whose value makes no sense.
struct Fault {
    name: String,
    message: String,
}
