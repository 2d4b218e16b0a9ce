//! The one table of bounds: what a call may use, and what the host takes from anybody.

use serde::{Deserialize, Serialize};
use std::time::Duration;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// What one call may use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Limits {
    /// Linear memory in bytes, in total over all memories of the call's instances.
    pub memory_bytes_max: u64,
    /// Table elements, in total over all tables of the call's instances.
    pub table_elements_max: u64,
    /// CPU time in milliseconds, from before instantiation to after post-return.
    pub cpu_ms_max: u64,
    /// Wall time in milliseconds over the same span.
    pub wall_ms_max: u64,
    /// Bytes of the request's body.
    pub body_bytes_max: u64,
    /// Bytes of the result's JSON.
    pub result_bytes_max: u64,
    /// Memory in bytes that the host takes on the guest's behalf.
    pub host_memory_bytes_max: u64,
    /// Bytes of standard output, standard error and log messages kept per call.
    pub log_bytes_max: u64,
    /// HTTP requests that the call sends.
    pub outbound_requests_max: u64,
    /// Bytes of the body of each of them, and of the body of its response.
    pub outbound_bytes_max: u64,
    /// Calls of one version running at once.
    pub concurrency_max: u64,
}

impl Limits {
    /// What a call may use when neither manifest nor operator says otherwise.
    pub const DEFAULT: Self = Self {
        memory_bytes_max: 64 * MIB,
        table_elements_max: 20_000,
        cpu_ms_max: 1_000,
        wall_ms_max: 10_000,
        body_bytes_max: 4 * MIB,
        result_bytes_max: 8 * MIB,
        host_memory_bytes_max: 8 * MIB,
        log_bytes_max: 64 * KIB,
        outbound_requests_max: 32,
        outbound_bytes_max: 8 * MIB,
        concurrency_max: 64,
    };

    /// What a manifest may ask for when the operator does not say otherwise.
    pub const CEILING: Self = Self {
        memory_bytes_max: 512 * MIB,
        table_elements_max: 20_000,
        cpu_ms_max: 10_000,
        wall_ms_max: 60_000,
        body_bytes_max: 16 * MIB,
        result_bytes_max: 32 * MIB,
        host_memory_bytes_max: 32 * MIB,
        log_bytes_max: 256 * KIB,
        outbound_requests_max: 256,
        outbound_bytes_max: 64 * MIB,
        concurrency_max: 256,
    };

    /// These limits with what `asked` names put in place, or the first ask that is above `ceiling`.
    pub fn asked_within(self, asked: &LimitsAsked, ceiling: &Self) -> Result<Self, LimitTooHigh> {
        let mut limits = self;
        for ((name, value, asked), (_, most, _)) in
            fields(&mut limits, asked).into_iter().zip(fields(&mut { *ceiling }, asked))
        {
            if let Some(asked) = asked {
                if asked > *most {
                    return Err(LimitTooHigh { name, asked, ceiling: *most });
                }
                *value = asked;
            }
        }
        Ok(limits)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a manifest asks for under `[limits]`; what it leaves out stays at the host's default.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(missing_docs, reason = "each field is the one of the same name in Limits")]
pub struct LimitsAsked {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table_elements_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_ms_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_memory_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_requests_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbound_bytes_max: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency_max: Option<u64>,
}

/// A limit that a manifest asks for above the operator's ceiling.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error(
    "limits.{name} = {asked} is above this host's ceiling of {ceiling}: ask for less, or have the operator raise the ceiling"
)]
pub struct LimitTooHigh {
    /// The limit's name as the manifest writes it.
    pub name: &'static str,
    /// What the manifest asks for.
    pub asked: u64,
    /// What the operator allows.
    pub ceiling: u64,
}

