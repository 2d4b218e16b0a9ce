//! Calls under a key of the caller's own: made once, and answered alike from then on (`Idempotency-Key`, by the IETF's draft).
//!
//! The answer is kept by the transaction that enters the call in the ledger, so that a host that is killed has kept both or
//! neither: who asks again has the answer of a call that was counted, or has it made for the first time. While the call runs its
//! key is taken in memory, which ends with the host as the call does. A call that was refused was not made, and one that failed
//! in the host may be made again: neither is kept.
//!
//! Kept are the newest answers of each tenant, within `KEPT_ANSWERS_BYTES_MAX` and for `KEPT_ANSWERS_SECONDS`.

use crate::jobs::Named;
use crate::{Answered, CallError, Calls, Explanation, Held, Prepared, Purpose, Request};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use wares_model::limits::{IDEMPOTENCY_KEY_BYTES_MAX, KEPT_ANSWERS_SECONDS};
use wares_model::{
    Application, CallId, ComponentName, Digest, KeptAnswer, Outcome, ProblemCode, TenantId, Timestamp, Version,
};
use wares_store::{KeptCall, StoreError};

/// Seconds after which a call that runs may be asked for again.
const RETRY_AFTER_SECONDS: u64 = 1;
/// Bytes of arguments from which on they are looked through where nobody waits for the thread.
const LARGE_BYTES_MIN: usize = 64 << 10;

/// An application's own name for a call or a job: the same name again is the same one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// A text that is none.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("an Idempotency-Key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters")]
pub struct ParseIdempotencyKeyError;

/// Whose key it is.
type Owner = (TenantId, Application, String);

/// Keys of calls that run, and what is called under them.
#[derive(Default)]
pub(crate) struct Taken(Mutex<HashMap<Owner, Digest>>);

/// A key that is taken for as long as this is held: the call under it may be made.
pub struct Once {
    taken: Arc<Taken>,
    owner: Owner,
    fingerprint: Digest,
}

/// What is to be done for a call under a key.
pub enum Asked {
    /// It is made now.
    First(Once),
    /// It was made before.
    Again(Replay),
}

/// The answer of a call that was made before.
pub struct Replay {
    /// The call.
    pub call: CallId,
    /// How it ended.
    pub outcome: Outcome,
    /// What served it.
    pub component: ComponentName,
    /// In which version.
    pub version: Version,
    /// The result's JSON, or why there is none.
    pub ending: Result<Vec<u8>, Box<Explanation>>,
}

