//! `wares push`: a component into an OCI registry.

use super::Settings;
use super::components::{NameAt, version_path};
use crate::client::{Access, Body, Role};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::reading;
use anyhow::Context as _;
use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;
use std::path::{Path, PathBuf};
use wares_model::{ComponentName, Digest, Version};
use wares_registry::{Contents, OciReference, Registry};

/// Pushes a component into an OCI registry.
#[derive(Debug, clap::Args)]
pub struct Push {
    /// A .wasm file, or a version on the shelf, as benefit/match@1.2.3
    #[arg(value_name = "FILE|NAME@VERSION")]
    what: String,
    /// Where to, as oci://registry.example/benefit/match:1.2.3; without a tag it is the version
    #[arg(value_name = "OCI-REFERENCE")]
    reference: OciReference,
    /// Its name, for a component that has no manifest
    #[arg(long, value_name = "NAMESPACE:NAME")]
    name: Option<ComponentName>,
    /// Its version, for a component that has no manifest
    #[arg(long)]
    version: Option<Version>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

/// What was pushed.
#[derive(Serialize)]
struct Pushed {
    reference: String,
    component: ComponentName,
    version: Version,
    digest: Digest,
    manifest: Digest,
}

impl Push {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let file = PathBuf::from(&self.what);
        let (wasm, at) = match file.is_file() {
            true => (super::publish::read_component(&file)?, None),
            false => self.fetch(settings).await?,
        };
        let wasm = Bytes::from(wasm);
        let contents = self.contents(&wasm, at).await?;
        let reference = self.reference.or_tag(&contents.version)?;
        let spinner = output::Spinner::start("pushing");
        let digest = Digest::of(&wasm);
        let manifest = Registry::of(&reference)?.push(&reference, wasm, &contents).await?;
        drop(spinner);
        let Contents { component, version, .. } = contents;
        let pushed = Pushed { reference: reference.to_string(), component, version, digest, manifest };
        self.format.print(&pushed, |pushed| {
            let Pushed { reference, component, version, manifest, .. } = pushed;
            format!("pushed {component}@{version} to {reference} ({manifest})")
        })?;
        Ok(Exit::Ok)
    }

    /// A version's bytes, which are checked against the digest that the shelf names.
    async fn fetch(&self, settings: &Settings) -> anyhow::Result<(Vec<u8>, Option<(ComponentName, Version)>)> {
        let neither = |reason: String| {
            Exit::NotFound.error(format!("{}: there is no such file, and it names no version: {reason}", self.what))
        };
        let NameAt { name, at } = self.what.parse::<NameAt<Version>>().map_err(|error| neither(error.to_string()))?;
        let version = at.ok_or_else(|| neither("add @VERSION".to_owned()))?;
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let wasm = client.send(Method::GET, &format!("{}/wasm", version_path(&name, &version)), Body::None).await?.body;
        let shown: serde_json::Value = client.get(&version_path(&name, &version)).await?;
        let named = shown.get("digest").and_then(serde_json::Value::as_str).context("the host names no digest")?;
        anyhow::ensure!(Digest::of(&wasm).to_string() == named, "the host served other bytes than {named}");
        Ok((wasm, Some((name, version))))
    }

    async fn contents(&self, wasm: &[u8], at: Option<(ComponentName, Version)>) -> anyhow::Result<Contents> {
        let path = Path::new(&self.what).display();
        let described = reading::describe(wasm).await;
        let described = described.map_err(|error| Exit::Failed.error(format!("{path}: {error:#}")))?;
        let manifest = described.manifest.as_ref().map(|manifest| &manifest.component);
        let (name, version) = at.unzip();
        let name = name.or_else(|| self.name.clone()).or_else(|| manifest.map(|info| info.name.clone()));
        let version = version.or_else(|| self.version.clone()).or_else(|| manifest.map(|info| info.version.clone()));
        let missing = |what| Exit::Usage.error(format!("{path} does not say its {what}: add --{what}"));
        Ok(Contents {
            component: name.ok_or_else(|| missing("name"))?,
            version: version.ok_or_else(|| missing("version"))?,
            imports: described.imports.clone(),
            exports: described.interfaces.iter().filter_map(|interface| interface.name.clone()).collect(),
            metadata: described.metadata.clone(),
        })
    }
}
