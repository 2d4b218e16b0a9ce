//! Taking a version onto the shelf: look at it, compile it, keep it.

use crate::compatibility::Against;
use crate::rehearsal::is_rehearsal;
use crate::review::Change;
use crate::snapshot::{Summary, VersionEntry};
use crate::vetting::{Publisher, Vetted};
use crate::{Catalog, DeployError, LoadError};
use bytes::Bytes;
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::MutexGuard;
use wares_engine::{CompileError, Concurrency, ImportError, Lane, Overloaded, ReadError};
use wares_model::limits::COMPONENT_BYTES_MAX;
use wares_model::line::NumberError;
use wares_model::{Asked, ComponentName, Digest, Limits, LimitsAsked, Namespace, Signature, Timestamp, Version};
use wares_store::{Inserted, NewVersion, StoreError, SubmissionState, TrustRecord, VersionRecord};
use wares_typed::{Description, NoInterface};

/// A component to publish.
pub struct PublishRequest {
    /// Its bytes.
    pub wasm: Bytes,
    /// Its name, for a component that does not say so itself.
    pub name: Option<ComponentName>,
    /// Its version, for a component that does not say so itself.
    pub version: Option<Version>,
    /// When its native code is made.
    pub compile: Compile,
    /// Who publishes.
    pub publisher: Publisher,
    /// A signature over its name, version and digest.
    pub signature: Option<Signature>,
    /// What is stated of the change, for a namespace that is reviewed.
    pub change: Change,
}

/// When native code of a version is made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compile {
    /// Before it is published: one that does not compile is not taken.
    #[default]
    Now,
    /// When it is deployed or called first: of a shelf that is copied, most versions never are.
    Later,
}

/// A version that is on the shelf now.
pub struct Published {
    /// It.
    pub version: Arc<VersionEntry>,
    /// Whether it was put there just now, or was there with the same bytes.
    pub created: bool,
    /// What it changes for callers of the version before it, if one promises them anything and it was put there just now.
    pub against: Option<Against>,
    /// What its callers should know of its names.
    pub warnings: Vec<String>,
}

/// Why a component is not taken.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// More bytes than a component may have.
    #[error("the component has {size} bytes; at most {COMPONENT_BYTES_MAX} are taken")]
    TooLarge {
        /// What it has.
        size: usize,
    },
    /// It is not a component, malformed, or too much to read.
    #[error(transparent)]
    Read(ReadError),
    /// It imports what it cannot have.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(CompileError),
    /// Too many wait before it.
    #[error(transparent)]
    Overloaded(Overloaded),
    /// Name, version or limits are missing or not allowed.
    #[error("{0}")]
    Invalid(String),
    /// The version exists with other bytes.
    #[error(
        "{component}@{version} is published with other bytes ({existing}); a version is never rewritten: \
         publish the change under a new version"
    )]
    Conflict {
        /// Which component.
        component: ComponentName,
        /// Which version.
        version: Version,
        /// The digest that is published.
        existing: Digest,
    },
    /// Its number is not above those of its line.
    #[error("{component}: {number}")]
    Number {
        /// Which component.
        component: ComponentName,
        /// Which number, and which one is free.
        number: Box<NumberError>,
    },
    /// It takes from callers what its number promises them.
    #[error(
        "{component}@{version} takes from callers of {} what they use:\n{}\n\
         publish it as {next}, or bring back what is missing",
        against.version, against.changes.report()
    )]
    Incompatible {
        /// Which component.
        component: ComponentName,
        /// Which version.
        version: Version,
        /// What it was compared with, and what is lost.
        against: Box<Against>,
        /// The number that promises nothing.
        next: Version,
    },
    /// It cannot be told what it takes from callers.
    #[error("{component}@{version} and {earlier}, which it follows: {error}; publish it as {next}")]
    Incomparable {
        /// Which component.
        component: ComponentName,
        /// Which version.
        version: Version,
        /// The one before it.
        earlier: Box<Version>,
        /// Why not.
        error: Box<ReadError>,
        /// The number that promises nothing.
        next: Version,
    },
    /// The key may not publish it.
    #[error("{0}")]
    Forbidden(String),
    /// A signature is missing or does not fit.
    #[error("{0}")]
    Untrusted(String),
    /// The statement for its review is incomplete.
    #[error("{0}")]
    Statement(String),
    /// What the namespace asks changed while the version was looked at.
    #[error("what is asked of versions of {0} changed meanwhile: publish again")]
    NamespaceChanged(Namespace),
    /// It was to have traffic at once, and may not; it is not published either.
    #[error("the version was not published, because it cannot be deployed: {0}")]
    Undeployable(Box<DeployError>),
    /// It was there already, was to have traffic, and may not.
    #[error("{0}")]
    Undeployed(Box<DeployError>),
    /// The host failed.
    #[error(transparent)]
    Host(#[from] LoadError),
}

