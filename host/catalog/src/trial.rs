//! A component tried outside of the shelf: in its vendor's sandbox, or for its review. Its calls are nobody's and stand in no
//! ledger.
//!
//! It is granted what its manifest asks for, in places of its own that are empty at first and go with it: key-value pairs and
//! files in a temporary folder, and the secrets that it is given. It sends no requests and calls no other components. Each call
//! has an instance of its own and finds in those places what the calls before it left.

use async_trait::async_trait;
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::Arc;
use tempfile::TempDir;
use wares_engine::{
    CallContext, CallReport, Component, Engine, Failure, Files, Invocation, Lane, LoadError, Meter, SecretError,
    SecretReader, Services,
};
use wares_model::grants::{BucketGrant, Capabilities, FilesGrant, HttpGrant, Label};
use wares_model::{Asked, ComponentName, Digest, Granted, Grants, Limits, Version};
use wares_store::{DataDir, SqliteOptions};
use wares_typed::{Answer, ArgumentError, Description, Function, NoInterface, WriteError};
use zeroize::Zeroizing;

/// Bytes of all pairs and files of one trial.
const KEPT_BYTES_MAX: u64 = 64 << 20;

/// A component to try.
pub struct Candidate {
    /// On whose behalf it is compiled, if it is not yet.
    pub lane: Lane,
    /// What its bytes say.
    pub description: Arc<Description>,
    /// Their digest.
    pub digest: Digest,
    /// The bytes.
    pub wasm: Bytes,
    /// The limits of each call.
    pub limits: Limits,
    /// What it is called; none: it has no manifest, and nobody named it.
    pub release: Option<(ComponentName, Version)>,
    /// The secrets that it finds.
    pub secrets: HashMap<Label, Zeroizing<String>>,
    /// What a call wrote goes here.
    pub hear: fn(&str),
}

/// A component that can be called, and its places.
pub struct Trial {
    component: Arc<Component>,
    description: Arc<Description>,
    limits: Limits,
    release: Option<(ComponentName, Version)>,
    granted: Arc<Granted>,
    hear: fn(&str),
    /// Goes last, after what has files in it open.
    _folder: Option<TempDir>,
}

/// Why a component cannot be tried.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The engine refused it.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no place for what it keeps.
    #[error("a place for key-value pairs and files: {0}")]
    Place(String),
}

