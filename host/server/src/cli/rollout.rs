//! `wares rollout`: a version that takes over step by step, watched by the host.

use super::Settings;
use super::components::{cell, number, path};
use super::deploy::with_warnings;
use crate::client::{Access, Body, Changing, Client, Role, encode};
use crate::exit::Exit;
use crate::output::{Format, micros};
use reqwest::Method;
use serde_json::{Map, Value, json};
use wares_model::rollout::WallMeasure;
use wares_model::{ComponentName, Stickiness, Version};

/// Rollouts.
#[derive(Debug, clap::Subcommand)]
pub enum Rollout {
    /// Start one: the version takes over step by step, and loses all traffic again when it is worse than the one before
    Start(Box<Start>),
    /// Show the newest one: its step, and what is seen of both versions
    Show {
        /// The component
        name: ComponentName,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Access,
    },
    /// End it, and give the version before all traffic again
    Abort {
        /// The component
        name: ComponentName,
        /// Why, for the history
        #[arg(long)]
        reason: Option<String>,
        #[command(flatten)]
        format: Format,
        #[command(flatten)]
        access: Changing,
    },
}

/// What the version must hold to; the host has defaults.
#[derive(Debug, clap::Args)]
pub struct Start {
    /// The component
    name: ComponentName,
    /// The version that is to take over
    version: Version,
    /// Its share in percent in each step, comma-separated [default: 5,25,50,100]
    #[arg(long, value_delimiter = ',', value_name = "SHARE")]
    steps: Option<Vec<u32>>,
    /// The least time of a step; 0 leaves it to the calls [default: 600]
    #[arg(long, value_name = "SECONDS")]
    step_seconds: Option<u64>,
    /// The fewest calls of the version in a step [default: 100]
    #[arg(long, value_name = "CALLS")]
    calls_min: Option<u64>,
    /// How many percentage points its error rate may be above the other version's [default: 1]
    #[arg(long, value_name = "POINTS")]
    error_points_max: Option<f64>,
    /// How many times the other version's wall time its own may be [default: 2]
    #[arg(long, value_name = "TIMES")]
    wall_ratio_max: Option<f64>,
    /// How much longer it may take in any case [default: 5]
    #[arg(long, value_name = "MILLISECONDS")]
    wall_slack_ms: Option<u64>,
    /// What of the wall time is compared, mean or p95 [default: p95]
    #[arg(long, value_name = "MEASURE")]
    wall_measure: Option<WallMeasure>,
    /// Count the component's own error answers as errors
    #[arg(long)]
    component_errors: bool,
    /// What stays on one version during a step, tenant or call [default: tenant]
    #[arg(long, value_name = "WHAT")]
    stickiness: Option<Stickiness>,
    /// Start only if the deployment is at this revision
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

impl Rollout {
    pub(super) async fn run(self, settings: &Settings) -> anyhow::Result<Exit> {
        let data_dir = settings.load()?.data_dir;
        let client = |access: &Changing| access.client(&data_dir, Role::Admin);
        let (rollout, format) = match self {
            Self::Start(start) => (start.send(&client(&start.access)?).await?, start.format),
            Self::Show { name, format, access } => {
                (access.client(&data_dir, Role::Admin)?.get(&at(&name)).await?, format)
            }
            Self::Abort { name, reason, format, access } => {
                let query = reason.map(|reason| format!("?reason={}", encode(&reason))).unwrap_or_default();
                let at = format!("{}{query}", at(&name));
                (client(&access)?.send(Method::DELETE, &at, Body::None).await?.json()?, format)
            }
        };
        format.print(&rollout, for_people)?;
        Ok(Exit::Ok)
    }
}

impl Start {
    async fn send(&self, client: &Client) -> anyhow::Result<Value> {
        let given = [
            ("steps", self.steps.as_ref().map(|steps| json!(steps))),
            ("step-seconds", self.step_seconds.map(Value::from)),
            ("calls-min", self.calls_min.map(Value::from)),
            ("error-points-max", self.error_points_max.map(Value::from)),
            ("wall-ratio-max", self.wall_ratio_max.map(Value::from)),
            ("wall-slack-ms", self.wall_slack_ms.map(Value::from)),
            ("wall-measure", self.wall_measure.map(|measure| json!(measure))),
            ("component-errors", self.component_errors.then_some(Value::Bool(true))),
            ("stickiness", self.stickiness.map(|stickiness| json!(stickiness))),
            ("reason", self.reason.clone().map(Value::from)),
        ];
        let given = given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let mut body = Map::from_iter([("version".to_owned(), json!(self.version))]);
        body.extend(given);
        let answer = client.send_if(Method::POST, &at(&self.name), Body::Json(body.into()), self.if_revision).await?;
        Ok(answer.json()?)
    }
}

fn at(name: &ComponentName) -> String {
    format!("{}/rollout", path(name))
}

fn for_people(rollout: &Value) -> String {
    let at = |pointer: &str| cell(rollout, pointer);
    let steps: Vec<_> = rollout.pointer("/plan/steps").and_then(Value::as_array).into_iter().flatten().collect();
    let steps: Vec<_> = steps.iter().map(|share| format!("{share}%")).collect();
    let mut lines = vec![
        format!("{}: {} takes over from {}", at("/component"), at("/plan/version"), at("/old")),
        format!("state:   {}", at("/state")),
        format!("step:    {} of {}", at("/step"), steps.join(" → ")),
        format!("started: {} by {}", at("/started-at"), at("/actor")),
    ];
    let noted = [("ended:   ", "/ended-at"), ("why:     ", "/note")];
    let noted = noted.into_iter().filter(|(_, pointer)| rollout.pointer(pointer).is_some_and(|value| !value.is_null()));
    lines.extend(noted.map(|(title, pointer)| format!("{title}{}", at(pointer))));
    let evidence = ["/observed", "/evidence"].into_iter().filter_map(|pointer| rollout.pointer(pointer));
    if let Some(evidence) = evidence.into_iter().find(|evidence| evidence.is_object()) {
        lines.push(format!("seen in step {}, {} s:", cell(evidence, "/step"), cell(evidence, "/seconds")));
        lines.extend(["/new", "/old"].map(|pointer| seen(evidence.pointer(pointer).unwrap_or(&Value::Null))));
    }
    with_warnings(lines.join("\n"), rollout)
}

fn seen(version: &Value) -> String {
    let [name, calls, errors] = ["/version", "/calls", "/errors"].map(|pointer| cell(version, pointer));
    let [mean, p95] = ["/wall-mean-us", "/wall-p95-us"].map(|pointer| micros(number(version, pointer)));
    format!("  {name}: {calls} calls, {errors} errors, wall time {mean} mean, {p95} p95")
}
