//! `wares mirror`: a shelf follows another one.
//!
//! Versions are copied as they are; what takes traffic here is decided here. Each version is one publication of its own: an
//! interrupted run leaves whole versions or nothing, and the next run goes on from there. What the copies are used for can be
//! reported back, so that the vendor is credited where the component comes from.

use super::Settings;
use super::components::{path, version_path};
use crate::client::{Access, Body, Client, ClientError, Role, encode, query};
use crate::exit::Exit;
use crate::output::{self, Format};
use crate::signer_file;
use futures::{StreamExt as _, TryStreamExt as _};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use wares_model::time::DAY_US;
use wares_model::{ComponentName, Digest, PrivateKey, Report, Signature, TenantId, Timestamp, Version};
use wares_store::{ReportedUsage, UsageRow};

/// Days that are reported, the one that goes on included last: as long as a shelf may be cut off and lose nothing.
const REPORTED_DAYS: i64 = 35;
/// Rows of one report.
const REPORT_ROWS: usize = 5_000;
/// Components that are copied at once; the versions of one follow each other.
const COMPONENTS_AT_ONCE: usize = 16;

/// Copies versions from another shelf onto this one.
#[derive(Debug, clap::Args)]
pub struct Mirror {
    /// URL of a host of the shelf to follow
    #[arg(value_name = "URL")]
    from: String,
    /// A key of that shelf
    #[arg(long, env = "WARES_MIRROR_KEY", hide_env_values = true, value_name = "KEY")]
    from_key: String,
    /// Only components of this namespace; may be given several times
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Vec<String>,
    /// Only this component; may be given several times
    #[arg(long, value_name = "NAME")]
    component: Vec<ComponentName>,
    /// Go on, and look for new versions every so many seconds
    #[arg(long, value_name = "SECONDS")]
    every: Option<u64>,
    /// Report back what the copies are used for, as this tenant of the other shelf, whose key --from-key is
    #[arg(long, value_name = "TENANT", requires = "sign")]
    report_as: Option<TenantId>,
    /// Sign the reports with the key in this file, which `wares keys new-signer` made
    #[arg(long, value_name = "FILE", requires = "report_as")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    format: Format,
    #[command(flatten)]
    access: Access,
}

/// What a run did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Done {
    components: usize,
    copied: usize,
    already_there: usize,
    refused: Vec<String>,
    /// Rows of usage that were reported back.
    #[serde(skip_serializing_if = "Option::is_none")]
    reported: Option<usize>,
    /// The versions that are the same on both shelves.
    #[serde(skip)]
    shared: BTreeSet<(ComponentName, Version)>,
}

/// A version in a list of versions.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    version: Version,
    digest: Digest,
    published_at: String,
    publisher: String,
    #[serde(default)]
    yanked_at: Option<String>,
    #[serde(default)]
    deprecation: Option<Value>,
    #[serde(default)]
    signature: Option<Signature>,
    /// Why it takes no calls: nothing to be copied.
    #[serde(default)]
    held: Option<String>,
}

#[derive(Deserialize)]
struct UsageList {
    items: Vec<UsageRow>,
}

/// The two shelves.
struct Shelves {
    from: Client,
    here: Client,
}

