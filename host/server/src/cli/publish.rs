//! `wares publish`: a component onto the shelf.

use super::Settings;
use super::components::cell;
use super::deploy::with_warnings;
use crate::client::{Answer, Body, Changing, Client, ClientError, Role, query};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::reading;
use crate::signer_file;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use wares_model::limits::COMPONENT_BYTES_MAX;
use wares_model::{ComponentName, Digest, PrivateKey, Release, Signature, Version};
use wares_registry::{OciReference, Registry};

/// Publishes a component.
#[derive(Debug, clap::Args)]
pub struct Publish {
    /// A .wasm file, the folder of a project, which is built first, or oci://registry.example/benefit/match:1.2.3
    #[arg(value_name = "FILE|DIR|OCI-REFERENCE", default_value = ".")]
    what: PathBuf,
    /// Give it all traffic at once
    #[arg(long)]
    deploy: bool,
    /// Have the host pull it from its namespace's source instead, by --name and --version
    #[arg(long, requires_all = ["name", "version"], conflicts_with_all = ["what", "sign"])]
    pull: bool,
    /// Its name, for a component that has no manifest
    #[arg(long, value_name = "NAMESPACE:NAME")]
    name: Option<ComponentName>,
    /// Its version, for a component that has no manifest
    #[arg(long)]
    version: Option<Version>,
    /// Sign it with the key in this file, which `wares keys new-signer` made
    #[arg(long, value_name = "FILE")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    change: Change,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Changing,
}

/// What is stated of the change; a namespace under review wants all three.
#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "For the review")]
pub(super) struct Change {
    /// What kind of change it is, as "first version", "fix" or "new rule"
    #[arg(long, value_name = "WORDS")]
    kind: Option<String>,
    /// How it was made and tested
    #[arg(long, value_name = "TEXT")]
    method: Option<String>,
    /// What it rests on: a regulation, a decision, a report
    #[arg(long, value_name = "TEXT")]
    basis: Option<String>,
}

impl Publish {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let Self { what, pull, name, version, deploy, sign: key, change, .. } = self;
        let Source { wasm, name, version } = match pull {
            true => Source { wasm: Vec::new(), name, version },
            false => component(what, name, version).await?,
        };
        let signature = match &key {
            None => None,
            Some(key) => Some(sign(&signer_file::read(key)?, &wasm, name.as_ref(), version.as_ref()).await?),
        };
        let request = PublishRequest { pull, name, version, deploy, signature, change };
        let spinner = output::Spinner::start("publishing: the host checks and compiles the component");
        let answer = send(&client, wasm, &request).await?;
        drop(spinner);
        let status = answer.status;
        self.format.print(&answer.json::<Value>()?, |version| {
            let what = format!("{}@{}", cell(version, "/component"), cell(version, "/version"));
            if status == StatusCode::ACCEPTED {
                let line = format!("submitted {what}: it waits for review as {}", cell(version, "/submission/id"));
                return with_warnings(line, version);
            }
            let done = match status == StatusCode::CREATED {
                true => "published",
                false => "already published with the same bytes:",
            };
            let deployed = if request.deploy { "; it takes all traffic" } else { "" };
            let mut lines = vec![format!("{done} {what} ({}){deployed}", cell(version, "/digest"))];
            lines.extend(changes(version));
            with_warnings(lines.join("\n"), version)
        })?;
        Ok(Exit::Ok)
    }
}

/// What the version adds to the one before it.
fn changes(version: &Value) -> Vec<String> {
    let earlier = cell(version, "/against/version");
    let lists = [("adds", "/against/added"), ("imports anew", "/against/imports-added")];
    let lines = lists.into_iter().filter_map(|(what, pointer)| {
        let names: Vec<_> = version.pointer(pointer)?.as_array()?.iter().filter_map(Value::as_str).collect();
        (!names.is_empty()).then(|| format!("  {what}, compared with {earlier}: {}", names.join(", ")))
    });
    lines.collect()
}

/// What a publication says besides the bytes.
#[derive(Debug, Default)]
pub(super) struct PublishRequest {
    pub(super) pull: bool,
    pub(super) name: Option<ComponentName>,
    pub(super) version: Option<Version>,
    pub(super) deploy: bool,
    pub(super) signature: Option<Signature>,
    pub(super) change: Change,
}

