//! Components in OCI registries: pushed and pulled as `wkg` and others do.
//!
//! An artifact has one layer, the component, and a config that lists what it imports and exports: the layout of the CNCF's
//! wasm working group (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>). What is pulled is checked
//! against the digests that lead to it, so that a registry cannot give other bytes than it names, and it is never more than was
//! asked for (`reading`).

mod layout;
mod reading;
mod reference;

pub use layout::{Contents, component_digest};
pub use reference::{OciReference, OciSource, ParseReferenceError};

use bytes::Bytes;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use layout::{CONFIG_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, WASM_MEDIA_TYPE};
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciImageManifest;
use oci_client::secrets::RegistryAuth;
use reading::{Answer, Reading, innermost};
use std::time::Duration;
use wares_model::{ComponentName, Digest, Version};

/// For a connection to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of a manifest: many times what one with one layer has.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// What this program calls itself.
const USER_AGENT: &str = concat!("wares/", env!("CARGO_PKG_VERSION"));
/// The header in which a registry says what it believes to serve.
const CONTENT_DIGEST: &str = "docker-content-digest";

/// A client of OCI registries.
pub struct Registry {
    http: reqwest::Client,
    auth: RegistryAuth,
}

/// A component as a registry had it.
#[derive(Debug)]
pub struct Pulled {
    /// Its bytes.
    pub wasm: Bytes,
    /// The digest of the manifest that names them: what `@sha256:…` in a reference pins.
    pub manifest: Digest,
    /// The name and the version that it has there: whoever pushed it said so.
    pub named: Option<(ComponentName, Version)>,
}

/// Why nothing was pulled or pushed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The registry refused or was not reached.
    #[error("{reference}: {reason}")]
    Refused {
        /// What was asked for.
        reference: String,
        /// What the registry said.
        reason: String,
    },
    /// What is there is no component.
    #[error("{reference} is not a component: {reason}")]
    NotAComponent {
        /// What was asked for.
        reference: String,
        /// What it is instead.
        reason: String,
    },
    /// The bytes are not those that were named.
    #[error(
        "{reference}: the registry served other bytes than it names: expected the digest {expected}, got {found}; \
         nothing was taken"
    )]
    OtherBytes {
        /// What was asked for.
        reference: String,
        /// The digest that led here.
        expected: String,
        /// The digest of what came.
        found: Digest,
    },
    /// It is larger than allowed.
    #[error("{reference}: the registry answers with more than the {bytes_max} bytes that are taken for this")]
    TooLarge {
        /// What was asked for.
        reference: String,
        /// What is allowed.
        bytes_max: u64,
    },
    /// The credentials that Docker's configuration has for the registry cannot be had.
    #[error("credentials for {registry}: {reason}; log in again with `docker login`, or mend its config.json")]
    Credentials {
        /// For which registry.
        registry: String,
        /// Why not.
        reason: String,
    },
}

impl Registry {
    /// A client for the registry of a reference, with the credentials that `docker login` or its like left on this machine.
    pub fn of(reference: &OciReference) -> Result<Self, RegistryError> {
        let registry = reference.registry();
        let failed = |reason: String| RegistryError::Credentials { registry: registry.to_owned(), reason };
        let auth = match docker_credential::get_credential(registry) {
            Ok(DockerCredential::UsernamePassword(user, password)) => RegistryAuth::Basic(user, password),
            Ok(DockerCredential::IdentityToken(token)) => RegistryAuth::Bearer(token),
            Err(
                CredentialRetrievalError::ConfigNotFound
                | CredentialRetrievalError::NoCredentialConfigured
                | CredentialRetrievalError::ConfigReadError,
            ) => RegistryAuth::Anonymous,
            Err(other) => return Err(failed(other.to_string())),
        };
        let http = reqwest::Client::builder().user_agent(USER_AGENT).connect_timeout(CONNECT_TIMEOUT);
        let http = http.read_timeout(READ_TIMEOUT).build().map_err(|error| failed(innermost(&error)))?;
        Ok(Self { http, auth })
    }

