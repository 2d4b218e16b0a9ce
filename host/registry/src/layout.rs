//! The layout of a component as an OCI artifact.

use oci_client::manifest::{OciDescriptor, OciImageManifest};
use serde::Serialize;
use std::collections::BTreeMap;
use wares_model::{ComponentName, Digest, Timestamp, Version};

/// Media types of the layout.
pub(crate) const MANIFEST_MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG_MEDIA_TYPE: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const WASM_MEDIA_TYPE: &str = "application/wasm";

/// Annotations: of a manifest the component's name and version, of a layer the name of a file.
const TITLE: &str = "org.opencontainers.image.title";
const VERSION: &str = "org.opencontainers.image.version";

/// What is said of a component beside its bytes.
#[derive(Debug, Clone)]
pub struct Contents {
    /// Its name.
    pub component: ComponentName,
    /// Its version.
    pub version: Version,
    /// The interfaces that it imports, in full.
    pub imports: Vec<String>,
    /// The interfaces that it exports, in full.
    pub exports: Vec<String>,
    /// Texts under their OCI names (`licenses`, `source`, `revision` …), for people who look at the registry.
    pub metadata: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WasmConfig<'a> {
    created: Timestamp,
    architecture: &'a str,
    os: &'a str,
    layer_digests: [String; 1],
    component: Interfaces<'a>,
}

#[derive(Serialize)]
struct Interfaces<'a> {
    exports: &'a [String],
    imports: &'a [String],
}

impl Contents {
    pub(crate) fn config(&self, wasm: &Digest) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&WasmConfig {
            created: Timestamp::now(),
            architecture: "wasm",
            os: "wasip2",
            layer_digests: [wasm.to_string()],
            component: Interfaces { exports: &self.exports, imports: &self.imports },
        })
    }

    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        let texts = self.metadata.iter().map(|(key, value)| (format!("org.opencontainers.image.{key}"), value.clone()));
        let mut annotations: BTreeMap<_, _> = texts.collect();
        annotations.insert(TITLE.to_owned(), self.component.to_string());
        annotations.insert(VERSION.to_owned(), self.version.to_string());
        annotations
    }

    /// What is said of the layer: the name of the file that others make of it (`oras pull` passes over a layer without one).
    pub(crate) fn layer_annotations(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(TITLE.to_owned(), format!("{}.wasm", self.component.name()))])
    }
}

/// The name and the version that a manifest gives a component, where they are some.
pub(crate) fn named_by(manifest: &OciImageManifest) -> Option<(ComponentName, Version)> {
    let annotations = manifest.annotations.as_ref()?;
    Some((annotations.get(TITLE)?.parse().ok()?, annotations.get(VERSION)?.parse().ok()?))
}

/// The digest of the component that a manifest names, or why it names none. The bytes are anybody's.
pub fn component_digest(manifest: &[u8]) -> Result<String, String> {
    let manifest: OciImageManifest = serde_json::from_slice(manifest).map_err(|error| error.to_string())?;
    component_of(&manifest).map(|layer| layer.digest.clone())
}

/// The one layer that is the component.
pub(crate) fn component_of(manifest: &OciImageManifest) -> Result<&OciDescriptor, String> {
    let media_type = &manifest.config.media_type;
    if media_type != CONFIG_MEDIA_TYPE {
        return Err(format!("its config is a {media_type}, not a {CONFIG_MEDIA_TYPE}"));
    }
    match manifest.layers.as_slice() {
        [layer] if layer.media_type == WASM_MEDIA_TYPE => Ok(layer),
        [layer] => Err(format!("its layer is a {}, not an {WASM_MEDIA_TYPE}", layer.media_type)),
        layers => Err(format!("it has {} layers; a component is one", layers.len())),
    }
}