impl Mirror {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let here = self.access.client(&settings.load()?.data_dir, Role::Admin)?;
        let shelves = Shelves { from: Client::new(&self.from, &self.from_key)?, here };
        let Some(seconds) = self.every else {
            let report = self.follow(&shelves).await?;
            self.format.print(&report, Done::for_people)?;
            return Ok(if report.refused.is_empty() { Exit::Ok } else { Exit::Failed });
        };
        let mut turns = tokio::time::interval(Duration::from_secs(seconds.max(1)));
        loop {
            turns.tick().await;
            match self.follow(&shelves).await {
                Ok(report) if report.copied == 0 && report.refused.is_empty() => {}
                Ok(report) => {
                    if self.format.print_on(&report, Done::for_people)?.is_break() {
                        return Ok(Exit::Ok);
                    }
                }
                // The other shelf may be back by the next turn.
                Err(error) => output::note(&format!("error: {error:#}")),
            }
        }
    }

    /// Copies all that is wanted and not here yet.
    async fn follow(&self, shelves: &Shelves) -> anyhow::Result<Done> {
        let names = self.wanted(&shelves.from).await?;
        let components = names.len();
        let copies = futures::stream::iter(names).map(|name| async move {
            let copied = shelves.copy(&name).await;
            copied.map_err(|error| error.context(format!("{name} of {}", shelves.from.base())))
        });
        let done: Vec<Done> = copies.buffer_unordered(COMPONENTS_AT_ONCE).try_collect().await?;
        let mut done = done.into_iter().fold(Done { components, ..Done::default() }, Done::and);
        if let (Some(tenant), Some(file)) = (&self.report_as, &self.sign) {
            done.reported = Some(shelves.report(tenant, &signer_file::read(file)?, &done.shared).await?);
        }
        Ok(done)
    }

    /// The components to copy.
    async fn wanted(&self, from: &Client) -> anyhow::Result<Vec<ComponentName>> {
        let mut names = self.component.clone();
        let lists = match (self.namespace.is_empty(), names.is_empty()) {
            (true, true) => vec!["/v1/components".to_owned()],
            _ => self.namespace.iter().map(|of| format!("/v1/components?namespace={}", encode(of))).collect(),
        };
        for list in lists {
            for component in from.list(&list).await? {
                let name = component.get("name").and_then(Value::as_str).unwrap_or_default();
                names.push(name.parse().map_err(|error| anyhow::anyhow!("{}: {error}", from.base()))?);
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }
}

impl Shelves {
    /// Copies the versions of one component that are not here, oldest first.
    async fn copy(&self, name: &ComponentName) -> anyhow::Result<Done> {
        let mut theirs = versions(&self.from, name).await?;
        theirs.sort_by(|a, b| a.version.cmp(&b.version));
        let ours = match versions(&self.here, name).await {
            Ok(ours) => ours,
            Err(ClientError::Problem(problem)) if problem.status == 404 => Vec::new(),
            Err(other) => return Err(other.into()),
        };
        let mut done = Done::default();
        for version in theirs {
            let known = ours.iter().find(|known| known.version == version.version);
            match known {
                Some(known) if known.digest == version.digest => done.already_there += 1,
                Some(known) => {
                    let (here, there) = (&known.digest, &version.digest);
                    done.refused.push(format!("{name}@{}: here it is {here}, there {there}", version.version));
                    continue;
                }
                None if version.held.is_some() => continue,
                None => match self.copy_version(name, &version).await {
                    Ok(()) => done.copied += 1,
                    Err(ClientError::Problem(problem)) => {
                        done.refused.push(format!("{name}@{}: {}", version.version, problem.detail));
                        continue;
                    }
                    Err(other) => return Err(other.into()),
                },
            }
            self.copy_notices(name, known, &version).await?;
            done.shared.insert((name.clone(), version.version));
        }
        Ok(done)
    }

    async fn copy_version(&self, name: &ComponentName, listed: &Listed) -> Result<(), ClientError> {
        let Listed { version, digest, published_at, publisher, signature, .. } = listed;
        let at = format!("{}/wasm", version_path(name, version));
        let wasm = self.from.send(Method::GET, &at, Body::None).await?.body;
        let found = Digest::of(&wasm);
        if found != *digest {
            let what = format!("a component with the digest {found} instead of {digest}");
            return Err(ClientError::NotWares { url: format!("{}{at}", self.from.base()), status: 200, what });
        }
        // The statement is for a namespace that is under review here.
        let parameters = [
            ("name", name.to_string()),
            ("version", version.to_string()),
            // Native code is made when it is wanted first, which for most of a shelf is never.
            ("compile", "later".to_owned()),
            ("kind", "copy of a version of another shelf".to_owned()),
            ("method", format!("copied from {}", self.from.base())),
            ("basis", format!("published there by {publisher} at {published_at}")),
        ];
        let at = format!("/v1/components?{}", query(parameters.map(|(name, value)| (name, Some(value)))));
        self.here.send(Method::POST, &at, Body::Wasm(wasm, *signature)).await.map(drop)
    }

    /// Reports what the copies were used for in the last days; what was reported before is said again, which changes nothing.
    async fn report(
        &self,
        tenant: &TenantId,
        key: &PrivateKey,
        shared: &BTreeSet<(ComponentName, Version)>,
    ) -> anyhow::Result<usize> {
        let now = Timestamp::now().as_micros();
        let from = Timestamp::from_micros(now - now.rem_euclid(DAY_US) - REPORTED_DAYS * DAY_US);
        let at = "/v1/usage?group_by=component,version,outcome,day&time_zone=UTC";
        let at = format!("{at}&from={}", encode(&from.to_string()));
        let usage: UsageList = self.here.get(&at).await?;
        let rows: Vec<_> = usage.items.into_iter().filter_map(|row| reported(row, shared)).collect();
        for rows in rows.chunks(REPORT_ROWS) {
            let body = serde_json::to_vec(&json!({"rows": rows}))?;
            let signature = Report { reporter: tenant, body: &body }.sign(key);
            self.from.send(Method::POST, "/v1/usage-reports", Body::SignedJson(body, signature)).await?;
        }
        Ok(rows.len())
    }

    /// What is said of the version there is said here too. What was taken back there stays until somebody takes it back here.
    async fn copy_notices(
        &self,
        name: &ComponentName,
        known: Option<&Listed>,
        version: &Listed,
    ) -> Result<(), ClientError> {
        let at = version_path(name, &version.version);
        if let Some(deprecation) = &version.deprecation
            && known.and_then(|known| known.deprecation.as_ref()) != Some(deprecation)
        {
            self.here.send(Method::POST, &format!("{at}/deprecate"), Body::Json(deprecation.clone())).await?;
        }
        if version.yanked_at.is_some() && known.is_none_or(|known| known.yanked_at.is_none()) {
            let reason = json!({"reason": format!("yanked at {}", self.from.base())});
            self.here.send(Method::POST, &format!("{at}/yank"), Body::Json(reason)).await?;
        }
        Ok(())
    }
}

/// A row of usage as it is reported, if it is of a version that both shelves have.
fn reported(row: UsageRow, shared: &BTreeSet<(ComponentName, Version)>) -> Option<ReportedUsage> {
    let UsageRow { component, version, outcome, day, calls, cpu_us, wall_us, bytes_in, bytes_out, .. } = row;
    let named = (component?.parse().ok()?, version?.parse().ok()?);
    // A day by itself is one in UTC, as it was asked for.
    let (outcome, day) = (outcome?, day?.parse().ok()?);
    if !shared.contains(&named) {
        return None;
    }
    let (component, version) = named;
    Some(ReportedUsage { component, version, day, outcome, calls, cpu_us, wall_us, bytes_in, bytes_out })
}

async fn versions(of: &Client, name: &ComponentName) -> Result<Vec<Listed>, ClientError> {
    let at = format!("{}/versions", path(name));
    let listed = of.list(&at).await?;
    let parse = |version| {
        serde_json::from_value(version).map_err(|error| ClientError::NotWares {
            url: format!("{}{at}", of.base()),
            status: 200,
            what: error.to_string(),
        })
    };
    listed.into_iter().map(parse).collect()
}

impl Done {
    fn and(mut self, other: Self) -> Self {
        self.copied += other.copied;
        self.already_there += other.already_there;
        self.refused.extend(other.refused);
        self.shared.extend(other.shared);
        self
    }

    fn for_people(&self) -> String {
        let Self { components, copied, already_there, refused, reported, .. } = self;
        let mut lines =
            vec![format!("copied {copied} versions of {components} components; {already_there} were here already")];
        lines.extend(reported.map(|rows| format!("reported {rows} rows of usage")));
        lines.extend(refused.iter().map(|refused| format!("refused: {refused}")));
        lines.join("\n")
    }
}