    /// Pulls a component of at most so many bytes.
    pub async fn pull(&self, reference: &OciReference, bytes_max: u64) -> Result<Pulled, RegistryError> {
        let name = || reference.to_string();
        let mut reading = Reading::new(&self.http, &self.auth, reference);
        let (manifest, digest) = manifest_of(&mut reading).await?;
        if let Some(pinned) = reference.inner().digest().filter(|pinned| *pinned != digest.to_string()) {
            return Err(RegistryError::OtherBytes { reference: name(), expected: pinned.to_owned(), found: digest });
        }
        let manifest: OciImageManifest = serde_json::from_slice(&manifest)
            .map_err(|error| RegistryError::NotAComponent { reference: name(), reason: error.to_string() })?;
        let layer = layout::component_of(&manifest)
            .map_err(|reason| RegistryError::NotAComponent { reference: name(), reason })?;
        let named: Digest = layer.digest.parse().map_err(|_| RegistryError::NotAComponent {
            reference: name(),
            reason: "its layer is not named by a SHA-256 digest".to_owned(),
        })?;
        let wasm = reading.get(&format!("blobs/{named}"), WASM_MEDIA_TYPE, bytes_max).await?.body;
        let found = Digest::of(&wasm);
        if named != found {
            return Err(RegistryError::OtherBytes { reference: name(), expected: named.to_string(), found });
        }
        Ok(Pulled { wasm, manifest: digest, named: layout::named_by(&manifest) })
    }

    /// Pushes a component, and returns the digest of the manifest that names it.
    pub async fn push(
        &self,
        reference: &OciReference,
        wasm: Bytes,
        contents: &Contents,
    ) -> Result<Digest, RegistryError> {
        let encode = |error: serde_json::Error| RegistryError::Refused {
            reference: reference.to_string(),
            reason: error.to_string(),
        };
        let config = contents.config(&Digest::of(&wasm)).map_err(encode)?;
        let config = Config::new(config, CONFIG_MEDIA_TYPE.to_owned(), None);
        let layers = [ImageLayer::new(wasm, WASM_MEDIA_TYPE.to_owned(), Some(contents.layer_annotations()))];
        let mut manifest = OciImageManifest::build(&layers, &config, Some(contents.annotations()));
        manifest.media_type = Some(MANIFEST_MEDIA_TYPE.to_owned());
        let client = pusher(reference).map_err(refused(reference))?;
        let pushed = client.push(reference.inner(), &layers, config, &self.auth, Some(manifest));
        pushed.await.map_err(refused(reference))?;
        // What the registry has now is what counts.
        let (_, digest) = manifest_of(&mut Reading::new(&self.http, &self.auth, reference)).await?;
        Ok(digest)
    }
}

/// What pushes: somebody who trusts the registry with his component.
fn pusher(reference: &OciReference) -> Result<oci_client::Client, OciDistributionError> {
    let protocol = match reference.is_plain() {
        true => ClientProtocol::HttpsExcept(vec![reference.registry().to_owned()]),
        false => ClientProtocol::Https,
    };
    oci_client::Client::try_from(ClientConfig {
        protocol,
        connect_timeout: Some(CONNECT_TIMEOUT),
        read_timeout: Some(READ_TIMEOUT),
        user_agent: USER_AGENT,
        ..ClientConfig::default()
    })
}

/// The manifest under a reference, and its digest.
async fn manifest_of(reading: &mut Reading<'_>) -> Result<(Bytes, Digest), RegistryError> {
    let inner = reading.reference.inner();
    let at = inner.digest().or(inner.tag()).unwrap_or("latest");
    let Answer { headers, body } =
        reading.get(&format!("manifests/{at}"), MANIFEST_MEDIA_TYPE, MANIFEST_BYTES_MAX).await?;
    let found = Digest::of(&body);
    let named = headers.get(CONTENT_DIGEST).and_then(|named| named.to_str().ok());
    match named.filter(|named| named.starts_with("sha256:") && *named != found.to_string()) {
        Some(named) => {
            let reference = reading.reference.to_string();
            Err(RegistryError::OtherBytes { reference, expected: named.to_owned(), found })
        }
        None => Ok((body, found)),
    }
}

fn refused(reference: &OciReference) -> impl Fn(OciDistributionError) -> RegistryError {
    let reference = reference.to_string();
    move |error| RegistryError::Refused { reference: reference.clone(), reason: reason(&error) }
}

/// What a person can act on.
fn reason(error: &OciDistributionError) -> String {
    match error {
        OciDistributionError::UnauthorizedError { .. } => {
            "the registry refuses these credentials, or wants some: log in with `docker login`".to_owned()
        }
        OciDistributionError::RequestError(error) => {
            format!("the registry was not reached: {}", innermost(error))
        }
        other => other.to_string(),
    }
}
