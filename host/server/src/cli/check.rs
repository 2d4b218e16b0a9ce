//! `wares check`: what a host would say of a component, before it is published.

mod against;

use super::Settings;
use crate::client::{Access, Role};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::sandbox::{Checked, Sandbox};
use against::{Comparison, Earlier, Own};
use serde::Serialize;
use std::path::{Path, PathBuf};
use wares_model::{Asked, ComponentName, Digest, Grants, Limits, Version};
use wares_typed::Description;

/// Checks a component.
#[derive(Debug, clap::Args)]
pub struct Check {
    /// The component
    #[arg(value_name = "FILE.wasm")]
    file: PathBuf,
    /// Say what it changes for callers of an earlier version, and which number that calls for: LATEST for what the host
    /// would compare it with, another version on the shelf, or a file
    #[arg(long, value_name = "LATEST|VERSION|FILE")]
    against: Option<Earlier>,
    /// Its name on the shelf, for a component that has no manifest
    #[arg(long, value_name = "NAMESPACE:NAME", requires = "against")]
    name: Option<ComponentName>,
    /// The version it is to be, for a component that has no manifest
    #[arg(long, requires = "against")]
    version: Option<Version>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

/// What the check found.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    ok: bool,
    errors: Vec<String>,
    name: Option<ComponentName>,
    version: Option<Version>,
    digest: Digest,
    size_bytes: usize,
    imports: Vec<String>,
    /// What of the world it asks for, as far as an operator must grant it.
    asked: Vec<String>,
    interfaces: Vec<Exported>,
    limits: Option<Limits>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<Comparison>,
}

/// An exported interface, or the functions of the world itself.
#[derive(Serialize)]
struct Exported {
    name: Option<String>,
    functions: Vec<Signature>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Signature {
    name: String,
    signature: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_callable: Option<String>,
}

impl Check {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let config = settings.load()?;
        let wasm = super::publish::read_component(&self.file)?;
        let (size, digest) = (wasm.len(), Digest::of(&wasm));
        let spinner = output::Spinner::start("compiling");
        let checked = Sandbox::new(&config.limits)?.check(wasm).await;
        drop(spinner);
        let against = match (&self.against, &checked.description) {
            (Some(earlier), Some(description)) => self.compare(earlier, description, &digest, &config.data_dir).await?,
            _ => None,
        };
        let report = Report::of(checked, size, digest).with(against);
        self.format.print(&report, Report::for_people)?;
        Ok(if report.ok { Exit::Ok } else { Exit::Failed })
    }

    async fn compare(
        &self,
        earlier: &Earlier,
        description: &Description,
        digest: &Digest,
        data_dir: &Path,
    ) -> anyhow::Result<Option<Comparison>> {
        let info = description.manifest.as_ref().map(|manifest| &manifest.component);
        let own = Own {
            name: info.map(|info| &info.name).or(self.name.as_ref()),
            version: info.map(|info| &info.version).or(self.version.as_ref()),
            digest: digest.to_string(),
            description,
        };
        match earlier {
            Earlier::File(file) => own.against_file(file).await.map(Some),
            on_shelf => {
                let client = self.access.client(data_dir, Role::Admin)?;
                let compared = own.against_shelf(&client, on_shelf).await?;
                if compared.is_none() {
                    output::note("nothing is published under this name yet: any version will do");
                }
                Ok(compared)
            }
        }
    }
}

impl Report {
    fn of(checked: Checked, size_bytes: usize, digest: Digest) -> Self {
        let Checked { description, limits, errors } = checked;
        let interfaces = description.iter().flat_map(|description| {
            description.interfaces.iter().map(|interface| {
                let signature = |function: &wares_typed::Function| Signature {
                    name: function.name.clone(),
                    signature: wares_typed::signature(description, function),
                    not_callable: function.not_callable.clone(),
                };
                Exported {
                    name: interface.name.clone(),
                    functions: interface.functions.iter().map(signature).collect(),
                }
            })
        });
        let interfaces = interfaces.collect();
        let info = description.as_ref().and_then(|description| Some(&description.manifest.as_ref()?.component));
        Self {
            ok: errors.is_empty(),
            errors,
            name: info.map(|info| info.name.clone()),
            version: info.map(|info| info.version.clone()),
            digest,
            size_bytes,
            imports: description.as_ref().map(|description| description.imports.clone()).unwrap_or_default(),
            asked: description.as_ref().map(asked).unwrap_or_default(),
            interfaces,
            limits,
            against: None,
        }
    }

    fn with(mut self, against: Option<Comparison>) -> Self {
        self.errors.extend(against.as_ref().and_then(|against| against.error.clone()));
        Self { ok: self.errors.is_empty(), against, ..self }
    }

    fn for_people(&self) -> String {
        let mut lines = match (&self.name, &self.version) {
            (Some(name), Some(version)) => vec![format!("name:    {name}"), format!("version: {version}")],
            _ if self.limits.is_some() => vec!["no manifest: give --name and --version to `wares publish`".to_owned()],
            _ => Vec::new(),
        };
        lines.push(format!("digest:  {}", self.digest));
        lines.push(format!("size:    {}", output::bytes(self.size_bytes as u64)));
        lines.extend((!self.imports.is_empty()).then(|| "imports:".to_owned()));
        lines.extend(self.imports.iter().map(|import| format!("  {import}")));
        lines.extend((!self.asked.is_empty()).then(|| "asks for:".to_owned()));
        lines.extend(self.asked.iter().map(|capability| format!("  {capability}")));
        lines.extend((!self.interfaces.is_empty()).then(|| "exports:".to_owned()));
        for interface in &self.interfaces {
            lines.push(format!("  {}", interface.name.as_deref().unwrap_or("(the world itself)")));
            for Signature { signature, not_callable, .. } in &interface.functions {
                let reason =
                    not_callable.as_ref().map(|reason| format!("  (not callable: {reason})")).unwrap_or_default();
                lines.push(format!("    {signature}{reason}"));
            }
        }
        if let Some(serde_json::Value::Object(limits)) =
            self.limits.and_then(|limits| serde_json::to_value(limits).ok())
        {
            lines.push("limits:".to_owned());
            lines.extend(limits.iter().map(|(name, value)| format!("  {name} = {value}")));
        }
        lines.extend(self.against.iter().flat_map(Comparison::for_people));
        lines.push(match self.ok {
            true => "ok: a host with these settings takes it".to_owned(),
            false => "refused:".to_owned(),
        });
        lines.extend(self.errors.iter().map(|error| format!("  {error}")));
        lines.join("\n")
    }
}

fn asked(description: &Description) -> Vec<String> {
    let manifest = description.manifest.as_ref().map(|manifest| &manifest.capabilities);
    let asked = Asked::of(manifest, &description.imports).missing(&Grants::default());
    asked.into_iter().map(|one| one.capability).collect()
}