/// Why nothing is done under a key.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    /// The call runs.
    #[error("the call with this Idempotency-Key has not ended yet; ask again for its answer")]
    Running,
    /// The key was used for another call.
    #[error("the Idempotency-Key belongs to another call, or to one with other arguments; choose another key")]
    OtherCall,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FromStr for IdempotencyKey {
    type Err = ParseIdempotencyKeyError;

    /// In quotes, as the draft has it, or without.
    fn from_str(text: &str) -> Result<Self, ParseIdempotencyKeyError> {
        let key = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        let is_visible = key.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        match (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && is_visible {
            true => Ok(Self(key.to_owned())),
            false => Err(ParseIdempotencyKeyError),
        }
    }
}

impl IdempotencyKey {
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

impl Calls {
    /// What is to be done for this call. Its arguments are compared as values.
    pub async fn once(&self, request: &Request, key: IdempotencyKey, body: &Bytes) -> Result<Asked, OnceError> {
        let fingerprint = self.fingerprint(request, body).await?;
        let (tenant, application) = (request.tenant.record.id.clone(), Arc::clone(&request.application));
        // Taken first: what ends meanwhile is kept by the time its key is free.
        let once = Once::take(&self.taken, (tenant, application, key.0), fingerprint)?;
        let (tenant, application, key) = &once.owner;
        let since = Timestamp::now().minus(Duration::from_secs(KEPT_ANSWERS_SECONDS));
        match self.catalog.store().kept_answer(tenant, application, key, since).await? {
            None => Ok(Asked::First(once)),
            Some(kept) if kept.fingerprint == fingerprint => Ok(Asked::Again(Replay::of(kept)?)),
            Some(_) => Err(OnceError::OtherCall),
        }
    }

    /// Runs a prepared call as [`Calls::run`] does, and keeps its answer. It is to be driven to its end: who asks again has
    /// the answer also where the first one who asked has gone.
    pub async fn run_once(
        &self,
        prepared: &Arc<Prepared>,
        body: &[u8],
        held: &Held,
        once: &Once,
    ) -> Result<Answered, CallError> {
        self.run_for(prepared, body, held, Purpose::Once(once)).await
    }

    async fn fingerprint(&self, request: &Request, body: &Bytes) -> Result<Digest, StoreError> {
        let named = Named::from(request).to_json()?;
        if body.len() < LARGE_BYTES_MIN {
            return Ok(fingerprint(&named, body));
        }
        let body = body.clone();
        let looked = tokio::task::spawn_blocking(move || fingerprint(&named, &body)).await;
        looked.map_err(|error| StoreError::Corrupt(format!("the task that looks through arguments: {error}")))
    }
}

/// The digest of what is called and of the values of its arguments. What is no JSON is told by its bytes: no call is made of it.
pub(crate) fn fingerprint(call: &str, arguments: &[u8]) -> Digest {
    let arguments = wares_typed::fingerprint(arguments).unwrap_or_else(|| Digest::of(arguments));
    Digest::of(&[call.as_bytes(), b"\n", arguments.as_bytes()].concat())
}

impl Once {
    fn take(taken: &Arc<Taken>, owner: Owner, fingerprint: Digest) -> Result<Self, OnceError> {
        let mut running = taken.0.lock();
        match running.get(&owner) {
            Some(other) if *other == fingerprint => Err(OnceError::Running),
            Some(_) => Err(OnceError::OtherCall),
            None => {
                running.insert(owner.clone(), fingerprint);
                Ok(Self { taken: Arc::clone(taken), owner, fingerprint })
            }
        }
    }

    /// What is kept of the call's end, if it is one that stands.
    pub(crate) fn keep(&self, ending: &Result<Vec<u8>, (Outcome, Box<Explanation>)>) -> Option<Box<KeptAnswer>> {
        let (problem, json) = match ending {
            Ok(json) => (None, json.clone()),
            Err((Outcome::HostError | Outcome::Cancelled, _)) => return None,
            Err((_, explanation)) => (Some(serde_json::to_string(explanation).ok()?), Vec::new()),
        };
        let (_, _, key) = &self.owner;
        Some(Box::new(KeptAnswer { key: key.clone(), fingerprint: self.fingerprint, problem, json }))
    }
}

impl Drop for Once {
    fn drop(&mut self) {
        self.taken.0.lock().remove(&self.owner);
    }
}

impl Replay {
    fn of(kept: KeptCall) -> Result<Self, StoreError> {
        let KeptCall { call, outcome, component, version, problem, json, .. } = kept;
        let ending = match problem {
            None => Ok(json),
            Some(problem) => Err(serde_json::from_str(&problem)
                .map_err(|error| StoreError::Corrupt(format!("the answer of call {call}: {error}")))?),
        };
        Ok(Self { call, outcome, component, version, ending })
    }
}

impl From<&OnceError> for ProblemCode {
    fn from(error: &OnceError) -> Self {
        match error {
            OnceError::Running => Self::Conflict,
            OnceError::OtherCall => Self::KeyReused,
            OnceError::Store(_) => Self::HostError,
        }
    }
}

impl OnceError {
    /// Seconds after which to ask again, if that helps.
    pub fn retry_after(&self) -> Option<u64> {
        matches!(self, Self::Running).then_some(RETRY_AFTER_SECONDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_the_same_in_quotes_and_without() {
        let longest = "k".repeat(IDEMPOTENCY_KEY_BYTES_MAX);
        for (text, key) in
            [("a b", Some("a b")), ("\"a b\"", Some("a b")), ("\"", Some("\"")), (&longest, Some(&*longest))]
        {
            assert_eq!(text.parse::<IdempotencyKey>().ok().map(IdempotencyKey::into_string).as_deref(), key, "{text}");
        }
        for text in ["", "\"\"", "a\tb", "名", &format!("{longest}k")] {
            assert!(text.parse::<IdempotencyKey>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_key_is_taken_until_its_call_has_ended() {
        let taken = Arc::<Taken>::default();
        let owner = |application: &str, key: &str| ("north".parse().unwrap(), application.into(), key.to_owned());
        let [this, other] = [b"1", b"2"].map(|arguments| fingerprint("call", arguments));
        let first = Once::take(&taken, owner("a", "k"), this).unwrap();
        assert!(matches!(Once::take(&taken, owner("a", "k"), this), Err(OnceError::Running)));
        assert!(matches!(Once::take(&taken, owner("a", "k"), other), Err(OnceError::OtherCall)));
        assert!(
            Once::take(&taken, owner("b", "k"), other).is_ok() && Once::take(&taken, owner("a", "l"), other).is_ok()
        );
        drop(first);
        assert!(Once::take(&taken, owner("a", "k"), other).is_ok());
    }
}