impl From<StoreError> for PublishError {
    fn from(error: StoreError) -> Self {
        Self::Host(error.into())
    }
}

impl From<DeployError> for PublishError {
    fn from(error: DeployError) -> Self {
        Self::Undeployable(Box::new(error))
    }
}

impl From<ReadError> for PublishError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Overloaded(overloaded) => Self::Overloaded(overloaded),
            other => Self::Read(other),
        }
    }
}

impl From<CompileError> for PublishError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Overloaded(overloaded) => Self::Overloaded(overloaded),
            other => Self::Compile(other),
        }
    }
}

/// A component that was read, checked and compiled, and is not on the shelf yet.
pub struct Prepared {
    pub(crate) examined: Examined,
    pub(crate) wasm: Bytes,
    pub(crate) publisher: Publisher,
    pub(crate) vetted: Vetted,
    pub(crate) against: Option<Against>,
}

/// What publishing a component comes to.
pub enum Preparation {
    /// It is there already, with the same bytes.
    Done(Published),
    /// It is new, and ready to be kept by [`Catalog::publish`].
    Keep(Box<Prepared>),
}

/// What there is to know of a component before anything is kept of it.
pub(crate) struct Examined {
    pub(crate) description: Arc<Description>,
    pub(crate) component: ComponentName,
    pub(crate) version: Version,
    pub(crate) limits: Limits,
    pub(crate) asked: Asked,
    pub(crate) digest: Digest,
}

impl Examined {
    /// Short names by which nobody can call it.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let warn = |(short, names): (&str, Vec<String>)| {
            let (component, version) = (&self.component, &self.version);
            format!(
                "{short} means {} in {component}@{version}: calls that name the interface {short} are refused by it, and must \
                 name one of them in full",
                names.join(" and ")
            )
        };
        self.description.ambiguous_names().into_iter().map(warn).collect()
    }
}

impl Catalog {
    /// Reads a component, checks it against this host, and compiles it if that is not to be later. Nothing on the shelf changes
    /// by it, and nothing of one that is refused stays behind; who waits no longer ends the work. Of one that is there already,
    /// an artifact that is missing or damaged is there again then.
    pub async fn prepare(&self, request: PublishRequest) -> Result<Preparation, PublishError> {
        let PublishRequest { wasm, name, version, compile, publisher, signature, change } = request;
        let lane = publisher.lane(name.as_ref());
        let examined = self.examine(&lane, &wasm, name, version).await?;
        publisher.check(&examined.component)?;
        if let Some(published) = self.already_there(&examined)? {
            Self::check_repeated(&published.version, signature.as_ref())?;
            self.mend(&examined.digest, wasm).await?;
            return Ok(Preparation::Done(published));
        }
        self.check_number(&examined)?;
        let statement = self.check_claims(&examined, signature.as_ref(), change)?;
        self.engine.check_imports(&examined.description)?;
        let against = self.compare_with_predecessor(&lane, &examined).await?;
        if compile == Compile::Now {
            let concurrency = Concurrency::of(&examined.description);
            self.engine.compile(&lane, &examined.digest, &wasm, concurrency).await?;
        }
        let vetted = self.vet(&lane, &examined, &wasm, signature, statement).await?;
        Ok(Preparation::Keep(Box::new(Prepared { examined, wasm, publisher, vetted, against })))
    }

    /// Takes a component onto the shelf. The same bytes again change nothing.
    pub async fn publish(&self, prepared: Preparation) -> Result<Published, PublishError> {
        let Prepared { examined, wasm, publisher, vetted, against } = match prepared {
            Preparation::Done(published) => return Ok(published),
            Preparation::Keep(prepared) => *prepared,
        };
        // Nobody removes files meanwhile. Native code that is removed before is made again.
        let _publishing = self.publishing.read().await;
        if !is_rehearsal() {
            self.artifacts.put(&examined.digest, wasm.clone()).await?;
        }
        let lane = publisher.lane(Some(&examined.component));
        let (changing, against) = self.settle(&lane, &examined, against).await?;
        self.keep(&changing, examined, wasm.len(), publisher, vetted, against).await
    }

    /// Keeps the bytes of a version that is there already, if what was kept of them is missing or damaged.
    async fn mend(&self, digest: &Digest, wasm: Bytes) -> Result<(), StoreError> {
        let _publishing = self.publishing.read().await;
        match self.artifacts.check(digest).await {
            _ if is_rehearsal() => Ok(()),
            Ok(Some(_)) => Ok(()),
            _ => self.artifacts.put(digest, wasm).await,
        }
    }

