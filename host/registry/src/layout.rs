//! The layout of a component as an OCI artifact.

use oci_client::manifest::{OciDescriptor, OciImageManifest};
use serde::Serialize;
use std::collections::BTreeMap;
use wares_model::{ComponentName, Digest, Timestamp, Version};

/// Media types of the layout.
pub(crate) const MANIFEST_MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const CONFIG_MEDIA_TYPE: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const WASM_MEDIA_TYPE: &str = "application/wasm";

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
        let name = |key: &str| format!("org.opencontainers.image.{key}");
        let mut annotations: BTreeMap<_, _> =
            self.metadata.iter().map(|(key, value)| (name(key), value.clone())).collect();
        annotations.insert(name("title"), self.component.to_string());
        annotations.insert(name("version"), self.version.to_string());
        annotations
    }
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
