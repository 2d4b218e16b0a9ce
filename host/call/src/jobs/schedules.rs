//! Schedules: calls that become jobs at set times, for tenants for whom an operator enabled them.
//!
//! What a schedule calls and when stands in the manifest of the version that the deployment gives the tenant at that time, the
//! same one while the shares stand, even where calls draw theirs. Each due time makes one job, also over restarts: that it is
//! dealt with is written in the transaction that queues the job, and waits for room in the tenant's queue. Times at which the
//! host was down, or no deployed version had the schedule, are skipped; where the manifest says `missed = "run-once"`, those at
//! which the host was down make one job together.

use super::{Inner, JobError, Jobs};
use crate::{Request, telemetry};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use wares_catalog::snapshot::{Snapshot, VersionEntry};
use wares_catalog::tenancy::TenantEntry;
use wares_catalog::{Target, nearest::nearest};
use wares_engine::TraceParent;
use wares_model::schedule::{DueTimes, Missed, Schedule};
use wares_model::{ComponentName, TenantId, Timestamp, Version};
use wares_store::{Due, QueuedJob, ScheduleKey, ScheduleRecord, StoreError};

/// How often the deployments are looked at: a new version may have other times.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// Due times of one schedule that are dealt with at a time.
const DUE_STEP: usize = 60;

/// A schedule as a tenant has it.
#[derive(Debug, Clone)]
pub struct ScheduleView {
    /// The component whose schedule it is.
    pub component: ComponentName,
    /// Its name.
    pub name: String,
    /// What the version that is deployed for the tenant says of it; none if that has no such schedule.
    pub declared: Option<(Version, Schedule)>,
    /// Since when, by whom, and what came of it, if it is enabled.
    pub enabled: Option<ScheduleRecord>,
    /// When it is due next, if it is enabled.
    pub next_at: Option<Timestamp>,
}