/// Why a call gave no result.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// There is no such function.
    #[error("the component exports no function {0}")]
    Unknown(String),
    /// The name of the interface means several.
    #[error("{0}: {1}")]
    Ambiguous(String, NoInterface),
    /// JSON has no form for its types.
    #[error("{function} cannot be called with JSON: {reason}")]
    NotCallable {
        /// Which.
        function: String,
        /// Why.
        reason: String,
    },
    /// The arguments have more bytes than a call may have.
    #[error("the arguments are over {0} bytes (body-bytes-max)")]
    TooLarge(u64),
    /// The arguments are not what the function takes.
    #[error("arguments: {} at {:?}", .0.message, .0.pointer)]
    Arguments(#[from] ArgumentError),
    /// It did not come to its end.
    #[error("{}", words(.0))]
    Failed(Failure),
    /// The error case of the function's result, as JSON.
    #[error("it returned the error case: {}", String::from_utf8_lossy(.0))]
    ComponentError(Vec<u8>),
    /// The result cannot be written.
    #[error(transparent)]
    Result(#[from] WriteError),
}

impl Trial {
    /// Makes a component ready to be called.
    pub async fn open(engine: &Engine, candidate: Candidate) -> Result<Self, OpenError> {
        let Candidate { lane, description, digest, wasm, limits, release, secrets, hear } = candidate;
        let manifest = description.manifest.as_ref();
        let asked = Asked::of(manifest.map(|manifest| &manifest.capabilities), &description.imports);
        let (grants, config) = match manifest {
            None => (Grants::default(), BTreeMap::new()),
            Some(manifest) => (grants(&manifest.capabilities), manifest.config.clone()),
        };
        let (services, folder) = places(&grants, secrets).await?;
        let granted = Arc::new(Granted::new(&asked, Arc::new(grants)));
        let wasm = async || Ok::<_, Infallible>(wasm);
        let engine = engine.with_services(services);
        let component = engine.load(lane, &digest, wasm, Arc::clone(&description), Arc::new(config)).await?;
        Ok(Self { component, description, limits, release, granted, hear, _folder: folder })
    }

    /// What the component's bytes say.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Calls a function of an interface, named in full or in short, or of the world itself. The answer is the JSON of its result.
    pub async fn call(&self, interface: Option<&str>, function: &str, arguments: &[u8]) -> Result<Vec<u8>, TrialError> {
        let (interface, called) = self.find(interface, function)?;
        if arguments.len() as u64 > self.limits.body_bytes_max {
            return Err(TrialError::TooLarge(self.limits.body_bytes_max));
        }
        let arguments = wares_typed::read_arguments(&self.description, called, arguments)?.into();
        let (limits, meter, context) = (&self.limits, Arc::new(Meter::default()), Arc::new(self.context()));
        let invocation = Invocation { interface, function, arguments, limits, meter, context, owner: None };
        let CallReport { result, logs, .. } = self.component.call(invocation).await;
        if !logs.text.is_empty() {
            (self.hear)(&logs.text);
        }
        let value = result.map_err(TrialError::Failed)?;
        let most = usize::try_from(limits.result_bytes_max).unwrap_or(usize::MAX);
        match wares_typed::write_result(&self.description, called, value.as_ref(), most)? {
            Answer::Ok(json) => Ok(json),
            Answer::ComponentError(json) => Err(TrialError::ComponentError(json)),
        }
    }

    /// The function and the full name of its interface.
    fn find(&self, interface: Option<&str>, function: &str) -> Result<(Option<&str>, &Function), TrialError> {
        let unknown = || {
            let name = interface.map_or_else(|| function.to_owned(), |interface| format!("{interface}#{function}"));
            TrialError::Unknown(name)
        };
        let full = match interface {
            None => None,
            Some(name) => {
                let found = self.description.interface(name).map_err(|error| match error {
                    NoInterface::Unknown => unknown(),
                    NoInterface::Ambiguous(_) => TrialError::Ambiguous(name.to_owned(), error),
                })?;
                found.name.as_deref()
            }
        };
        let called = self.description.function(full, function).ok_or_else(unknown)?;
        match &called.not_callable {
            None => Ok((full, called)),
            Some(reason) => Err(TrialError::NotCallable { function: function.to_owned(), reason: reason.clone() }),
        }
    }

    fn context(&self) -> CallContext {
        let mut context = CallContext::unshelved();
        if let Some((component, version)) = &self.release {
            (context.component, context.version) = (component.clone(), version.clone());
        }
        context.granted = Arc::clone(&self.granted);
        context
    }
}

/// All that is asked for. Each bucket and the files have an equal part of the bytes.
fn grants(asked: &Capabilities) -> Grants {
    let places = asked.keyvalue.len() + usize::from(asked.files.is_some());
    let share = KEPT_BYTES_MAX / u64::try_from(places.max(1)).unwrap_or(u64::MAX);
    let bucket = |name: &Label| {
        let usual = BucketGrant::of(name.clone());
        BucketGrant { bytes_max: usual.bytes_max.min(share), ..usual }
    };
    let files = asked.files.map(FilesGrant::of);
    Grants {
        // Granted, though nothing is sent: what is said of a request is then that, and not what would grant it.
        http: asked
            .http
            .iter()
            .map(|rule| HttpGrant { allow: rule.clone(), addresses: Vec::new(), credential: None })
            .collect(),
        keyvalue: asked.keyvalue.iter().map(bucket).collect(),
        files: files.map(|usual| FilesGrant { bytes_max: usual.bytes_max.min(share), ..usual }),
        secrets: asked.secrets.clone(),
        components: Vec::new(),
    }
}

/// What calls draw on, and the folder that it is in, if there is to be any.
async fn places(
    grants: &Grants,
    secrets: HashMap<Label, Zeroizing<String>>,
) -> Result<(Services, Option<TempDir>), OpenError> {
    let mut services = Services { secrets: Some(Arc::new(Given(secrets))), ..Services::default() };
    if grants.keyvalue.is_empty() && grants.files.is_none() {
        return Ok((services, None));
    }
    let fault = |error: &dyn std::fmt::Display| OpenError::Place(error.to_string());
    let make = move || {
        let folder = tempfile::tempdir().map_err(|error| fault(&error))?;
        let data_dir = DataDir::open(folder.path()).map_err(|error| fault(&error))?;
        let files = Files::open(&data_dir.files()).map_err(|error| fault(&error))?;
        Ok::<_, OpenError>((folder, data_dir, files))
    };
    let (folder, data_dir, files) = tokio::task::spawn_blocking(make).await.map_err(|error| fault(&error))??;
    services.files = files;
    if !grants.keyvalue.is_empty() {
        let store = wares_store::open_sqlite(&data_dir, SqliteOptions::default()).await;
        services.keyvalue.own = Some(Arc::new(store.map_err(|error| fault(&error))?));
    }
    Ok((services, Some(folder)))
}

/// Secrets that are the same for every tenant.
struct Given(HashMap<Label, Zeroizing<String>>);

#[async_trait]
impl SecretReader for Given {
    async fn read(&self, _context: &CallContext, name: &Label) -> Result<Option<Zeroizing<String>>, SecretError> {
        Ok(self.0.get(name).cloned())
    }
}

fn words(failure: &Failure) -> String {
    match failure {
        Failure::Trap { reason, backtrace } => {
            let mut text = format!("it trapped: {reason}");
            for frame in backtrace {
                // Writing to a string does not fail.
                let _ = write!(text, "\n  in {frame}");
            }
            text
        }
        Failure::LimitCpu => "it used up its CPU time (cpu-ms-max)".to_owned(),
        Failure::LimitWall => "it used up its wall time (wall-ms-max)".to_owned(),
        Failure::LimitMemory { what } | Failure::SpentBelow { what, .. } => what.clone(),
        Failure::Host(error) => format!("the host failed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_asked_for_is_granted_within_the_bytes_of_a_trial() {
        let buckets: Vec<_> = (0..100).map(|number| format!("b{number}").parse().unwrap()).collect();
        let asked = Capabilities {
            http: vec!["https://a.cn".parse().unwrap()],
            keyvalue: buckets,
            files: Some(wares_model::grants::FilesAccess::ReadWrite),
            secrets: vec!["token".parse().unwrap()],
        };
        let grants = grants(&asked);
        assert_eq!(Asked::of(Some(&asked), &[]).missing(&grants), []);
        let bytes = grants.keyvalue.iter().map(|grant| grant.bytes_max).sum::<u64>();
        assert!(bytes + grants.files.unwrap().bytes_max <= KEPT_BYTES_MAX, "{bytes}");
        let one = Capabilities { keyvalue: vec!["one".parse().unwrap()], ..Capabilities::default() };
        assert_eq!(super::grants(&one).keyvalue, [BucketGrant::of("one".parse().unwrap())]);
    }
}
