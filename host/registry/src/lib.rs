//! Components in OCI registries: pushed and pulled as `wkg` and others do.
//!
//! An artifact has one layer, the component, and a config that lists what it imports and exports: the layout of the CNCF's
//! wasm working group (<https://tag-runtime.cncf.io/wgs/wasm/deliverables/wasm-oci-artifact/>). What is pulled is checked
//! against the digests that lead to it, so that a registry cannot give other bytes than it names.

mod layout;
mod reference;

pub use layout::{Contents, component_digest};
pub use reference::{OciReference, OciSource, ParseReferenceError};

use bytes::{Bytes, BytesMut};
use docker_credential::{CredentialRetrievalError, DockerCredential};
use futures::TryStreamExt as _;
use layout::{CONFIG_MEDIA_TYPE, MANIFEST_MEDIA_TYPE, WASM_MEDIA_TYPE};
use oci_client::client::{ClientConfig, ClientProtocol, Config, ImageLayer};
use oci_client::errors::{OciDistributionError, OciErrorCode};
use oci_client::manifest::{OciDescriptor, OciImageManifest};
use oci_client::secrets::RegistryAuth;
use std::time::Duration;
use wares_model::Digest;

/// For a connection to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Between two pieces of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// A client of OCI registries.
pub struct Registry {
    client: oci_client::Client,
    auth: RegistryAuth,
}

/// A component as a registry had it.
#[derive(Debug)]
pub struct Pulled {
    /// Its bytes.
    pub wasm: Bytes,
    /// The digest of the manifest that names them: what `@sha256:…` in a reference pins.
    pub manifest: Digest,
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
        "{reference}: the registry served other bytes than it names: expected {expected}, got {found}; nothing was taken"
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
    #[error("{reference} is larger than {bytes_max} bytes, more than a host takes")]
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
        let protocol = match reference.is_plain() {
            true => ClientProtocol::HttpsExcept(vec![registry.to_owned()]),
            false => ClientProtocol::Https,
        };
        let config = ClientConfig {
            protocol,
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("wares/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
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
        let client = oci_client::Client::try_from(config).map_err(|error| failed(error.to_string()))?;
        Ok(Self { client, auth })
    }

    /// Pulls a component of at most so many bytes.
    pub async fn pull(&self, reference: &OciReference, bytes_max: u64) -> Result<Pulled, RegistryError> {
        let name = || reference.to_string();
        let asked = self.client.pull_manifest_raw(reference.inner(), &self.auth, &[MANIFEST_MEDIA_TYPE]);
        let (manifest, _) = asked.await.map_err(refused(reference))?;
        let digest = Digest::of(&manifest);
        if let Some(pinned) = reference.inner().digest().filter(|pinned| *pinned != digest.to_string()) {
            return Err(RegistryError::OtherBytes { reference: name(), expected: pinned.to_owned(), found: digest });
        }
        let manifest: OciImageManifest = serde_json::from_slice(&manifest)
            .map_err(|error| RegistryError::NotAComponent { reference: name(), reason: error.to_string() })?;
        let layer = layout::component_of(&manifest)
            .map_err(|reason| RegistryError::NotAComponent { reference: name(), reason })?;
        let wasm = self.layer(reference, layer, bytes_max).await?;
        let found = Digest::of(&wasm);
        if layer.digest != found.to_string() {
            return Err(RegistryError::OtherBytes { reference: name(), expected: layer.digest.clone(), found });
        }
        Ok(Pulled { wasm, manifest: digest })
    }

    async fn layer(
        &self,
        reference: &OciReference,
        layer: &OciDescriptor,
        bytes_max: u64,
    ) -> Result<Bytes, RegistryError> {
        let too_large = || RegistryError::TooLarge { reference: reference.to_string(), bytes_max };
        let mut stream =
            self.client.pull_blob_stream(reference.inner(), layer).await.map_err(refused(reference))?.stream;
        let mut wasm = BytesMut::new();
        let broken = |error: std::io::Error| RegistryError::Refused {
            reference: reference.to_string(),
            reason: error.to_string(),
        };
        while let Some(chunk) = stream.try_next().await.map_err(broken)? {
            if (wasm.len() + chunk.len()) as u64 > bytes_max {
                return Err(too_large());
            }
            wasm.extend_from_slice(&chunk);
        }
        Ok(wasm.freeze())
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
        let layers = [ImageLayer::new(wasm, WASM_MEDIA_TYPE.to_owned(), None)];
        let mut manifest = OciImageManifest::build(&layers, &config, Some(contents.annotations()));
        manifest.media_type = Some(MANIFEST_MEDIA_TYPE.to_owned());
        let pushed = self.client.push(reference.inner(), &layers, config, &self.auth, Some(manifest));
        pushed.await.map_err(refused(reference))?;
        // What the registry has now is what counts.
        let asked = self.client.pull_manifest_raw(reference.inner(), &self.auth, &[MANIFEST_MEDIA_TYPE]);
        let (manifest, _) = asked.await.map_err(refused(reference))?;
        Ok(Digest::of(&manifest))
    }
}

fn refused(reference: &OciReference) -> impl Fn(OciDistributionError) -> RegistryError {
    let reference = reference.to_string();
    move |error| RegistryError::Refused { reference: reference.clone(), reason: reason(&error) }
}

/// What a person can act on.
fn reason(error: &OciDistributionError) -> String {
    let nothing = || "there is nothing under this tag or digest".to_owned();
    match error {
        OciDistributionError::ImageManifestNotFoundError(_) => nothing(),
        OciDistributionError::RegistryError { envelope, .. }
            if envelope.errors.iter().any(|error| {
                matches!(error.code, OciErrorCode::ManifestUnknown | OciErrorCode::NameUnknown | OciErrorCode::NotFound)
            }) =>
        {
            nothing()
        }
        OciDistributionError::UnauthorizedError { .. } => {
            "the registry refuses these credentials, or wants some: log in with `docker login`".to_owned()
        }
        OciDistributionError::RequestError(error) => {
            let mut cause: &dyn std::error::Error = error;
            while let Some(next) = cause.source() {
                cause = next;
            }
            format!("the registry was not reached: {cause}")
        }
        other => other.to_string(),
    }
}