/// Sends a component to the shelf.
pub(super) async fn send(client: &Client, wasm: Vec<u8>, request: &PublishRequest) -> Result<Answer, ClientError> {
    let parameters = [
        ("name", request.name.as_ref().map(ToString::to_string)),
        ("version", request.version.as_ref().map(ToString::to_string)),
        ("pull", request.pull.then(|| "true".to_owned())),
        ("deploy", request.deploy.then(|| "true".to_owned())),
        ("kind", request.change.kind.clone()),
        ("method", request.change.method.clone()),
        ("basis", request.change.basis.clone()),
    ];
    let at = format!("/v1/components?{}", query(parameters));
    client.send(Method::POST, &at, Body::Wasm(wasm, request.signature)).await
}

/// Signs a component under its own name and version, or under those given for one that has none.
async fn sign(
    key: &PrivateKey,
    wasm: &[u8],
    name: Option<&ComponentName>,
    version: Option<&Version>,
) -> anyhow::Result<Signature> {
    let description = reading::describe(wasm).await?;
    let own = description.manifest.as_ref().map(|manifest| &manifest.component);
    let component = own.map(|own| &own.name).or(name);
    let version = own.map(|own| &own.version).or(version);
    let (Some(component), Some(version)) = (component, version) else {
        return Err(Exit::Usage.error("the component does not say its name and version: add --name and --version"));
    };
    Ok(Release { component, version, digest: &Digest::of(wasm) }.sign(key))
}

/// What is published, and under which name and version if it does not say so itself.
struct Source {
    wasm: Vec<u8>,
    name: Option<ComponentName>,
    version: Option<Version>,
}

/// The bytes of a file, of what a folder builds to, or of an artifact in a registry. What `wares push` called an artifact is
/// its name, if the component says none and none is given.
async fn component(what: PathBuf, name: Option<ComponentName>, version: Option<Version>) -> anyhow::Result<Source> {
    if let Some(text) = what.to_str().filter(|text| OciReference::is_meant(text)) {
        let reference: OciReference = text.parse().map_err(|error| Exit::Usage.error(format!("{error}")))?;
        let spinner = output::Spinner::start("pulling");
        let pulled = Registry::of(&reference)?.pull(&reference, COMPONENT_BYTES_MAX).await?;
        drop(spinner);
        output::note(&format!("pulled {reference} ({})", pulled.manifest));
        let wasm: Vec<u8> = pulled.wasm.into();
        let has_own = reading::describe(&wasm).await.is_ok_and(|description| description.manifest.is_some());
        let (named, at) = pulled.named.filter(|_| !has_own).unzip();
        return Ok(Source { wasm, name: name.or(named), version: version.or(at) });
    }
    let wasm = match what.is_dir() {
        false => read_component(&what)?,
        true => read_component(&one_of(&what)?)?,
    };
    Ok(Source { wasm, name, version })
}

/// Builds the folder's one project.
fn one_of(folder: &Path) -> anyhow::Result<PathBuf> {
    let mut built = super::build::all(folder)?;
    match (built.pop(), built.len()) {
        (Some(only), 0) => {
            output::note(&format!("built {}", only.path.display()));
            Ok(only.path)
        }
        _ => {
            let message = format!("{} is a workspace of projects: publish them one by one", folder.display());
            Err(Exit::Usage.error(message))
        }
    }
}

/// The file's bytes, if they are no more than a component may have.
pub(super) fn read_component(path: &Path) -> anyhow::Result<Vec<u8>> {
    let failed = |exit: Exit, what: String| exit.error(format!("{}: {what}", path.display()));
    let mut file = fs::File::open(path).map_err(|error| failed(Exit::NotFound, error.to_string()))?;
    let mut bytes = Vec::new();
    let read = file.by_ref().take(COMPONENT_BYTES_MAX + 1).read_to_end(&mut bytes);
    read.map_err(|error| failed(Exit::Failed, error.to_string()))?;
    if bytes.len() as u64 > COMPONENT_BYTES_MAX {
        return Err(failed(Exit::Failed, format!("it is over {COMPONENT_BYTES_MAX} bytes, more than a host takes")));
    }
    Ok(bytes)
}
