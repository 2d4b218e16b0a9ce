//! `wares deploy` and `wares rollback`: which versions take traffic.

use super::Settings;
use super::components::{cell, path, traffic};
use crate::client::{Body, Changing, Role};
use crate::exit::Exit;
use crate::output::{Format, note};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::str::FromStr;
use wares_catalog::deploy::SHARES_TOTAL;
use wares_model::{ComponentName, Stickiness, Version};

/// Chooses versions.
#[derive(Debug, clap::Args)]
pub struct Deploy {
    /// The component
    name: ComponentName,
    /// A version that takes all traffic, or several with their shares in percent, as 1.2.0=90 1.3.0=10
    #[arg(required = true, value_name = "VERSION[=SHARE]")]
    versions: Vec<Share>,
    /// What stays on one version while the shares stand, tenant or call
    #[arg(long, value_name = "WHAT", default_value_t)]
    stickiness: Stickiness,
    /// Make this share of the calls again in another version and compare, as 1.3.0=10; it must declare itself pure
    #[arg(long, value_name = "VERSION=PERCENT")]
    shadow: Option<Share>,
    /// Deploy only if the deployment is at this revision; 0 for none
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
    /// Why, for the history
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Changing,
}

/// Goes back.
#[derive(Debug, clap::Args)]
pub struct Rollback {
    /// The component
    name: ComponentName,
    /// The revision to go back to [default: the newest with other traffic than now]
    #[arg(long, value_name = "REVISION")]
    to: Option<u64>,
    /// Roll back only if the deployment is at this revision
    #[arg(long, value_name = "REVISION")]
    if_revision: Option<u64>,
    /// Why, for the history
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Changing,
}

/// `1.2.0` or `1.2.0=90`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Share {
    version: Version,
    share: Option<u32>,
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (version, share) = match text.split_once('=') {
            None => (text, None),
            Some((version, share)) => {
                let whole = share.trim_end_matches('%').parse();
                (version, Some(whole.map_err(|_| format!("{share:?} is not a share in percent, as in {version}=90"))?))
            }
        };
        let version =
            version.parse().map_err(|error| format!("{version:?} is not a version such as 1.2.3: {error}"))?;
        Ok(Self { version, share })
    }
}

impl Deploy {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let traffic = shares(&self.versions)?;
        let shadow = self
            .shadow
            .as_ref()
            .map(|Share { version, share }| json!({"version": version, "percent": share.unwrap_or(SHARES_TOTAL)}));
        let body = json!({
            "traffic": traffic, "stickiness": self.stickiness, "shadow": shadow, "reason": self.reason,
        });
        let at = format!("{}/deployment", path(&self.name));
        let deployment: Value = client.send_if(Method::PUT, &at, Body::Json(body), self.if_revision).await?.json()?;
        self.format.print(&deployment, |deployment| said(deployment, "deployed"))?;
        Ok(Exit::Ok)
    }
}

impl Rollback {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let client = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let mut body = serde_json::Map::new();
        body.extend(self.to.map(|to| ("to".to_owned(), json!(to))));
        body.extend(self.reason.map(|reason| ("reason".to_owned(), json!(reason))));
        let at = format!("{}/deployment/rollback", path(&self.name));
        let component: Value = client.get(&path(&self.name)).await?;
        let now = component.get("deployment").unwrap_or(&Value::Null);
        // What is done is what was shown, or nothing.
        let revision = self.if_revision.or(now.get("revision").and_then(Value::as_u64));
        let body = Value::Object(body);
        if !self.access.is_dry_run() {
            let plan = client.clone().rehearsing();
            let plan: Value = plan.send_if(Method::POST, &at, Body::Json(body.clone()), revision).await?.json()?;
            note(&format!("{}: {} -> {}", self.name, traffic(now), traffic(&plan)));
        }
        let deployment: Value = client.send_if(Method::POST, &at, Body::Json(body), revision).await?.json()?;
        self.format.print(&deployment, |deployment| said(deployment, "rolled back"))?;
        Ok(Exit::Ok)
    }
}

/// Shares by version; a version alone has all of it.
fn shares(versions: &[Share]) -> anyhow::Result<BTreeMap<String, u32>> {
    let wrong = |message: String| Err(Exit::Usage.error(message));
    let mut traffic = BTreeMap::new();
    for Share { version, share } in versions {
        let share = match share {
            Some(share) => *share,
            None if versions.len() == 1 => SHARES_TOTAL,
            None => return wrong(format!("{version} has no share: with several versions write each as {version}=50")),
        };
        if traffic.insert(version.to_string(), share).is_some() {
            return wrong(format!("{version} is named twice"));
        }
    }
    let total: u64 = traffic.values().map(|share| u64::from(*share)).sum();
    if total != u64::from(SHARES_TOTAL) {
        return wrong(format!("the shares add up to {total}; they must add up to {SHARES_TOTAL}"));
    }
    Ok(traffic)
}

pub(super) fn said(deployment: &Value, done: &str) -> String {
    let (component, revision) = (cell(deployment, "/component"), cell(deployment, "/revision"));
    let done = format!("{done} {component}: {} (revision {revision})", traffic(deployment));
    with_warnings(done, deployment)
}

/// What was done, then what the host warns of.
pub(super) fn with_warnings(done: String, answer: &Value) -> String {
    let warnings = answer.get("warnings").and_then(Value::as_array).into_iter().flatten();
    warnings.filter_map(Value::as_str).fold(done, |text, warning| format!("{text}\nWARNING: {warning}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_checked() {
        let read = |words: &[&str]| -> Result<BTreeMap<String, u32>, String> {
            let versions: Vec<Share> = words.iter().map(|word| word.parse()).collect::<Result<_, _>>()?;
            shares(&versions).map_err(|error| error.to_string())
        };
        assert_eq!(read(&["1.0.0"]), Ok(BTreeMap::from([("1.0.0".to_owned(), 100)])));
        assert_eq!(read(&["1.0.0=90", "1.1.0=10%"]).unwrap().len(), 2);
        let cases: [(&[&str], &str); 6] = [
            (&["1.0.0", "1.1.0=10"], "1.0.0 has no share"),
            (&["1.0.0=50", "1.0.0=50"], "named twice"),
            (&["1.0.0=50"], "add up to 50"),
            (&["1.0"], "not a version"),
            (&["1.0.0=x"], "not a share"),
            (&["1.0.0=4294967295", "1.1.0=101"], "add up to"),
        ];
        for (words, expected) in cases {
            let error = read(words).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
    }
}
