//! `wares namespaces`: what is asked of who publishes, and the keys that sign.

use super::Settings;
use super::components::{cell, number, traffic};
use super::sure::Sure;
use crate::client::{Access, Body, Changing, Client, Role, encode};
use crate::exit::Exit;
use crate::output::{Format, table};
use clap::ValueEnum;
use reqwest::Method;
use serde_json::{Value, json};
use wares_model::{Namespace, SignerKey};

/// Namespaces.
#[derive(Debug, clap::Subcommand)]
pub enum Namespaces {
    /// List namespaces and what is asked of their versions
    List {
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Show what is asked of a namespace's versions, and its signers
    Show {
        /// The namespace
        namespace: Namespace,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Set what is asked of the versions that are published from now on
    Set {
        /// The namespace
        namespace: Namespace,
        /// Whether versions are reviewed before they take traffic [default: as it is]
        #[arg(long, required_unless_present_any = ["signature", "source"])]
        review: Option<Rule>,
        /// Whether versions must be signed by a signer of the namespace [default: as it is]
        #[arg(long)]
        signature: Option<Rule>,
        /// Where `wares publish --pull` finds versions, as oci://registry.example/benefit, or none [default: as it is]
        #[arg(long, value_name = "OCI-PLACE")]
        source: Option<String>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
    /// Add, list and revoke the keys that sign a namespace's versions
    #[command(subcommand)]
    Signer(Signer),
}

/// Whether something is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Rule {
    /// It is
    Required,
    /// It is not
    Off,
}

/// Signers.
#[derive(Debug, clap::Subcommand)]
pub enum Signer {
    /// Add a key, beside those that the namespace has
    Add {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
    /// List a namespace's keys, revoked ones included
    List {
        /// The namespace
        namespace: Namespace,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// Take nothing more from a key, and list what it signed; that goes on until it is stopped
    Revoke {
        #[command(flatten)]
        which: Which,
        /// Why, for the record
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
    /// Stop everything that a revoked key signed: out of traffic, and no calls that pin it
    Stop {
        #[command(flatten)]
        which: Which,
        /// Why, for the histories of the deployments
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        sure: Sure,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
}

/// A key of a namespace.
#[derive(Debug, clap::Args)]
pub struct Which {
    /// The namespace
    namespace: Namespace,
    /// The public key, as `wares keys new-signer` printed it
    #[arg(value_name = "KEY")]
    signer: SignerKey,
}

impl Namespaces {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        match self {
            Self::List { format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                format.print(&client.list("/v1/namespaces").await?, |namespaces| {
                    let columns = ["/name", "/review-since", "/signature-since", "/signers"];
                    let rows = namespaces.iter().map(|namespace| columns.map(|pointer| cell(namespace, pointer)));
                    table(&["name", "review since", "signature since", "signers"], rows, "no namespaces yet")
                })?;
            }
            Self::Show { namespace, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let mut shown: Value = client.get(&path(&namespace)).await?;
                let signers = client.list(&format!("{}/signers", path(&namespace))).await?;
                if let Some(fields) = shown.as_object_mut() {
                    fields.insert("signers".to_owned(), signers.into());
                }
                format.print(&shown, for_people)?;
            }
            Self::Set { namespace, review, signature, source, format, access } => {
                let client = access.client(&data_dir, Role::Admin)?;
                let now: Value = client.get(&path(&namespace)).await?;
                let asked = |rule: Option<Rule>, name: &str| {
                    rule.map_or_else(|| now.get(name) == Some(&Value::Bool(true)), |rule| rule == Rule::Required)
                };
                let source = match source {
                    None => now.get("source").cloned().unwrap_or_default(),
                    Some(source) if source == "none" => Value::Null,
                    Some(source) => source.into(),
                };
                let (review, signature) = (asked(review, "review"), asked(signature, "signature"));
                let body = json!({"review": review, "signature": signature, "source": source});
                let set: Value = client.send(Method::PUT, &path(&namespace), Body::Json(body)).await?.json()?;
                format.print(&set, |set| {
                    let rule = |name: &str| if cell(set, name) == "true" { "required" } else { "off" };
                    let source = cell(set, "/source");
                    format!(
                        "{namespace}: review {}, signature {}, source {source}",
                        rule("/review"),
                        rule("/signature")
                    )
                })?;
            }
            Self::Signer(signer) => signer.run(&data_dir).await?,
        }
        Ok(Exit::Ok)
    }
}

impl Signer {
    async fn run(self, data_dir: &std::path::Path) -> anyhow::Result<()> {
        match self {
            Self::Add { which: Which { namespace, signer: key }, format, access } => {
                let client = access.client(data_dir, Role::Admin)?;
                let at = format!("{}/signers", path(&namespace));
                let body = Body::Json(json!({"key": key}));
                let added: Value = client.send(Method::POST, &at, body).await?.json()?;
                format.print(&added, |_| format!("added {key} to {namespace}"))
            }
            Self::List { namespace, format, access } => {
                let client = access.client(data_dir, Role::Admin)?;
                format.print(&client.list(&format!("{}/signers", path(&namespace))).await?, |signers| {
                    signer_table(signers)
                })
            }
            Self::Revoke { which, reason, format, access } => {
                let client = access.client(data_dir, Role::Admin)?;
                let revoked = act(&client, &which, "revoke", reason).await?;
                format.print(&revoked, |revoked| {
                    let Which { namespace, signer: key } = &which;
                    let versions = items(revoked, "versions");
                    let next = match versions.is_empty() {
                        true => String::new(),
                        false => format!(
                            "\nthey go on until they are stopped: wares namespaces signer stop {namespace} {key} --reason …"
                        ),
                    };
                    format!("revoked {key}; it signed:\n{}{next}", version_table(versions))
                })
            }
            Self::Stop { which, reason, sure, format, access } => {
                let client = access.client(data_dir, Role::Admin)?;
                if !access.is_dry_run() {
                    let plan = act(&client.clone().rehearsing(), &which, "stop", reason.clone()).await?;
                    let versions = items(&plan, "versions");
                    sure.confirm(&format!("this ends {} versions:\n{}\n", versions.len(), version_table(versions)))?;
                }
                let stopped = act(&client, &which, "stop", reason).await?;
                format.print(&stopped, |stopped| {
                    let versions = items(stopped, "versions");
                    let mut lines = vec![format!("stopped {} versions", versions.len()), version_table(versions)];
                    let deployments = items(stopped, "deployments").iter();
                    lines.extend(deployments.map(|deployment| match traffic(deployment).as_str() {
                        "-" => format!("{} takes no calls until a version is deployed", cell(deployment, "/component")),
                        left => format!("{}: {left}", cell(deployment, "/component")),
                    }));
                    lines.join("\n")
                })
            }
        }
    }
}

async fn act(client: &Client, which: &Which, what: &str, reason: String) -> anyhow::Result<Value> {
    let Which { namespace, signer: key } = which;
    let at = format!("{}/signers/{}/{what}", path(namespace), encode(&key.to_string()));
    Ok(client.send(Method::POST, &at, Body::Json(json!({"reason": reason}))).await?.json()?)
}

fn path(namespace: &Namespace) -> String {
    format!("/v1/namespaces/{namespace}")
}

fn items<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn for_people(namespace: &Value) -> String {
    let since = |what: &str| match cell(namespace, &format!("/{what}-since")).as_str() {
        "-" => "off".to_owned(),
        since => format!("required for what is published since {since}"),
    };
    let signers = signer_table(items(namespace, "signers"));
    format!(
        "{}\nreview:    {}\nsignature: {}\nsource:    {}\n{signers}",
        cell(namespace, "/name"),
        since("review"),
        since("signature"),
        cell(namespace, "/source")
    )
}

fn signer_table(signers: &[Value]) -> String {
    let columns = ["/key", "/added-at", "/revoked-at", "/reason"];
    let rows = signers.iter().map(|signer| columns.map(|pointer| cell(signer, pointer)));
    table(&["key", "added", "revoked", "reason"], rows, "no signers")
}

fn version_table(versions: &[Value]) -> String {
    let rows = versions.iter().map(|version| {
        let [component, number_, published, stopped] =
            ["/component", "/version", "/published-at", "/stopped-at"].map(|pointer| cell(version, pointer));
        [component, number_, published, format!("{}%", number(version, "/share")), stopped]
    });
    table(&["component", "version", "published", "traffic", "stopped"], rows, "nothing")
}
