//! The HTTP API: who asks, for what, and what the answer looks like. Handlers translate; the work is done in `call` and `catalog`.

mod afterwards;
mod ahead;
mod apart;
mod auth;
mod backup;
mod body;
mod calls;
mod changes;
mod components;
mod config;
mod connection;
mod csv;
mod deployments;
mod dry_run;
mod etag;
mod form;
mod garbage;
mod grants;
mod jobs;
mod language;
mod lifecycle;
mod logs;
mod media;
mod namespaces;
mod negotiate;
mod once;
mod operations;
mod pace;
mod page;
mod parameter;
mod path;
mod peers;
mod problem;
mod providers;
mod publications;
mod refusals;
mod reports;
mod request_id;
mod requests;
mod rollouts;
mod schedules;
mod secrets;
mod serve;
pub mod server;
mod streams;
mod submissions;
mod telemetry;
mod tenants;
mod traced;
mod usage;
mod webhooks;

use axum::Router;
use axum::extract::FromRef;
use changes::Turns;
use metrics_exporter_prometheus::PrometheusHandle;
use refusals::Refusals;
use std::sync::Arc;
use tokio::sync::watch;
use wares_call::Calls;
use wares_call::jobs::Jobs;
use wares_catalog::Catalog;

pub use problem::Problem;
pub use telemetry::describe_metrics;

/// What the handlers work with. Clones share everything.
#[derive(Clone)]
pub struct App {
    catalog: Arc<Catalog>,
    calls: Calls,
    jobs: Jobs,
    metrics: PrometheusHandle,
    draining: Draining,
    turns: Arc<Turns>,
    refusals: Arc<Refusals>,
}

impl App {
    /// The API over this shelf.
    pub fn new(catalog: Arc<Catalog>, calls: Calls, jobs: Jobs, metrics: PrometheusHandle, draining: Draining) -> Self {
        Self { catalog, calls, jobs, metrics, draining, turns: Turns::new(), refusals: Arc::default() }
    }
}

impl FromRef<App> for Arc<Catalog> {
    fn from_ref(app: &App) -> Self {
        Arc::clone(&app.catalog)
    }
}

/// Whether the host has been told to stop. First that is announced: it says that it is not ready, and still takes what comes,
/// so that nobody who has not heard of it is turned away. Then it takes no more connections, and finishes what it has begun.
#[derive(Clone, Default)]
pub struct Draining(Arc<watch::Sender<Phase>>);

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    #[default]
    Serving,
    Announced,
    Begun,
}

impl Draining {
    /// From now on, say that the host is about to stop.
    pub fn announce(&self) {
        self.enter(Phase::Announced);
    }

    /// From now on, take nothing new.
    pub fn begin(&self) {
        self.enter(Phase::Begun);
    }

    fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let is_later = *now < phase;
            *now = phase.max(*now);
            is_later
        });
    }

    /// Whether the host is about to stop or stops.
    pub(crate) fn is_announced(&self) -> bool {
        *self.0.borrow() >= Phase::Announced
    }

    /// Waits until it has begun.
    pub(crate) async fn begun(&self) {
        // The sender is this one's, and there.
        let _ = self.0.subscribe().wait_for(|phase| *phase == Phase::Begun).await;
    }
}

/// All routes.
///
/// What calls pass on their way is kept short: no layer lies over them, and their handlers look at the key themselves.
pub fn router(app: App) -> Router {
    let v1 = Router::new()
        .merge(backup::routes())
        .merge(components::routes())
        .merge(publications::routes())
        .merge(deployments::routes())
        .merge(rollouts::routes())
        .merge(lifecycle::routes())
        .merge(garbage::routes())
        .merge(grants::routes())
        .merge(secrets::routes())
        .merge(config::routes())
        .merge(logs::routes())
        .merge(providers::routes())
        .merge(namespaces::routes())
        .merge(submissions::routes())
        .merge(reports::routes())
        .merge(tenants::routes())
        .merge(usage::routes())
        .merge(jobs::routes())
        .merge(schedules::routes())
        .merge(webhooks::routes())
        .fallback(problem::no_such_address)
        .layer(axum::middleware::from_fn(dry_run::rehearsed))
        .layer(axum::middleware::from_fn_with_state(app.clone(), changes::to_their_end))
        .layer(axum::middleware::from_fn(csv::lists))
        .layer(axum::middleware::from_fn(language::documentation))
        .layer(axum::middleware::from_fn(media::require_known))
        .layer(axum::middleware::from_fn(etag::tag_reads))
        .layer(axum::middleware::from_fn_with_state(app.clone(), auth::require_key));
    Router::new()
        .nest("/v1", v1)
        .merge(calls::routes())
        .merge(serve::routes())
        .merge(operations::routes(&app))
        .fallback(problem::no_such_address)
        .method_not_allowed_fallback(problem::no_such_method)
        .with_state(app)
}
