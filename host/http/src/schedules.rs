//! Schedules of a tenant: which there are, and which of them run.

use crate::auth::{Admin, LedgerReader};
use crate::path::{self, Path};
use crate::{App, Problem};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, put};
use serde::Serialize;
use wares_call::Explanation;
use wares_call::jobs::{ScheduleError, ScheduleView};
use wares_model::schedule::{Missed, Schedule};
use wares_model::{ComponentName, JobId, ProblemCode, TenantId, Timestamp, Version};
use wares_store::ScheduleKey;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/tenants/{tenant}/schedules", get(list))
        .route("/tenants/{tenant}/schedules/{namespace}/{name}/{schedule}", put(enable).delete(disable))
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct List {
    items: Vec<Shape>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shape {
    component: ComponentName,
    name: String,
    enabled: bool,
    enabled_at: Option<Timestamp>,
    enabled_by: Option<String>,
    next_at: Option<Timestamp>,
    last_due_at: Option<Timestamp>,
    last_job: Option<JobId>,
    /// From the version that is deployed for the tenant; left out if that has no such schedule, which then does not run.
    #[serde(flatten)]
    declared: Option<Declared>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Declared {
    version: Version,
    cron: String,
    time_zone: String,
    interface: Option<String>,
    function: String,
    arguments: String,
    missed: Missed,
}

type Key = (TenantId, String, String, String);

async fn list(
    State(app): State<App>,
    LedgerReader(caller): LedgerReader,
    Path(tenant): Path<TenantId>,
) -> Result<axum::Json<List>, Problem> {
    if caller.tenant.as_ref().is_some_and(|own| own.record.id != tenant) {
        return Err(Problem::new(ProblemCode::Forbidden, "a tenant's key reads that tenant's schedules only"));
    }
    let items = app.jobs.schedules(&tenant).await?.into_iter().map(shape).collect();
    Ok(axum::Json(List { items }))
}

async fn enable(State(app): State<App>, admin: Admin, Path(key): Path<Key>) -> Result<axum::Json<Shape>, Problem> {
    let key = schedule_key(key)?;
    app.jobs.enable_schedule(key.clone(), admin.actor).await?;
    let views = app.jobs.schedules(&key.tenant).await?;
    let view = views.into_iter().find(|view| view.component == key.component && view.name == key.name);
    view.map(|view| axum::Json(Shape { enabled: true, ..shape(view) }))
        .ok_or_else(|| Problem::host(&"a schedule is gone that was just enabled"))
}

async fn disable(State(app): State<App>, _admin: Admin, Path(key): Path<Key>) -> Result<StatusCode, Problem> {
    app.jobs.disable_schedule(schedule_key(key)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn schedule_key((tenant, namespace, component, name): Key) -> Result<ScheduleKey, Problem> {
    Ok(ScheduleKey { tenant, component: path::component(&namespace, &component)?, name })
}

fn shape(view: ScheduleView) -> Shape {
    let ScheduleView { component, name, declared, enabled, next_at } = view;
    let declared = declared.map(|(version, schedule)| {
        let Schedule { cron, time_zone, interface, function, arguments, missed, .. } = schedule;
        let time_zone = time_zone.unwrap_or_else(|| "UTC".to_owned());
        Declared { version, cron, time_zone, interface, function, arguments, missed }
    });
    Shape {
        component,
        name,
        enabled: enabled.is_some(),
        enabled_at: enabled.as_ref().map(|record| record.enabled_at),
        enabled_by: enabled.as_ref().map(|record| record.enabled_by.clone()),
        next_at,
        last_due_at: enabled.as_ref().and_then(|record| record.last_due_at),
        last_job: enabled.as_ref().and_then(|record| record.last_job),
        declared,
    }
}

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        let detail = error.to_string();
        match error {
            ScheduleError::Store(_) => Self::host(&error),
            ScheduleError::NotDeclared { nearest, .. } => {
                Explanation { nearest, ..Explanation::new(ProblemCode::NotFound, detail) }.into()
            }
            ScheduleError::NoTenant(_) | ScheduleError::NotEnabled { .. } => Self::new(ProblemCode::NotFound, detail),
        }
    }
}
