//! What a namespace asks of a version that is published: who publishes, whose signature, and whose review.

use crate::examples::{self, ExampleOutcome};
use crate::publish::Examined;
use crate::review::{Change, Statement};
use crate::snapshot::VersionEntry;
use crate::standing::NamespaceEntry;
use crate::trial::{Candidate, Trial};
use crate::{Catalog, LoadError, PublishError, tenancy};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;
use wares_engine::Lane;
use wares_model::{ComponentName, KeyId, Namespace, Release, Signature, SubmissionId, Timestamp};
use wares_store::{NewTrust, SubmissionRecord};

/// Who publishes.
#[derive(Debug, Clone)]
pub struct Publisher {
    /// The key.
    pub key: KeyId,
    /// What that is for.
    pub label: Option<String>,
    /// The only namespace that it may publish into; none: any.
    pub namespace: Option<Namespace>,
}

impl Publisher {
    /// How histories name it.
    pub fn actor(&self) -> String {
        tenancy::actor(self.key, self.label.as_deref())
    }

    /// The line in which its components wait: operators' keys publish into any namespace.
    pub(crate) fn lane(&self, component: Option<&ComponentName>) -> Lane {
        match &self.namespace {
            Some(own) => Lane::Publisher(own.clone()),
            None => Lane::Operator(component.map(Namespace::of)),
        }
    }

    /// Checks that it may publish this component.
    pub fn check(&self, component: &ComponentName) -> Result<(), PublishError> {
        match &self.namespace {
            Some(own) if own.as_str() != component.namespace() => Err(PublishError::Forbidden(format!(
                "the key publishes into {own}, and {component} is of {}: ask its operator for a key",
                component.namespace()
            ))),
            _ => Ok(()),
        }
    }
}

/// What a publication brings for the namespace, checked.
pub(crate) struct Vetted {
    signature: Option<Signature>,
    submission: Option<(Statement, Vec<ExampleOutcome>)>,
    /// What was asked when this was checked.
    namespace: Option<Arc<NamespaceEntry>>,
}

impl Examined {
    pub(crate) fn release(&self) -> Release<'_> {
        Release { component: &self.component, version: &self.version, digest: &self.digest }
    }
}

impl Catalog {
    /// Checks the signature and the statement, and runs the examples if the version is to be reviewed. The component is
    /// compiled by now.
    pub(crate) async fn vet(
        &self,
        lane: &Lane,
        examined: &Examined,
        wasm: &Bytes,
        signature: Option<Signature>,
        statement: Option<Statement>,
    ) -> Result<Vetted, PublishError> {
        let namespace = self.snapshot().namespace(examined.component.namespace()).cloned();
        let submission = match statement {
            None => None,
            Some(statement) => Some((statement, self.try_examples(lane, examined, wasm).await?)),
        };
        Ok(Vetted { signature, submission, namespace })
    }

    /// Checks what can be checked before anything is compiled: the signature, and the statement if there is to be one.
    pub(crate) fn check_claims(
        &self,
        examined: &Examined,
        signature: Option<&Signature>,
        change: Change,
    ) -> Result<Option<Statement>, PublishError> {
        let name = examined.component.namespace();
        let snapshot = self.snapshot();
        let nothing = Arc::default();
        let namespace = snapshot.namespace(name).unwrap_or(&nothing);
        match signature {
            Some(signature) => {
                namespace.verify(&examined.release(), signature).map_err(PublishError::Untrusted)?;
            }
            None if namespace.asks_signature() => {
                return Err(PublishError::Untrusted(format!(
                    "versions of {name} must be signed: publish with `--sign FILE`, with the key of one of its signers"
                )));
            }
            None => {}
        }
        namespace.asks_review().then(|| change.complete(name)).transpose()
    }

    /// Whether the same publication again changes nothing.
    pub(crate) fn check_repeated(entry: &VersionEntry, signature: Option<&Signature>) -> Result<(), PublishError> {
        let stored = entry.trust.signature.as_ref();
        if stored == signature {
            return Ok(());
        }
        Err(PublishError::Untrusted(match (stored, signature) {
            (Some(stored), None) => format!(
                "{entry:?} is published with a signature of {}, which is never dropped: send it again with that signature",
                stored.signer()
            ),
            (Some(stored), Some(_)) => format!(
                "{entry:?} is published with another signature, of {}; a version is never rewritten",
                stored.signer()
            ),
            (None, _) => format!(
                "{entry:?} is published without a signature; a version is never rewritten: publish under a new version"
            ),
        }))
    }

    async fn try_examples(
        &self,
        lane: &Lane,
        examined: &Examined,
        wasm: &Bytes,
    ) -> Result<Vec<ExampleOutcome>, PublishError> {
        let candidate = Candidate {
            lane: lane.clone(),
            description: Arc::clone(&examined.description),
            digest: examined.digest,
            wasm: wasm.clone(),
            limits: examined.limits,
            release: Some((examined.component.clone(), examined.version.clone())),
            secrets: HashMap::new(),
            hear: |_| {},
        };
        let _running = self.examples.acquire().await;
        let trial = Trial::open(&self.engine, candidate).await;
        let trial = trial.map_err(|error| LoadError::Engine(error.to_string()))?;
        let examples = examined.description.manifest.as_ref().map(|manifest| manifest.examples.as_slice());
        let outcomes = examples::run(&trial, examples.unwrap_or_default()).await;
        // Removing what it kept is work for a thread that may block.
        tokio::task::spawn_blocking(move || drop(trial));
        Ok(outcomes)
    }
}

impl Vetted {
    pub(crate) fn signature(&self) -> Option<&Signature> {
        self.signature.as_ref()
    }

    /// Whether somebody has to decide on the version first.
    pub(crate) fn awaits_review(&self) -> bool {
        self.submission.is_some()
    }

    /// What is stored with the version. Fails if the namespace asks for something else by now.
    pub(crate) fn for_store(
        self,
        now: Option<&Arc<NamespaceEntry>>,
        examined: &Examined,
        submitter: KeyId,
    ) -> Result<NewTrust, PublishError> {
        if self.namespace.as_ref().map(Arc::as_ptr) != now.map(Arc::as_ptr) {
            return Err(PublishError::NamespaceChanged(Namespace::of(&examined.component)));
        }
        let encode = |error: serde_json::Error| LoadError::Engine(format!("encoding the examples: {error}"));
        let submission = match self.submission {
            None => None,
            Some((Statement { kind, method, basis }, examples)) => Some(SubmissionRecord {
                id: SubmissionId::generate(),
                component: examined.component.clone(),
                version: examined.version.clone(),
                kind,
                method,
                basis,
                submitter,
                submitted_at: Timestamp::now(),
                examples: serde_json::to_string(&examples).map_err(encode)?,
                decision: None,
            }),
        };
        Ok(NewTrust { signature: self.signature, submission })
    }
}