fn fields<'a>(limits: &'a mut Limits, asked: &LimitsAsked) -> [(&'static str, &'a mut u64, Option<u64>); 11] {
    [
        ("memory-bytes-max", &mut limits.memory_bytes_max, asked.memory_bytes_max),
        ("table-elements-max", &mut limits.table_elements_max, asked.table_elements_max),
        ("cpu-ms-max", &mut limits.cpu_ms_max, asked.cpu_ms_max),
        ("wall-ms-max", &mut limits.wall_ms_max, asked.wall_ms_max),
        ("body-bytes-max", &mut limits.body_bytes_max, asked.body_bytes_max),
        ("result-bytes-max", &mut limits.result_bytes_max, asked.result_bytes_max),
        ("host-memory-bytes-max", &mut limits.host_memory_bytes_max, asked.host_memory_bytes_max),
        ("log-bytes-max", &mut limits.log_bytes_max, asked.log_bytes_max),
        ("outbound-requests-max", &mut limits.outbound_requests_max, asked.outbound_requests_max),
        ("outbound-bytes-max", &mut limits.outbound_bytes_max, asked.outbound_bytes_max),
        ("concurrency-max", &mut limits.concurrency_max, asked.concurrency_max),
    ]
}

/// Bytes of a component's wasm.
pub const COMPONENT_BYTES_MAX: u64 = 64 * MIB;
/// Seconds that a compilation may take, in CPU time and in wall time.
pub const COMPILE_SECONDS_MAX: u64 = 60;
/// Address space in bytes of the compile worker.
pub const COMPILE_MEMORY_BYTES_MAX: u64 = 2048 * MIB;
/// CPU seconds that reading a component may take: what can be read is read in one, and what cannot is refused within five.
pub const READ_CPU_SECONDS_MAX: u64 = 3;
/// Seconds after which a reading worker is given up, however little of the CPU it was given.
pub const READ_WALL_SECONDS_MAX: u64 = 30;
/// Bytes of memory of a reading worker: the largest component, and some copies of it.
pub const READ_MEMORY_BYTES_MAX: u64 = 512 * MIB;
/// Stack in bytes of what reads: nesting as deep as it may be takes a tenth of it.
pub const READ_STACK_BYTES: usize = 8 << 20;
/// Components that may wait to be read, and as many to be compiled, of one namespace's publishers. Their bytes are held meanwhile.
pub const WAITING_COMPONENTS_MAX: usize = 16;
/// Components within each other, and types written within each other.
pub const NESTING_MAX: usize = 64;
/// Modules and components within a component, on all levels.
pub const NESTED_MAX: usize = 1_000;
/// Types of all core modules of a component.
pub const CORE_TYPES_MAX: usize = 100_000;
/// Bytes of a component's own sections: its types, imports, exports and instances, without its core modules.
pub const INTERFACE_BYTES_MAX: usize = 2 << 20;
/// Bytes of one name that a component imports, exports or declares.
pub const INTERFACE_NAME_BYTES_MAX: usize = 512;
/// Functions that a component exports.
pub const FUNCTIONS_MAX: usize = 2_000;
/// Types that a component declares.
pub const TYPES_MAX: usize = 10_000;
/// Bytes of the path of an address of the API, and of its query.
pub const ADDRESS_BYTES_MAX: usize = 4 << 10;
/// Words of one search.
pub const SEARCH_WORDS_MAX: usize = 8;
/// Bytes of what a version's searches look at: its name, title, description, keywords and interfaces, in this order.
pub const SEARCH_TEXT_BYTES_MAX: usize = 8 << 10;
/// Components that a search looks through in one go; others have their turn before it goes on.
pub const SEARCHED_MAX: usize = 10_000;
/// How long one request searches for what fills its page: long enough for millions of entries, too short to be given up by a
/// gateway. What it has found by then is handed out, with where the next request goes on.
pub const SEARCH_TIME_MAX: Duration = Duration::from_secs(5);
/// Requests that look through the shelf, or have a document made, at once: those of operators, and those of all others. Of these
/// each tenant, or key of no tenant, has one at a time.
pub const SEARCHES_MAX: usize = 2;
/// The same for what is read from the ledger.
pub const LEDGER_READS_MAX: usize = 2;
/// Bytes of a component's interface printed as WIT.
pub const WIT_BYTES_MAX: usize = 2 << 20;
/// Bytes of why what was handed in is refused: a reason may quote it.
pub const REASON_BYTES_MAX: usize = 4 << 10;
/// Bytes of all that is derived from a component and kept of it, as JSON.
pub const DESCRIPTION_BYTES_MAX: usize = 4 << 20;
/// Host memory in bytes that the values of one call's arguments may always take.
pub const ARGUMENT_BYTES_MIN: usize = 1 << 20;
/// Host memory in bytes that the values may take beyond that for each byte of their JSON.
pub const ARGUMENT_BYTES_PER_BYTE_MAX: usize = 64;
/// Interfaces that a component imports and exports.
pub const INTERFACES_MAX: usize = 2_000;
/// Places of types in the schemas of one document; what a document takes while it is made goes with them.
pub const SCHEMA_PLACES_MAX: usize = 50_000;
/// Bytes of the schemas of a component's functions, as JSON.
pub const SCHEMAS_BYTES_MAX: usize = 4 << 20;
/// Bytes of a component's OpenAPI document.
pub const OPENAPI_BYTES_MAX: usize = 8 << 20;
/// Bytes that the host holds for requests that are open: bodies, the values made of them, and answers that are not taken yet. With
/// the memory of running calls and of loaded code it fits a machine of 4 GiB.
pub const HELD_BYTES_MAX: u64 = 1024 * MIB;
/// Of these, for one tenant's requests: a few of the largest calls at once, or thousands of small ones.
pub const TENANT_HELD_BYTES_MAX: u64 = HELD_BYTES_MAX / 4;
/// The same for all of the operators' requests, beside the others.
pub const OPERATORS_HELD_BYTES_MAX: u64 = 256 * MIB;
/// Bytes that one request counts for at least: its head and what the host keeps to serve it.
pub const REQUEST_BYTES_MIN: u64 = 16 * KIB;
/// Milliseconds that a request waits for others to give back what they hold.
pub const HELD_WAIT_MS_MAX: u64 = 1_000;
/// Connections of one peer, of those that only operators and probes are served on.
pub const PEER_RESERVED_CONNECTIONS_MAX: usize = 8;
/// Answers that wait to be taken on one connection on which no key was shown: more than a browser waits for at once.
pub const KEYLESS_ANSWERS_MAX: usize = 16;
/// Of all connections together; beyond it each has one.
pub const ALL_KEYLESS_ANSWERS_MAX: usize = 2_048;
/// Requests open at once with one key: enough for all that may run and wait for one tenant's application.
pub const KEY_REQUESTS_MAX: u64 = 1_024;
/// Keys and tenants of which is known what they hold, beyond those with open requests.
pub const HOLDERS_KEPT_MAX: usize = 10_000;
/// Connections open at once.
pub const CONNECTIONS_MAX: u64 = 4_096;
/// Of these, from one address: half, so that no peer has all.
pub const PEER_CONNECTIONS_MAX: u64 = CONNECTIONS_MAX / 2;
/// Connections, of all, that only operators and probes are served on.
pub const OPERATOR_CONNECTIONS_MIN: u64 = 64;
/// Bytes per second that a request's body or an answer moves on with at least, beyond the time for one piece.
pub const BODY_BYTES_PER_SECOND_MIN: u64 = 4 * KIB;
/// Nesting of a JSON value.
pub const JSON_DEPTH_MAX: usize = 64;
/// Wasm stack of a guest in bytes.
pub const GUEST_STACK_BYTES_MAX: u64 = 512 * KIB;
/// Core instances of one call.
pub const CORE_INSTANCES_MAX: u64 = 64;
/// Tables of one call.
pub const TABLES_MAX: u64 = 20;
/// Linear memories of one call.
pub const MEMORIES_MAX: u64 = 8;
/// Resource handles that one call's host table holds; of calls with tasks also the tasks, streams and futures.
pub const RESOURCES_MAX: u64 = 1_000;
/// Handles that one call has at once, of its own resources too. Each takes some 32 bytes of the host.
pub const HANDLES_MAX: u64 = 10_000;
/// Bytes that one request for random data may ask for.
pub const RANDOM_BYTES_MAX: u64 = 64 * KIB;
/// Bytes of the header fields that a guest is given, per set of fields.
pub const HTTP_FIELDS_BYTES_MAX: usize = 32 << 10;
/// Connections open at once for requests that components send.
pub const OUTBOUND_CONNECTIONS_MAX: u64 = 1_024;
/// Milliseconds in which such a connection must be made.
pub const OUTBOUND_CONNECT_MS_MAX: u64 = 10_000;
/// Milliseconds that the response to such a request may take to begin.
pub const OUTBOUND_FIRST_BYTE_MS_MAX: u64 = 30_000;
/// Milliseconds between two pieces of such a response.
pub const OUTBOUND_BETWEEN_BYTES_MS_MAX: u64 = 30_000;
/// Calls of components that one call makes, those that its calls make included.
pub const COMPONENT_CALLS_MAX: u64 = 64;
/// Calls of components within each other, below the one that came from outside.
pub const COMPONENT_CALL_DEPTH_MAX: usize = 8;
/// Calls at once that may call components. Each has room in the engine's pool for as many instances as it may go deep.
pub const COMPOSED_CALLS_MAX: u64 = 64;
/// Bytes of the reason why a component's call of another one failed.
pub const COMPONENT_CALL_REASON_BYTES_MAX: usize = 2 << 10;
/// Bytes of the keys and values that a version is configured with.
pub const CONFIG_BYTES_MAX: u64 = 64 * KIB;
/// Values that an operator sets for one component.
pub const CONFIG_VALUES_MAX: usize = 10_000;
/// Bytes of a secret.
pub const SECRET_BYTES_MAX: usize = 8 << 10;
/// Values of the secrets of one component.
pub const SECRETS_MAX: usize = 10_000;
/// Bytes of keys and values in a bucket whose grant does not say otherwise.
pub const BUCKET_BYTES_MAX: u64 = 16 * MIB;
/// Keys in a bucket whose grant does not say otherwise.
pub const BUCKET_KEYS_MAX: u64 = 10_000;
/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 1 << 10;
/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Keys that a component hands over at once.
pub const KEYS_AT_ONCE_MAX: usize = 256;
/// Bytes of the values that a component asks for or hands over at once.
pub const VALUES_BYTES_MAX: u64 = 4 * MIB;
/// Keys in one part of a bucket's list.
pub const KEY_PAGE_MAX: u32 = 500;
/// Milliseconds that a key-value store has for one request.
pub const KEYVALUE_MS_MAX: u64 = 5_000;
/// Bytes of the files of one tenant and component, where the grant does not say otherwise.
pub const FILES_BYTES_MAX: u64 = 64 * MIB;
/// Files and directories of one tenant and component, where the grant does not say otherwise.
pub const FILES_MAX: u64 = 1_000;
/// Bytes of a path below a component's directory.
pub const FILE_PATH_BYTES_MAX: usize = 1_024;
/// Files and directories that one call has open, its `/` among them.
pub const FILE_DESCRIPTORS_MAX: usize = 64;
/// Streams from and into files that one call has open.
pub const FILE_STREAMS_MAX: usize = 64;
/// Listings of directories that one call has open.
pub const LISTINGS_MAX: usize = 16;
/// Directories of tenants and components of which the host knows how full they are, beyond those in use.
pub const DIRECTORIES_KEPT_MAX: usize = 10_000;
/// Parts of one call's log of which is kept when they came and from where.
pub const LOG_MARKS_MAX: usize = 4_096;
/// Lines of one call's log: each is an object of its own where logs are read, however short it is.
pub const LOG_LINES_MAX: usize = 4_096;
/// Bytes of a page of logs, as JSON; a call that has more stands on a page alone.
pub const LOG_PAGE_BYTES_MAX: usize = 4 << 20;
/// Calls whose logs are on their way to those who follow them.
pub const FOLLOWED_CALLS_MAX: usize = 256;
/// Who follows logs at once.
pub const FOLLOWERS_MAX: usize = 32;
/// Names of what one call used that are kept.
pub const USED_NAMES_MAX: usize = 64;
/// Bytes of one such name; the longest method and host fit.
pub const USED_NAME_BYTES_MAX: usize = 320;
/// Calls of a component of which is kept what they used.
pub const USED_CALLS_MAX: usize = 1_000;
/// Frames of a guest's backtrace that are kept.
pub const BACKTRACE_FRAMES_MAX: usize = 32;
/// Calls of one tenant running at once.
pub const TENANT_CONCURRENCY_MAX: u64 = 64;
/// Calls running at once on the host.
pub const HOST_CONCURRENCY_MAX: u64 = 256;
/// Calls made again in another version, running at once beside the others.
pub const SHADOWS_MAX: u64 = 4;
/// Versions loaded at once.
pub const LOADED_VERSIONS_MAX: u64 = 1_000;
/// Instances kept at once for further calls of the same tenant.
pub const REUSE_INSTANCES_MAX: u32 = 64;
/// Calls that one kept instance serves.
pub const REUSE_CALLS_MAX: u64 = 10_000;
/// Seconds that one kept instance serves.
pub const REUSE_AGE_SECONDS_MAX: u64 = 300;
/// Bytes of memory with which an instance is still kept.
pub const REUSE_MEMORY_BYTES_MAX: u64 = 8 * MIB;
/// Calls waiting for a slot on the host.
pub const QUEUE_LENGTH_MAX: u64 = 4_096;
/// Milliseconds that a call waits for a slot.
pub const QUEUE_MS_MAX: u64 = 1_000;
/// Attempts that a manifest may ask for, for a job.
pub const RETRY_ATTEMPTS_MAX: u32 = 20;
/// Milliseconds between two attempts of a job.
pub const RETRY_BACKOFF_MS_MAX: u64 = 86_400_000;
/// Seconds after which no new attempt of a job is made.
pub const JOB_DEADLINE_SECONDS_MAX: u64 = 30 * 86_400;
/// Attempts of one job that are running when the host ends, before it is given up: such a job may be what ends it.
pub const JOB_INTERRUPTIONS_MAX: u32 = 10;
/// Attempts of one job that are kept.
pub const JOB_ATTEMPTS_KEPT_MAX: u32 = 100;
/// Seconds that a request may wait for the end of a job; proxies have patience for a minute.
pub const JOB_WAIT_SECONDS_MAX: u64 = 60;
/// Webhooks of one tenant.
pub const WEBHOOKS_MAX: usize = 100;
/// Bytes of a webhook's URL.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2 << 10;
/// Ends of jobs that the webhooks of one tenant are still to be told; of more they are not told.
pub const WEBHOOK_DELIVERIES_MAX: u32 = 10_000;
/// Webhooks that are being told at once.
pub const WEBHOOKS_SENDING_MAX: usize = 8;
/// Seconds that telling one may take.
pub const WEBHOOK_SECONDS_MAX: u64 = 15;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
/// Bytes of the answers that are kept for one tenant under such keys; the newest stay. Several of the largest results fit, and
/// a hundred thousand small ones.
pub const KEPT_ANSWERS_BYTES_MAX: u64 = 64 * MIB;
/// Seconds for which an answer is kept: whoever tries again does so within a day.
pub const KEPT_ANSWERS_SECONDS: u64 = 86_400;
/// Bytes of a client's own name for a request (`X-Request-Id`): a UUID and a trace fit several times.
pub const REQUEST_ID_BYTES_MAX: usize = 128;
/// Refused requests that a host remembers: minutes of them on a busy host.
pub const REFUSALS_MAX: usize = 10_000;
/// Bytes of all of them.
pub const REFUSALS_BYTES_MAX: usize = 8 << 20;
/// Bytes of what is remembered of a refusal's reason, and of its address.
pub const REFUSAL_DETAIL_BYTES_MAX: usize = 1 << 10;
/// Schedules in one manifest.
pub const SCHEDULES_MAX: usize = 16;
/// Bytes of a schedule's arguments.
pub const SCHEDULE_ARGUMENTS_BYTES_MAX: usize = 16 << 10;
/// Bytes of a schedule's cron expression.
pub const CRON_BYTES_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_are_taken_up_to_the_ceiling() {
        let ask = LimitsAsked { cpu_ms_max: Some(5_000), ..LimitsAsked::default() };
        let limits = Limits::DEFAULT.asked_within(&ask, &Limits::CEILING).unwrap();
        assert_eq!(limits, Limits { cpu_ms_max: 5_000, ..Limits::DEFAULT });

        let ask = LimitsAsked { memory_bytes_max: Some(u64::MAX), ..ask };
        let error = Limits::DEFAULT.asked_within(&ask, &Limits::CEILING).unwrap_err();
        assert_eq!(error.name, "memory-bytes-max");
    }
}