    async fn examine(
        &self,
        lane: &Lane,
        wasm: &Bytes,
        name: Option<ComponentName>,
        version: Option<Version>,
    ) -> Result<Examined, PublishError> {
        if wasm.len() as u64 > COMPONENT_BYTES_MAX {
            return Err(PublishError::TooLarge { size: wasm.len() });
        }
        let bytes = wasm.clone();
        let digest = tokio::task::spawn_blocking(move || Digest::of(&bytes)).await;
        let digest = digest.map_err(|error| LoadError::Engine(format!("hashing the component: {error}")))?;
        let description = self.engine.reader().describe(lane, wasm).await?;
        let own = description.manifest.as_ref().map(|manifest| &manifest.component);
        let component = agree("name", own.map(|own| own.name.clone()), name)?;
        let version = agree("version", own.map(|own| own.version.clone()), version)?;
        let asked = description.manifest.as_ref().map_or_else(LimitsAsked::default, |manifest| manifest.limits);
        let policy = self.policy();
        let limits = policy.limits_default.asked_within(&asked, &policy.limits_ceiling);
        let limits = limits.map_err(|error| PublishError::Invalid(error.to_string()))?;
        check_memory(&description, &limits)?;
        let asked = asked_by(&description)?;
        Ok(Examined { description: Arc::new(description), component, version, limits, asked, digest })
    }

    pub(crate) fn already_there(&self, examined: &Examined) -> Result<Option<Published>, PublishError> {
        let snapshot = self.snapshot();
        match snapshot.version(&examined.component, &examined.version) {
            None => Ok(None),
            Some(entry) if entry.record.digest == examined.digest => {
                let version = Arc::clone(entry);
                Ok(Some(Published { version, created: false, against: None, warnings: examined.warnings() }))
            }
            Some(entry) => Err(PublishError::Conflict {
                component: examined.component.clone(),
                version: examined.version.clone(),
                existing: entry.record.digest,
            }),
        }
    }

    /// All that the store keeps of a version, if what its namespace asks is still what was checked.
    pub(crate) fn for_store(
        &self,
        record: VersionRecord,
        examined: &Examined,
        publisher: &Publisher,
        vetted: Vetted,
    ) -> Result<NewVersion, PublishError> {
        let detail = serde_json::to_string(&*examined.description).map_err(encoding)?;
        let namespace = self.snapshot().namespace(examined.component.namespace()).cloned();
        let trust = vetted.for_store(namespace.as_ref(), examined, publisher.key)?;
        Ok(NewVersion { record, detail, trust })
    }

    async fn keep(
        &self,
        changing: &MutexGuard<'_, ()>,
        examined: Examined,
        size: usize,
        publisher: Publisher,
        vetted: Vetted,
        against: Option<Against>,
    ) -> Result<Published, PublishError> {
        let warnings = examined.warnings();
        let record = examined.record(size, &publisher, vetted.signature())?;
        let new = self.for_store(record.clone(), &examined, &publisher, vetted)?;
        let known = TrustRecord {
            signature: new.trust.signature,
            submission: new.trust.submission.as_ref().map(|one| SubmissionState { id: one.id, decision: None }),
        };
        match self.store.insert_version(new).await {
            Ok(Inserted::Created) => {
                let version = Arc::new(VersionEntry::new(record)?.with_trust(known));
                self.publish_snapshot(changing, |next| next.put_version(Arc::clone(&version)));
                Ok(Published { version, created: true, against, warnings })
            }
            Ok(Inserted::Same) => self
                .already_there(&examined)?
                .ok_or_else(|| LoadError::Missing(format!("{}@{}", examined.component, examined.version)).into()),
            Err(StoreError::VersionConflict { existing }) => {
                let Examined { component, version, .. } = examined;
                Err(PublishError::Conflict { component, version, existing })
            }
            Err(other) => Err(other.into()),
        }
    }
}

impl Examined {
    /// What is told of the version from now on.
    pub(crate) fn record(
        &self,
        size: usize,
        publisher: &Publisher,
        signature: Option<&Signature>,
    ) -> Result<VersionRecord, LoadError> {
        Ok(VersionRecord {
            component: self.component.clone(),
            version: self.version.clone(),
            digest: self.digest,
            size_bytes: size as u64,
            published_at: Timestamp::now(),
            publisher: publisher.actor(),
            deployed_at: None,
            yanked_at: None,
            stopped_at: None,
            deprecation: None,
            summary: serde_json::to_string(&summarize(self, signature)).map_err(encoding)?,
        })
    }
}

fn encoding(error: serde_json::Error) -> LoadError {
    LoadError::Engine(format!("encoding the description: {error}"))
}

