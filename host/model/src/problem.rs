//! The table of problem codes: one row per kind of error that the API answers with.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! problems {
    ($($variant:ident $code:literal $status:literal $(| $other:literal)* $title:literal $explanation:literal;)*) => {
        /// The kind of an error answer; `type` of the problem document is `/problems/<code>`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum ProblemCode {
            $(#[doc = $explanation] $variant,)*
        }

        impl ProblemCode {
            /// All codes, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The code as written in URLs and documents.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code),* }
            }

            /// The HTTP status that goes with it, unless the answer says another one of [`ProblemCode::statuses`].
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status),* }
            }

            /// All statuses that it is answered with.
            pub fn statuses(self) -> &'static [u16] {
                match self { $(Self::$variant => &[$status $(, $other)*]),* }
            }

            /// A short title.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),* }
            }

            /// What it means and what to do about it.
            pub fn explanation(self) -> &'static str {
                match self { $(Self::$variant => $explanation),* }
            }
        }
    };
}

problems! {
    BadRequest "bad-request" 400 "The request cannot be understood"
        "A path, query parameter, header or document of the request is malformed. `detail` says which and what is expected.";
    BadArguments "bad-arguments" 400 "The arguments do not fit the function"
        "The JSON is not what the function's type says. `pointer` names the place (RFC 6901); the component's JSON Schema gives the expected shape.";
    Unauthenticated "unauthenticated" 401 "No valid key"
        "The request has no key, or one that this shelf does not know or has revoked. Send `Authorization: Bearer KEY`.";
    Forbidden "forbidden" 403 "The key may not do this"
        "The key is valid, but its role does not allow the request. Operators' work needs an admin key, publishing one of the namespace, reviewing a reviewer's; calls need a tenant's key.";
    Untrusted "untrusted" 403 "The version is not trusted"
        "A signature is missing, forged, made for another version, or by a key that the namespace does not have or has revoked; or what is stored of a version does not fit what was signed or approved. `detail` says which. Sign the version with a key of its namespace, or have the operator restore the store.";
    NotFound "not-found" 404 "Not found"
        "No such component, version, interface, function or record, or it is not visible to the tenant. `detail` lists the nearest names.";
    Stopped "stopped" 410 "The version was stopped"
        "An operator has stopped the version that the call resolves to: it answers no more. `detail` names it; call another version, or the component without one.";
    Unsupported "unsupported" 415 | 405 | 501 "The request has a form that is not taken here"
        "415: the body's `Content-Type` or `Content-Encoding` is not one that the address takes; `Accept-Encoding` lists the encodings. 405: the address exists, but not with this method; `Allow` lists those that work. 501: the host knows no such method, or it is CONNECT.";
    Conflict "conflict" 409 "It conflicts with what is there"
        "A published version exists with other bytes, the state changed since it was read (`If-Match`), or the call with the same `Idempotency-Key` still runs. Read the current state, then decide.";
    KeyReused "key-reused" 422 "The key belongs to another call"
        "The `Idempotency-Key` was used for another call, or with other arguments; they are compared as JSON values. Choose another key for another call.";
    TooLarge "too-large" 413 "The body is over its limit"
        "The request's body is larger than the limit in `detail`, or the host would hold more for it than it does for one request.";
    InvalidComponent "invalid-component" 422 "The component cannot be taken"
        "The bytes are not a component, are malformed, import what this host does not provide, ask for more than it allows, or cannot be compiled within bounds. `detail` says which; `wares check FILE` says the same beforehand.";
    ComponentError "component-error" 422 "The component answered with its error case"
        "The function returned the error case of its WIT `result`. `error` holds that value as JSON.";
    RateLimited "rate-limited" 429 "Too many calls"
        "The tenant has as many calls running, or jobs waiting, as it may, or open requests hold as much of the host's memory as is the tenant's part, or the key has as many of them open as it may. Take the answers, and wait for `Retry-After` seconds.";
    Trap "trap" 500 "The guest trapped"
        "The component's code failed. `detail` holds the reason and `backtrace` the names of the wasm functions. The host and other components are not affected; tell the vendor.";
    LimitMemory "limit-memory" 500 "Over its memory"
        "The call needed more linear memory, table elements, instances, handles or host memory than its limits allow.";
    LimitOutput "limit-output" 500 "Result over its size"
        "The result's JSON is larger than the limit of the call.";
    LimitCpu "limit-cpu" 500 "Over its CPU time"
        "The call used more CPU time than its limit allows and was stopped.";
    LimitWall "limit-wall" 504 "Over its wall time"
        "The call took longer than its limit allows and was stopped.";
    Expired "expired" 504 "The job was given up"
        "Its deadline passed before an attempt had a result, or the host ended again and again while it ran. `detail` says which; `POST /v1/jobs/{id}/replay` queues it again.";
    HostError "host-error" 500 "The host failed"
        "Something went wrong in the host itself. It is in the host's log under the call id; tell the operator.";
    Overloaded "overloaded" 503 "No free slot"
        "The host, or this version, has as many calls running and waiting as it can take, or the version is still being loaded, or open requests hold as much memory, or as many connections, as there are for them. Try again after `Retry-After` seconds.";
    LedgerUnavailable "ledger-unavailable" 503 "The ledger cannot be written"
        "A call that cannot be counted is not served. The operator has to mend the database; try again later.";
    Draining "draining" 503 "The host shuts down"
        "The host finishes what it has begun and takes nothing new. Try another host, or again after `Retry-After` seconds.";
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no problem code.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is not a problem code")]
pub struct ParseProblemCodeError(String);

impl FromStr for ProblemCode {
    type Err = ParseProblemCodeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.iter().copied().find(|code| code.as_str() == text);
        found.ok_or_else(|| ParseProblemCodeError(text.chars().take(80).collect()))
    }
}