/// Why a schedule was not enabled, or not disabled.
#[derive(Debug, thiserror::Error)]
pub enum ScheduleError {
    /// There is no tenant of this id.
    #[error("there is no tenant {0}; `GET /v1/tenants` lists them")]
    NoTenant(TenantId),
    /// The version that is deployed for the tenant has no such schedule.
    #[error("no version of {component} that is deployed for the tenant has a schedule {name}")]
    NotDeclared {
        /// The component.
        component: ComponentName,
        /// What was asked for.
        name: String,
        /// Names that come close.
        nearest: Vec<String>,
    },
    /// It is not enabled.
    #[error("the schedule {name} of {component} is not enabled for the tenant")]
    NotEnabled {
        /// The component.
        component: ComponentName,
        /// The schedule.
        name: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Jobs {
    /// The schedules of what is deployed for a tenant, and those that are enabled for it, by component and name.
    pub async fn schedules(&self, tenant: &TenantId) -> Result<Vec<ScheduleView>, ScheduleError> {
        let snapshot = self.0.calls.catalog.snapshot().clone();
        if !snapshot.has_tenant(tenant) {
            return Err(ScheduleError::NoTenant(tenant.clone()));
        }
        let mut views = BTreeMap::new();
        for (component, _) in snapshot.components() {
            let Some(version) = deployed(&snapshot, tenant, component) else { continue };
            for schedule in &version.summary.schedules {
                let declared = Some((version.record.version.clone(), schedule.clone()));
                let (component, name) = (component.clone(), schedule.name.clone());
                let view = ScheduleView {
                    component: component.clone(),
                    name: name.clone(),
                    declared,
                    enabled: None,
                    next_at: None,
                };
                views.insert((component, name), view);
            }
        }
        for record in self.0.store().enabled_schedules(Some(tenant)).await? {
            let (component, name) = (record.key.component.clone(), record.key.name.clone());
            let view = views.entry((component.clone(), name.clone())).or_insert_with(|| ScheduleView {
                component,
                name,
                declared: None,
                enabled: None,
                next_at: None,
            });
            let times = view.declared.as_ref().and_then(|(_, schedule)| schedule.times().ok());
            view.next_at = times.and_then(|times| times.after(record.handled_until.max(Timestamp::now())));
            view.enabled = Some(record);
        }
        Ok(views.into_values().collect())
    }

    /// Has a schedule run for a tenant from now on.
    pub async fn enable_schedule(&self, key: ScheduleKey, actor: String) -> Result<(), ScheduleError> {
        let snapshot = self.0.calls.catalog.snapshot().clone();
        if !snapshot.has_tenant(&key.tenant) {
            return Err(ScheduleError::NoTenant(key.tenant));
        }
        let version = deployed(&snapshot, &key.tenant, &key.component);
        let declared = version.as_ref().map(|version| version.summary.schedules.as_slice()).unwrap_or_default();
        let Some(schedule) = declared.iter().find(|schedule| schedule.name == key.name) else {
            let nearest = nearest(&key.name, declared.iter().map(|schedule| schedule.name.as_str()));
            return Err(ScheduleError::NotDeclared { component: key.component, name: key.name, nearest });
        };
        let now = Timestamp::now();
        let record = ScheduleRecord {
            timing: timing(schedule),
            key,
            enabled_at: now,
            enabled_by: actor,
            handled_until: now,
            last_due_at: None,
            last_job: None,
        };
        self.0.store().enable_schedule(record).await?;
        self.0.enabled.notify_one();
        Ok(())
    }

    /// Has a schedule not run for a tenant any more; jobs that it has queued stay.
    pub async fn disable_schedule(&self, key: ScheduleKey) -> Result<(), ScheduleError> {
        if self.0.store().disable_schedule(&key).await? {
            return Ok(());
        }
        Err(ScheduleError::NotEnabled { component: key.component, name: key.name })
    }
}

/// Makes jobs of due times until the queue is closed. Times before `started` are missed.
pub(super) async fn run(inner: &Inner, started: Timestamp) {
    tokio::select! {
        () = inner.closing.cancelled() => {}
        () = look_again_and_again(inner, started) => {}
    }
}

async fn look_again_and_again(inner: &Inner, started: Timestamp) {
    loop {
        let sleep = match inner.look_at_schedules(started).await {
            Ok(next) => next.since(Timestamp::now()).min(LOOK_INTERVAL),
            Err(error) => {
                tracing::error!(%error, "schedules cannot be read");
                LOOK_INTERVAL
            }
        };
        tokio::select! {
            () = inner.enabled.notified() => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

impl Inner {
    /// Deals with what is due, and says when something is next.
    async fn look_at_schedules(&self, started: Timestamp) -> Result<Timestamp, StoreError> {
        let mut first = Timestamp::now().plus(LOOK_INTERVAL);
        for record in self.store().enabled_schedules(None).await? {
            let next = self.look_at(&record, started).await;
            let next = next.inspect_err(|error| {
                let ScheduleKey { tenant, component, name } = &record.key;
                tracing::error!(%error, %tenant, %component, schedule = name, "a due time is not dealt with yet");
            });
            first = next.ok().flatten().map_or(first, |next| first.min(next));
        }
        Ok(first)
    }

    /// Deals with what is due of one schedule, and says when it is due next.
    async fn look_at(&self, record: &ScheduleRecord, started: Timestamp) -> Result<Option<Timestamp>, JobError> {
        let (key, now) = (&record.key, Timestamp::now());
        let snapshot = self.calls.catalog.snapshot().clone();
        let version = deployed(&snapshot, &key.tenant, &key.component);
        let schedule =
            version.as_ref().and_then(|version| version.summary.schedules.iter().find(|one| one.name == key.name));
        let (Some(version), Some(schedule), Some(tenant)) = (&version, schedule, snapshot.tenant(&key.tenant)) else {
            if !record.timing.is_empty() {
                self.store().retime_schedule(key, "", now).await?;
            }
            return Ok(None);
        };
        let Ok(times) = schedule.times() else { return Ok(None) };
        let (timing, mut handled_until) = (timing(schedule), record.handled_until);
        if record.timing != timing {
            // Other times hold since they were deployed, not since that was seen.
            let deployment = snapshot.component(&key.component).and_then(|component| component.deployment.as_ref());
            handled_until = deployment.map_or(now, |deployment| deployment.at.min(now)).max(handled_until);
            self.store().retime_schedule(key, &timing, handled_until).await?;
        }
        for (at, is_run) in due(&times, handled_until, started, now, schedule.missed) {
            if !self.handle(key, tenant, version, schedule, at, is_run).await? {
                return Ok(None);
            }
        }
        Ok(times.after(now))
    }

    /// Deals with a due time: with a job, or without. Returns whether there was room for the job; if not, the time is still due.
    async fn handle(
        &self,
        key: &ScheduleKey,
        tenant: &Arc<TenantEntry>,
        version: &VersionEntry,
        schedule: &Schedule,
        at: Timestamp,
        is_run: bool,
    ) -> Result<bool, JobError> {
        let request = Request {
            tenant: Arc::clone(tenant),
            application: format!("schedule:{}", key.name).into(),
            target: Target::Component { name: key.component.clone(), requirement: None },
            interface: schedule.interface.clone(),
            function: schedule.function.clone(),
            trace: TraceParent::None,
            request_id: None,
        };
        let due = Due { component: key.component.clone(), schedule: key.name.clone(), at };
        let job = match is_run {
            true => Some(self.due_job(&request, schedule.arguments.as_bytes(), version.summary.retry, due)?),
            false => None,
        };
        let ScheduleKey { tenant, component, name } = key;
        match self.store().handle_due(key, at, job, self.policy().waiting).await? {
            Some(QueuedJob::New(job)) => {
                tracing::info!(%tenant, %component, schedule = name, due = %at, job = %job.id, "a schedule is due");
                telemetry::due("queued");
                self.queued.notify_one();
            }
            Some(QueuedJob::Full) => {
                tracing::warn!(%tenant, %component, schedule = name, due = %at, "a due time waits: too many jobs of the tenant do");
                telemetry::job_refused();
                return Ok(false);
            }
            Some(QueuedJob::Known(_)) => {}
            None if is_run => {}
            None => {
                tracing::info!(%tenant, %component, schedule = name, due = %at, "due times at which the host was down are skipped");
                telemetry::due("missed");
            }
        }
        Ok(true)
    }
}

/// The due times to deal with, oldest first, and whether each makes a job. Those before `started` are missed; the last of them
/// stands for all.
fn due(
    times: &DueTimes,
    handled_until: Timestamp,
    started: Timestamp,
    now: Timestamp,
    missed: Missed,
) -> Vec<(Timestamp, bool)> {
    let before = times.until(started.min(now)).filter(|at| *at > handled_until);
    let mut due: Vec<_> = before.map(|at| (at, missed == Missed::RunOnce)).into_iter().collect();
    let mut last = handled_until.max(started);
    while let Some(at) = times.after(last).filter(|at| *at <= now && due.len() < DUE_STEP) {
        due.push((at, true));
        last = at;
    }
    due
}

/// The version that the deployment gives the tenant.
fn deployed(snapshot: &Snapshot, tenant: &TenantId, component: &ComponentName) -> Option<Arc<VersionEntry>> {
    let target = Target::Component { name: component.clone(), requirement: None };
    snapshot.standing(&target, tenant).ok().map(|resolved| resolved.version)
}

/// What due times are counted by.
fn timing(schedule: &Schedule) -> String {
    format!("{} {}", schedule.cron, schedule.time_zone.as_deref().unwrap_or("UTC"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_due_time_is_dealt_with_once_and_missed_ones_together() {
        let schedule = |missed| {
            let toml = format!(
                "[component]\nname = 'a:b'\nversion = '1.0.0'\n[[schedules]]\nname = 'hourly'\ncron = '0 * * * *'\nfunction = 'f'\nmissed = '{missed}'"
            );
            wares_model::Manifest::parse(&toml).unwrap().schedules.remove(0)
        };
        let at = |text: &str| format!("2026-11-25T{text}:00Z").parse::<Timestamp>().unwrap();
        type Case = (&'static str, &'static str, &'static str, &'static str, &'static [(&'static str, bool)]);
        let cases: [Case; 7] = [
            ("skip", "10:00", "09:30", "10:59", &[]),
            ("skip", "10:00", "09:30", "11:00", &[("11:00", true)]),
            ("skip", "10:00", "09:30", "12:10", &[("11:00", true), ("12:00", true)]),
            ("skip", "10:00", "13:30", "13:30", &[("13:00", false)]),
            ("run-once", "10:00", "13:30", "13:30", &[("13:00", true)]),
            ("run-once", "10:00", "13:30", "14:30", &[("13:00", true), ("14:00", true)]),
            ("run-once", "13:00", "13:30", "13:40", &[]),
        ];
        for (missed, handled, started, now, expected) in cases {
            let schedule = schedule(missed);
            let found = due(&schedule.times().unwrap(), at(handled), at(started), at(now), schedule.missed);
            let expected: Vec<_> = expected.iter().map(|(time, is_run)| (at(time), *is_run)).collect();
            assert_eq!(found, expected, "{missed} {handled} {started} {now}");
        }
    }
}
