//! What a component changes for the callers of an earlier version, and which number that calls for.

use crate::cli::components::{path, version_path};
use crate::cli::publish::read_component;
use crate::client::{Body, Client};
use crate::exit::Exit;
use crate::reading;
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;
use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;
use wares_model::line::{self, Step};
use wares_model::{ComponentName, Version};
use wares_typed::{Changes, Description};

/// The word for the newest version on the shelf.
const LATEST: &str = "LATEST";

/// What to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Earlier {
    /// What the host would compare with: the last release on the line of the component's own number, else the newest version.
    Latest,
    /// This version, from the shelf.
    Version(Version),
    /// This file.
    File(PathBuf),
}

impl FromStr for Earlier {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match (text, text.parse()) {
            (LATEST, _) => Self::Latest,
            (_, Ok(version)) => Self::Version(version),
            _ => Self::File(text.into()),
        })
    }
}

/// A component's own name and number.
pub(super) struct Own<'a> {
    pub(super) name: Option<&'a ComponentName>,
    pub(super) version: Option<&'a Version>,
    pub(super) digest: String,
    pub(super) description: &'a Description,
}

/// What the comparison came to.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Comparison {
    /// The earlier version, if it has a number.
    version: Option<Version>,
    step: Step,
    /// The number that the changes call for.
    next_version: Option<Version>,
    #[serde(flatten)]
    changes: Changes,
    /// Why a host would refuse the component under its own number.
    #[serde(skip)]
    pub(super) error: Option<String>,
}

/// A version on the shelf.
struct Published {
    version: Version,
    digest: String,
    yanked: bool,
}

impl Own<'_> {
    /// Compares with a file.
    pub(super) async fn against_file(&self, file: &std::path::Path) -> anyhow::Result<Comparison> {
        let described = reading::describe(&read_component(file)?).await;
        let earlier = described.map_err(|error| Exit::Failed.error(format!("{}: {error:#}", file.display())))?;
        let version = earlier.manifest.as_ref().map(|manifest| manifest.component.version.clone());
        self.compare(version, earlier.wit(), &[]).await
    }

    /// Compares with a version on the shelf; none if nothing was published there under the name yet.
    pub(super) async fn against_shelf(&self, client: &Client, wanted: &Earlier) -> anyhow::Result<Option<Comparison>> {
        let name = self.name.ok_or_else(|| {
            Exit::Usage
                .error("the component does not say its name: add --name namespace:name to look for it on the shelf")
        })?;
        let published = published(client, name).await?;
        let earlier = match wanted {
            Earlier::Version(version) => version.clone(),
            _ => match self.latest(&published) {
                Some(latest) => latest.clone(),
                None => return Ok(None),
            },
        };
        let at = format!("{}/wit", version_path(name, &earlier));
        let wit = client.send(Method::GET, &at, Body::None).await?.body;
        let mut comparison = self.compare(Some(earlier), &String::from_utf8_lossy(&wit), &published).await?;
        let known = published.iter().find(|other| Some(&other.version) == self.version);
        match (known, self.version) {
            // Publishing it again would change nothing.
            (Some(known), _) if known.digest == self.digest => comparison.error = None,
            (Some(known), _) => {
                comparison.error = Some(format!("{} is published with other bytes ({})", known.version, known.digest));
            }
            (None, Some(version)) => {
                let number = line::check_number(version, published.iter().map(|other| &other.version));
                comparison.error = number.err().map(|error| error.to_string()).or(comparison.error);
            }
            (None, None) => {}
        }
        Ok(Some(comparison))
    }

    fn latest<'a>(&self, published: &'a [Published]) -> Option<&'a Version> {
        let usable = || published.iter().filter(|other| !other.yanked).map(|other| &other.version);
        let newest = |releases: bool| usable().filter(|version| version.pre.is_empty() || !releases).max();
        let before_own = self.version.and_then(|version| line::predecessor(version, usable()));
        before_own.or_else(|| newest(true)).or_else(|| newest(false))
    }

    async fn compare(
        &self,
        version: Option<Version>,
        earlier: &str,
        published: &[Published],
    ) -> anyhow::Result<Comparison> {
        let compared = reading::compare(earlier, self.description.wit()).await;
        let changes = compared.map_err(|error| Exit::Failed.error(format!("{error:#}")))?;
        let step = changes.step();
        let taken = published.iter().map(|other| &other.version);
        let next_version = version.as_ref().map(|version| line::next_free(version, step, taken));
        let promised = version
            .as_ref()
            .filter(|earlier| self.version.is_some_and(|own| line::predecessor(own, [*earlier]).is_some()));
        let error = promised.filter(|_| step == Step::Major).map(|earlier| {
            let [own, next] = [self.version, next_version.as_ref()]
                .map(|version| version.map(ToString::to_string).unwrap_or_default());
            format!(
                "{own} takes from callers of {earlier} what they use: publish it as {next}, or bring back what is missing"
            )
        });
        Ok(Comparison { version, step, next_version, changes, error })
    }
}

impl Comparison {
    pub(super) fn for_people(&self) -> Vec<String> {
        let version = self.version.as_ref().map(ToString::to_string);
        let mut lines = vec![format!("compared with {}:", version.as_deref().unwrap_or("the earlier component"))];
        let lists = [
            ("adds", &self.changes.added),
            ("imports anew", &self.changes.imports_added),
            ("imports no more", &self.changes.imports_removed),
        ];
        for (what, names) in lists {
            lines.extend((!names.is_empty()).then(|| format!("  {what}:")));
            lines.extend(names.iter().map(|name| format!("    {name}")));
        }
        let report = self.changes.report();
        lines.extend((!report.is_empty()).then(|| "  takes away or changes:".to_owned()));
        lines.extend(report.lines().map(|line| format!("    {line}")));
        let why = match self.step {
            Step::Patch => "nothing that is exported changed",
            Step::Minor => "exports were added",
            Step::Major => "callers lose something",
        };
        let next = self.next_version.as_ref().map(ToString::to_string);
        lines.push(format!("next version: {} ({}: {why})", next.as_deref().unwrap_or("-"), self.step));
        lines
    }
}

async fn published(client: &Client, name: &ComponentName) -> anyhow::Result<Vec<Published>> {
    let versions = match client.list(&format!("{}/versions", path(name))).await {
        Ok(versions) => versions,
        Err(error) => {
            let error = anyhow::Error::from(error);
            // A component's first version has nothing to be compared with.
            return if Exit::of(&error) == Exit::NotFound { Ok(Vec::new()) } else { Err(error) };
        }
    };
    let read = |version: &Value| {
        let text = |key| version.get(key).and_then(Value::as_str);
        Some(Published {
            version: text("version")?.parse().ok()?,
            digest: text("digest")?.to_owned(),
            yanked: text("yanked-at").is_some(),
        })
    };
    Ok(versions.iter().filter_map(read).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_compare_with_is_a_word_a_version_or_a_file() {
        let cases = [
            ("LATEST", Earlier::Latest),
            ("1.2.3", Earlier::Version(Version::new(1, 2, 3))),
            ("1.2", Earlier::File("1.2".into())),
            ("old/a.wasm", Earlier::File("old/a.wasm".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse(), Ok(expected));
        }
    }
}