/// What a component asks for. It is refused if it has called at set times what is not there, or asks for files that it would not
/// find.
pub fn asked_by(description: &Description) -> Result<Asked, PublishError> {
    let manifest = description.manifest.as_ref().map(|manifest| &manifest.capabilities);
    let asked = Asked::of(manifest, &description.imports);
    check_schedules(description)?;
    check_files(description)?;
    Ok(asked)
}

/// What is called at set times must be there, and its arguments must fit.
fn check_schedules(description: &Description) -> Result<(), PublishError> {
    for schedule in description.manifest.iter().flat_map(|manifest| &manifest.schedules) {
        let fail = |what: String| PublishError::Invalid(format!("schedule {:?}: {what}", schedule.name));
        let interface = match schedule.interface.as_deref() {
            None => description.interfaces.iter().find(|interface| interface.name.is_none()),
            Some(name) => match description.interface(name) {
                Err(error @ NoInterface::Ambiguous(_)) => return Err(fail(format!("{name}: {error}"))),
                found => found.ok(),
            },
        };
        let functions = interface.map(|interface| interface.functions.as_slice()).unwrap_or_default();
        let function = functions.iter().find(|function| function.name == schedule.function);
        let function = function.ok_or_else(|| fail(format!("there is no function {}", schedule.function)))?;
        if let Some(reason) = &function.not_callable {
            return Err(fail(format!("{} cannot be called with JSON: {reason}", function.name)));
        }
        wares_typed::read_arguments(description, function, schedule.arguments.as_bytes())
            .map_err(|error| fail(format!("arguments{}: {}", error.pointer, error.message)))?;
    }
    Ok(())
}

/// Files are given by the interfaces of WASI 0.2: with those of 0.3 alone a component that asks for them would find none.
fn check_files(description: &Description) -> Result<(), PublishError> {
    let asks = description.manifest.as_ref().is_some_and(|manifest| manifest.capabilities.files.is_some());
    let imported = |version: &str| {
        let mut imports = description.imports.iter();
        imports.find(|import| import.starts_with("wasi:filesystem/") && import.contains(version))
    };
    match imported("@0.3.") {
        Some(import) if asks && imported("@0.2.").is_none() => Err(PublishError::Invalid(format!(
            "the manifest asks for files, and the component imports {import}: files are given to WASI 0.2 only; build it for \
             that, or do not ask for files"
        ))),
        _ => Ok(()),
    }
}

/// A memory that is larger from the beginning than all memories of a call may be would fail every call.
pub fn check_memory(description: &Description, limits: &Limits) -> Result<(), PublishError> {
    let (begins_with, most) = (description.memory_bytes_min, limits.memory_bytes_max);
    match begins_with > most {
        true => Err(PublishError::Invalid(format!(
            "a memory of the component has {begins_with} bytes from its beginning, and a call of it may have {most} bytes of \
             memory in total (memory-bytes-max): ask for more under [limits] of the manifest, as far as the operator's ceiling \
             goes, or build it with a smaller initial memory"
        ))),
        false => Ok(()),
    }
}

/// What the component says of itself and what the request says must not differ.
fn agree<T: PartialEq + std::fmt::Display>(what: &str, own: Option<T>, given: Option<T>) -> Result<T, PublishError> {
    match (own, given) {
        (Some(own), Some(given)) if own != given => Err(PublishError::Invalid(format!(
            "the component's manifest gives the {what} {own}, the request {given}; leave the request's out"
        ))),
        (Some(value), _) | (None, Some(value)) => Ok(value),
        (None, None) => Err(PublishError::Invalid(format!(
            "the component does not say its {what}: build it with `wares build`, or add ?name=namespace:name&version=1.2.3"
        ))),
    }
}

fn summarize(examined: &Examined, signature: Option<&Signature>) -> Summary {
    let manifest = examined.description.manifest.as_ref();
    let info = manifest.map(|manifest| &manifest.component);
    Summary {
        title: info.map(|info| info.title.clone()).unwrap_or_default(),
        description: info.map(|info| info.description.clone()).unwrap_or_default(),
        keywords: info.map(|info| info.keywords.clone()).unwrap_or_default(),
        interfaces: examined.description.interfaces.iter().filter_map(|interface| interface.name.clone()).collect(),
        limits: examined.limits,
        asked: examined.asked.clone(),
        reuse: info.map(|info| info.reuse).unwrap_or_default(),
        pure: info.is_some_and(|info| info.pure),
        retry: manifest.map(|manifest| manifest.retry).unwrap_or_default(),
        schedules: manifest.map(|manifest| manifest.schedules.clone()).unwrap_or_default(),
        signer: signature.map(|signature| *signature.signer()),
    }
}
